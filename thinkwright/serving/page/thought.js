// The thought of a reply: a block that can be folded, open or not as the reader wants it. Always text.

import { button, copyButton, counted, make, seconds, visible } from "./dom.js";

const LONG_CHARACTERS = 1200; // from here on the block can be closed at its end, too
let numMade = 0;

// `mode`: "auto" (open until the answer begins, unless the reader took it in hand), "open" or "closed".
export class Thought {
  constructor(mode, onToggle = () => {}) {
    this.mode = mode;
    this.isTouched = false;
    this.size = 0;
    const id = `thought-${++numMade}`;
    this.text = make("div", { class: "thought-text", dir: "auto" });
    this.label = make("span", {});
    this.toggle = button("", () => this.touch(onToggle), { class: "thought-toggle", "aria-controls": id });
    this.toggle.append(this.label);
    this.close = button("Close the thought", () => this.touch(onToggle), { hidden: "" });
    this.copied = [];
    const foot = make("p", { class: "small-actions" }, copyButton("Copy thought", () => this.copied.join("")), this.close);
    this.body = make("div", { id, class: "thought-body" }, this.text, foot);
    this.node = make("section", { class: "thought", "aria-label": "Thought", hidden: "" }, this.toggle, this.body);
    this.setOpen(mode === "open");
  }

  // While it streams.
  append(text) {
    if (!this.size) {
      this.node.hidden = false;
      this.node.classList.add("is-live");
      this.label.textContent = "Thinking...";
      if (!this.isTouched) this.setOpen(this.mode !== "closed");
    }
    this.size += text.length;
    this.copied.push(text);
    this.text.append(visible(text));
    this.close.hidden = this.size < LONG_CHARACTERS;
  }

  // The answer has begun. A reader who has the thought in hand, or text of it marked, keeps it.
  answerBegins(thoughtSeconds) {
    if (!this.size) return;
    this.tell(thoughtSeconds, null);
    const selection = document.getSelection();
    const isReading = !selection.isCollapsed && this.node.contains(selection.anchorNode);
    if (this.mode === "auto" && !this.isTouched && !isReading) this.setOpen(false);
  }

  // How long it was; the number of tokens is known with the reply's end.
  tell(thoughtSeconds, numTokens) {
    this.node.classList.remove("is-live");
    const tokens = numTokens === null ? "" : `, ${counted(numTokens, "token")}`;
    this.label.textContent = `Thought for ${seconds(thoughtSeconds)}${tokens}`;
  }

  touch(onToggle) {
    this.isTouched = true;
    this.setOpen(!this.isOpen);
    if (document.activeElement === this.close || !this.isOpen) this.toggle.focus({ preventScroll: true });
    onToggle();
  }

  setOpen(isOpen) {
    this.isOpen = isOpen;
    this.body.hidden = !isOpen;
    this.toggle.setAttribute("aria-expanded", String(isOpen));
  }
}
