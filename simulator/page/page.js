// The phone: its buttons, its storage, and the flows that lie behind each button.

import { begin, control, gate, wx } from "./calls.js";
import { clear, mermaid, title } from "./diagram.js";

const at = (id) => document.getElementById(id);
const storage = new Map(); // "appid user" -> token: the storage of each user's phone
const SHOWN = 14; // characters of a token: enough to tell two apart

const who = () => ({ appid: at("appid").value.trim(), user: at("user").value.trim() || "ann" });
const place = () => Object.values(who()).join(" ");
const token = () => storage.get(place());
const auto = () => at("auto").checked;

// --- what the phone shows ---

function bilingual(node, english, chinese) {
  const translated = document.createElement("span");
  translated.lang = "zh";
  translated.textContent = chinese;
  node.replaceChildren(english, " ", translated);
}

function showState() {
  const live = token() !== undefined;
  at("state").dataset.live = live;
  if (live) bilingual(at("state"), `Token ${token().slice(0, SHOWN)}…`, "已存在手机里");
  else bilingual(at("state"), "No token in this phone.", "手机里没有 token。");
}

function say(tone, english, chinese = "") {
  at("result").dataset.tone = tone;
  bilingual(at("result"), english, chinese);
}

function sayRefused(answer) {
  say("bad", `${answer.status} ${answer.code ?? ""} ${answer.members?.Message ?? answer.members?.errMsg ?? ""}`);
  return answer;
}

// --- flow L: login ---

async function login() {
  const { code } = await wx("login", who());
  const old = token();
  const body = { code, appid: who().appid, ...(old && { replaces: old }) };
  const answer = await gate("POST", "/login", body);
  if (answer.status !== 200) throw sayRefused(answer);
  storage.set(place(), answer.members.token);
  const days = Math.round(answer.members.expires_in / 8640) / 10;
  say("good", `Logged in for ${days} days.`, `已登录，${days} 天内有效。`);
}

// --- flow R: a request; refused for its token, it is sent again once after a login ---

async function withToken(send) {
  const answer = await send(token());
  if (answer.code !== "InvalidToken" || !auto()) return answer;
  await login();
  return send(token());
}

async function callApi() {
  const method = at("method").value;
  const path = at("path").value.trim();
  if (!path.startsWith("/api/")) return say("bad", "The path begins with /api/.", "路径以 /api/ 开头。");
  const body = ["POST", "PUT", "PATCH"].includes(method) ? { quantity: 1 } : undefined;
  const answer = await withToken((bearer) => gate(method, path, body, bearer));
  if (answer.code) return sayRefused(answer);
  const user = answer.members?.headers?.["X-WX-OPENID"];
  if (user) say("good", `The upstream knows you as ${user}.`, "业务接口认得你。");
  else say("good", `${answer.status} from the upstream.`, "业务接口答了。");
}

// --- way 2: check when the user taps; data in hand belongs to the key of the tap ---

async function open(act, kind, told) {
  const sealed = await wx(act, who());
  if (auto() && !(token() && (await wx("checkSession", who())).valid)) return loginThenTapAgain();
  const { encryptedData, iv, rawData, signature } = sealed;
  const body = { kind, encryptedData, iv, ...(rawData && { rawData, signature }) };
  const answer = await gate("POST", "/decrypt", body, token());
  if (answer.code === "InvalidToken" && auto()) return loginThenTapAgain();
  if (answer.status !== 200) return sayRefused(answer);
  say("good", ...told(answer.members.data));
}

async function loginThenTapAgain() {
  await login();
  say("again", "The login was renewed: please tap again.", "登录已更新，请再点一次。");
}

async function phoneByCode() {
  const { code } = await wx("getPhoneNumber", who());
  const answer = await withToken((bearer) => gate("POST", "/phone", { code }, bearer));
  if (answer.status !== 200) return sayRefused(answer);
  say("good", ...tellPhone(answer.members.data));
}

const tellPhone = (data) => [`Phone number: ${data.phoneNumber}`, "手机号"];
const tellUser = (data) => [`Nickname: ${data.nickName}`, "昵称"];
const tellSteps = ({ stepInfoList: days }) => [`${days.at(-1).step} steps today, ${days.length} days in all.`, "今日步数"];

// --- the session, and its ends ---

async function check() {
  const { valid } = await wx("checkSession", who());
  const answer = await gate("GET", "/session", undefined, token());
  if (answer.status !== 200) return sayRefused(answer);
  const held = answer.members.valid;
  say(valid && held ? "good" : "bad",
    `WeChat's session: ${valid ? "live" : "dead"}; the key that the gate holds: ${held ? "valid" : "stale"}.`,
    `微信登录态${valid ? "有效" : "已失效"}；网关手里的 session_key ${held ? "有效" : "已过期"}。`);
}

async function expire() {
  await control("expire_session", who());
  say("quiet", "WeChat's session is dead; the token is not.", "微信登录态已失效，token 依然有效。");
}

async function logout(body) {
  const answer = await gate("POST", "/logout", body, token());
  if (answer.status === 204 || answer.code === "InvalidToken") storage.delete(place());
  if (answer.status !== 204) return sayRefused(answer);
  say("quiet", "Logged out.", "已退出登录。");
}

// --- the buttons ---

const ACTS = {
  login,
  check,
  api: callApi,
  phoneDecrypt: () => open("getPhoneNumber", "phone", tellPhone),
  phoneCode: phoneByCode,
  user: () => open("getUserInfo", "user", tellUser),
  werun: () => open("getWeRunData", "werun", tellSteps),
  expire,
  logout: () => logout({}),
  logoutEverywhere: () => logout({ everywhere: true }),
};

async function run(button) {
  const buttons = at("buttons");
  if (buttons.disabled) return;
  const [english, chinese] = [button.firstChild.textContent, button.querySelector("small").textContent];
  title(button.dataset.act === "api" ? "Call the API" : english, button.dataset.act === "api" ? "调用业务接口" : chinese);
  buttons.disabled = true;
  try {
    await ACTS[button.dataset.act]();
  } catch (failure) {
    // A refused login has told of itself already.
    if (failure instanceof Error) say("bad", failure.message);
  } finally {
    buttons.disabled = false;
    button.focus({ preventScroll: true });
    showState();
  }
}

for (const button of document.querySelectorAll("[data-act]")) {
  button.type = "button";
  button.addEventListener("click", () => run(button));
}
at("path").addEventListener("keydown", (event) => {
  if (event.key === "Enter") run(document.querySelector("[data-act=api]"));
});
for (const field of [at("user"), at("appid")]) field.addEventListener("input", showState);
at("clear").addEventListener("click", clear);
at("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(mermaid());
  say("quiet", "Copied.", "已复制。");
});

showState();
await begin();
document.body.dataset.ready = "";
