/** How an agent comes to act for a customer: by the code that the customer reads out, or by a case that a colleague has approved. */

import { clear, el } from "../parts/dom.js";
import { onLanguage, t } from "../parts/words.js";
import { notice, problemNotice, button, signInButton } from "./notice.js";

const PATTERNS = { vin: "[A-HJ-NPR-Za-hj-npr-z0-9]{17}", case: "[A-Za-z0-9._\\-]{1,64}", code: "[0-9 ]{8,11}" };

export class CaseForms {
  /**
   * @param {HTMLElement} root is emptied and filled
   * @param {{session: Object, known?: Object|null, onOpened: () => void}} options `known`: {case, customer, vin} of before a step-up
   */
  constructor(root, { session, known = null, onOpened }) {
    this._root = root;
    this._session = session;
    this._known = known;
    this._onOpened = onOpened;
    this._stopped = onLanguage(() => this._build());
    this._build();
  }

  close() {
    this._stopped();
    clear(this._root);
  }

  _build() {
    const values = Object.fromEntries([...this._root.querySelectorAll("input")].map((each) => [each.id, each.value]));
    clear(this._root).append(
      el("div", { class: "stack tight" }, el("h1", {}, t("case.title")), el("p", { class: "muted" }, t("case.text")),
        this._known && notice("", t("case.again", { number: this._known.case }), [t("case.again.text")])),
      el("div", { class: "entry" },
        this._form("spoken", [["code", { inputmode: "numeric" }]], (form) => this._act(form, async ({ code }) => {
          await this._session.actFor({ kind: "spoken-code", mandate: code.replaceAll(" ", ""), scope: this._session.config.scope });
          this._onOpened();
        })),
        this._form("approved", [["case", {}], ["customer", {}], ["vin", {}]], (form) => this._act(form, async (asked) => {
          await this._session.openCase({ customer: asked.customer, vin: asked.vin.toUpperCase(), case: asked.case });
          return notice("", t("case.asked"), [t("case.asked.text", { agent: this._session.person, number: asked.case })], [this._take(form, asked.case)]);
        })),
        this._form("approve", [["agent", {}], ["case", {}], ["customer", {}], ["vin", {}]], (form) => this._act(form, async (asked) => {
          await this._session.approveCase({ agent: asked.agent, customer: asked.customer, vin: asked.vin.toUpperCase(), case: asked.case });
          form.reset();
          return notice("good", t("case.granted", { number: asked.case }), [t("case.granted.text", { agent: asked.agent })]);
        }))));
    for (const [id, value] of Object.entries(values)) {
      const input = this._root.querySelector(`#${id}`);
      if (input) input.value = value;
    }
  }

  _form(name, fields, submit) {
    const known = name === "approved" ? this._known : null;
    return el("section", { class: "card", "aria-labelledby": `case-${name}` },
      el("h2", { id: `case-${name}` }, t(`case.${name}`)),
      el("p", { class: "small muted" }, t(`case.${name}.text`)),
      el("form", { data: { form: name }, onsubmit: (event) => { event.preventDefault(); submit(event.target); } },
        fields.map(([field, more]) => el("div", { class: "field" },
          el("label", { for: `${name}-${field}` }, t(`case.field.${field}`)),
          el("input", { id: `${name}-${field}`, name: field, required: true, pattern: PATTERNS[field], maxlength: "128", autocomplete: "off", autocapitalize: "off", spellcheck: "false", value: known?.[field] ?? "", ...more }))),
        el("div", { class: "row" }, el("button", { class: "primary" }, t(`case.${name}.act`))),
        el("div", { data: { part: "answer" } })));
  }

  _take(form, number) {
    return button("case.open", () => this._act(form, async () => {
      await this._session.actFor({ kind: "approved-case", mandate: number, scope: this._session.config.scope });
      this._onOpened();
    }, { keep: true }), { kind: "primary small" });
  }

  async _act(form, act, { keep = false } = {}) {
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    const answer = form.querySelector('[data-part="answer"]');
    const submit = form.querySelector("button");
    submit.setAttribute("aria-busy", "true");
    submit.disabled = true;
    try {
      const said = await act(values);
      if (said) clear(answer).append(said);
    } catch (error) {
      if (!("code" in error)) throw error;
      // A mandate is given in person, by a sign-in that is minutes old: the form is filled in again after it.
      const { case: number, customer, vin } = values;
      const again = () => this._session.signIn({ maxAge: 0, keep: number && customer && vin ? { case: number, customer, vin } : null });
      const actions = error.code === "insufficient_user_authentication" ? [signInButton("command.confirmIdentity", again)] : [];
      const shown = problemNotice({ ...error, code: error.code, title: t("case.refused"), problem: { code: error.code, title: t("case.refused"), detail: error.detail } }, ...actions);
      // What was asked for stays: a colleague may just not have approved it yet.
      if (keep) answer.querySelectorAll(".alert.bad").forEach((each) => each.remove());
      else clear(answer);
      answer.append(shown);
    } finally {
      submit.removeAttribute("aria-busy");
      submit.disabled = false;
    }
  }
}
