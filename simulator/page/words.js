// Two languages on one page: each text is there twice, and the style sheet shows the page's own.

export const element = (name, className, ...content) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
};

/** Give a text in both languages. */
export function words(english, chinese) {
  return [["en", english], ["zh", chinese]].map(([lang, text]) => {
    const span = element("span", "", text);
    span.lang = lang;
    return span;
  });
}

/** Give the text of a node in one language, without its code. */
export const textOf = (node, lang) => node.querySelector(`:scope > span[lang=${lang}]`).textContent;

const isKnown = (lang) => lang === "en" || lang === "zh";

/** Show the language that the address or the browser asks for; the buttons change it. */
export function chooseLanguage() {
  const asked = new URLSearchParams(location.search).get("lang");
  const own = navigator.language.startsWith("zh") ? "zh" : "en";
  show(isKnown(asked) ? asked : own);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      show(button.dataset.language);
      history.replaceState(null, "", `?lang=${button.dataset.language}`);
    });
  }
}

function show(lang) {
  document.documentElement.lang = lang;
  document.title = lang === "zh" ? "wxgate 试验台" : "wxgate playground";
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === lang));
  }
}

// --- what a phone says to its user ---

const ERRORS = {
  TAP_AGAIN: ["The login was renewed: please tap again.", "登录已更新，请再点一次。"],
  LOGGED_OUT: ["You have logged out: nothing logs in by itself until you do.", "已退出登录：在你自己登录之前，不会自动登录。"],
  NOT_LOGGED_IN: ["The gate wants a login for this.", "网关要求先登录。"],
  LOGIN_REFUSED: ["The login did not succeed.", "登录没有成功。"],
  NEEDS_SETTING: ["Refused before: WeChat does not ask again. Open the settings.", "以前拒绝过，微信不会再问。请打开设置。"],
  USER_DENIED: ["The user refused.", "用户拒绝了。"],
  PRIVACY: ["The privacy agreement was not agreed to.", "用户没有同意隐私协议。"],
  NETWORK: ["No network.", "没有网络。"],
  TIMEOUT: ["No answer in time.", "没有及时得到回答。"],
};

/** Say what an error of the client means. */
export function meaningOf(error) {
  return ERRORS[error.code] ?? [error.errMsg ?? error.message, ""];
}

function requested(response) {
  const status = response.statusCode;
  const echoed = response.data?.headers;
  if (!echoed) return [`${status}`, `${status}`];
  const openid = echoed["X-WX-OPENID"];
  if (openid) return [`${status}: the upstream knows you as …${openid.slice(-4)}.`, `${status}：业务接口知道你是 …${openid.slice(-4)}。`];
  return [`${status}, without an identity.`, `${status}，没有身份。`];
}

const phoneNumber = ({ data }) => [`Phone number: ${data.phoneNumber}`, `手机号：${data.phoneNumber}`];

const RESULTS = {
  login: (session) => {
    const days = Math.round((session.expiresAt - Date.now()) / 8640000) / 10;
    return [`Logged in, for ${days} days.`, `已登录，${days} 天内有效。`];
  },
  visitor: requested,
  request: requested,
  patch: requested,
  own: requested,
  ten: (all) => [`${all.length} answers, of which ${all.filter((it) => it.statusCode === 200).length} are 200.`,
    `${all.length} 个回答，其中 ${all.filter((it) => it.statusCode === 200).length} 个是 200。`],
  pageOpens: ({ renewed }) => (renewed
    ? ["The session was renewed: a tap will open its data.", "登录态已更新，现在点击便能解密。"]
    : ["The session is good: a tap will open its data.", "登录态有效，现在点击便能解密。"]),
  userInfo: ({ data }) => [`Nickname: ${data.nickName}`, `昵称：${data.nickName}`],
  phoneData: phoneNumber,
  phoneCode: phoneNumber,
  werun: ({ data }) => [`${data.stepInfoList.at(-1).step} steps today.`, `今天 ${data.stepInfoList.at(-1).step} 步。`],
  settings: () => ["Allowed in the settings: tap WeRun steps again.", "已在设置中允许，请再点微信运动步数。"],
  privacy: () => ["The privacy agreement is agreed to.", "已同意隐私协议。"],
  logout: () => ["Logged out.", "已退出登录。"],
  everywhere: () => ["Logged out on every phone.", "所有手机都已退出登录。"],
};

/** Say what an act of a phone brought. */
export const resultOf = (act, value) => RESULTS[act](value);
