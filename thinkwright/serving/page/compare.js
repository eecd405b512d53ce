// Two replies to one question, side by side, and the reader's vote.

import { sendVote } from "./api.js";
import { announce, button, make, uuid } from "./dom.js";
import { chosenReply, voteOf } from "./conversation.js";
import { problemBar } from "./problems.js";
import { ReplyView } from "./reply.js";

const CHOICES = [["first", "A is better"], ["tie", "As good"], ["neither", "Both bad"], ["second", "B is better"]];
const TOLD = { first: "A is better", second: "B is better", tie: "they are as good", neither: "both are bad" };

// `replies` in the order they are shown: by chance if the vote is blind, so that a place says nothing.
export function newPair(replies, isBlind) {
  const isTurned = isBlind && crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
  return { type: "pair", replies: isTurned ? replies.toReversed() : replies, isBlind, vote: null };
}

export class PairView {
  // `options`: as of a ReplyView, and keep (called when the vote has changed).
  constructor(conversation, index, options) {
    this.conversation = conversation;
    this.index = index;
    this.pair = conversation.turns[index];
    this.options = options;
    this.isHidden = this.pair.isBlind && !this.pair.vote;
    this.views = this.pair.replies.map((reply) => new ReplyView(reply, { ...options, isNamed: !this.isHidden, actions: [] }));
    this.names = this.pair.replies.map(() => make("h3", {}));
    const columns = this.views.map((view, i) => make("div", { class: "column" }, this.names[i], view.node));
    this.ballot = make("div", { class: "ballot" });
    this.node = make("section", { class: "pair", "aria-label": "Two replies" });
    this.node.append(make("div", { class: "columns" }, ...columns), this.ballot);
    this.draw();
  }

  // Names and ballot, as far as the replies and the vote are.
  draw() {
    const { replies, vote } = this.pair;
    for (const [i, node] of this.names.entries()) {
      node.textContent = this.isHidden ? `Reply ${"AB"[i]}` : `${"AB"[i]}: ${replies[i].model}`;
      this.views[i].node.parentElement.classList.toggle("is-chosen", vote?.choice === ["first", "second"][i]);
    }
    const areWhole = replies.every((reply) => reply.finish !== null);
    const canBeJudged = replies.every((reply) => reply.thought || reply.answer);
    if (vote) this.ballot.replaceChildren(...this.verdict());
    else if (areWhole && canBeJudged) this.ballot.replaceChildren(...this.question());
    else if (areWhole) this.ballot.replaceChildren(this.again());
    else this.ballot.replaceChildren();
  }

  again() {
    return make("p", { class: "small-actions" }, ...this.options.actions.map(([label, act]) => button(label, act)));
  }

  question() {
    const note = make("input", { class: "note", maxlength: "2000", placeholder: "Why? (optional)", "aria-label": "Note" });
    note.addEventListener("keydown", (event) => event.stopPropagation());
    const buttons = CHOICES.map(([choice, label]) => button(label, () => this.vote(choice, note.value.trim())));
    return [make("div", { class: "choices", role: "group", "aria-label": "Vote" }, ...buttons), note, this.again()];
  }

  async vote(choice, note) {
    this.pair.vote = { id: uuid(), choice, note, isSent: false };
    this.isHidden = false;
    for (const view of this.views) view.reveal();
    await this.send();
  }

  // The same vote as often as it takes: its id tells the server that it is one.
  async send() {
    const { vote } = this.pair;
    this.options.keep();
    this.error = null;
    this.isSending = true;
    this.draw();
    try {
      await sendVote(voteOf(this.conversation, this.index));
      vote.isSent = true;
    } catch (error) {
      this.error = error;
    }
    this.isSending = false;
    this.options.keep();
    this.draw();
    announce(this.ballot.textContent);
  }

  verdict() {
    const { vote, replies } = this.pair;
    const names = replies.map((reply, i) => `${"AB"[i]} is ${reply.model}`).join(", ");
    const chosen = chosenReply(this.pair);
    const goesOn = chosen ? `The conversation goes on with ${chosen.model}'s reply.` : "This question is left out of what follows.";
    if (vote.isSent || this.isSending) {
      const state = vote.isSent ? "Vote kept" : "Sending the vote";
      return [make("p", {}, make("b", {}, `${state}: ${TOLD[vote.choice]}.`), ` ${names}. ${goesOn}`)];
    }
    const error = this.error ?? { status: 0, message: "The vote has not been sent." };
    return [make("p", {}, `Your vote: ${TOLD[vote.choice]}. ${names}.`), problemBar(error, [["Send again", () => this.send()]])];
  }
}
