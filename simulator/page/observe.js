// What is drawn: the phones tell of their wx calls as they happen, WeChat and the upstream of theirs in their own logs.

import { arrow } from "./diagram.js";

const GATE = `${location.origin}/gate`;
const TRANSFERS = ["request", "uploadFile", "downloadFile"];
const FAILED_ON_THE_WAY = [5, 600001, 600003]; // errno of wx: timeout, network, interrupted

const DELIVERY = 5000; // milliseconds that an event is waited for on its way through the queue

const json = (text) => { try { return JSON.parse(text); } catch { return undefined; } };
const pretty = (value) => JSON.stringify(value, null, 2);
const isTransfer = (entry) => TRANSFERS.includes(entry.api);

// --- the order: an end is drawn after all that led to it, and the phone hears of it only then ---

const waiting = [];
let busy = false;

/** Give the `trace` of a phone, for createPhone: its lane is drawn from now on. */
export const traceOf = (lane) => (entry) => {
  const told = new Promise((done) => waiting.push({ lane, entry, done }));
  work();
  return entry.phase === "end" ? told : undefined;
};

/** Draw what a client says of itself, in its place among the calls. */
export function remark(lane, label, detail) {
  traceOf(lane)({ phase: "remark", label, detail });
}

async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    const next = waiting.shift();
    if (next.entry.phase === "end" && isTransfer(next.entry)) await drawBetween();
    draw(next);
  }
  busy = false;
}

/** Draw what the gate has asked of the others; requests that began before the logs were read come first. */
async function drawBetween() {
  const calls = (await Promise.all([wechat.news(), upstream.news()])).flat();
  const begun = waiting.filter(({ entry }) => entry.phase === "begin");
  for (const event of begun) {
    waiting.splice(waiting.indexOf(event), 1);
    draw(event);
  }
  calls.sort((a, b) => a.time - b.time).forEach((call) => (call.errcode === undefined ? drawUpstream : drawWeChat)(call));
}

function draw({ lane, entry, done }) {
  if (entry.phase === "remark") arrow(lane, lane, entry.label, pretty(entry.detail));
  else (entry.phase === "begin" ? drawBegin : drawEnd)(lane, entry);
  done();
}

// --- the phones ---

const pathOf = (url) => (url.startsWith(GATE) ? url.slice(GATE.length) : url);
const tail = (name, value) => (value ? `${name} …${value.slice(-4)}` : "");

function drawBegin(lane, { api, method, url, given }) {
  if (!TRANSFERS.includes(api)) {
    const button = api.startsWith("button.");
    return arrow(lane, "wechat", button ? `<${api.replace(".", " ")}>` : `wx.${api}()`, button ? "" : pretty(plain(given)));
  }
  const header = given.header ?? {};
  const lines = Object.entries(header).map(([name, value]) => `${name}: ${value}`);
  const body = given.data === undefined ? "" : `\n\n${pretty(given.data)}`;
  const instead = header["X-HTTP-Method-Override"];
  arrow(lane, "gate", `${method} ${pathOf(url)}`, [`${method} ${pathOf(url)}`, ...lines].join("\n") + body,
    { tag: [instead, tail("token", header.Authorization)].filter(Boolean).join(" · ") });
}

function drawEnd(lane, entry) {
  const { api, result, errMsg } = entry;
  const failed = !errMsg.endsWith(":ok");
  if (failed && entry.status === undefined && (isTransfer(entry) || FAILED_ON_THE_WAY.includes(result.errno))) {
    return arrow(lane, lane, errMsg, pretty(result), { bad: true });
  }
  if (isTransfer(entry)) return drawAnswer(lane, entry);
  const label = failed ? errMsg.slice(errMsg.indexOf(":") + 1) : summary(result) || "ok";
  return arrow("wechat", lane, label, pretty(result), { answer: true, bad: failed, tag: api.replace("button.", "") });
}

function drawAnswer(lane, { status, result, url }) {
  const header = result.header ?? {};
  const code = header["X-Wxgate-Error"];
  const path = pathOf(url);
  const isApi = path.startsWith("/api/");
  const label = code ?? (isApi ? "" : summary(result.data));
  const lines = Object.entries(header).map(([name, value]) => `${name}: ${value}`);
  const body = typeof result.data === "object" ? pretty(result.data) : result.data;
  arrow("gate", lane, `${status} ${label}`.trim(), [status, ...lines, "", body].join("\n") + claims(result.data?.assertion),
    { answer: true, bad: status >= 400, tag: isApi ? path : "" });
}

/** What a call was given, less its callbacks. */
function plain(given = {}) {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value !== "function"));
}

/** Name the members of an answer; of small ones the value too. */
function summary(members) {
  if (members === null || typeof members !== "object") return "";
  const shown = Object.entries(members.authSetting ?? members).filter(([name]) => name !== "errMsg");
  const named = shown.map(([name, value]) => (["boolean", "number"].includes(typeof value) ? `${name}: ${value}` : name));
  return named.length || members.authSetting ? `{${named.join(", ")}}` : "";
}

// --- the logs of WeChat and the upstream ---

/** Reads what a log has got since it was last read; one that was reset meanwhile is read from its start. */
class Log {
  constructor(url) {
    this.url = url;
    this.seen = 0;
    this.exists = false;
    this.last = Promise.resolve();
  }

  async after(n) {
    return (await fetch(`${this.url}?after=${n}`, { cache: "no-store" })).json();
  }

  /** What happened before this page opened is not this page's to draw. */
  async begin() {
    this.exists = true;
    this.seen = (await this.after(0)).at(-1)?.n ?? 0;
  }

  /** One reader at a time: two would each take the other's progress for a reset. */
  news() {
    const read = () => (this.exists ? this.read().catch(() => []) : []); // the desk has ended: the calls to it will tell
    return (this.last = this.last.then(read));
  }

  async read() {
    // One entry more than is needed: if it is missing, the log was reset.
    let entries = await this.after(Math.max(this.seen - 1, 0));
    if (this.seen && entries[0]?.n !== this.seen) entries = await this.after(0);
    else if (this.seen) entries.shift();
    this.seen = entries.at(-1)?.n ?? this.seen;
    return entries;
  }
}

const wechat = new Log("/control/log");
const upstream = new Log("/upstream/log");

/** Begin to read the logs that there are. */
export async function begin(facts) {
  await Promise.all([facts.wechat && wechat.begin(), facts.upstream && upstream.begin()]);
}

const delivered = new Set(); // events that were drawn on their way to the business API

/** Let WeChat push; draw what it was answered each time, and then the event where the business API gets it. */
export async function drawPush(appid, event, push) {
  delivered.delete(event);
  const { attempts, ...told } = await push();
  for (const attempt of attempts ?? []) {
    arrow("wechat", "gate", "POST /events", pretty({ appid, event, ...told }), { tag: event });
    arrow("gate", "wechat", `${attempt.status ?? "no answer"} ${attempt.answer}`, pretty(attempt), { answer: true, bad: !attempt.ok });
  }
  if (!told.ok || !upstream.exists) return;
  const until = Date.now() + DELIVERY;
  while (!delivered.delete(event) && Date.now() < until) {
    await new Promise((done) => setTimeout(done, 50));
    (await upstream.news()).forEach(drawUpstream);
  }
}

function drawWeChat(call) {
  const query = Object.entries(call.query).map(([name, value]) => `  ${name} = ${value}`);
  const body = call.body === null ? [] : ["", pretty(call.body)];
  arrow("gate", "wechat", `${call.method} ${call.path}`, [`${call.method} ${call.path}`, ...query, ...body].join("\n"));
  const label = call.status === null ? "no answer" : call.errcode ? `${call.status} errcode ${call.errcode}` : `${call.status}`;
  arrow("wechat", "gate", label, pretty(call), { answer: true, bad: call.status !== 200 || Boolean(call.errcode) });
}

function drawUpstream(call) {
  delivered.add(json(call.body)?.Event);
  const target = call.path + (call.query ? `?${call.query}` : "");
  const lines = Object.entries(call.headers).map(([name, value]) => `${name}: ${value}`);
  const text = [`${call.method} ${target}`, ...lines, "", call.body].join("\n") + claims(call.headers["X-WX-ASSERTION"]);
  arrow("gate", "upstream", `${call.method} ${target}`, text, { tag: tail("openid", call.headers["X-WX-OPENID"]) || "no openid" });
  arrow("upstream", "gate", `${call.status}`, pretty(call), { answer: true });
}

/** Show the claims of an assertion. Reading is not verifying: see docs/upstream.md. */
function claims(jwt) {
  if (!jwt) return "";
  const base64 = jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return `\n\n${pretty(json(new TextDecoder().decode(bytes)))}`;
}
