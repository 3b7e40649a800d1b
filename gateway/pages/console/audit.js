/** Who looked, who asked and who was refused: the audit of the car as far as the agent's role may read it. */

import { clear, el } from "../parts/dom.js";
import { formatTime, t, word } from "../parts/words.js";
import { button, problemNotice } from "./notice.js";
import { Panel } from "./panel.js";
import { auditText } from "./sentences.js";

const PERIODS = ["1h", "24h", "7d", "30d"];
const DECISIONS = ["", "ALLOWED", "REFUSED"];
const MOODS = { ALLOWED: "good", REFUSED: "bad" };
const PAGE = 50;

export class AuditPanel extends Panel {
  /** @param {{api: Object, vin: string}} options */
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
    this._query = { period: "24h", decision: "" };
  }

  async read(pageToken) {
    const { data } = await this.api.get(`${this.api.door(this.vin)}/audit`, { query: { ...this._query, limit: PAGE, pageToken } });
    return data;
  }

  draw() {
    const { entries = [], nextPageToken } = this.data;
    const pick = (name, values, group) => el("div", { class: "field" }, el("label", { for: `audit-${name}` }, t(`audit.${name}`)),
      el("select", { id: `audit-${name}`, onchange: (event) => { this._query[name] = event.target.value; this.refresh(); } },
        values.map((value) => el("option", { value, selected: value === this._query[name] }, value ? word(group, value) : t("history.any")))));
    const columns = ["history.time", "audit.decision", "audit.sentence", "history.by"];
    const rows = entries.map((entry) => el("tr", {},
      el("td", {}, el("time", { datetime: entry.time }, formatTime(entry.time))),
      el("td", {}, el("span", { class: `badge ${MOODS[entry.decision] ?? ""}` }, word("decision", entry.decision))),
      el("td", {}, auditText(entry)),
      el("td", {}, [entry.actorId, entry.userId].filter(Boolean).join(" · "))));
    this._said = el("div", {});
    clear(this.root).append(el("div", { class: "stack" },
      el("div", { class: "row end filters" }, pick("period", PERIODS, "period"), pick("decision", DECISIONS, "decision"), button("refresh", () => this.refresh(), { kind: "small" })),
      rows.length
        ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("audit.title") },
            el("table", { class: "data wide", data: { part: "audit" } }, el("caption", {}, t("audit.title")),
              el("thead", {}, el("tr", {}, columns.map((key) => el("th", { scope: "col" }, t(key))))), el("tbody", {}, rows)))
        : el("p", { class: "muted" }, t("history.none")),
      this._said,
      nextPageToken && el("div", { class: "row end" }, button("history.older", () => this._more(nextPageToken), { kind: "small" }))));
  }

  async _more(pageToken) {
    const before = this.data;
    try {
      const page = await this.read(pageToken);
      if (this.data !== before) return;
      this.data = { ...page, entries: [...before.entries, ...(page.entries ?? [])] };
      this.draw();
    } catch (error) {
      if (!("code" in error)) throw error;
      clear(this._said).append(problemNotice(error));
    }
  }
}
