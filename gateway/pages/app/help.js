/** Letting an agent help: a code that the driver reads out, good once and for five minutes, for this car and one case. */

import { notice, problemNotice, signInButton } from "../console/notice.js";
import { clear, el } from "../parts/dom.js";
import { ISSUER_AWAY, SignInError } from "../parts/session.js";
import { onLanguage, t } from "../parts/words.js";

const CASE = "[A-Za-z0-9._\\-]{1,64}";

export class HelpPanel {
  #session;
  #vin;
  #case = "";
  #code = null;
  #error = null;
  #timer = null;
  #stopped;
  #root;

  constructor(root, { session, vin }) {
    this.#root = root;
    this.#session = session;
    this.#vin = vin;
    this.#stopped = onLanguage(() => this.#draw());
    this.#draw();
  }

  /** Fill in the case for which a stronger sign-in was asked. */
  offer(number) {
    this.#case = number;
    this.#draw();
  }

  close() {
    clearTimeout(this.#timer);
    this.#stopped();
    clear(this.#root);
  }

  #draw() {
    const input = el("input", { id: "help-case", name: "case", required: true, maxlength: 64, pattern: CASE, autocomplete: "off", spellcheck: "false", value: this.#case });
    clear(this.#root).append(
      el("p", { class: "muted" }, t("help.text")),
      el("form", { class: "stack tight", onsubmit: (event) => this.#ask(event) },
        el("div", { class: "field" }, el("label", { for: "help-case" }, t("help.case")), input, el("span", { class: "hint" }, t("help.case.hint"))),
        el("div", { class: "row" }, el("button", { data: { part: "help-ask" } }, t("help.ask")))),
      el("div", { role: "status", "aria-live": "polite" }, this.#code && this.#shown(), this.#error && this.#refusal()));
  }

  #shown() {
    const { code, seconds } = this.#code;
    return el("div", { class: "alert warn" }, el("div", { class: "text" },
      el("strong", {}, t("help.read")), el("p", { class: "spoken mono", data: { part: "spoken-code", code } }, `${code.slice(0, 4)} ${code.slice(4)}`),
      el("p", { class: "small" }, t("help.once", { minutes: Math.round(seconds / 60) }))));
  }

  #refusal() {
    if (this.#error.challenge) {
      const again = { ...this.#error.challenge, keep: { vin: this.#vin, help: this.#case } };
      return notice("warn", t("help.stronger"), [], [signInButton("app.confirmIdentity", () => this.#session.signIn(again), { kind: "primary small", "data-part": "help-step-up" })]);
    }
    const { code, detail } = this.#error;
    return code === ISSUER_AWAY ? problemNotice({ code: "OFFLINE", status: 503 }) : notice("bad", t("help.refused"), [detail]);
  }

  async #ask(event) {
    event.preventDefault();
    this.#case = event.target.elements.case.value.trim();
    [this.#code, this.#error] = [null, null];
    clearTimeout(this.#timer);
    try {
      const { code, expires_in: seconds } = await this.#session.speakCode({ vin: this.#vin, case: this.#case });
      this.#code = { code, seconds };
      this.#timer = setTimeout(() => {
        this.#code = null;
        this.#draw();
      }, seconds * 1000);
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      this.#error = error;
    }
    this.#draw();
  }
}
