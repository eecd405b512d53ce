// A model's answer, from Markdown with formulas to nodes: the only place where a text of a model becomes HTML.
// What keeps that safe: markdown-it lets no HTML through (html: false) and escapes the rest, links lead to http, https
// and mailto alone, images are shown as links, formulas go through Temml without trust, which makes MathML nodes.
// The page's policy stands behind it: no script but its own, nothing from elsewhere.

import markdownit from "./vendor/markdown-it.min.mjs";
import { copyButton, visible } from "./dom.js";

const MAX_FORMULA = 4000; // characters; a longer one stays text
const MAX_FORMULA_LINES = 100;
const MAX_NODES = 20_000; // of one formula; some short ones would make millions
const FORMULA_OPTIONS = { trust: false, throwOnError: true, maxSize: [20, 200], maxExpand: 200, strict: false };
const LINK = /^(https?|mailto):/i;
const FENCES = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

const markdown = markdownit({ html: false, linkify: false, breaks: true });
markdown.validateLink = (url) => LINK.test(url.trim());
markdown.inline.ruler.before("escape", "formula", inlineFormula);
markdown.inline.ruler.before("emphasis", "product", product);
markdown.block.ruler.before("fence", "formula", blockFormula, { alt: ["paragraph", "blockquote", "list"] });
markdown.core.ruler.push("plain", withoutStyles);
markdown.renderer.rules.formula = (tokens, i) => {
  const { content, meta } = tokens[i];
  const kind = meta.isDisplay ? "formula display" : "formula";
  return `<span class="${kind}">${markdown.utils.escapeHtml(content)}</span>`;
};
markdown.renderer.rules.image = (tokens, i, options, env, self) => {
  const { escapeHtml } = markdown.utils;
  const name = escapeHtml(self.renderInlineAsText(tokens[i].children, options, env) || "image");
  return `<a href="${escapeHtml(tokens[i].attrGet("src"))}" title="an image, not loaded">${name}</a>`;
};

// Nodes of a text. `isWhole`: it will not grow, so code gets its copy buttons.
export function answerNodes(text, isWhole) {
  const made = document.createElement("template"); // what is parsed here runs and loads nothing
  made.innerHTML = markdown.render(visible(text));
  for (const node of made.content.querySelectorAll(".formula")) setFormula(node);
  for (const link of made.content.querySelectorAll("a")) {
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer nofollow" });
  }
  for (const table of made.content.querySelectorAll("table")) {
    const scroll = Object.assign(document.createElement("div"), { className: "wide", tabIndex: 0 });
    table.replaceWith(scroll);
    scroll.append(table);
  }
  if (isWhole) {
    for (const code of made.content.querySelectorAll("pre > code")) {
      code.parentNode.append(copyButton("Copy", () => code.textContent, { class: "copy-code" }));
    }
  }
  return made.content;
}

function setFormula(node) {
  const source = node.textContent;
  if (source.length > MAX_FORMULA) return;
  const options = { ...FORMULA_OPTIONS, displayMode: node.classList.contains("display") };
  const set = document.createElement("span");
  try {
    globalThis.temml.render(source, set, options);
  } catch {
    node.classList.add("unset"); // it is no LaTeX that can be set, or not yet whole
    return;
  }
  if (set.getElementsByTagName("*").length <= MAX_NODES) node.replaceChildren(...set.childNodes);
}

function inlineFormula(state, isSilent) {
  const rest = state.src.slice(state.pos, state.pos + MAX_FORMULA + 8);
  for (const [open, close, isDisplay] of FENCES) {
    if (!rest.startsWith(open)) continue;
    const end = closing(rest, open, close);
    if (end < 0) continue;
    if (!isSilent) {
      const token = state.push("formula", "", 0);
      Object.assign(token, { content: rest.slice(open.length, end).trim(), meta: { isDisplay } });
    }
    state.pos += end + close.length;
    return true;
  }
  return false;
}

// Where a formula ends, or -1. Single dollars hold no blank at their sides and no line's end, so that prices stay text.
function closing(text, open, close) {
  const end = text.indexOf(close, open.length);
  const content = text.slice(open.length, end);
  if (end < 0 || !content.trim() || content.includes("\n\n")) return -1;
  if (open !== "$") return end;
  const isTight = !/^\s|\s$|\n/.test(content) && !content.endsWith("\\");
  return isTight && !/\d/.test(text[end + 1] ?? "") ? end : -1;
}

function blockFormula(state, startLine, endLine, isSilent) {
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const fence = FENCES.find(([open, , isDisplay]) => isDisplay && state.src.startsWith(open, start));
  if (!fence) return false;
  const [open, close] = fence;
  const lastLine = Math.min(endLine, startLine + MAX_FORMULA_LINES);
  for (let line = startLine; line < lastLine; line++) {
    const text = state.src.slice(line === startLine ? start + open.length : state.bMarks[line], state.eMarks[line]);
    if (line > startLine && !text.trim()) return false;
    const end = text.indexOf(close);
    if (end < 0) continue;
    if (text.slice(end + close.length).trim()) return false; // words after it: the paragraph's own affair
    if (isSilent) return true;
    const lines = state.getLines(startLine, line + 1, state.blkIndent, false).trim();
    const token = state.push("formula", "", 0);
    Object.assign(token, { content: lines.slice(open.length, -close.length).trim(), block: true });
    Object.assign(token, { meta: { isDisplay: true }, map: [startLine, line + 1] });
    state.line = line + 1;
    return true;
  }
  return false;
}

// Stars between numbers, single letters and parentheses multiply: 2*3*4 has no emphasis in it.
function product(state, isSilent) {
  const stars = /^\*+(?=[\d(]|[A-Za-z](?![A-Za-z]))/.exec(state.src.slice(state.pos, state.pos + 8))?.[0];
  const before = state.src.slice(Math.max(state.pos - 2, 0), state.pos);
  if (!stars || !/[\d)]$|(?<![A-Za-z])[A-Za-z]$/.test(before)) return false;
  if (!isSilent) state.pending += stars;
  state.pos += stars.length;
  return true;
}

// Columns' sides as classes: the page's policy lets no style stand in HTML.
function withoutStyles(state) {
  for (const token of state.tokens) {
    const side = token.attrGet("style")?.match(/text-align:(\w+)/)?.[1];
    if (side) token.attrs = [["class", `at-${side}`]];
  }
}
