/** How the doors' components are: the last self-check, what needs attention, and the trend of their health. */

import { isStepUp, newCorrelationId } from "../parts/api.js";
import { Chart } from "../parts/charts.js";
import { clear, el } from "../parts/dom.js";
import { formatAge, formatNumber, formatTime, t, word } from "../parts/words.js";
import { button, notice, problemNotice, stepUpButton } from "./notice.js";
import { Panel } from "./panel.js";
import { alertText } from "./sentences.js";
import { trendSeries } from "./series.js";

const SYSTEM = { NORMAL: "good", DEGRADED: "warn", FAULT: "bad" };
const COMPONENT = { ACTIVE: "good", INACTIVE: "unknown", ERROR: "bad", MAINTENANCE_REQUIRED: "warn" };
const SEVERITY = { INFO: "", WARNING: "warn", CRITICAL: "bad" };
const PERIODS = ["7d", "30d", "90d", "365d"];
const ABSENT = ["PATH_NOT_FOUND", "METHOD_NOT_ALLOWED"];

export class DiagnosticsPanel extends Panel {
  /** @param {{api: Object, session: Object, vin: string}} options */
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
    this._period = "30d";
    this._component = "";
    this._chart = null;
    this._said = el("div", { class: "stack tight" });
  }

  async read() {
    const door = this.api.door(this.vin);
    const [{ data: diagnostics }, trend] = await Promise.all([
      this.api.get(`${door}/diagnostics`),
      this.api.get(`${door}/diagnostics/trend`, { query: { period: this._period } }).then(({ data }) => data, (error) => absent(error)),
    ]);
    return { diagnostics, trend };
  }

  draw() {
    const { diagnostics, trend } = this.data;
    this._chart?.close();
    this._chart = null;
    const chart = el("div", {});
    clear(this.root).append(el("div", { class: "stack" },
      el("div", { class: "row" },
        el("span", { class: `badge ${SYSTEM[diagnostics.systemStatus] ?? ""}` }, word("system", diagnostics.systemStatus)),
        el("span", { class: "muted grow" }, diagnostics.lastCheck ? t("diagnostics.last", { time: formatTime(diagnostics.lastCheck), age: formatAge((Date.now() - Date.parse(diagnostics.lastCheck)) / 1000) }) : ""),
        diagnostics.checks && el("span", { class: "muted small" }, word("checks", diagnostics.checks.state)),
        trend && button("diagnostics.check", () => this._check(), { kind: "small", data: { part: "check" } }),
        button("refresh", () => this.refresh(), { kind: "small" })),
      this._said,
      this._alerts(diagnostics.alerts ?? []),
      el("div", { class: "columns" }, this._components(diagnostics.components ?? []), trend && el("div", { class: "stack" }, this._choices(trend), chart, this._falling(trend)))));
    if (trend) {
      this._chart = new Chart(chart, { title: "diagnostics.trend", kind: "line", range: [0, 100] });
      const shown = this._component ? trend.components.filter((each) => each.id === this._component) : trend.components;
      this._chart.show(trendSeries({ components: shown }));
    }
  }

  close() {
    this._chart?.close();
    super.close();
  }

  _alerts(alerts) {
    if (!alerts.length) return el("p", { class: "alert good" }, t("diagnostics.noAlerts"));
    return el("ul", { class: "stack tight", role: "list" }, alerts.map((alert) => el("li", { class: `alert ${SEVERITY[alert.severity] ?? ""}` },
      el("div", { class: "text" },
        el("strong", {}, `${word("severity", alert.severity)} · ${alert.code}`),
        alertText(alert),
        el("p", { class: "small muted" }, [alert.componentId, alert.raisedAt && formatTime(alert.raisedAt)].filter(Boolean).join(" · "))))));
  }

  _components(components) {
    const columns = ["diagnostics.component", "history.status", "diagnostics.health", "diagnostics.maintained", "diagnostics.codes"];
    const rows = components.map((each) => el("tr", {},
      el("th", { scope: "row" }, el("span", { lang: "en" }, each.name ?? each.id)),
      el("td", {}, el("span", { class: `badge ${COMPONENT[each.status] ?? ""}` }, word("component", each.status))),
      el("td", {}, each.health === undefined ? t("state.unknown") : `${formatNumber(each.health)} / 100`),
      el("td", {}, each.lastMaintenance ? formatTime(each.lastMaintenance) : t("state.unknown")),
      el("td", { class: "mono" }, each.errorCodes?.join(", ") || "–")));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("diagnostics.components") },
      el("table", { class: "data wide" }, el("caption", {}, t("diagnostics.components")),
        el("thead", {}, el("tr", {}, columns.map((key) => el("th", { scope: "col" }, t(key))))), el("tbody", {}, rows)));
  }

  _choices(trend) {
    const pick = (name, label, values, chosen, changed) => el("div", { class: "field" }, el("label", { for: name }, t(label)),
      el("select", { id: name, onchange: (event) => changed(event.target.value) }, values.map(([value, text]) => el("option", { value, selected: value === chosen }, text))));
    const components = [["", t("diagnostics.all")], ...(trend.components ?? []).map((each) => [each.id, each.name ?? each.id])];
    return el("div", { class: "row" },
      pick("trend-period", "history.period", PERIODS.map((period) => [period, word("period", period)]), this._period, (value) => { this._period = value; this.refresh(); }),
      pick("trend-component", "diagnostics.component", components, this._component, (value) => { this._component = value; this.draw(); }));
  }

  _falling(trend) {
    const falling = (trend.components ?? []).filter((each) => each.falling);
    return falling.length > 0 && el("ul", { class: "alert warn", role: "list" }, falling.map((each) =>
      el("li", {}, t("diagnostics.falling", { name: each.name ?? each.id, change: formatNumber(each.changePerMonth ?? each.change ?? 0) }))));
  }

  _check() {
    return this.send({ method: "POST", path: `${this.api.door(this.vin)}/diagnostics/check`, correlationId: newCorrelationId(), at: Date.now(), label: t("diagnostics.check") });
  }

  /** Send a request, also one that a step-up has interrupted. */
  async send(pending) {
    const pressed = this.root.querySelector("[data-part=check]");
    if (pressed) pressed.disabled = true;
    try {
      await this.api.send(pending.method, pending.path, pending.body, { correlationId: pending.correlationId });
      clear(this._said).append(notice("good", t("diagnostics.asked"), [t("diagnostics.asked.text")]));
    } catch (error) {
      if (!("code" in error)) throw error;
      const act = isStepUp(error) ? [stepUpButton(this.session, error, pending)] : [];
      clear(this._said).append(problemNotice(error, ...act));
    } finally {
      if (pressed) pressed.disabled = false;
    }
  }
}

// A deployment whose services are older than this page does not have it: what else there is is shown.
function absent(error) {
  if (ABSENT.includes(error.code)) return null;
  throw error;
}
