// What keeps a live page up to date: it asks for the sections anew when its server says that the run's files changed,
// and swaps those that differ without losing what the reader has open, typed or scrolled to.

const RETRY_MILLISECONDS = 3000;
const FOCUSABLE = "a, button, summary, input, select, textarea, [tabindex]";
const line = make("p", { id: "live", role: "status" }, "Live: connecting.");
const drawnFrom = new Map(); // by section: the HTML it was last made from
let version = data.version;
let events = null;
let updates = Promise.resolve();

const nameOf = (part) => part.id || "top";
const partsOf = (root) => [...root.querySelectorAll("header.top, main > section")];

// Sections

function isBusy(part) {
  const selection = document.getSelection();
  const isSelecting = selection.rangeCount > 0 && !selection.isCollapsed && part.contains(selection.anchorNode);
  return isSelecting || (part.contains(document.activeElement) && document.activeElement.matches("input, textarea"));
}

// Carries over what the reader did; returns what remains to be done once the new part stands in the page.
function carryOver(old, fresh) {
  const pairs = (selector) => {
    const there = fresh.querySelectorAll(selector);
    return [...old.querySelectorAll(selector)].map((was, i) => [was, there[i]]).filter(([, is]) => is);
  };
  for (const [was, is] of pairs("details")) is.open = was.open;
  for (const [was, is] of pairs("input, select, textarea")) Object.assign(is, { value: was.value, checked: was.checked });
  const scrolled = pairs("*").filter(([was]) => was.scrollTop || was.scrollLeft);
  const positions = scrolled.map(([was, is]) => [is, was.scrollLeft, was.scrollTop]);
  const focused = pairs(FOCUSABLE).find(([was]) => was === document.activeElement);
  return () => {
    for (const [is, left, top] of positions) is.scrollTo({ left, top, behavior: "instant" });
    if (focused) focused[1].focus({ preventScroll: true });
  };
}

function place(part, previous) {
  const fresh = document.importNode(part, true);
  const old = partsOf(document).find((other) => nameOf(other) === nameOf(part));
  if (!old) {
    if (previous && previous.matches("section")) previous.after(fresh);
    else document.querySelector("main").prepend(fresh);
  } else if (nameOf(part) !== "rollouts" && drawnFrom.get(nameOf(part)) !== part.outerHTML) {
    if (isBusy(old)) return old; // the next change will do
    const finish = carryOver(old, fresh);
    old.replaceWith(fresh);
    finish();
  } else return old;
  drawnFrom.set(nameOf(part), part.outerHTML);
  return fresh;
}

function swap(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const style = document.documentElement.style;
  style.overflowAnchor = "none"; // what is on screen is held in its place here, not by the browser as well
  requestAnimationFrame(() => requestAnimationFrame(() => (style.overflowAnchor = "")));
  const onScreen = partsOf(document).find((part) => part.getBoundingClientRect().bottom > 0);
  const name = onScreen && nameOf(onScreen);
  const top = onScreen?.getBoundingClientRect().top ?? 0;
  let previous = null;
  for (const part of partsOf(fresh)) previous = place(part, previous);
  const names = new Set(partsOf(fresh).map(nameOf));
  for (const part of partsOf(document)) if (!names.has(nameOf(part))) part.remove();
  const now = partsOf(document).find((part) => nameOf(part) === name);
  if (now && window.scrollY > 0) {
    window.scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
  }
}

// Rollouts

async function refreshSteps() {
  for (const name of Object.keys(TITLES)) {
    const steps = (await (await ask(name)).json()).steps;
    const present = new Set(steps);
    // A resumed run makes its later steps again.
    if (data[name]?.steps.some((step) => !present.has(step))) loaded.clear();
    data[name] = { steps };
  }
  if (!section) return;
  offerSources();
  offerSteps();
  at("slider").value = stepsOf(state.source).indexOf(state.step);
}

// Events

async function update(news) {
  if (news.run !== data.run) return location.reload(); // another run has begun in this folder
  if (news.version === version) return;
  const reply = await ask("sections");
  swap(await reply.text());
  await refreshSteps();
  version = reply.headers.get("x-version");
}

function say(text) {
  line.textContent = `Live: ${text}`;
}

function listen() {
  events?.close();
  events = new EventSource(new URL("events", document.baseURI));
  events.addEventListener("open", () => say("connected."));
  events.addEventListener("change", (event) => {
    const news = JSON.parse(event.data);
    const time = new Date().toLocaleTimeString();
    const done = () => say(news.changed.length ? `${news.changed.join(", ")} changed at ${time}.` : "up to date.");
    updates = updates.then(() => update(news)).then(done, (error) => say(`not up to date (${error.message}).`));
  });
  events.addEventListener("error", () => {
    say("no connection; trying again.");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MILLISECONDS);
  });
}

// A browser opens few connections to one server, so a page that nobody looks at gives its own back.
function heedVisibility() {
  if (document.hidden) events.close();
  else if (events.readyState === EventSource.CLOSED) listen();
}

for (const part of partsOf(document)) drawnFrom.set(nameOf(part), part.outerHTML);
document.body.prepend(line);
listen();
document.addEventListener("visibilitychange", heedVisibility);
refreshSteps().catch((error) => say(`the steps are not to be had (${error.message}).`));
