// The chat page: what the reader does, and what follows from it.

import { modelNames } from "./api.js";
import { newPair } from "./compare.js";
import { ask, forgetFrom, messagesOf, newConversation } from "./conversation.js";
import { announce, at, button, make } from "./dom.js";
import { bindHistory, drawHistory, isWide, showHistory } from "./history.js";
import { showProblem, tell } from "./problems.js";
import { bindSettings, offerModels, requestSettings, settings } from "./settings.js";
import * as store from "./store.js";
import { newReply, streamReply } from "./stream.js";
import { addTurn, bindScrolling, drawThread, isSendKey } from "./thread.js";

const EXAMPLES = [
  "Use 3, 6, 4 with + - to make 7.",
  "Amy beats Mia, Ben beats Leo, Mia beats Ben. Who is third?",
  "Leo says Mia is honest. Mia says Zoe is honest. Zoe says Leo and Mia agree. Who lies?",
];
const MAX_ANNOUNCED = 600;
let conversation = newConversation();
let isChanging = false; // an earlier question waits for the end of what streams
let running = null; // {controller, turn, ended} of the reply that streams

const actions = { edit, regenerate: askAgain, keep: keepConversation, thoughts: () => settings.thoughts };

// Asking

async function send(text) {
  if (running || !settings.model) return;
  ask(conversation, text);
  addTurn(conversation, actions);
  await reply();
}

async function edit(index, text) {
  if (!(await hasStopped())) return;
  ask(conversation, text, index);
  drawThread(conversation, actions);
  await reply();
}

async function askAgain(index) {
  if (!(await hasStopped())) return;
  forgetFrom(conversation, index);
  drawThread(conversation, actions);
  await reply();
}

// Ends what streams; false for all but the first of several who wait for it.
async function hasStopped() {
  if (isChanging) return false;
  isChanging = true;
  try {
    await stop();
  } finally {
    isChanging = false;
  }
  return true;
}

// Answers the last question, by one model or two.
async function reply() {
  const controller = new AbortController();
  const messages = messagesOf(conversation.turns);
  const turn = newTurn();
  const replies = turn.type === "pair" ? turn.replies : [turn];
  conversation.turns.push(turn);
  const view = addTurn(conversation, actions);
  const views = turn.type === "pair" ? view.views : [view];
  const streams = replies.map((one, i) => streamOne(one, messages, views[i], controller.signal));
  const ended = Promise.all(streams);
  running = { controller, ended };
  showRunning();
  keepConversation();
  await ended;
  running = null;
  showRunning();
  if (turn.type === "pair") view.draw();
  keepConversation();
}

function newTurn() {
  if (!settings.isComparing) return { type: "reply", ...newReply(settings.model, requestSettings()) };
  const names = [settings.model, settings.second];
  return newPair(names.map((name) => newReply(name, requestSettings())), settings.isBlind);
}

async function streamOne(record, messages, view, signal) {
  const seen = { thought: false, answer: false };
  const onPart = (part) => {
    if (part.thought && !seen.thought) announce("Thinking");
    if (part.answer && !seen.answer) announce("Answering");
    seen.thought ||= Boolean(part.thought);
    seen.answer ||= Boolean(part.answer);
    view.add(part);
  };
  await streamReply(record, messages, onPart, signal);
  view.finish();
  const text = record.answer;
  announce(text && text.length <= MAX_ANNOUNCED ? `Answer: ${text}` : "The reply has ended.");
}

// Ends what streams; what came is kept.
async function stop() {
  running?.controller.abort();
  await running?.ended;
}

function showRunning() {
  const isRunning = running !== null;
  const hadFocus = document.activeElement === at("stop");
  at("stop").hidden = !isRunning;
  at("send").hidden = isRunning;
  document.body.classList.toggle("is-running", isRunning);
  if (hadFocus && !isRunning) at("question").focus();
}

// Conversations

function keepConversation() {
  if (!conversation.turns.length) return;
  if (!store.keep(conversation)) tell("This conversation is too long to be kept, or this browser keeps nothing.");
  history.replaceState(null, "", `#${conversation.id}`);
  drawHistory();
}

async function open(id) {
  await stop();
  const found = store.conversation(id);
  if (!found) return;
  conversation = found;
  history.replaceState(null, "", `#${id}`);
  showConversation();
}

async function begin() {
  await stop();
  conversation = newConversation();
  history.replaceState(null, "", location.pathname + location.search);
  showConversation();
  at("question").focus();
}

function showConversation() {
  for (const turn of conversation.turns) {
    // The page was left while they streamed.
    for (const one of turn.replies ?? [turn]) if (one.finish === null) one.finish = "stopped";
  }
  drawThread(conversation, actions);
  drawHistory();
  if (!isWide()) showHistory(false);
}

function renamed(changed) {
  if (changed.id === conversation.id) Object.assign(conversation, { title: changed.title, isNamed: true });
  store.keep(changed.id === conversation.id ? conversation : changed);
}

// The page

async function loadModels() {
  try {
    offerModels(await modelNames());
    showComparing();
  } catch (error) {
    showProblem(error, "Try again", loadModels);
  }
}

function showComparing() {
  at("second-picker").hidden = at("blind-switch").hidden = !settings.isComparing;
  document.body.classList.toggle("is-comparing", settings.isComparing);
}

function fitQuestion() {
  const field = at("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function bindComposer() {
  const field = at("question");
  const submit = () => {
    if (running || !field.value.trim()) return;
    if (!settings.model) return tell("No model is known yet.");
    const text = field.value.trim();
    field.value = "";
    fitQuestion();
    send(text);
  };
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  field.addEventListener("input", fitQuestion);
  field.addEventListener("keydown", (event) => {
    if (!isSendKey(event)) return;
    event.preventDefault();
    submit();
  });
  at("stop").addEventListener("click", stop);
  at("new").addEventListener("click", begin);
  at("examples").append(...EXAMPLES.map((text) => make("li", {}, button(text, () => send(text)))));
}

function bindKeys() {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (running) stop();
      else if (!isWide()) showHistory(false);
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      begin();
    }
  });
  addEventListener("pagehide", () => conversation.turns.length && store.keep(conversation));
  addEventListener("hashchange", () => open(location.hash.slice(1)));
}

bindSettings(showComparing);
bindHistory({ open, begin, renamed, currentId: () => conversation.id });
bindScrolling();
bindComposer();
bindKeys();
conversation = store.conversation(location.hash.slice(1)) ?? conversation;
showConversation();
if (isWide()) showHistory(true);
at("question").focus();
loadModels();
