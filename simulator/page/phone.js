// A phone on the page: the client library itself, on the desk's wx, and a button for each thing that it can do.

import "./wx.js";
import client from "./client.js";
import { title } from "./diagram.js";
import { remark, traceOf } from "./observe.js";
import { askIn } from "./sheet.js";
import { element, meaningOf, resultOf, textOf, words } from "./words.js";

const SCOPE = "scope.werun";
const AGREE_BUTTON = "agree";
const STORAGE_KEY = "session";

/**
 * Put a phone on the page. `options`: lane; name, in both languages; appid; user; account, the user's consents; switches;
 * publicPath, which needs no login.
 */
export class Phone {
  constructor(options) {
    this.options = options;
    this.root = document.getElementById("phone").content.firstElementChild.cloneNode(true);
    this.at = (selector) => this.root.querySelector(selector);
    const ask = (question) => askIn(this.at("dialog"), question);
    const { lane, appid, user, account, switches } = options;
    this.phone = self.wxgateSimulator.createPhone({
      wechatUrl: location.origin, appid, user, account, switches, ask, trace: traceOf(lane),
    });
    this.client = client.createClient({ baseUrl: `${location.origin}/gate`, appid, wx: this.phone.wx, storageKey: STORAGE_KEY });
    this.client.on("replay", (detail) => remark(lane, "replay", detail));
    this.client.privacy.onNeed((need) => this.showAgreement(need, ask));
    this.dress();
  }

  /** The token in this phone's storage, for who would revoke it. */
  get token() {
    return this.phone.wx.getStorageSync(STORAGE_KEY).token;
  }

  // --- what each button calls ---

  visitor() {
    return this.client.get(this.options.publicPath, undefined, { login: false });
  }

  ten() {
    return Promise.all(Array.from({ length: 10 }, (_, i) => this.client.get(`/api/orders/${i + 1}`)));
  }

  own() {
    const method = this.at("[name=method]").value;
    const data = ["POST", "PUT", "PATCH"].includes(method) ? { quantity: 1 } : undefined;
    return this.client.request({ url: this.at("[name=path]").value.trim(), method, data });
  }

  acts = {
    login: () => this.client.login(),
    visitor: () => this.visitor(),
    request: () => this.client.get("/api/orders/7"),
    ten: () => this.ten(),
    patch: () => this.client.patch("/api/orders/7", { quantity: 2 }),
    own: () => this.own(),
    pageOpens: () => this.client.ensureSession(),
    userInfo: () => this.phone.call("getUserInfo").then((data) => this.client.decrypt(data, { kind: "user" })),
    phoneData: () => this.phone.tapButton("getPhoneNumber", (e) => this.client.decrypt(e.detail, { kind: "phone" })),
    phoneCode: () => this.phone.tapButton("getPhoneNumber", (e) => this.client.phone(e.detail)),
    werun: () => this.client.authorize(SCOPE)
      .then(() => this.phone.call("getWeRunData"))
      .then((data) => this.client.decrypt(data, { kind: "werun" })),
    settings: () => this.phone.tapButton("openSetting", (e) => this.client.settingResult(e.detail, SCOPE)),
    privacy: () => this.client.privacy.require(),
    logout: () => this.client.logout(),
    everywhere: () => this.client.logout({ everywhere: true }),
  };

  /** The mini-program's own sheet: an agreement counts only if its button is tapped. */
  async showAgreement({ agree, disagree }, ask) {
    if (!(await ask({ kind: "privacy" }))) return disagree();
    return this.phone.tapButton("agreePrivacyAuthorization", () => agree(AGREE_BUTTON), AGREE_BUTTON);
  }

  // --- the face ---

  dress() {
    const { lane, name, user } = this.options;
    const heading = this.at("h2");
    heading.id = `${lane}Name`;
    heading.append(...words(...name), element("small", "", user));
    this.root.setAttribute("aria-labelledby", heading.id);
    this.root.dataset.phone = lane;
    this.at("[name=method]").setAttribute("aria-label", "method");
    this.at("[name=path]").setAttribute("aria-label", "path");
    this.say("quiet", "Tap a button.", "请点一个按钮。");
    for (const button of this.root.querySelectorAll("[data-act]")) button.addEventListener("click", () => this.run(button));
    this.at("[name=path]").addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.run(this.at("[data-act=own]"));
    });
    this.at(".offline").addEventListener("click", () => this.toggleOffline());
    this.showState();
  }

  toggleOffline() {
    const { switches } = this.phone;
    switches.offline = !switches.offline;
    this.at(".offline").setAttribute("aria-pressed", String(switches.offline));
  }

  say(tone, english, chinese) {
    const result = this.at(".result");
    result.dataset.tone = tone;
    result.replaceChildren(...words(english, chinese));
  }

  /** Show what the client knows of itself. */
  showState() {
    const { loggedIn, loggedOut } = this.client.state();
    const state = this.at(".state");
    state.dataset.live = loggedIn;
    if (loggedIn) state.replaceChildren(...words(`Token …${this.token.slice(-4)}`, `token …${this.token.slice(-4)}`));
    else if (loggedOut) state.replaceChildren(...words("Logged out", "已退出登录"));
    else state.replaceChildren(...words("No token", "没有 token"));
  }

  async run(button) {
    const acts = this.at("fieldset");
    if (acts.disabled) return;
    const act = button.dataset.act;
    title(`${this.options.name[0]} · ${textOf(button, "en")}`, `${this.options.name[1]} · ${textOf(button, "zh")}`);
    acts.disabled = true;
    this.root.dataset.busy = "";
    try {
      this.say("good", ...resultOf(act, await this.acts[act]()));
    } catch (error) {
      this.sayError(error);
    } finally {
      acts.disabled = false;
      delete this.root.dataset.busy;
      button.focus({ preventScroll: true });
      this.showState();
    }
  }

  sayError(error) {
    const [english, chinese] = meaningOf(error);
    this.say(error.code === "TAP_AGAIN" ? "again" : "bad", english, chinese);
    this.at(".result").prepend(element("code", "", error.code ?? error.name));
    if (error.code === "NEEDS_SETTING") this.at("[data-act=settings]").hidden = false;
  }
}
