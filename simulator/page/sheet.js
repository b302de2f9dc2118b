// The sheets that come up from below on a phone: WeChat's own, and the mini-program's privacy agreement.

import { element, words } from "./words.js";

const QUESTIONS = {
  authorize: {
    title: ["Let the mini-program use your WeRun steps?", "允许小程序使用你的微信运动步数？"],
    text: ["WeChat asks once. After a refusal, only the settings help.", "微信只问一次。拒绝之后，只能在设置里改。"],
    no: ["Refuse", "拒绝"],
    yes: ["Allow", "允许"],
  },
  phoneNumber: {
    title: ["Let the mini-program use your phone number?", "允许小程序使用你的手机号？"],
    text: ["The number that is bound to WeChat.", "微信绑定的号码。"],
    no: ["Refuse", "拒绝"],
    yes: ["Allow", "允许"],
  },
  privacy: {
    title: ["Privacy agreement", "隐私保护指引"],
    text: ["The mini-program's own sheet: WeChat waits until its button has been tapped.", "这是小程序自己的弹窗：用户点了按钮，微信才放行。"],
    no: ["Disagree", "不同意"],
    yes: ["Agree", "同意"],
  },
  openSetting: {
    title: ["Settings", "设置"],
    text: ["What this mini-program may use:", "小程序可以使用："],
    no: ["Cancel", "取消"],
    yes: ["Done", "完成"],
  },
};

const SCOPES = { "scope.werun": ["WeRun steps", "微信运动步数"], "scope.userLocation": ["Location", "位置"] };

/** Show a question of createPhone's `ask` in a dialog; give the promise of its answer. */
export async function askIn(dialog, question) {
  const { title, text, no, yes } = QUESTIONS[question.kind];
  const at = (selector) => dialog.querySelector(selector);
  const boxes = Object.entries(question.authSetting ?? {}).map(([scope, allowed]) => box(scope, allowed));
  at("h3").replaceChildren(...words(...title));
  at("p").replaceChildren(...words(...text));
  at(".scopes").replaceChildren(...boxes);
  at("[data-answer=no]").replaceChildren(...words(...no));
  at("[data-answer=yes]").replaceChildren(...words(...yes));
  dialog.ariaLabel = title[document.documentElement.lang === "zh" ? 1 : 0];
  dialog.show();
  at("[data-answer=yes]").focus({ preventScroll: true });
  dialog.scrollIntoView({ block: "nearest" });
  const agreed = await answerOf(dialog);
  dialog.close();
  if (question.kind !== "openSetting") return agreed;
  if (!agreed) return question.authSetting;
  return Object.fromEntries(boxes.map((it) => [it.dataset.scope, it.firstElementChild.checked]));
}

function answerOf(dialog) {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const answer = (agreed) => {
      listening.abort();
      resolve(agreed);
    };
    dialog.addEventListener("keydown", (event) => event.key === "Escape" && answer(false), listening);
    for (const button of dialog.querySelectorAll("[data-answer]")) {
      button.addEventListener("click", () => answer(button.dataset.answer === "yes"), listening);
    }
  });
}

function box(scope, allowed) {
  const input = element("input");
  input.type = "checkbox";
  input.checked = allowed;
  const label = element("label", "", input, ...words(...(SCOPES[scope] ?? [scope, scope])));
  label.dataset.scope = scope;
  return label;
}
