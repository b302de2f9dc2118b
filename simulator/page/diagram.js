// The sequence diagram: rows are appended and never drawn again.

import { element, textOf, words } from "./words.js";

const at = (id) => document.getElementById(id);
const [list, board, raw, rawTitle] = ["messages", "board", "raw", "rawTitle"].map(at);
const drawn = [];

const laneNodes = () => [...at("lanes").children].filter((node) => !node.hidden);
const lanes = () => laneNodes().map((node) => node.dataset.lane);
const nameOf = (lane, lang) => textOf(document.querySelector(`[data-lane=${lane}]`), lang);

/** Show a lane that was hidden, and move the rows to their new places. */
export function showLane(lane) {
  document.querySelector(`[data-lane=${lane}]`).hidden = false;
  list.querySelectorAll("button").forEach(place);
  board.style.setProperty("--lanes", lanes().length);
}

/** Mark a lane as one that nothing can be drawn on. */
export function dim(lane, english, chinese) {
  document.querySelector(`[data-lane=${lane}]`).append(element("small", "", ...words(english, chinese)));
}

function place(button) {
  const [a, b] = [button.dataset.from, button.dataset.to].map((lane) => lanes().indexOf(lane));
  button.style.setProperty("--first", Math.min(a, b) + 1);
  button.style.setProperty("--span", Math.abs(a - b) + 1);
  button.dataset.way = a === b ? "none" : a < b ? "right" : "left";
}

/** Begin a new act: a line across all lanes with its name. */
export function title(english, chinese) {
  append(element("li", "act", element("span", "", ...words(english, chinese))));
  drawn.push({ title: [english, chinese] });
}

/**
 * Draw one arrow, or a note if `from` is `to`. They are names of lanes; `answer` draws it dashed, `bad` in red;
 * `tag` is a detail beside the label; `text` is what the panel below shows of it.
 */
export function arrow(from, to, label, text, { answer = false, bad = false, tag = "" } = {}) {
  const number = drawn.filter((entry) => !entry.title).length + 1;
  drawn.push({ from, to, label, answer });
  const names = (lang, between) => (from === to ? nameOf(from, lang) : nameOf(from, lang) + between + nameOf(to, lang));
  const way = words(`${names("en", " → ")}`, `${names("zh", " → ")}`);

  const button = element("button", "",
    element("span", "number", String(number)),
    element("span", "unseen", ...words(`${names("en", " to ")}: `, `${names("zh", "到")}：`)),
    element("span", "label", element("b", "", label), tag && element("i", "", tag)),
    element("span", "line"));
  button.type = "button";
  Object.assign(button.dataset, { from, to });
  if (answer) button.dataset.answer = "";
  if (bad) button.dataset.bad = "";
  place(button);
  const show = () => {
    list.querySelector("[aria-pressed=true]")?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    rawTitle.replaceChildren(`${number} · `, ...way);
    raw.textContent = text;
    raw.scrollTop = 0;
  };
  button.addEventListener("click", show);
  append(element("li", "message", button));
  show();
}

function append(row) {
  list.append(row);
  // One layout for all rows of a frame, not one for each.
  requestAnimationFrame(() => { board.scrollTop = board.scrollHeight; });
}

/** Forget what was drawn. */
export function clear() {
  drawn.length = 0;
  list.replaceChildren();
  rawTitle.replaceChildren(...words("In full", "原文"));
  raw.textContent = "";
}

/** Give the diagram in Mermaid's language, in the language of the page. */
export function mermaid() {
  const lang = document.documentElement.lang;
  const safe = (text) => text.replace(/[;#]/g, (sign) => `#${sign.charCodeAt(0)};`);
  const lines = lanes().map((lane) => `participant ${lane} as ${nameOf(lane, lang)}`);
  const across = `${lanes()[0]},${lanes().at(-1)}`;
  for (const { title: names, from, to, label, answer } of drawn) {
    if (names) lines.push(`Note over ${across}: ${safe(names[lang === "zh" ? 1 : 0])}`);
    else if (from === to) lines.push(`Note over ${from}: ${safe(label)}`);
    else lines.push(`${from}${answer ? "-->>" : "->>"}${to}: ${safe(label)}`);
  }
  return ["sequenceDiagram", ...lines.map((line) => `    ${line}`), ""].join("\n");
}
