/** What was asked of a vehicle and how it ended: filters, and pages of a list that holds still. */

import { cardTable } from "./card_table.js";
import { clear, el } from "./dom.js";
import { doorNames, statusBadge } from "./timeline.js";
import { formatNumber, formatTime, hasWord, onLanguage, problemText, t, word } from "./words.js";

const PAGE = 20;
const FILTERS = {
  period: ["1h", "24h", "7d", "30d"],
  action: ["-STATUS_CHECK", "", "UNLOCK", "LOCK", "CANCEL", "STATUS_CHECK"],
  status: ["", "SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"],
  source: ["", "MOBILE_APP", "CALL_CENTER", "WEB", "VOICE_ASSISTANT"],
};

const COLUMNS = ["history.time", "history.action", "history.doors", "history.status", "reason", "history.by", "history.took"];

export class History {
  /**
   * @param {HTMLElement} root is emptied and filled
   * @param {{load: (query: Object) => Promise<Object>}} options `load` gives the body of GET history for these query parameters
   */
  constructor(root, { load }) {
    this._root = root;
    this._load = load;
    this._query = { period: "24h", action: "-STATUS_CHECK", status: "", source: "" };
    this._offset = 0;
    this._page = null;
    this._asked = 0;
    this._stopped = onLanguage(() => this._build());
    this._build();
  }

  /** Read the list anew, as of now, from its first page. */
  async refresh() {
    this._offset = 0;
    this._page = null;
    await this._read();
  }

  clear() {
    this._asked += 1;
    this._page = null;
    this._offset = 0;
    clear(this._list);
  }

  close() {
    this._asked += 1;
    this._stopped();
    clear(this._root);
  }

  _build() {
    const fields = Object.entries(FILTERS).map(([name, values]) => {
      const id = `history-${name}`;
      const options = values.map((value) => el("option", { value, selected: value === this._query[name] }, label(name, value)));
      const changed = (event) => {
        this._query[name] = event.target.value;
        this.refresh();
      };
      return el("div", { class: "field" }, el("label", { for: id }, t(`history.${name}`)), el("select", { id, name, onchange: changed }, options));
    });
    const again = el("button", { type: "button", class: "small", onclick: () => this.refresh() }, t("refresh"));
    this._list = el("div", { class: "stack", "aria-live": "polite" });
    clear(this._root).append(el("div", { class: "row end filters" }, fields, again), this._list);
    if (this._page) this._show();
  }

  async _read() {
    const asked = ++this._asked;
    const { action, ...others } = this._query;
    const which = action.startsWith("-") ? { excludeAction: action.slice(1) } : { action };
    const wanted = { ...which, ...others, limit: PAGE, offset: this._offset, asOf: this._page?.asOf };
    const query = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
    this._list.setAttribute("aria-busy", "true");
    try {
      const page = await this._load(query);
      // Who has chosen something else meanwhile is not shown this.
      if (asked !== this._asked) return;
      this._page = page;
      this._show();
    } catch (problem) {
      if (asked !== this._asked) return;
      const { title, detail } = problemText(problem);
      clear(this._list).append(el("div", { class: "alert bad" }, el("div", { class: "text" }, el("strong", {}, title), detail)));
    } finally {
      if (asked === this._asked) this._list.removeAttribute("aria-busy");
    }
  }

  _show() {
    const { history = [], total = 0, hasMore, asOf, collection } = this._page;
    clear(this._list);
    if (collection && !collection.collected) this._list.append(el("p", { class: "alert warn" }, t("history.uncollected"), " ", el("span", { lang: "en" }, collection.detail ?? "")));
    if (!history.length) {
      this._list.append(el("p", { class: "muted" }, t("history.none")));
      return;
    }
    const caption = t("history.caption", { total: formatNumber(total), time: asOf ? formatTime(asOf) : "" });
    const told = { caption, columns: COLUMNS, part: "history", head: COLUMNS.indexOf("history.action"), numbers: ["history.took"] };
    const pages = Math.max(1, Math.ceil(total / PAGE));
    this._list.append(
      cardTable({ ...told, label: t("history") }, history.map(row)),
      el("nav", { class: "row end", "aria-label": t("history.pages") },
        el("span", { class: "small muted" }, t("history.page", { page: this._offset / PAGE + 1, pages })),
        el("button", { type: "button", class: "small", disabled: this._offset === 0, onclick: () => this._turn(-PAGE) }, t("history.newer")),
        el("button", { type: "button", class: "small", disabled: !hasMore, onclick: () => this._turn(PAGE) }, t("history.older"))));
  }

  _turn(by) {
    this._offset = Math.max(0, this._offset + by);
    this._read();
  }
}

function label(name, value) {
  if (!value) return t("history.any");
  if (value === "-STATUS_CHECK") return t("history.noLooks");
  return word({ period: "period", action: "action", status: "status", source: "source" }[name], value);
}

function row(entry) {
  const who = [entry.actorId && t("history.agent", { agent: entry.actorId }), entry.userId].filter(Boolean).join(" · ");
  const doors = (entry.doorResults?.length ? entry.doorResults.map((each) => each.doorId) : entry.targetDoors) ?? [];
  const stood = (entry.doorResults ?? []).filter((each) => !each.success);
  const reason = entry.failureReason;
  const cells = [
    [el("time", { datetime: entry.timestamp }, formatTime(entry.timestamp))],
    [word("action", entry.action)],
    [doorNames(doors)],
    [statusBadge(entry.status)],
    [reason && el("span", { title: hasWord(`guidance.${reason}`) ? t(`guidance.${reason}`) : "" }, word("failure", reason)),
      stood.length > 0 && el("span", { class: "small muted" }, ` ${t("history.stood", { doors: doorNames(stood.map((each) => each.doorId)) })}`)],
    [word("source", entry.source), el("br"), el("span", { class: "small muted" }, who)],
    [entry.executionTime ? t("seconds", { seconds: formatNumber(entry.executionTime) }) : "–"],
  ];
  return { cells, data: { command: entry.commandId, action: entry.action } };
}
