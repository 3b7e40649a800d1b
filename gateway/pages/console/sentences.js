/**
 * What the service says in English, in the language that is shown: by its code where there are words for it, and below that as the
 * service says it, because it names the part, the door or the reason.
 */

import { el } from "../parts/dom.js";
import { hasWord, language, t, word } from "../parts/words.js";

/** One line about an alert. */
export function alertLine({ code, message }) {
  return translated(`alert.${code}`) ? word("alert", code) : (message ?? code);
}

/** The same with what the service itself says. @returns {HTMLElement[]} */
export function alertText(alert) {
  return lines(translated(`alert.${alert.code}`) ? word("alert", alert.code) : "", alert.message ?? "");
}

/** An entry of the audit. @returns {HTMLElement[]} */
export function auditText({ kind, decision, action, rule, sentence }) {
  const wanted = translated(`wanted.${action}`) ? word("wanted", action) : "";
  if (decision === "REFUSED") {
    const because = translated(`because.${rule}`) ? word("because", rule) : "";
    return lines(wanted && because ? t("audit.refused", { wanted, because }) : "", sentence);
  }
  if (kind === "ACCESS_ALLOWED") return lines(wanted ? t("audit.allowed", { wanted }) : "", sentence);
  return lines(translated(`happened.${kind}`) ? word("happened", kind) : "", sentence);
}

function translated(key) {
  return language() !== "en" && hasWord(key);
}

function lines(shown, english) {
  if (!shown) return [el("p", { lang: "en" }, english)];
  return [el("p", {}, shown), ...(english ? [el("p", { class: "small muted", lang: "en" }, english)] : [])];
}
