// What every part of the page is made with: nodes, buttons, copying, words for screen readers.
// A text of a model becomes text nodes only (answer.js alone makes more of it).

// Marks that turn the direction of writing; shown by their number, so that no text reads otherwise than it is.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
const COPIED_MILLISECONDS = 1500;

export const at = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function button(label, onClick, attributes = {}) {
  const node = make("button", { type: "button", ...attributes }, label);
  node.addEventListener("click", onClick);
  return node;
}

export function visible(text) {
  return text.replace(TURNING, (mark) => `[U+${mark.codePointAt(0).toString(16).toUpperCase()}]`);
}

export function copyButton(label, textOf, attributes = {}) {
  const node = button(
    label,
    async () => {
      const isCopied = await copy(textOf());
      node.textContent = isCopied ? "Copied" : "Not copied";
      announce(node.textContent);
      setTimeout(() => (node.textContent = label), COPIED_MILLISECONDS);
    },
    attributes,
  );
  return node;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // a page from another machine over plain http has no clipboard
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = make("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isCopied;
}

// Screen readers say it when they have said what they are saying.
export function announce(text) {
  at("live").textContent = text;
}

// A version 4 UUID; crypto.randomUUID is missing on plain http from another machine.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export function seconds(value) {
  if (value < 0.1) return "under 0.1 s";
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// A browser may refuse even to be asked; then all is kept until the page is closed.
export function openStorage(ofBrowser) {
  try {
    const storage = ofBrowser();
    storage.getItem("");
    return storage;
  } catch {
    const kept = new Map();
    return {
      get length() { return kept.size; },
      key: (i) => [...kept.keys()][i],
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, text) => kept.set(key, text),
      removeItem: (key) => kept.delete(key),
    };
  }
}
