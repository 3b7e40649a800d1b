/** What was abnormal about the customer's access, with its evidence: seen, acknowledged, and the account restricted. */

import { isStepUp, newCorrelationId } from "../parts/api.js";
import { cardTable } from "../parts/card_table.js";
import { clear, el } from "../parts/dom.js";
import { formatNumber, formatTime, t, word } from "../parts/words.js";
import { button, confirmed, notice, problemNotice, stepUpButton } from "./notice.js";
import { Panel } from "./panel.js";

const PATH = "/security";

export class SecurityPanel extends Panel {
  /** @param {{api: Object, session: Object}} options */
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
    this._openOnly = false;
    this._said = el("div", { class: "stack tight" });
  }

  async read() {
    return (await this.api.get(`${PATH}/cases`, { query: { openOnly: this._openOnly || undefined } })).data;
  }

  draw() {
    const cases = this.data.cases ?? [];
    const toggle = (event) => { this._openOnly = event.target.checked; this.refresh(); };
    clear(this.root).append(el("div", { class: "stack" },
      el("div", { class: "row" },
        el("label", { class: "choice" }, el("input", { type: "checkbox", checked: this._openOnly, onchange: toggle }), t("security.openOnly")),
        el("span", { class: "grow" }), button("refresh", () => this.refresh(), { kind: "small" })),
      this._said,
      cases.length ? this._table(cases) : el("p", { class: "alert good" }, t("security.none")),
      this._restriction()));
  }

  _table(cases) {
    const columns = ["security.kind", "security.evidence", "security.raised", "history.status", "security.act"];
    return cardTable({ caption: t("security.cases"), columns, part: "security" }, cases.map((each) => this._row(each)));
  }

  _row(each) {
    return { data: { case: each.caseId }, cells: [
      word("abnormal", each.kind),
      el("span", { lang: "en" }, each.evidence ?? ""),
      [each.raisedAt ? formatTime(each.raisedAt) : "–", each.times > 1 && el("span", { class: "muted small" }, ` ×${formatNumber(each.times)}`)],
      [each.restricted && el("span", { class: "badge bad" }, t("security.restricted")), " ",
        el("span", { class: `badge ${each.acknowledgedBy ? "good" : "warn"}` }, each.acknowledgedBy ? t("security.seen", { who: each.acknowledgedBy }) : t("security.unseen"))],
      !each.acknowledgedBy && button("security.acknowledge", () => this._ask(`${PATH}/cases/${encodeURIComponent(each.caseId)}/acknowledge`, undefined, "security.acknowledge"), { kind: "small" }),
    ] };
  }

  _restriction() {
    const restrict = async (event) => {
      event.preventDefault();
      const reason = event.target.elements.reason.value.trim();
      if (!reason || !(await confirmed(t("security.restrict"), t("security.restrict.text"), t("security.restrict")))) return;
      await this._ask(`${PATH}/accounts/restrict`, { principal: this.session.case?.customer, reason }, "security.restrict");
    };
    return el("details", {}, el("summary", {}, t("security.restrict")),
      el("form", { class: "stack tight", onsubmit: restrict },
        el("p", { class: "muted small" }, t("security.restrict.text")),
        el("div", { class: "field" }, el("label", { for: "restrict-reason" }, t("reason")),
          el("input", { id: "restrict-reason", name: "reason", required: true, maxlength: "200", autocomplete: "off" })),
        el("div", { class: "row" }, el("button", { class: "danger small" }, t("security.restrict")))),
      el("p", { class: "muted small" }, t("security.restore.text")));
  }

  _ask(path, body, label) {
    return this.send({ method: "POST", path, body, correlationId: newCorrelationId(), at: Date.now(), label: t(label), customer: this.session.case?.customer });
  }

  /** Send a request, also one that a step-up has interrupted. */
  async send(pending) {
    try {
      await this.api.send(pending.method, pending.path, pending.body, { correlationId: pending.correlationId });
      clear(this._said).append(notice("good", t(pending.path === `${PATH}/accounts/restrict` ? "security.done" : "security.acknowledged")));
      await this.refresh();
    } catch (error) {
      if (!("code" in error)) throw error;
      const act = isStepUp(error) ? [stepUpButton(this.session, error, pending)] : [];
      clear(this._said).append(problemNotice(error, ...act));
    }
  }
}
