// A conversation as data, and what of it a model is sent. Plain functions on plain records:
// {id, title, isNamed, created, updated, turns}, each turn one of
//   {type: "question", text}
//   {type: "reply", ...}: a reply's record (stream.js)
//   {type: "pair", replies: [first, second], isBlind, vote: null | {id, choice, note, isSent}}: compare mode

import { uuid } from "./dom.js";

const TITLE_CHARACTERS = 60;

export function newConversation() {
  const now = Date.now();
  return { id: uuid(), title: "", isNamed: false, created: now, updated: now, turns: [] };
}

// Asks at the end, or in place of the question at `index`: what followed it goes.
export function ask(conversation, text, index = conversation.turns.length) {
  conversation.turns.splice(index, Infinity, { type: "question", text });
  conversation.updated = Date.now();
  if (!conversation.isNamed) conversation.title = titleOf(conversation.turns[0].text);
}

// Forgets the reply at `index` and what followed it.
export function forgetFrom(conversation, index) {
  conversation.turns.splice(index, Infinity);
}

function titleOf(text) {
  const line = text.trim().split(/\s+/).join(" ");
  return line.length > TITLE_CHARACTERS ? `${line.slice(0, TITLE_CHARACTERS - 1)}\u2026` : line;
}

// The reply of a pair that the conversation goes on with; null if it was voted bad, like the other.
export function chosenReply({ replies, vote }) {
  if (vote?.choice === "neither") return null;
  return replies[vote?.choice === "second" ? 1 : 0];
}

// The messages before turn `end`. A question whose pair is bad is left out; one without an answer stays and is put
// together with the next, since models are taught that roles take turns.
export function messagesOf(turns, end = turns.length) {
  const messages = [];
  for (const [i, turn] of turns.slice(0, end).entries()) {
    const next = turns[i + 1];
    if (turn.type === "question") {
      const isLeftOut = i + 1 < end && next?.type === "pair" && chosenReply(next) === null;
      if (!isLeftOut) addQuestion(messages, turn.text);
    } else {
      const reply = turn.type === "pair" ? chosenReply(turn) : turn;
      if (reply?.answer) messages.push({ role: "assistant", content: reply.answer });
    }
  }
  return messages;
}

function addQuestion(messages, text) {
  const last = messages.at(-1);
  if (last?.role === "user") last.content += `\n\n${text}`;
  else messages.push({ role: "user", content: text });
}

// What the server is told of a vote on the pair at `index`.
export function voteOf(conversation, index) {
  const { replies, isBlind, vote } = conversation.turns[index];
  const told = ({ model, thought, answer, finish, settings }) => ({
    model, thought, answer, finish_reason: finish,
    settings: {
      enable_thinking: settings.thinking, thinking_token_budget: settings.budget,
      temperature: settings.temperature, max_tokens: settings.maxTokens,
    },
  });
  const messages = messagesOf(conversation.turns, index);
  return {
    id: vote.id,
    question: messages.at(-1).content, // as the models read it: with one before that had no answer, if there is one
    messages,
    replies: replies.map(told),
    choice: vote.choice,
    is_blind: isBlind,
    note: vote.note,
  };
}
