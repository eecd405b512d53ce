// The rollout browser, and what keeps a live page up to date.
// What a model wrote only ever becomes text nodes; invisible characters are written as [U+202E].
"use strict";

const data = JSON.parse(document.getElementById("page-data").textContent);
const at = (name) => document.getElementById(`rb-${name}`);
const section = document.getElementById("rollouts");
const DRAWN_AT_ONCE = 20;
const MAX_LOADED = 40; // steps kept of a live page
const MAX_COMPARED = 12; // evaluations looked through for the same question
const HIDDEN = /((?:(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}])+)/u;
const TITLES = { rollouts: "Training", evaluations: "Held-out evaluations" };
const SPREADS = { "all-right": "all right", "all-wrong": "all wrong", equal: "all alike" };
const state = { source: "", step: 0, prompt: null, drawn: DRAWN_AT_ONCE, ticket: 0, entries: [] };
const loaded = new Map();

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Text

function modelText(text, word = null) {
  if (Array.isArray(text)) {
    const told = `\u2026 ${text[1].toLocaleString("en")} characters left out \u2026`;
    return [...modelText(text[0], word), make("span", { class: "left-out" }, told), ...modelText(text[2], word)];
  }
  return text.split(HIDDEN).flatMap((part, i) => (i % 2 ? [hiddenMark(part)] : highlighted(part, word)));
}

function hiddenMark(characters) {
  const code = (char) => `[U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
  return make("span", { class: "hidden-char", title: "invisible characters" }, Array.from(characters, code).join(""));
}

function highlighted(text, word) {
  if (!word) return text ? [text] : [];
  return text.split(word).map((part, i) => (i % 2 ? make("mark", {}, part) : part));
}

function pattern(word) {
  return word ? new RegExp(`(${word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")})`, "iu") : null;
}

const plain = (text) => (Array.isArray(text) ? `${text[0]}\n${text[2]}` : text);
const wholeText = (member) => member.pieces.map(plain).join("");

function partOf(member, name) {
  return typeof member[name] === "number" ? member.pieces[member[name]] : member[name];
}

function shownNumber(value) {
  return value === null || value === undefined ? "\u2013" : String(value).replace("-", "\u2212");
}

// Filters

function filters() {
  return {
    verdict: at("verdict").value,
    isTruncated: at("truncated").checked,
    spread: at("spread").value,
    reward: at("reward").value,
    family: at("family").value,
    word: pattern(at("word").value.trim()),
  };
}

const valueOf = (member) => (member.outcome ? null : (member.reward ?? member.scores.accuracy ?? null));

function memberFits(member, wanted, step) {
  if (wanted.verdict === "right" && member.right !== true) return false;
  if (wanted.verdict === "wrong" && member.right !== false) return false;
  if (wanted.verdict === "not-graded" && !member.outcome) return false;
  if (wanted.isTruncated && !member.finish) return false;
  if (wanted.reward && valueOf(member) !== step[wanted.reward]) return false;
  return !wanted.word || wanted.word.test(wholeText(member));
}

function groupFits(group, wanted) {
  if (state.prompt !== null) return group.id === state.prompt;
  if (wanted.family && group.family !== wanted.family) return false;
  return !wanted.spread || group.spread === wanted.spread || (wanted.spread === "flat" && Boolean(group.spread));
}

function matching(steps, wanted) {
  return steps.flatMap((step) =>
    step.groups
      .filter((group) => groupFits(group, wanted))
      .map((group) => ({ step, group, hits: group.members.map((member) => memberFits(member, wanted, step)) }))
      .filter((entry) => state.prompt !== null || entry.hits.some(Boolean)),
  );
}

// Data: what the page holds, or what its server gives

const stepsOf = (source) => {
  const found = data[source];
  if (!found) return [];
  return data.live ? found.steps : Object.keys(found.shown).map(Number);
};

async function ask(path) {
  const reply = await fetch(new URL(path, document.baseURI));
  if (!reply.ok) throw new Error(`${path}: the server answered ${reply.status}`);
  return reply;
}

function load(source, step) {
  if (!data.live) return data[source].shown[step];
  const key = `${source}/${step}`;
  if (!loaded.has(key)) {
    const asked = ask(key).then((reply) => reply.json());
    asked.catch(() => loaded.delete(key));
    loaded.set(key, asked);
    if (loaded.size > MAX_LOADED) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(key);
}

// Where else the question may have been asked: all steps of a page that stands alone; of a live one, as evaluations ask
// the same at each, some of them, and of training the steps that were looked at.
function comparedSteps() {
  const all = stepsOf(state.source);
  if (!data.live) return all;
  if (state.source === "rollouts") return all.filter((step) => loaded.has(`rollouts/${step}`));
  if (all.length <= MAX_COMPARED) return all;
  const place = (i) => Math.round((i * (all.length - 1)) / (MAX_COMPARED - 1));
  return Array.from({ length: MAX_COMPARED }, (_, i) => all[place(i)]);
}

// Drawing

async function show() {
  const ticket = ++state.ticket;
  const wanted = state.prompt === null ? [state.step] : comparedSteps();
  try {
    const found = await Promise.all(wanted.map((step) => load(state.source, step)));
    if (ticket === state.ticket) draw(found.filter(Boolean));
  } catch (error) {
    if (ticket === state.ticket) at("status").textContent = `Not to be had: ${error.message}.`;
  }
}

function draw(steps) {
  offerFamilies(steps);
  const wanted = filters();
  state.entries = matching(steps, wanted);
  const cards = state.entries.slice(0, state.drawn).map((entry, i) => groupCard(entry, i, wanted.word));
  at("groups").replaceChildren(...cards);
  at("more").hidden = state.entries.length <= state.drawn;
  at("back").hidden = state.prompt === null;
  at("status").replaceChildren(...told(steps));
}

function offerFamilies(steps) {
  const chosen = at("family").value;
  const names = new Set(steps.flatMap((step) => step.groups.map((group) => group.family)));
  if (chosen) names.add(chosen);
  const option = (name) => make("option", { value: name }, ...modelText(name.replaceAll("_", " ")));
  at("family").replaceChildren(make("option", { value: "" }, "any"), ...[...names].sort().map(option));
  at("family").value = chosen;
}

function told(steps) {
  const errors = steps.filter((step) => step.error).map((step) => ` ${step.error}.`);
  if (state.prompt !== null) {
    const found = state.entries.map((entry) => entry.step.step).join(", ") || "none";
    return [`The question stands at steps ${found}; looked for at ${steps.length} steps.`, ...errors];
  }
  const [held, all] = [steps[0].groups.length, steps[0].of];
  const part = held < all ? ` This page holds ${held} of the step's ${all}.` : "";
  return [`Step ${state.step}: ${state.entries.length} of ${held} questions.${part}`, ...errors];
}

function groupCard(entry, index, word) {
  const { group, step, hits } = entry;
  const tags = `${group.family.replaceAll("_", " ")}, level ${group.level}, step ${step.step}`;
  const own = group.members.filter((member) => !member.taught);
  const right = own.filter((member) => member.right).length;
  const spread = group.spread ? `, ${SPREADS[group.spread]}: no variance` : "";
  const across = make("button", { type: "button", class: "across" }, "Same question at other steps");
  across.addEventListener("click", () => compare(group.id));
  const card = make("article", {
    class: "group",
    tabindex: "-1",
    "aria-label": `Question ${index + 1} of ${state.entries.length}, ${tags}`,
  });
  card.append(
    make("p", { class: "tags" }, make("span", {}, ...modelText(tags)), `${right} of ${own.length} right${spread}`),
    make("p", { class: "question", lang: group.language }, ...modelText(group.question)),
    make("p", { class: "gold" }, "Gold: ", make("b", {}, ...modelText(group.gold)), " ", state.prompt === null ? across : ""),
    make("div", { class: "members", role: "list", "aria-label": "Its completions" }),
  );
  const cards = group.members.map((member, i) => memberCard(member, i, entry, word));
  card.lastChild.append(...cards.map((node, i) => (hits[i] ? node : (node.classList.add("beside"), node))));
  return card;
}

function memberCard(member, i, { group }, word) {
  const verdict = member.outcome ?? { true: "right", false: "wrong" }[member.right] ?? "no verdict";
  const what = member.taught ? "A teacher's trace" : `Completion ${i + 1} of ${group.members.filter((other) => !other.taught).length}`;
  const name = `${what}, ${verdict}, ${member.tokens} tokens`;
  const card = make("section", { class: "member", role: "listitem", tabindex: "-1", "aria-label": name });
  const kind = ["right", "wrong"].includes(verdict) ? verdict : "none";
  card.append(make("h4", {}, `${i + 1}`, make("span", { class: `verdict ${kind}` }, ...modelText(verdict))), facts(member, group));
  const absent = { thought: "No thought.", answer: "No answer where one is looked for." };
  for (const part of ["thought", "answer"]) {
    const text = partOf(member, part);
    const body = text
      ? make("pre", { class: part, lang: group.language }, ...modelText(text, word))
      : make("p", { class: "absent" }, absent[part]);
    card.append(make("h5", {}, part === "thought" ? "Thought" : "Answer"), body);
  }
  card.append(exactText(member, word));
  return card;
}

function noAdvantage(group) {
  return group.spread ? "none: no variance in the group" : "none: no part in the update";
}

function facts(member, group) {
  const parts = Object.entries(member.scores).map(([name, score]) => `${name} ${shownNumber(score)}`).join(", ");
  const rows = [
    ["Reward", member.outcome ? "none" : shownNumber(member.reward)],
    ["Parts", parts || "none"],
    ["Advantage", member.advantage === undefined ? noAdvantage(group) : shownNumber(member.advantage)],
    ["Length", `${member.tokens} tokens`],
    ["Finish", member.finish ? `${member.finish}: cut off at the limit` : "stop: ended by itself"],
    ["Outcome", member.outcome ?? "graded"],
    ...(member.taught ? [["Written by", "a teacher"]] : []),
  ];
  const list = make("dl", { class: "member-facts" });
  const isKnown = ([name]) => name !== "Reward" && name !== "Advantage" ? true : state.source === "rollouts";
  for (const [name, value] of rows.filter(isKnown)) {
    list.append(make("dt", {}, name), make("dd", {}, ...modelText(value)));
  }
  if (member.detail) list.append(make("dt", {}, "Because"), make("dd", {}, ...modelText(member.detail)));
  return list;
}

function exactText(member, word) {
  const details = make("details", { class: "exact" }, make("summary", {}, "The exact text"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(make("pre", {}, ...member.pieces.flatMap((piece) => modelText(piece, word))));
    }
  });
  return details;
}

// Moving about

function chooseSource(source) {
  Object.assign(state, { source, prompt: null, drawn: DRAWN_AT_ONCE });
  at("source").value = source;
  offerSteps();
  chooseStep(stepsOf(source).at(-1) ?? 0);
}

function offerSteps() {
  const steps = stepsOf(state.source);
  at("slider").max = Math.max(0, steps.length - 1);
  Object.assign(at("step"), { min: steps[0] ?? 0, max: steps.at(-1) ?? 0 });
}

function chooseStep(wanted) {
  const steps = stepsOf(state.source);
  if (!steps.length) return;
  const distance = (step) => Math.abs(step - wanted);
  const nearest = steps.reduce((best, step) => (distance(step) < distance(best) ? step : best));
  Object.assign(state, { step: nearest, prompt: null, drawn: DRAWN_AT_ONCE });
  at("step").value = nearest;
  at("slider").value = steps.indexOf(nearest);
  at("slider").setAttribute("aria-valuetext", `step ${nearest}`);
  show();
}

function stepBy(by) {
  const steps = stepsOf(state.source);
  const place = steps.indexOf(state.step) + by;
  if (place >= 0 && place < steps.length) chooseStep(steps[place]);
}

async function compare(prompt) {
  Object.assign(state, { prompt, drawn: DRAWN_AT_ONCE });
  await show();
  moveGroup(0);
}

function focusOn(node) {
  if (!node) return;
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function moveGroup(by) {
  if (by > 0 && !at("more").hidden && currentGroup() === at("groups").lastElementChild) drawMore();
  const cards = [...at("groups").children];
  const place = cards.indexOf(currentGroup());
  focusOn(cards[Math.min(Math.max(place < 0 ? 0 : place + by, 0), cards.length - 1)]);
}

function moveMember(by) {
  const members = [...((currentGroup() ?? at("groups").firstElementChild)?.querySelectorAll(".member") ?? [])];
  const place = members.indexOf(document.activeElement.closest(".member"));
  focusOn(members[Math.min(Math.max(place < 0 ? 0 : place + by, 0), members.length - 1)]);
}

const currentGroup = () => document.activeElement.closest(".group");

function drawMore() {
  const first = state.drawn;
  state.drawn += DRAWN_AT_ONCE;
  const word = filters().word;
  const cards = state.entries.slice(first, state.drawn).map((entry, i) => groupCard(entry, first + i, word));
  at("groups").append(...cards);
  at("more").hidden = state.entries.length <= state.drawn;
}

function leave() {
  if (state.prompt !== null) chooseStep(state.step);
  else if (document.activeElement === at("word")) moveGroup(0);
}

function toggleExact() {
  const details = document.activeElement.closest(".member")?.querySelector("details.exact");
  if (details) details.open = !details.open;
}

const LETTERS = {
  j: () => moveGroup(1),
  k: () => moveGroup(-1),
  l: () => moveMember(1),
  h: () => moveMember(-1),
  e: toggleExact,
  "[": () => stepBy(-1),
  "]": () => stepBy(1),
  "/": () => focusOn(at("word")),
};
const ARROWS = { ArrowDown: LETTERS.j, ArrowUp: LETTERS.k, ArrowRight: LETTERS.l, ArrowLeft: LETTERS.h };

function onKey(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!section.contains(target) && target !== document.body) return;
  if (event.key === "Escape") {
    event.preventDefault(); // a search field would be emptied
    return leave();
  }
  if (target.matches("input:not([type=checkbox]), select")) return;
  const letters = at("letters").checked ? LETTERS : {};
  const action = letters[event.key] ?? (target.matches(".group, .member") ? ARROWS[event.key] : undefined);
  if (!action) return;
  event.preventDefault();
  action();
}

function offerSources() {
  const names = Object.keys(TITLES).filter((name) => stepsOf(name).length);
  at("source").replaceChildren(...names.map((name) => make("option", { value: name }, TITLES[name])));
  if (names.includes(state.source)) at("source").value = state.source;
  else if (names.length) chooseSource(names[0]);
  at("empty").hidden = names.length > 0;
}

function startBrowser() {
  const redraw = () => ((state.drawn = DRAWN_AT_ONCE), show());
  for (const name of ["verdict", "truncated", "spread", "reward", "family"]) at(name).addEventListener("change", redraw);
  at("word").addEventListener("input", redraw);
  at("source").addEventListener("change", () => chooseSource(at("source").value));
  at("step").addEventListener("change", () => chooseStep(at("step").valueAsNumber || 0));
  at("slider").addEventListener("input", () => chooseStep(stepsOf(state.source)[at("slider").valueAsNumber]));
  at("previous").addEventListener("click", () => stepBy(-1));
  at("next").addEventListener("click", () => stepBy(1));
  at("more").addEventListener("click", drawMore);
  at("back").addEventListener("click", () => chooseStep(state.step));
  document.addEventListener("keydown", onKey);
  at("controls").hidden = false;
  offerSources();
}

if (section) startBrowser();
