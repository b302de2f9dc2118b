// Calls of the phone, to the gate and to WeChat: each is made, and drawn with all that it set off.

import { arrow } from "./diagram.js";

let seen = 0; // the number of the last call in WeChat's log that is drawn

const json = (text) => { try { return JSON.parse(text); } catch { return undefined; } };
const pretty = (value) => JSON.stringify(value, null, 2);

/** Take note of what WeChat was asked before this page opened: it is not ours to draw. */
export async function begin() {
  const log = await (await fetch("/control/log?after=0")).json();
  seen = log.length;
}

/** Do what wx.* does: the phone speaks with WeChat. Gives the answer's members. */
export async function wx(act, who, members = {}) {
  const answer = await exchange("wechat", "POST", `/wx/${act}`, { ...who, ...members }, undefined, `wx.${act}`);
  drawAnswer("wechat", "phone", answer);
  if (answer.status !== 200) throw new Error(answer.members?.errMsg ?? `wx.${act}: ${answer.status}`);
  return answer.members;
}

/** Throw a switch of the simulated WeChat; the phone plays no part in it, but stands for you. */
export async function control(action, members) {
  const answer = await exchange("wechat", "POST", `/control/${action}`, members);
  drawAnswer("wechat", "phone", answer);
}

/**
 * Ask the gate. Gives `{status, code, members}`: code is the gate's own error Code.
 * What the gate asked WeChat meanwhile is pulled before the answer is drawn, so the order holds.
 */
export async function gate(method, path, body, token) {
  const answer = await exchange("gate", method, path, body, token, undefined, "/gate");
  for (const call of await callsSince()) drawWeChatCall(call);
  if (path.startsWith("/api/")) drawUpstream(method, path, answer);
  drawAnswer("gate", "phone", answer);
  return answer;
}

async function exchange(lane, method, path, body, token, label, prefix = "") {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = [`${method} ${path}`, ...Object.entries(headers).map(([k, v]) => `${k}: ${v}`)];
  const text = sent.join("\n") + (body === undefined ? "" : `\n\n${pretty(body)}`);
  arrow("phone", lane, label ?? `${method} ${path}`, text);
  const started = performance.now();
  const response = await fetch(prefix + path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), redirect: "manual", cache: "no-store",
  });
  const received = await response.text();
  return {
    status: response.status,
    code: response.headers.get("X-Wxgate-Error"),
    headers: [...response.headers],
    text: received,
    members: json(received),
    ms: Math.round(performance.now() - started),
  };
}

async function callsSince() {
  // One entry more than is needed: where it is missing, WeChat's log was reset meanwhile.
  let log = await (await fetch(`/control/log?after=${Math.max(seen - 1, 0)}`)).json();
  if (seen > 0 && log[0]?.n !== seen) log = await (await fetch("/control/log?after=0")).json();
  else if (seen > 0) log = log.slice(1);
  if (log.length) seen = log.at(-1).n;
  return log;
}

function drawWeChatCall(call) {
  const query = Object.entries(call.query).map(([k, v]) => `  ${k} = ${v}`);
  const body = call.body === null ? [] : ["", pretty(call.body)];
  arrow("gate", "wechat", `${call.method} ${call.path}`, [`${call.method} ${call.path}`, ...query, ...body].join("\n"));
  const bad = call.status !== 200 || Boolean(call.errcode);
  const label = call.status === null ? "no answer" : call.errcode ? `${call.status} errcode ${call.errcode}` : `${call.status}`;
  arrow("wechat", "gate", label, `WeChat's log tells of the answer:\n\n${pretty(call)}`, { answer: true, bad });
}

function drawUpstream(method, path, answer) {
  const failed = answer.code?.startsWith("Upstream");
  if (answer.code && !failed) return; // refused at the gate: the upstream heard nothing
  const echo = answer.members?.headers ? answer.members : { method, path: path.slice("/api".length) };
  const target = echo.path + (echo.query ? `?${echo.query}` : "");
  const lines = Object.entries(echo.headers ?? {}).map(([k, v]) => `${k}: ${v}`);
  const claims = assertion(echo.headers?.["X-WX-ASSERTION"]);
  const text = [`${echo.method} ${target}`, ...lines, "", echo.body ?? ""].join("\n") + claims;
  arrow("gate", "upstream", `${echo.method} ${target}`, text);
  arrow("upstream", "gate", failed ? answer.code : `${answer.status}`, answer.text, { answer: true, bad: Boolean(failed) });
}

function drawAnswer(from, to, answer) {
  const bad = answer.status >= 400;
  const headers = answer.headers.map(([k, v]) => `${k}: ${v}`);
  const body = answer.members === undefined ? answer.text : pretty(answer.members);
  const text = [`${answer.status} · ${answer.ms} ms`, ...headers, "", body].join("\n");
  arrow(from, to, `${answer.status} ${answer.code ?? summary(answer)}`.trim(), text + assertion(answer.members?.assertion), { answer: true, bad });
}

/** Name the members of an answer; of small ones the value too. */
function summary({ members }) {
  if (members === null || typeof members !== "object") return "";
  const named = Object.entries(members).map(([name, value]) =>
    typeof value === "boolean" || typeof value === "number" ? `${name}: ${value}` : name);
  return `{${named.join(", ")}}`;
}

/** Show the claims of an assertion. Reading is not verifying: see docs/upstream.md. */
function assertion(jwt) {
  if (!jwt) return "";
  const base64 = jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return `\n\nThe claims of the assertion:\n${pretty(JSON.parse(new TextDecoder().decode(bytes)))}`;
}
