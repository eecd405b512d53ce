// The turns of a conversation on the page.

import { at, button, copyButton, make, visible } from "./dom.js";
import { PairView } from "./compare.js";
import { ReplyView } from "./reply.js";

const NEAR_PIXELS = 90; // so close to the end a reader is taken along
let isFollowing = true;

// Draws a conversation; returns the view of its last turn. `actions`: edit(index, text), regenerate(index), keep(),
// thoughts() (the setting).
export function drawThread(conversation, actions) {
  const views = conversation.turns.map((turn, i) => viewOf(conversation, turn, i, actions));
  at("thread").replaceChildren(...views.map((view) => view.node));
  at("welcome").hidden = views.length > 0;
  toEnd();
  return views.at(-1);
}

// Adds the last turn of a conversation.
export function addTurn(conversation, actions) {
  const index = conversation.turns.length - 1;
  const view = viewOf(conversation, conversation.turns[index], index, actions);
  at("thread").append(view.node);
  at("welcome").hidden = true;
  toEnd();
  return view;
}

function viewOf(conversation, turn, index, actions) {
  if (turn.type === "question") return questionView(turn, index, actions);
  const retry = () => actions.regenerate(index);
  const options = { thoughts: actions.thoughts(), retry, actions: [["Ask again", retry]], onDraw: follow };
  if (turn.type === "pair") return new PairView(conversation, index, { ...options, retry: null, keep: actions.keep });
  return new ReplyView(turn, options);
}

function questionView(turn, index, actions) {
  const text = make("p", { class: "question-text", dir: "auto" }, visible(turn.text));
  const edit = button("Edit", () => node.replaceChildren(editor(turn, index, actions, show)));
  const foot = make("p", { class: "small-actions" }, edit, copyButton("Copy question", () => turn.text));
  const node = make("article", { class: "asked", "aria-label": "Question" });
  const show = () => {
    node.replaceChildren(text, foot);
    if (document.activeElement === document.body) edit.focus();
  };
  show();
  return { node };
}

function editor(turn, index, actions, cancel) {
  const field = make("textarea", { "aria-label": "Question", rows: "3", dir: "auto" });
  field.value = turn.text;
  const send = () => field.value.trim() && actions.edit(index, field.value.trim());
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      cancel();
    } else if (isSendKey(event)) {
      event.preventDefault();
      send();
    }
  });
  const foot = make("p", { class: "small-actions" }, button("Ask", send), button("Cancel", cancel), "What followed is replaced.");
  requestAnimationFrame(() => field.focus());
  return make("div", { class: "editor" }, field, foot);
}

// Enter alone, and not the one that ends a word of an input method.
export const isSendKey = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing;

// Scrolling

export function bindScrolling() {
  const scroller = at("scroller");
  scroller.addEventListener("scroll", () => {
    isFollowing = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PIXELS;
    at("to-end").hidden = isFollowing;
  });
  at("to-end").addEventListener("click", toEnd);
}

function follow() {
  if (isFollowing) toEnd();
  else at("to-end").hidden = false;
}

function toEnd() {
  isFollowing = true;
  at("scroller").scrollTop = at("scroller").scrollHeight;
}
