// How the reader wants replies, as the controls say it; remembered in this browser.

import { at } from "./dom.js";
import { keepSettings, readSettings } from "./store.js";

// Tokens of a thought, by the slider's position; the last is no limit.
const BUDGETS = [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, null];
const DEFAULTS = {
  model: "", second: "", isComparing: false, isBlind: true, thoughts: "auto",
  thinking: true, budget: null, temperature: null, maxTokens: null,
};

export const settings = { ...DEFAULTS, ...readSettings() };

// What a request is sent with.
export function requestSettings() {
  const { thinking, budget, temperature, maxTokens } = settings;
  return { thinking, budget: thinking ? budget : null, temperature, maxTokens };
}

// Shows the settings in the controls and follows them. `onChange` is called after each change.
export function bindSettings(onChange) {
  const bind = (id, name, read, write) => {
    const control = at(id);
    write(control, settings[name]);
    control.addEventListener("input", () => {
      if (!control.checkValidity()) return;
      settings[name] = read(control);
      keepSettings(settings);
      showBudget();
      onChange(name);
    });
  };
  const checked = [(control) => control.checked, (control, value) => (control.checked = value)];
  const number = [
    (control) => (control.value === "" ? null : control.valueAsNumber),
    (control, value) => (control.value = value ?? ""),
  ];
  bind("thinking", "thinking", ...checked);
  bind("compare", "isComparing", ...checked);
  bind("blind", "isBlind", ...checked);
  bind("temperature", "temperature", ...number);
  bind("max-tokens", "maxTokens", ...number);
  bind("thoughts", "thoughts", (control) => control.value, (control, value) => (control.value = value));
  bind("model", "model", (control) => control.value, () => {});
  bind("second", "second", (control) => control.value, () => {});
  const place = (control, value) => (control.value = BUDGETS.includes(value) ? BUDGETS.indexOf(value) : BUDGETS.length - 1);
  bind("budget", "budget", (control) => BUDGETS[control.valueAsNumber], place);
  showBudget();
  const toggle = at("settings-toggle");
  toggle.addEventListener("click", () => {
    at("settings").hidden = !at("settings").hidden;
    toggle.setAttribute("aria-expanded", String(!at("settings").hidden));
  });
}

function showBudget() {
  const text = settings.budget === null ? "no limit" : `${settings.budget.toLocaleString("en")} tokens`;
  at("budget-text").textContent = text;
  at("budget").setAttribute("aria-valuetext", text);
  at("budget").disabled = !settings.thinking;
}

// Fills both pickers; a model that is no longer served gives way to the first, or the next one.
export function offerModels(names) {
  const fill = (id, name, fallback) => {
    at(id).replaceChildren(...names.map((one) => new Option(one, one)));
    if (!names.includes(settings[name])) settings[name] = fallback;
    at(id).value = settings[name];
  };
  fill("model", "model", names[0]);
  fill("second", "second", names.find((one) => one !== settings.model) ?? names[0]);
  at("compare").disabled = names.length < 2;
  at("compare-switch").title = names.length < 2 ? "Serve two models to compare them" : "Ask two models at once";
  if (names.length < 2) settings.isComparing = at("compare").checked = false;
}
