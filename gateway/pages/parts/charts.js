/** Charts drawn by uPlot, each with the same numbers as a table: a canvas says nothing to a screen reader. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { labelOf, numbersOf, strokeOf } from "./chart_marks.js";
import { clear, el } from "./dom.js";
import { formatNumber, formatTime, language, onLanguage, t } from "./words.js";

const HEIGHT = 200;
const DAY = 86_400;
/** Of a number within the drawing, in CSS pixels: a part that is lower has none. */
const NUMBER_SIZE = 11;

export class Chart {
  /**
   * @param {HTMLElement} root is emptied and filled
   * @param {{title: string, kind: "line"|"bars", unit?: string, range?: [number, number]}} options `title` is a key of words.js
   */
  constructor(root, { title, kind, unit = "", range }) {
    this._root = root;
    this._options = { title, kind, unit, range };
    this._data = null;
    this._plot = null;
    this._box = el("div", { class: "chart", "aria-hidden": "true" });
    this._table = el("details", { class: "small" });
    this._heading = el("h3", {});
    clear(root).append(el("div", { class: "stack tight" }, this._heading, this._box, this._table));
    this._watch = new ResizeObserver(() => this._resize());
    this._watch.observe(this._box);
    this._scheme = matchMedia("(prefers-color-scheme: dark)");
    this._redraw = () => this._draw();
    this._scheme.addEventListener("change", this._redraw);
    this._stopped = onLanguage(this._redraw);
    this._draw();
  }

  /**
   * Show series over times.
   * @param {{times: number[], series: {label: string, values: (number|null)[], own?: (number|null)[]}[]}|null} data times: Unix
   *   seconds, rising; `own`: what is told of a series whose `values` are stacked upon others
   */
  show(data) {
    this._data = data;
    this._draw();
  }

  clear() {
    this.show(null);
  }

  close() {
    this._watch.disconnect();
    this._scheme.removeEventListener("change", this._redraw);
    this._stopped();
    this._plot?.destroy();
    clear(this._root);
  }

  _draw() {
    this._heading.textContent = t(this._options.title);
    this._plot?.destroy();
    this._plot = null;
    clear(this._box);
    clear(this._table);
    const { times = [], series = [] } = this._data ?? {};
    this._table.hidden = !times.length;
    if (!times.length) {
      this._box.append(el("p", { class: "muted" }, t("chart.none")));
      this._box.removeAttribute("aria-hidden");
      return;
    }
    this._box.setAttribute("aria-hidden", "true");
    this._plot = new uPlot(this._settings(series), [times, ...series.map((each) => each.values)], this._box);
    this._resize();
    const head = el("tr", {}, el("th", { scope: "col" }, t("chart.time")), series.map((_each, index) => el("th", { scope: "col" }, labelOf(series, index))));
    const rows = times.map((time, index) => el("tr", {},
      el("th", { scope: "row" }, formatTime(new Date(time * 1000).toISOString())),
      series.map((each) => el("td", {}, told(each, index)))));
    this._table.append(el("summary", {}, t("chart.table")),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t(this._options.title) },
        el("table", { class: "data" }, el("thead", {}, head), el("tbody", {}, rows))));
  }

  _settings(series) {
    const style = getComputedStyle(this._root);
    const colour = (name) => style.getPropertyValue(name).trim() && resolved(this._root, name);
    const { kind, unit, range } = this._options;
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--muted"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const clock = new Intl.DateTimeFormat(language(), { dateStyle: "short", timeStyle: "short" });
    return {
      width: Math.max(120, this._box.clientWidth),
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      hooks: { draw: [(plot) => this._drawNumbers(plot, numbersOf(series, kind), colour("--ink"), colour("--surface"))] },
      scales: { x: { range: (_plot, low, high) => [low - this._margin(), high + this._margin()] }, y: { range: range ?? ((_plot, _low, high) => [0, Math.max(1, Math.ceil(high * 1.1))]) } },
      axes: [{ ...axis, values: (_plot, splits) => splits.map((at) => this._tick(at)), space: 70, ...(this._isLong && { incrs: [1, 2, 7, 14, 30, 60].map((days) => days * DAY) }) }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000] }],
      series: [
        { label: t("chart.time"), value: (_plot, at) => (at === null ? "–" : clock.format(new Date(at * 1000))) },
        ...series.map((each, index) => ({
          label: labelOf(series, index),
          stroke: colour(strokeOf(index).colour),
          fill: kind === "bars" ? colour(strokeOf(index).colour) : undefined,
          dash: kind === "bars" ? undefined : strokeOf(index).dash,
          width: 2,
          spanGaps: true,
          paths: kind === "bars" ? uPlot.paths.bars({ size: [0.6, 40] }) : undefined,
          points: { show: kind === "line", size: 6 },
          value: (_plot, _value, _series, index) => (index === null ? "–" : `${told(each, index)}${unit}`),
        })),
      ],
    };
  }

  // With a rim of the background's colour a number is read on any series.
  _drawNumbers(plot, numbers, ink, rim) {
    const { ctx } = plot;
    const scale = globalThis.devicePixelRatio || 1;
    ctx.save();
    Object.assign(ctx, { font: `600 ${NUMBER_SIZE * scale}px system-ui, sans-serif`, textAlign: "center", textBaseline: "middle", strokeStyle: rim, fillStyle: ink, lineWidth: 3 * scale, lineJoin: "round" });
    for (const { number, at, value, height } of numbers) {
      const x = plot.valToPos(plot.data[0][at], "x", true);
      const y = plot.valToPos(value, "y", true);
      if (Number.isFinite(height) && Math.abs(plot.valToPos(value + height / 2, "y", true) - y) * 2 < NUMBER_SIZE * scale) continue;
      ctx.strokeText(String(number), x, y);
      ctx.fillText(String(number), x, y);
    }
    ctx.restore();
  }

  /** Half a bar on each side, so that the first and the last are whole. */
  _margin() {
    const { times } = this._data;
    if (this._options.kind !== "bars") return 0;
    return times.length > 1 ? (times[1] - times[0]) / 2 : DAY / 2;
  }

  get _isLong() {
    const { times } = this._data;
    return times.at(-1) - times[0] > 2 * DAY;
  }

  _tick(at) {
    return new Intl.DateTimeFormat(language(), this._isLong ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }).format(new Date(at * 1000));
  }

  _resize() {
    const width = this._box.clientWidth;
    if (this._plot && width > 0 && width !== this._plot.width) this._plot.setSize({ width, height: HEIGHT });
  }
}

function told(series, index) {
  const value = (series.own ?? series.values)[index];
  return value === null || value === undefined ? "–" : formatNumber(value);
}

// A canvas does not know light-dark(): it is given the colour that comes of it.
function resolved(root, name) {
  const probe = el("span", { hidden: true, class: `colour${name}` });
  root.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
