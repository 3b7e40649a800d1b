/** One case: the customer's car, live, with all that an agent may do. It ends with the case, and leaves nothing on the page. */

import { LiveUpdates } from "../parts/live.js";
import { CarPicture } from "../parts/car.js";
import { isFinal } from "../parts/command.js";
import { clear, el } from "../parts/dom.js";
import { History } from "../parts/history.js";
import { Timeline } from "../parts/timeline.js";
import { formatTime, onLanguage, t, word } from "../parts/words.js";
import { AuditPanel } from "./audit.js";
import { CommandPanel } from "./commands.js";
import { DiagnosticsPanel } from "./diagnostics.js";
import { FailuresPanel } from "./failures.js";
import { Feed } from "./feed.js";
import { InterruptedRequest, areaOf } from "./interrupted.js";
import { button, problemNotice } from "./notice.js";
import { SecurityPanel } from "./security.js";
import { SettingsPanel } from "./settings.js";
import { Tabs } from "./tabs.js";

/** When a command that runs is looked at again, in milliseconds after it was asked for: stages that no event tells show so. */
const LOOKS_MS = [250, 800, 1_600, 3_000, 6_000, 10_000, 15_000, 20_000, 25_000, 31_000, 36_000, 41_000];
const LATE_MS = 3_000;
/** How often it is asked whether the car can be reached: no event tells that it cannot any more. */
const REACH_MS = 30_000;
const REACH = { ONLINE: "good", ASLEEP: "unknown", LOST: "warn" };

export class Workplace {
  /**
   * @param {HTMLElement} root is emptied and filled
   * @param {{api: Object, session: Object, onLive: (state: Object) => void, onEnded: (code: string, detail: string) => void, onLeave: () => void}} options
   */
  constructor(root, { api, session, onLive, onEnded, onLeave }) {
    Object.assign(this, { _root: root, _api: api, _session: session, _onLive: onLive, _onEnded: onEnded, _onLeave: onLeave });
    this._vin = session.case.vin;
    this._door = api.door(this._vin);
    this._capabilities = null;
    this._case = null;
    this._hasRead = false;
    this._aborted = new AbortController();
    this._timers = new Set();
    this._build();
    this._stopped = onLanguage(() => this._drawCase());
    this._follow();
  }

  /** Offer what a step-up has interrupted, where it was about this car. */
  offer(pending) {
    if (pending && areaOf(pending, this._door, this._session.case.customer)) this._interrupted.offer(pending);
  }

  // An area that cannot be read says why, and what is offered stays.
  async _resume(pending) {
    const area = areaOf(pending, this._door, this._session.case?.customer);
    const panel = { commands: this._commands, settings: this._settings, security: this._security, diagnostics: this._diagnostics }[area];
    if (area !== "commands") {
      this._tabs.choose(`tab.${area}`);
      if (!(await panel.ready())) return false;
    }
    return (await panel.send(pending)) !== false;
  }

  /** What a shortcut does. */
  shortcut(name) {
    if (/^\d$/.test(name)) this._tabs.chooseAt(Number(name) - 1);
    else if (name === "status") this._readStatus();
    else this._commands.focus(name);
  }

  /** End: buttons off, nothing is asked any more, and nothing of the customer stays on the page. */
  close() {
    this._aborted.abort();
    for (const timer of this._timers) clearTimeout(timer);
    this._commands.setEnabled(false);
    this._live.dispose();
    this._stopped();
    for (const part of [this._interrupted, this._commands, this._car, this._timeline, this._history, this._feed, this._settings, this._diagnostics, this._failures, this._security, this._audit]) part.close();
    clear(this._root);
  }

  _build() {
    const [car, timeline, commands, history] = ["div", "div", "div", "div"].map((tag) => el(tag));
    const [settings, diagnostics, failures, security, audit] = ["div", "div", "div", "div", "div"].map((tag) => el(tag));
    const list = el("ol", { class: "feed", tabindex: "0", "aria-label": t("feed.title"), data: { wordLabel: "feed.title" } });
    const alerts = el("div", { class: "stack tight", role: "region", "aria-live": "polite", "aria-label": t("feed.alerts"), data: { wordLabel: "feed.alerts" } });
    const heading = (key) => el("h2", { data: { word: key } }, t(key));
    const again = el("button", { type: "button", class: "small", data: { word: "refresh" }, onclick: () => this._readStatus() }, t("refresh"));
    const areas = el("div");
    this._bar = el("section", { class: "card case-bar", "aria-label": t("case.bar"), data: { wordLabel: "case.bar" } });
    this._reach = el("div", { class: "row", data: { part: "reach" } });
    this._said = el("div", { class: "stack tight" });
    commands.classList.add("stack");
    this._title = el("h1", { class: "visually-hidden" });
    const offered = el("div", { data: { part: "interrupted" } });
    clear(this._root).append(this._title, this._bar, offered, this._said, alerts,
      el("div", { class: "workplace" },
        el("div", { class: "stack" },
          el("section", { class: "card" }, commands),
          el("section", { class: "card stack" }, heading("timeline.title"), timeline)),
        el("div", { class: "stack" },
          el("section", { class: "card stack" }, el("div", { class: "row spread" }, heading("car.title"), again), this._reach, car),
          el("section", { class: "card stack" }, heading("feed.title"), list))),
      el("section", { class: "card" }, areas));

    const about = { api: this._api, session: this._session, vin: this._vin, capabilities: () => this._capabilities };
    this._interrupted = new InterruptedRequest(offered, (pending) => this._resume(pending));
    this._car = new CarPicture(car);
    this._timeline = new Timeline(timeline);
    this._feed = new Feed(list, alerts);
    this._commands = new CommandPanel(commands, { ...about, current: () => this._timeline.command, onAccepted: (command) => this._accepted(command), onShow: (id) => this._show(id) });
    this._history = new History(history, { load: async (query) => (await this._api.get(`${this._door}/history`, { query })).data });
    this._settings = new SettingsPanel(settings, about);
    this._diagnostics = new DiagnosticsPanel(diagnostics, about);
    this._failures = new FailuresPanel(failures, about);
    this._security = new SecurityPanel(security, about);
    this._audit = new AuditPanel(audit, about);
    this._tabs = new Tabs(areas, [
      { key: "tab.history", panel: history, open: () => this._history.refresh() },
      { key: "tab.failures", panel: failures, open: () => this._failures.refresh() },
      { key: "tab.diagnostics", panel: diagnostics, open: () => this._diagnostics.open() },
      { key: "tab.settings", panel: settings, open: () => this._settings.refresh() },
      { key: "tab.security", panel: security, open: () => this._security.open() },
      { key: "tab.audit", panel: audit, open: () => this._audit.refresh() },
    ]);
    this._drawCase();
  }

  _follow() {
    this._live = new LiveUpdates(this._api);
    this._live.addEventListener("update", ({ detail }) => this._take(detail));
    this._live.addEventListener("reset", () => this._readStatus());
    this._live.addEventListener("state", ({ detail }) => this._liveState(detail));
    for (const name of ["refused", "ended-vehicle"]) {
      this._live.addEventListener(name, ({ detail }) => {
        // What is said of another vehicle, or of a message, ends nothing here; nor does what comes again by itself.
        if (detail.vin === this._vin && detail.retryAfterSeconds === undefined) this._onEnded(detail.code, detail.detail);
      });
    }
    this._live.subscribe(this._vin);
    // The status is read once what follows it is sure to come; where that takes long it is better than nothing.
    this._after(LATE_MS, () => !this._hasRead && this._readStatus());
    this._followReach();
    this._readCase();
    this._tabs.choose("tab.history");
  }

  _take(update) {
    this._car.apply(update);
    this._feed.add(update);
    const { commandId, status } = update.data;
    if (update.type !== "COMMAND_STATUS_UPDATE") return;
    // What somebody else asks for meanwhile is shown, too, unless the agent's own still runs.
    const shown = this._timeline.command;
    if (!shown || (shown.commandId !== commandId && isFinal(shown.status) && !isFinal(status))) this._show(commandId);
    else this._timeline.apply(update);
    this._commands.update();
    if (isFinal(status) && shown?.commandId === commandId) {
      this._look(commandId);
      this._history.refresh();
    }
    // The car may have moved doors all the same: what is shown is no longer sure.
    if (status === "TIMEOUT") this._readStatus();
  }

  _liveState(detail) {
    this._onLive(detail);
    this._car.setStale(detail.state !== "live" && detail.state !== "connecting");
    if (detail.state === "live") {
      this._firstRead();
      const { command } = this._timeline;
      if (command && !isFinal(command.status)) this._look(command.commandId);
    }
    if (detail.state === "ended") this._onEnded(detail.code, detail.detail);
  }

  // Each read is an entry of the customer's history: after a cut the updates come by themselves.
  _firstRead() {
    if (this._hasRead) return;
    this._hasRead = true;
    this._readStatus();
  }

  async _readStatus() {
    const status = this._reading(async () => {
      const { data } = await this._api.get(`${this._door}/status`, { signal: this._aborted.signal });
      this._car.setDoors(data);
      this._car.setStale(this._live.state === "reconnecting" || this._live.state === "ended");
      this._status = data;
      this._drawReach();
      clear(this._said);
    });
    await Promise.all([status, this._readCapabilities()]);
  }

  async _readCapabilities() {
    await this._reading(async () => {
      const { data } = await this._api.get(`${this._door}/capabilities`, { signal: this._aborted.signal });
      const isNew = JSON.stringify(data.doors) !== JSON.stringify(this._capabilities?.doors);
      this._capabilities = data;
      this._drawReach();
      if (isNew) {
        this._car.setCapabilities(data);
        this._commands.setCapabilities(data);
      }
    });
  }

  /** Ask again and again, as long as the case is open. */
  _followReach() {
    this._after(REACH_MS, async () => {
      await this._readCapabilities();
      if (!this._aborted.signal.aborted) this._followReach();
    });
  }

  async _readCase() {
    await this._reading(async () => {
      const { data } = await this._api.get(`/cases/${encodeURIComponent(this._session.case.case)}`, { signal: this._aborted.signal });
      this._case = data;
      this._drawCase();
    });
  }

  // What is missing in older services is not shown; a case that has ended ends the workplace by the session's event.
  async _reading(read) {
    try {
      await read();
    } catch (error) {
      if (this._aborted.signal.aborted || ["PATH_NOT_FOUND", "SIGNED_OUT"].includes(error.code)) return;
      if (!("code" in error)) throw error;
      clear(this._said).append(problemNotice(error, button("refresh", () => this._readStatus(), { kind: "small" })));
    }
  }

  _accepted(command) {
    this._timeline.show({ stages: [{ name: "ACCEPTED", time: command.timestamp }], ...command });
    this._commands.update();
    for (const after of LOOKS_MS) this._after(after, () => this._timeline.command?.commandId === command.commandId && !isFinal(this._timeline.command.status) && this._look(command.commandId));
  }

  async _show(commandId) {
    await this._look(commandId, true);
    const { command } = this._timeline;
    if (command?.commandId === commandId && !isFinal(command.status)) this._accepted(command);
  }

  async _look(commandId, evenIfOther = false) {
    await this._reading(async () => {
      const { data } = await this._api.get(`${this._door}/commands/${encodeURIComponent(commandId)}`, { signal: this._aborted.signal });
      if (!evenIfOther && this._timeline.command?.commandId !== commandId) return;
      this._timeline.show(data);
      this._commands.update();
    });
  }

  _drawCase() {
    const { case: number, customer, vin } = this._session.case ?? {};
    if (!number) return;
    const vehicle = this._case?.vehicles?.find((each) => each.vin === vin);
    const others = (this._case?.vehicles ?? []).filter((each) => each.vin !== vin).map((each) => [each.vin, each.model].filter(Boolean).join(" "));
    const facts = [["case.field.case", number], ["case.field.customer", customer], ["case.field.vin", vin],
      ["case.model", vehicle?.model], ["case.role", vehicle?.role && word("role", vehicle.role)],
      ["case.account", this._case?.account && word("account", this._case.account)], ["case.others", others.join(", ")]].filter(([, value]) => value);
    this._title.textContent = `${t("case.field.case")} ${number}`;
    clear(this._bar).append(
      el("dl", {}, facts.map(([key, value]) => el("div", { class: "fact" }, el("dt", {}, t(key)), el("dd", {}, value)))),
      el("div", { class: "row" }, el("span", { class: "small" }, t("case.left"), " ", el("strong", { class: "time-left", role: "timer" })),
        button("case.leave", () => this._onLeave(), { kind: "small" })));
    this._drawReach();
    this.tick();
  }

  /** Show how long the case's token is still good. */
  tick() {
    const until = this._session.case?.expiresAt;
    const left = Math.max(0, Math.floor((until - Date.now()) / 1000));
    const shown = this._bar.querySelector(".time-left");
    if (shown && until) shown.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }

  _drawReach() {
    const state = this._capabilities?.reachability?.state ?? this._status?.connectivity;
    const { since, wakeUpAt } = this._capabilities?.reachability ?? {};
    const facts = [
      this._status?.ignitionStatus && t("car.ignition", { state: word("ignition", this._status.ignitionStatus) }),
      this._status?.vehicleSpeed !== undefined && t("car.speed", { speed: this._status.vehicleSpeed }),
      this._status?.gearPosition && t("car.gear", { gear: this._status.gearPosition }),
      since && state !== "ONLINE" && t("car.since", { time: formatTime(since) }),
      wakeUpAt && Date.parse(wakeUpAt) > Date.now() && t("car.wakeUp", { time: formatTime(wakeUpAt) }),
    ].filter(Boolean);
    clear(this._reach).append(state ? el("span", { class: `badge ${REACH[state] ?? "warn"}`, data: { reach: state } }, word("connectivity", state)) : "",
      el("span", { class: "small muted" }, facts.join(" · ")));
  }

  _after(milliseconds, act) {
    const timer = setTimeout(() => {
      this._timers.delete(timer);
      act();
    }, milliseconds);
    this._timers.add(timer);
  }
}
