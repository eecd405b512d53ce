// Requests to the server this page came from, with the key if it needs one. The key is kept for this tab alone.

import { at, button, make, openStorage } from "./dom.js";

const KEY = "thinkwright.key";
const keyStore = openStorage(() => sessionStorage);
let asking = null; // the form that asks for the key, while it stands: several requests may wait for it

// What the server refused, or (status 0) why it could not be asked.
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function modelNames() {
  const found = await (await request("v1/models")).json();
  return found.data.map((model) => model.id);
}

export const sendVote = (vote) => request("votes", { body: vote });

// A response with a good status. Asks for the key when the server wants one, as often as it refuses it.
export async function request(path, { body, signal } = {}) {
  for (;;) {
    const key = keyStore.getItem(KEY);
    const response = await attempt(path, { body, signal, key });
    if (response.ok) return response;
    if (response.status !== 401) throw new ApiError(response.status, await messageOf(response));
    // Another request may have asked meanwhile.
    if (keyStore.getItem(KEY) === key && !(await askForKey(key !== null))) {
      throw new ApiError(401, "a key is needed");
    }
  }
}

async function attempt(path, { body, signal, key }) {
  const headers = { ...(body && { "content-type": "application/json" }), ...(key && { authorization: `Bearer ${key}` }) };
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
  try {
    return await fetch(new URL(path, document.baseURI), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
}

async function messageOf(response) {
  const text = await response.text();
  try {
    const { error, detail } = JSON.parse(text);
    return error?.message ?? error ?? detail ?? response.statusText;
  } catch {
    return text.trim().slice(0, 300) || response.statusText || "The server refused.";
  }
}

// Resolves to whether a key was given.
function askForKey(isRefused) {
  asking ??= new Promise((resolve) => {
    const field = make("input", { id: "key", type: "password", autocomplete: "off", required: "" });
    const told = isRefused ? "The server refused this key. Its key:" : "This server asks for a key:";
    const form = make("form", { class: "problem", id: "key-form" }, make("label", { for: "key" }, told), field);
    const end = (isGiven) => {
      form.remove();
      asking = null;
      resolve(isGiven);
    };
    form.append(make("button", { type: "submit" }, "Go on"), button("Cancel", () => end(false)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keyStore.setItem(KEY, field.value.trim());
      end(true);
    });
    at("problems").replaceChildren(form);
    field.focus();
  });
  return asking;
}
