// The list of conversations: open, rename, delete, clear, export.

import { at, button, make } from "./dom.js";
import { offerUndo } from "./problems.js";
import { conversations, forget, keep } from "./store.js";

let actions; // open(id), begin() a new conversation, renamed(changed), currentId()

export function bindHistory(given) {
  actions = given;
  at("history-toggle").addEventListener("click", () => showHistory(at("history").hidden));
  at("clear").addEventListener("click", clearAll);
  at("export").addEventListener("click", exportAll);
  addEventListener("storage", drawHistory); // another tab has changed it
  addEventListener("pointerdown", ({ target }) => {
    const isBeside = !target.closest("#history, #history-toggle");
    if (isBeside && !isWide() && !at("history").hidden) showHistory(false);
  });
  showHistory(isWide());
}

export const isWide = () => matchMedia("(min-width: 64rem)").matches;

export function showHistory(isShown) {
  at("history").hidden = !isShown;
  at("history-toggle").setAttribute("aria-expanded", String(isShown));
  document.body.classList.toggle("has-history", isShown);
  if (isShown) drawHistory();
}

export function drawHistory() {
  const all = conversations();
  const rows = all.map(row);
  at("history-list").replaceChildren(...(rows.length ? rows : [make("li", { class: "aside" }, "None yet.")]));
  at("clear").disabled = at("export").disabled = !all.length;
}

function row(conversation) {
  const title = button(conversation.title || "Untitled", () => actions.open(conversation.id), { class: "title" });
  const item = make("li", {}, title);
  if (conversation.id === actions.currentId()) title.setAttribute("aria-current", "true");
  const name = { "aria-label": `Rename ${conversation.title}` };
  const gone = { "aria-label": `Delete ${conversation.title}` };
  item.append(
    button("Rename", () => rename(item, conversation), name),
    button("Delete", () => removeAll([conversation], "Conversation deleted."), gone),
  );
  return item;
}

function rename(item, conversation) {
  const field = make("input", { "aria-label": "Title", maxlength: "200" });
  const form = make("form", { class: "rename" }, field);
  field.value = conversation.title;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const title = field.value.trim();
    if (title) actions.renamed({ ...conversation, title, isNamed: true });
    drawHistory();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    drawHistory();
  });
  item.replaceChildren(form);
  field.select();
}

async function removeAll(removed, text) {
  // First, since what streams there is kept once more when it ends.
  if (removed.some(({ id }) => id === actions.currentId())) await actions.begin();
  for (const { id } of removed) forget(id);
  drawHistory();
  offerUndo(text, () => {
    removed.forEach(keep);
    drawHistory();
  });
}

function clearAll() {
  removeAll(conversations(), "All conversations deleted.");
}

function exportAll() {
  const text = JSON.stringify(conversations(), null, 1);
  const link = make("a", { download: "thinkwright-conversations.json" });
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.click();
  URL.revokeObjectURL(link.href);
}
