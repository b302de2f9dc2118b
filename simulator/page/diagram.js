// The sequence diagram: rows are appended and never drawn again.

const LANES = ["phone", "gate", "wechat", "upstream"];
const TITLES = ["Phone", "Gate", "WeChat", "Upstream"];

const list = document.getElementById("messages");
const board = document.getElementById("board");
const raw = document.getElementById("raw");
const rawTitle = document.getElementById("rawTitle");
const drawn = [];

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Begin a new act: a line across all lanes with its name. */
export function title(english, chinese) {
  const row = element("li", "act");
  const words = element("span", "", english + " ");
  const translated = element("span", "", chinese);
  translated.lang = "zh";
  words.append(translated);
  row.append(words);
  append(row);
  drawn.push({ note: `${english} ${chinese}` });
}

/**
 * Draw one arrow. `from` and `to` are lane names; `answer` draws it dashed, `bad` in red;
 * `text` is what the raw panel shows of it.
 */
export function arrow(from, to, label, text, { answer = false, bad = false } = {}) {
  const [a, b] = [LANES.indexOf(from), LANES.indexOf(to)];
  const number = drawn.filter((entry) => !entry.note).length + 1;
  drawn.push({ from: TITLES[a], to: TITLES[b], label, answer });

  const row = element("li", "message");
  const button = element("button");
  button.type = "button";
  button.dataset.first = Math.min(a, b) + 1;
  button.dataset.span = Math.abs(a - b) + 1;
  button.dataset.way = a < b ? "right" : "left";
  if (answer) button.dataset.answer = "";
  if (bad) button.dataset.bad = "";
  button.append(element("span", "number", number), element("span", "label", label), element("span", "line"));
  button.setAttribute("aria-label", `${number}. ${TITLES[a]} to ${TITLES[b]}: ${label}`);
  const show = () => {
    list.querySelector("[aria-pressed=true]")?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    rawTitle.firstChild.textContent = `${number} · ${TITLES[a]} → ${TITLES[b]} `;
    raw.textContent = text;
    raw.scrollTop = 0;
  };
  button.addEventListener("click", show);
  row.append(button);
  append(row);
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
  rawTitle.firstChild.textContent = "Raw ";
  raw.textContent = "";
}

/** Give the diagram in Mermaid's language. */
export function mermaid() {
  const safe = (text) => text.replace(/[;#]/g, (sign) => `#${sign.charCodeAt(0)};`);
  const lines = LANES.map((_, i) => `participant ${TITLES[i]}`);
  for (const entry of drawn) {
    lines.push(entry.note
      ? `Note over Phone,Upstream: ${safe(entry.note)}`
      : `${entry.from}${entry.answer ? "-->>" : "->>"}${entry.to}: ${safe(entry.label)}`);
  }
  return ["sequenceDiagram", ...lines.map((line) => `    ${line}`), ""].join("\n");
}
