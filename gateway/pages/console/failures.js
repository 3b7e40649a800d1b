/** Why commands to this car failed: by cause, door and time, beside the fleet, with the likely cause and what to tell the customer. */

import { Chart } from "../parts/charts.js";
import { cardTable } from "../parts/card_table.js";
import { clear, el } from "../parts/dom.js";
import { formatNumber, formatTime, language, t, word } from "../parts/words.js";
import { button } from "./notice.js";
import { Panel } from "./panel.js";
import { bucketSeries } from "./series.js";

const PERIODS = ["24h", "7d", "30d", "90d"];

export class FailuresPanel extends Panel {
  /** @param {{api: Object, vin: string}} options */
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
    this._period = "7d";
    this._chart = null;
  }

  async read() {
    return (await this.api.get(`${this.api.door(this.vin)}/failures`, { query: { period: this._period, language: language() } })).data;
  }

  draw() {
    const report = this.data;
    this._chart?.close();
    const chart = el("div", {});
    const chosen = (event) => { this._period = event.target.value; this.refresh(); };
    clear(this.root).append(el("div", { class: "stack" },
      el("div", { class: "row end" },
        el("div", { class: "field" }, el("label", { for: "failures-period" }, t("history.period")),
          el("select", { id: "failures-period", onchange: chosen }, PERIODS.map((period) => el("option", { value: period, selected: period === this._period }, word("period", period))))),
        button("refresh", () => this.refresh(), { kind: "small" })),
      el("dl", { class: "figures" }, this._figures(report)),
      this._likely(report.likelyCause),
      chart,
      this._causes(report.causes ?? []),
      this._places(report)));
    this._chart = new Chart(chart, { title: "failures.over", kind: "bars" });
    this._chart.show(bucketSeries(report, (reason) => (reason === "all" ? t("failures.failed") : word("failure", reason))));
  }

  close() {
    this._chart?.close();
    super.close();
  }

  // Causes and guidance come in the language that was asked for.
  translated() {
    this.refresh();
  }

  _figures({ commands = 0, failures = 0, failureRate, fleet }) {
    const rows = [
      ["failures.commands", formatNumber(commands)],
      ["failures.failed", formatNumber(failures)],
      ["failures.rate", failureRate === undefined ? "–" : percent(failureRate)],
      ["failures.fleet", fleet ? percent(fleet.failureRate) : t("failures.tooFew")],
    ];
    return rows.map(([key, value]) => el("div", {}, el("dt", {}, t(key)), el("dd", {}, value)));
  }

  _likely(likely) {
    if (!likely) return el("p", { class: "alert good" }, t("failures.none"));
    return el("div", { class: "alert warn" }, el("div", { class: "text" },
      el("strong", {}, `${word("certainty", likely.certainty)}: ${likely.title}`),
      el("p", {}, [likely.doorId && word("door", likely.doorId), likely.cause].filter(Boolean).join(": ")),
      el("p", {}, el("b", {}, `${t("failures.say")} `), likely.guidance),
      likely.aboveFleet && el("p", { class: "small" }, t("failures.above"))));
  }

  /** Where it failed: each door with its reasons, and each component. */
  _places({ doors = [], components = [] }) {
    const reasons = (each) => (each.reasons ?? []).map(({ failureReason, failures }) => `${word("failure", failureReason)} (${failures})`).join(", ");
    const rows = [
      ...doors.map((each) => [word("door", each.doorId), each.failures, reasons(each)]),
      ...components.map((each) => [word("failurePart", each.component), each.failures, each.fleetShare === undefined ? "–" : percent(each.fleetShare)]),
    ];
    if (!rows.length) return null;
    const columns = ["failures.place", "failures.failed", "failures.why"];
    return cardTable({ caption: t("failures.places"), columns, part: "places", numbers: ["failures.failed"] },
      rows.map(([name, count, why]) => ({ cells: [name, formatNumber(count), why] })));
  }

  _causes(causes) {
    if (!causes.length) return null;
    const columns = ["failures.cause", "failures.failed", "failures.share", "failures.fleetShare", "history.doors", "failures.seen"];
    const rows = causes.map((each) => ({ cells: [
      [each.title ?? word("failure", each.failureReason), each.guidance && el("p", { class: "small muted" }, each.guidance)],
      formatNumber(each.failures),
      percent(each.share),
      each.fleetShare === undefined ? "–" : percent(each.fleetShare),
      (each.doors ?? []).map((door) => `${word("door", door.doorId)} (${door.failures})`).join(", ") || "–",
      each.lastSeen ? hourOf(each.lastSeen) : "–",
    ] }));
    const numbers = ["failures.failed", "failures.share", "failures.fleetShare"];
    return cardTable({ caption: t("failures.causes"), columns, part: "causes", numbers }, rows);
  }
}

/** The hour in which something was counted last: when in it is not kept. */
function hourOf(begin) {
  return `${formatTime(begin)} – ${formatTime(new Date(Date.parse(begin) + 3_600_000).toISOString())}`;
}

function percent(share) {
  return formatNumber(share, { style: "percent", maximumFractionDigits: 0 });
}
