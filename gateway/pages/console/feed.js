/** What happens to the car, as it happens: what moved and why, how commands ended, and what needs attention. */

import { clear, el } from "../parts/dom.js";
import { formatTime, onLanguage, t, word } from "../parts/words.js";
import { activeAlerts } from "./alerts.js";
import { alertLine, alertText } from "./sentences.js";

const MOST = 50;
const MOODS = { INFO: "", WARNING: "warn", CRITICAL: "bad" };

/** One message of the event stream in a sentence. */
export function sentence({ type, data }) {
  if (type === "DOOR_STATUS_UPDATE") {
    const cause = data.cause ? ` (${word("cause", data.cause)})` : "";
    return `${word("door", data.doorId)}: ${word("change", data.changeType)}${cause}`;
  }
  if (type === "COMMAND_STATUS_UPDATE") {
    const reason = data.failureReason ? `: ${word("failure", data.failureReason)}` : "";
    return `${word("action", data.action)}: ${word("status", data.status)}${reason}`;
  }
  return `${data.cleared ? `${t("feed.cleared")} ` : ""}${alertLine(data)}`;
}

export class Feed {
  /** @param {HTMLElement} list an <ol> @param {HTMLElement} alerts where what needs attention is shown */
  constructor(list, alerts) {
    this._list = list;
    this._alerts = alerts;
    this._updates = [];
    this._active = [];
    this._stopped = onLanguage(() => this._draw());
    this._draw();
  }

  add(update) {
    this._updates = [update, ...this._updates].slice(0, MOST);
    if (update.type === "SYSTEM_ALERT") this._active = activeAlerts(this._active, update);
    this._draw();
  }

  close() {
    this._stopped();
    this._updates = [];
    this._active = [];
    clear(this._list);
    clear(this._alerts);
  }

  _draw() {
    clear(this._list).append(...this._updates.map((update) => el("li", { data: { type: update.type, event: update.id } },
      el("time", { datetime: update.timestamp }, formatTime(update.timestamp)), el("span", {}, sentence(update)))));
    if (!this._updates.length) this._list.append(el("li", {}, el("span", {}), el("span", { class: "muted" }, t("feed.none"))));
    clear(this._alerts).append(...this._active.map((alert) => el("div", { class: `alert ${MOODS[alert.severity] ?? ""}`, data: { alert: alert.code } },
      el("div", { class: "text" }, el("strong", {}, `${word("severity", alert.severity)} · ${alert.code}`), alertText(alert)),
      el("button", { type: "button", class: "quiet small", onclick: () => this._dismiss(alert) }, t("feed.dismiss")))));
  }

  _dismiss(alert) {
    this._active = this._active.filter((each) => each !== alert);
    this._draw();
  }
}
