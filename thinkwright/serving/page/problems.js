// Bars above the composer: what went wrong and what can be done, and what can still be undone.

import { at, button, make } from "./dom.js";

const UNDO_MILLISECONDS = 10_000;

// What to tell of an error: its status, if the server gave one, and its words.
export function problemText({ status, message }) {
  if (status === 401) return "The server asks for a key (401).";
  return status ? `${message} (${status})` : message;
}

export function problemBar(error, actions) {
  const bar = make("div", { class: "problem", role: "alert" }, make("p", {}, problemText(error)));
  for (const [label, act] of actions) bar.append(button(label, act));
  return bar;
}

export function showProblem(error, label, retry) {
  const act = () => {
    bar.remove();
    retry();
  };
  const bar = problemBar(error, [[label, act]]);
  bar.append(button("Close", () => bar.remove()));
  at("problems").replaceChildren(bar);
}

// Says what was done and offers to undo it for a while; a new one takes the place of the last.
export function offerUndo(text, undo) {
  const bar = make("div", { class: "notice", role: "status" }, make("p", {}, text));
  const act = () => {
    bar.remove();
    undo();
  };
  bar.append(button("Undo", act), button("Close", () => bar.remove()));
  at("problems").replaceChildren(bar);
  setTimeout(() => bar.remove(), UNDO_MILLISECONDS);
}

export function tell(text) {
  const bar = make("div", { class: "notice", role: "status" }, make("p", {}, text));
  bar.append(button("Close", () => bar.remove()));
  at("problems").replaceChildren(bar);
}
