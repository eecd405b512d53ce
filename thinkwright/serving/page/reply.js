// One reply on the page: waiting, thought, answer, what it cost. Draws a reply's record (stream.js), while it grows too.

import { answerNodes } from "./answer.js";
import { button, copyButton, counted, make, seconds } from "./dom.js";
import { problemBar } from "./problems.js";
import { Thought } from "./thought.js";

const DRAW_MILLISECONDS = 125; // between two drawings of an answer that grows
const MAX_SHARE = 5; // a drawing may take one fifth of the time, so that long answers stay fast
const ENDS = {
  length: "Cut at the limit of tokens.",
  stopped: "Stopped.",
};

export class ReplyView {
  // `options`: thoughts (the setting), isNamed (show model and costs), retry (for a reply that failed; or null),
  // actions (more buttons), onDraw (called when the page has grown).
  constructor(reply, options) {
    this.reply = reply;
    this.options = { isNamed: true, retry: null, actions: [], onDraw: () => {}, ...options };
    this.thought = new Thought(this.options.thoughts, this.options.onDraw);
    this.waiting = make("p", { class: "waiting" }, "Waiting");
    this.answer = make("div", { class: "answer", dir: "auto" });
    this.ends = make("div", { class: "ends" });
    this.foot = make("p", { class: "reply-foot" });
    this.node = make("article", { class: "reply", "aria-label": "Reply" });
    this.node.append(this.waiting, this.thought.node, this.answer, this.ends, this.foot);
    this.timer = null;
    this.drawMilliseconds = 0;
    if (reply.thought) this.thought.append(reply.thought);
    if (reply.finish !== null) {
      if (reply.thought && this.options.thoughts !== "open") this.thought.setOpen(false);
      this.finish();
    }
  }

  // A new piece; the record holds it already.
  add({ thought, answer }) {
    this.waiting.hidden = true;
    if (thought) this.thought.append(thought);
    if (answer && this.reply.answer.length === answer.length) this.thought.answerBegins(this.reply.thoughtSeconds);
    if (answer) this.timer ??= setTimeout(() => this.draw(), this.pause());
    else this.options.onDraw();
  }

  pause() {
    return Math.max(DRAW_MILLISECONDS, MAX_SHARE * this.drawMilliseconds);
  }

  draw() {
    const start = performance.now();
    this.timer = null;
    this.answer.replaceChildren(answerNodes(this.reply.answer, this.reply.finish !== null));
    this.drawMilliseconds = performance.now() - start;
    this.options.onDraw();
  }

  // The reply has ended, however it did.
  finish() {
    clearTimeout(this.timer);
    this.waiting.hidden = true;
    const { reply } = this;
    if (reply.thought) this.thought.tell(reply.thoughtSeconds, reply.usage?.thought ?? null);
    if (reply.answer) this.draw();
    this.answer.hidden = !reply.answer;
    this.ends.replaceChildren(...this.endNodes());
    this.drawFoot();
  }

  endNodes() {
    const { finish, answer, thought, error } = this.reply;
    if (error) {
      const { retry } = this.options;
      return [problemBar(error, retry ? [["Try again", retry]] : [])];
    }
    const nodes = ENDS[finish] ? [make("p", { class: "end" }, ENDS[finish])] : [];
    if (finish === "length" && thought && !answer) nodes[0].append(" The thought was not finished: allow more tokens.");
    if (finish === "stop" && !answer) nodes.push(make("p", { class: "end" }, "The model gave no answer."));
    return nodes;
  }

  drawFoot() {
    const { reply } = this;
    const actions = reply.answer ? [copyButton("Copy answer", () => reply.answer)] : [];
    const costs = make("span", { class: "costs" }, this.options.isNamed ? costsOf(reply) : "");
    const buttons = [...actions, ...this.options.actions.map(([label, act]) => button(label, act))];
    this.foot.replaceChildren(make("span", { class: "small-actions" }, ...buttons), costs);
  }

  // The names of blind replies, once the vote is given.
  reveal() {
    this.options.isNamed = true;
    this.drawFoot();
  }
}

// Model, tokens of thought and answer, tokens a second from sending on.
export function costsOf({ model, usage, seconds: taken }) {
  if (usage === null) return model;
  const { completion, thought } = usage;
  const answer = counted(completion - (thought ?? 0), "token");
  const tokens = thought ? `${thought} of thought + ${answer}` : answer;
  const rate = completion / taken;
  const speed = taken > 0 ? `${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s` : "";
  return [model, tokens, speed, seconds(taken)].filter(Boolean).join(" \u00b7 ");
}
