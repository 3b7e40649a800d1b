/** What has to be said to the agent: a problem in words with what can be done about it, a question with a yes and a no. */

import { clear, el } from "../parts/dom.js";
import { ISSUER_AWAY, SignInError } from "../parts/session.js";
import { problemText, t } from "../parts/words.js";

/**
 * A problem, with buttons for what can be done.
 * @param {Object} error an ApiError, a SignInError or a problem document
 * @param {...HTMLElement} actions
 */
export function problemNotice(error, ...actions) {
  const { title, detail, next } = problemText(error);
  return notice(error.status >= 500 || error.status === 0 ? "warn" : "bad", title, [next, detail !== title ? detail : ""], actions, error.code);
}

/** A notice. @param {"good"|"warn"|"bad"|""} mood */
export function notice(mood, title, lines = [], actions = [], code = "") {
  return el("div", { class: `alert ${mood}`, role: "alert", data: { code } },
    el("div", { class: "text" }, el("strong", {}, title), lines.filter(Boolean).map((line) => el("p", { class: "small" }, line))),
    actions.length > 0 && el("div", { class: "row tight" }, actions));
}

/** A button. @param {string} key of its words @param {() => any} act */
export function button(key, act, { kind = "", ...attributes } = {}) {
  return el("button", { type: "button", class: kind, onclick: act, ...attributes }, t(key));
}

/** What is said of a SignInError: why nobody could be signed in. */
export function signInNotice(error, ...actions) {
  if (error.code === ISSUER_AWAY) return problemNotice({ code: "OFFLINE", status: 503 }, ...actions);
  return notice("bad", t("console.signInFailed"), [error.detail || error.code], actions, error.code);
}

/**
 * A button that leads to the issuer: busy until the page is left, and where the way there is barred it says why beside itself.
 * @param {string} key of its words @param {() => Promise<void>} leave what signs in or steps up
 */
export function signInButton(key, leave, attributes = { kind: "primary small" }) {
  const said = el("div", {});
  const made = button(key, async () => {
    clear(said);
    made.disabled = true;
    made.setAttribute("aria-busy", "true");
    try {
      await leave();
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      said.append(signInNotice(error));
    } finally {
      made.disabled = false;
      made.removeAttribute("aria-busy");
    }
  }, attributes);
  return el("div", { class: "stack tight" }, made, said);
}

/** The button that confirms who the agent is, and has `pending` offered when the case is open again. */
export function stepUpButton(session, error, pending) {
  const { case: number, customer, vin } = session.case ?? {};
  return signInButton("command.confirmIdentity", () => session.stepUp(error, pending, { case: number, customer, vin }));
}

/**
 * Ask before something is done.
 * @returns {Promise<boolean>} false also for Escape
 */
export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "question" },
      el("form", { method: "dialog", class: "stack" },
        el("h2", { id: "question" }, title), el("p", {}, text),
        el("div", { class: "row end" }, el("button", { value: "no", class: "quiet" }, t("console.no")), el("button", { value: "yes", class: "primary" }, yes))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
