/** One car as its driver sees it: how it stands, what can be done, what became of it, and what was before. */

import { SettingsPanel } from "../console/settings.js";
import { isAway } from "../parts/api.js";
import { CarPicture } from "../parts/car.js";
import { clear, el } from "../parts/dom.js";
import { History } from "../parts/history.js";
import { LiveUpdates, endsVehicle } from "../parts/live.js";
import { onLanguage, problemText, t, word } from "../parts/words.js";
import { keepStatus, keptStatus } from "./cache.js";
import { HelpPanel } from "./help.js";
import { NotificationsPanel } from "./notifications.js";
import { OrderPanel, isRestoration } from "./order_panel.js";

const READ_AGAIN_MS = 5_000;
/** Between two looks at whether the car can be reached: of that no live update tells. */
const LOOK_MS = 30_000;
const REACH_MOODS = { ONLINE: "good", ASLEEP: "" };
/** Then what is shown may be otherwise by now, however the status calls it. */
const UNHEARD = new Set(["LOST", "PRIVACY_MODE"]);
const LIVE_MOODS = { live: "good", reconnecting: "warn", ended: "bad", connecting: "busy" };

export class CarView {
  #root;
  #api;
  #vehicle;
  #parts = {};
  #live;
  #closing = [];
  #capabilities = null;
  #connectivity = null;
  #problem = null;
  #retry = null;
  #looking = null;
  #seen = () => document.hidden || this.#readCapabilities();
  #isRefused = false;
  #isClosed = false;

  /** @param {{api: Object, vehicle: {vin: string, role: string}, onOthers: (() => void)|null}} options */
  constructor(root, { api, vehicle, onOthers }) {
    this.#root = root;
    this.#api = api;
    this.#vehicle = vehicle;
    this.#live = new LiveUpdates(api);
    this.#build(onOthers);
  }

  get #vin() {
    return this.#vehicle.vin;
  }

  async open() {
    this.#live.addEventListener("state", ({ detail }) => this.#liveState(detail));
    this.#live.addEventListener("update", ({ detail }) => this.#updated(detail));
    this.#live.addEventListener("reset", () => this.#readAll());
    for (const name of ["refused", "ended-vehicle"]) {
      this.#live.addEventListener(name, ({ detail }) => endsVehicle(detail, this.#vin) && this.#refused(detail));
    }
    document.addEventListener("visibilitychange", this.#seen);
    this.#live.subscribe(this.#vin);
    await Promise.all([this.#read(), this.#readCapabilities()]);
  }

  /** Do what a step-up interrupted. */
  async resume(pending) {
    if (pending.path.endsWith("/config")) {
      this.#parts.settingsBox.open = true;
      await this.#parts.settings.send(pending);
    } else if (isRestoration(pending)) {
      await this.#parts.orders.restore(pending);
    } else {
      await this.#parts.orders.send(pending);
    }
  }

  /** Go on with the code for an agent, for which a stronger sign-in was asked. */
  help(number) {
    this.#parts.helpBox.open = true;
    this.#parts.assistance.offer(number);
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#looking);
    document.removeEventListener("visibilitychange", this.#seen);
    this.#live.dispose();
    for (const end of this.#closing) end();
    clear(this.#root);
  }

  #build(onOthers) {
    const part = (name, tag = "div", attributes = {}) => (this.#parts[name] = el(tag, { data: { part: name }, ...attributes }));
    const title = part("title", "h2", { class: "vehicle-name" });
    const others = onOthers && el("button", { type: "button", class: "quiet small", onclick: onOthers, data: { word: "app.otherCar" } });
    this.#root.append(
      el("div", { class: "row spread wide" }, title, el("div", { class: "row tight" }, part("badges", "div", { class: "row tight" }), others)),
      part("told", "div", { class: "wide", role: "status", "aria-live": "polite" }),
      el("section", { class: "card stack", "aria-labelledby": "orders-title" }, el("h2", { id: "orders-title", data: { word: "app.orders" } }), part("orders")),
      el("section", { class: "card stack", "aria-labelledby": "doors-title" }, el("h2", { id: "doors-title", data: { word: "app.doors" } }), part("car")),
      this.#box("history", "app.history"), this.#box("settings", "app.settings"), this.#box("notifications", "app.notifications"), this.#box("help", "app.help"));
    const parts = this.#parts;
    const options = { api: this.#api, session: this.#api.session, vin: this.#vin, capabilities: () => this.#capabilities };
    parts.picture = new CarPicture(parts.car);
    parts.orders = new OrderPanel(parts.orders, { ...options, isLive: () => this.#live.state === "live", onLate: () => this.#historyChanged() });
    parts.records = new History(parts.history, { load: async (query) => (await this.#api.get(`${this.#api.door(this.#vin)}/history`, { query })).data });
    parts.settings = new SettingsPanel(parts.settings, options);
    parts.notifications = new NotificationsPanel(parts.notifications, options);
    parts.assistance = new HelpPanel(parts.help, options);
    parts.historyBox.addEventListener("toggle", () => parts.historyBox.open && parts.records.refresh());
    for (const name of ["settings", "notifications"]) parts[`${name}Box`].addEventListener("toggle", () => parts[`${name}Box`].open && parts[name].open());
    this.#closing = [parts.picture, parts.orders, parts.records, parts.settings, parts.notifications, parts.assistance].map((each) => () => each.close());
    this.#closing.push(onLanguage(() => this.#words()));
    this.#words();
  }

  #box(name, key) {
    const inside = (this.#parts[name] = el("div", { class: "stack", data: { part: name } }));
    const box = (this.#parts[`${name}Box`] = el("details", { class: "card wide", data: { box: name } }, el("summary", { data: { word: key } }), inside));
    return box;
  }

  #words() {
    for (const node of this.#root.querySelectorAll("[data-word]")) node.textContent = t(node.dataset.word);
    const { model, vin, role } = this.#vehicle;
    clear(this.#parts.title).append(model ?? this.#capabilities?.model ?? t("app.yourCar"), " ", el("span", { class: "small muted" }, t("app.vin", { end: vin.slice(-6) }), " · ", t(`role.${role}`)));
    this.#badges();
    this.#tellProblem();
  }

  /** Whether the car can be reached, and if not why: as GET capabilities says, or where that is not known as the status does. */
  get #reach() {
    return this.#capabilities?.reachability?.state ?? this.#connectivity;
  }

  #badges() {
    const { state } = this.#live;
    const reach = this.#reach;
    clear(this.#parts.badges).append(
      el("span", { class: `badge ${LIVE_MOODS[state] ?? "unknown"}`, role: "status", data: { live: state } }, word("live", state)),
      ...(reach ? [el("span", { class: `badge ${REACH_MOODS[reach] ?? "warn"}`, data: { connectivity: reach } }, word("connectivity", reach))] : []));
  }

  async #read() {
    clearTimeout(this.#retry);
    try {
      const { data } = await this.#api.get(`${this.#api.door(this.#vin)}/status`);
      if (this.#isClosed) return;
      this.#shown(data);
      this.#problem = null;
    } catch (error) {
      if (!("code" in error)) throw error;
      if (this.#isClosed) return;
      this.#notRead(error);
    }
    this.#tellProblem();
    this.#badges();
  }

  /** Read what live updates tell of, where some of them may have been missed. */
  #readAll() {
    this.#read();
    this.#parts.orders.ask();
    this.#historyChanged();
  }

  #shown(status) {
    this.#connectivity = status.connectivity ?? null;
    this.#parts.picture.setDoors(status);
    this.#parts.picture.setStale(UNHEARD.has(this.#reach));
    keepStatus(this.#api.session.subject, this.#parts.picture.status);
  }

  /** Nothing newer can be had: what was known before is shown as old, and the question is asked again. */
  #notRead(error) {
    this.#problem = error;
    this.#connectivity = null;
    const kept = this.#parts.picture.status ?? keptStatus(this.#api.session.subject, this.#vin);
    if (kept) {
      this.#parts.picture.setDoors(kept);
      this.#parts.picture.setStale(true);
    }
    if (isAway(error)) this.#retry = setTimeout(() => this.#read(), READ_AGAIN_MS);
  }

  /** What the car has, once; and as long as somebody looks, whether it can be reached. A status read would be in the history each time. */
  async #readCapabilities() {
    clearTimeout(this.#looking);
    const [known, before] = [this.#capabilities, this.#reach];
    try {
      const { data } = await this.#api.get(`${this.#api.door(this.#vin)}/capabilities`);
      if (this.#isClosed) return;
      this.#capabilities = data;
      if (known) {
        if (this.#reach !== before) await this.#read();
      } else {
        this.#parts.picture.setCapabilities(data);
        this.#parts.orders.setCapabilities(data);
        this.#words();
      }
      if (UNHEARD.has(this.#reach)) this.#parts.picture.setStale(true);
    } catch (error) {
      if (!("code" in error)) throw error; // without them everything is offered, and the service says what the car lacks
    }
    this.#lookLater();
  }

  #lookLater() {
    clearTimeout(this.#looking);
    if (!this.#isClosed) this.#looking = setTimeout(() => (document.hidden ? this.#lookLater() : this.#readCapabilities()), LOOK_MS);
  }

  #liveState({ state, code, detail }) {
    this.#badges();
    if (state === "live") {
      this.#isRefused = false;
      this.#parts.orders.setEnabled(true);
      this.#readAll();
    } else if (state === "reconnecting") {
      this.#parts.picture.setStale(true);
      if (code === "TOKEN_EXPIRED") return; // it is being renewed: nothing to tell
      this.#problem ??= { code: "OFFLINE", status: 0 };
      this.#tellProblem();
    } else if (state === "ended" && this.#api.session.isSignedIn) {
      this.#refused({ code, detail });
    }
  }

  #refused({ code, detail }) {
    this.#problem = { code, detail, status: 403 };
    this.#isRefused = true;
    this.#parts.orders.setEnabled(false);
    this.#tellProblem();
  }

  /** Try again what the person is told of; what was refused for good, too: they may have been given it again. */
  #again() {
    if (this.#isRefused) this.#live.subscribe(this.#vin);
    return this.#read();
  }

  #tellProblem() {
    const told = clear(this.#parts.told);
    if (!this.#problem) return;
    const { title, detail, next } = problemText(this.#problem);
    const lines = [next, detail !== title ? detail : ""].filter(Boolean);
    told.append(el("div", { class: `alert ${isAway(this.#problem) || this.#problem.code === "OFFLINE" ? "warn" : "bad"}`, data: { code: this.#problem.code } },
      el("div", { class: "text" }, el("strong", {}, title), lines.map((line) => el("p", { class: "small" }, line))),
      el("button", { type: "button", class: "small", onclick: () => this.#again() }, t("app.again"))));
  }

  #updated(update) {
    if (update.type === "DOOR_STATUS_UPDATE") {
      this.#parts.picture.apply(update);
      keepStatus(this.#api.session.subject, this.#parts.picture.status);
    } else if (update.type === "COMMAND_STATUS_UPDATE") {
      this.#parts.orders.apply(update);
      this.#historyChanged();
      if (update.data.status === "TIMEOUT") this.#unanswered();
    }
  }

  /** A command that the car did not answer may have moved doors: what is shown is no longer sure. */
  async #unanswered() {
    await this.#read();
    await this.#readCapabilities();
  }

  #historyChanged() {
    if (this.#parts.historyBox.open) this.#parts.records.refresh();
  }
}

