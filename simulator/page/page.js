// The page: its phones, and the switches for what may happen to them.

import { clear, dim, mermaid, showLane, title } from "./diagram.js";
import { begin, drawPush } from "./observe.js";
import { Phone } from "./phone.js";
import { chooseLanguage, element, textOf, words } from "./words.js";

const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

chooseLanguage();
const facts = await (await fetch("/facts")).json();
const appid = facts.appids.find((it) => it === query.get("appid")) ?? facts.appids[0];
const user = query.get("user") || "ann";
const account = { authSetting: {}, privacyAgreed: false }; // WeChat keeps a user's consents, whatever the phone
const switches = { privacyNeeded: false };
const phones = [];

function addPhone(lane, name) {
  const publicPath = facts.public_path || "/health";
  const phone = new Phone({ lane, name, appid, user, account, switches, publicPath });
  phones.push(phone);
  at("phones").append(phone.root);
  at("phones").dataset.count = phones.length;
}

const post = (path, members, headers) => fetch(path, {
  method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(members),
});

/** Do what a user does in WeChat's settings, and draw what WeChat tells the gate of it. */
const settings = (act, event) => drawPush(appid, event, async () => (await post(`/wx/${act}`, { appid, user })).json());

const fault = (kind) => post("/control/fault", { path: "/sns/jscode2session", kind });

const SWITCHES = {
  newPhone(button) {
    button.disabled = true;
    showLane("phone2");
    addPhone("phone2", ["New phone", "新手机"]);
  },
  expire: () => post("/control/expire_session", { appid, user }),
  revoke: () => Promise.all(phones.map(({ token }) => token && post("/gate/logout", {}, { Authorization: `Bearer ${token}` }))),
  busy: () => fault(-1),
  slow: () => fault("late_2"),
  withdraw: () => settings("revoke", "user_authorization_revoke"),
  closeAccount: () => settings("closeAccount", "user_authorization_cancellation"),
  privacy(button) {
    switches.privacyNeeded = !switches.privacyNeeded;
    account.privacyAgreed = false;
    for (const { phone } of phones) phone.switches.privacyNeeded = switches.privacyNeeded;
    button.setAttribute("aria-pressed", String(switches.privacyNeeded));
  },
  async reset() {
    await post("/control/reset", {});
    location.reload();
  },
};

for (const button of document.querySelectorAll("[data-switch]")) {
  button.addEventListener("click", async () => {
    button.setAttribute("aria-busy", "true");
    if (button.getAttribute("aria-pressed") !== "true") title(textOf(button, "en"), textOf(button, "zh"));
    await SWITCHES[button.dataset.switch](button);
    button.removeAttribute("aria-busy");
  });
}
at("clear").addEventListener("click", clear);
at("copy").addEventListener("click", () => navigator.clipboard.writeText(mermaid()));

// --- the user's own parts ---

function notice(english, chinese, ...more) {
  at("notices").append(element("p", "", ...words(english, chinese), ...more));
}

for (const act of ["withdraw", "closeAccount"]) {
  document.querySelector(`[data-switch=${act}]`).hidden = !facts.events;
}
if (facts.wechat) {
  addPhone("phone", ["Phone", "手机"]);
} else {
  document.body.dataset.wechat = "real";
  notice("WeChat is the real one, so there is no phone on this page: only WeChat can make the code of wx.login(), and only on a real phone or in DevTools. "
    + "Take your mini-program there, with the address below as baseUrl; docs/own-machine.md goes on from here.",
  "微信是真的，所以这一页没有手机：wx.login() 的 code 只有真微信才能给，也只在真手机或开发者工具里给。请在那里打开你的小程序，baseUrl 填下面的地址；接下来的步骤见 docs/own-machine.zh-CN.md。",
  element("code", "", `createClient({ baseUrl: '${facts.gate}' })`));
}
if (!facts.upstream) {
  dim("upstream", "yours", "你的");
  notice("The upstream is your own. It keeps no log that this page could read, so what the gate sends it is not drawn: look into your API's own log.",
    "业务接口是你自己的。它没有可供本页读取的日志，所以网关发给它的请求不会画出来：请看你自己接口的日志。");
}

await begin(facts);
document.body.dataset.ready = "";
