/** The car from above, whose doors, locks and windows move with what is reported; and the same as a table of words. */

import { TIMEOUT_MS } from "./api.js";
import { clear, el, svg } from "./dom.js";
import { formatAge, formatTime, onLanguage, t, word } from "./words.js";

export const DOORS = ["driver", "passenger", "rearLeft", "rearRight", "trunk", "hood"];
const SIDES = {
  driver: { x: 46, y: 146, lock: [26, 180] },
  rearLeft: { x: 46, y: 216, lock: [26, 250] },
  passenger: { x: 174, y: 146, lock: [194, 180] },
  rearRight: { x: 174, y: 216, lock: [194, 250] },
};
const HATCHES = {
  hood: { path: "M58 92 Q60 34 78 28 Q110 18 142 28 Q160 34 162 92 Q110 80 58 92 Z", lock: [110, 58] },
  trunk: { path: "M58 326 Q110 338 162 326 L158 368 Q150 384 110 386 Q70 384 62 368 Z", lock: [110, 358] },
};
const MEMBERS = ["locked", "open", "windowOpen"];
const SHACKLE = { locked: "M-4 -1 V-4 A4 4 0 0 1 4 -4 V-1 M-6 -1 H6 V7 H-6 Z", unlocked: "M-4 -1 V-5 A4 4 0 0 1 4 -6 M-6 -1 H6 V7 H-6 Z" };

/**
 * The status after an update of the event stream. Pure.
 * @param {Object|null} status the body of GET status
 * @param {Object} update a message of type DOOR_STATUS_UPDATE; others, and those that the status is newer than, change nothing
 * @returns {Object|null}
 */
export function withUpdate(status, update) {
  if (update.type !== "DOOR_STATUS_UPDATE") return status;
  const known = status ?? { vin: update.vin, doors: {} };
  if (known.timestamp && Date.parse(update.timestamp) < Date.parse(known.timestamp)) return status;
  const { doorId } = update.data;
  const door = { ...known.doors?.[doorId] };
  // What an update does not tell the vehicle cannot tell now: it is unknown, and not as it was.
  for (const member of MEMBERS) {
    if (member in update.data) door[member] = update.data[member];
    else delete door[member];
  }
  delete door.receivedAt;
  const told = { timestamp: update.timestamp, receivedAt: update.timestamp, stale: false };
  const doorTimes = { ...timesOf(known), [doorId]: update.timestamp };
  return { ...known, ...told, doors: { ...known.doors, [doorId]: door }, doorTimes };
}

/**
 * The status after an answer to GET status, which may have been on its way while updates came. Pure.
 * @param {Object|null} shown with `doorTimes`, when each of its doors was as it is shown
 * @param {Object|null} answered
 * @returns {Object|null} the answer, but each door that is known of from later as it was then
 */
export function withAnswer(shown, answered) {
  if (!answered || !shown || shown.vin !== answered.vin) return answered;
  const times = timesOf(shown);
  const later = Object.keys(shown.doors ?? {}).filter((door) => Date.parse(times[door]) > Date.parse(answered.timestamp));
  if (later.length === 0) return answered;
  const pick = (from) => Object.fromEntries(later.map((door) => [door, from[door]]));
  return {
    ...answered,
    timestamp: shown.timestamp,
    receivedAt: shown.receivedAt,
    stale: Boolean(shown.stale),
    doors: { ...answered.doors, ...pick(shown.doors) },
    doorTimes: { ...timesOf(answered), ...pick(times) },
  };
}

/**
 * When the doors were reported last, which the last report need not have done: in privacy mode it names none of them. Pure.
 * @returns {string|undefined}
 */
export function heardAt(status) {
  const reported = status?.receivedAt ?? status?.timestamp;
  const times = Object.values(status?.doors ?? {}).map((door) => door.receivedAt ?? reported).filter(Boolean);
  return times.sort((one, other) => Date.parse(other) - Date.parse(one))[0] ?? reported;
}

/** Whether a door is shown as it was before the doors that were reported last. */
function isOlder(door, status) {
  return Boolean(door?.receivedAt) && Date.parse(door.receivedAt) < Date.parse(heardAt(status));
}

function timesOf(status) {
  return status.doorTimes ?? Object.fromEntries(Object.keys(status.doors ?? {}).map((door) => [door, status.timestamp]));
}

/** The doors to be shown: those the car has, and where nobody knows those that it tells of. */
export function doorsOf(status, capabilities) {
  const told = Object.keys(status?.doors ?? {});
  const fitted = capabilities?.doors?.map((door) => door.doorId ?? door);
  if (fitted?.length) return DOORS.filter((door) => fitted.includes(door) || (door === "hood" && told.includes(door)));
  return told.length ? DOORS.filter((door) => told.includes(door)) : DOORS;
}

/** The words for one member of a door: which state, and whether it is good, worth a look, or not known. */
export function stateOf(door, member) {
  const value = door?.[member];
  if (value === undefined || value === null) return { key: "state.unknown", mood: "unknown" };
  if (member === "locked") return value ? { key: "state.locked", mood: "good" } : { key: "state.unlocked", mood: "warn" };
  if (member === "open") return value ? { key: "state.open", mood: "warn" } : { key: "state.closed", mood: "good" };
  if (member === "windowOpen") return value ? { key: "state.windowOpen", mood: "warn" } : { key: "state.windowClosed", mood: "good" };
  return { key: value ? "state.on" : "state.off", mood: "" };
}

export class CarPicture {
  /** @param {HTMLElement} root is emptied and filled */
  constructor(root) {
    this._root = root;
    this._status = null;
    this._capabilities = null;
    this._stale = false;
    this._movedAt = -Infinity;
    this._drawn = "";
    root.classList.add("car");
    this._stopped = onLanguage(() => this._draw());
    this._ticking = setInterval(() => this._age(), 1000);
    this._draw();
  }

  /** The state that is shown, as GET status has it; null where nothing is known. */
  get status() {
    return this._status;
  }

  /** Show the body of GET status; what an update told while the answer was on its way stays. */
  setDoors(status) {
    // No longer than an answer takes: the clock of a vehicle may be set back, and then the answer is right.
    const mayBeOvertaken = Date.now() - this._movedAt < TIMEOUT_MS;
    this._put(mayBeOvertaken ? withAnswer(this._status, status) : status);
  }

  /** Show what an update changes. */
  apply(update) {
    const status = withUpdate(this._status, update);
    if (status !== this._status) this._movedAt = Date.now();
    this._put(status);
  }

  /** Draw only the doors that the car has: the body of GET capabilities, or null where nobody knows. */
  setCapabilities(capabilities) {
    this._capabilities = capabilities;
    this._draw();
  }

  /** Mark what is shown as old, whatever the last answer said: nothing newer can come now. */
  setStale(stale) {
    this._stale = stale || Boolean(this._status?.stale);
    this._draw();
  }

  clear() {
    this._status = null;
    this._capabilities = null;
    this._stale = false;
    this._draw();
  }

  /** End for good. */
  close() {
    clearInterval(this._ticking);
    this._stopped();
    clear(this._root);
  }

  _put(status) {
    this._status = status;
    this._stale = Boolean(status?.stale);
    this._draw();
  }

  _draw() {
    const doors = doorsOf(this._status, this._capabilities);
    // The picture itself is made once, so that its doors move from where they were.
    if (this._drawn !== doors.join() || !this._picture) {
      this._drawn = doors.join();
      this._picture = picture(doors);
      this._table = el("div", { class: "scroll", tabindex: "0", role: "region" });
      this._aged = el("p", { class: "small muted", data: { part: "age" } });
      clear(this._root).append(el("div", { class: "car-layout" }, this._picture, el("div", { class: "stack tight" }, this._table, this._aged)));
    }
    this._root.classList.toggle("is-stale", this._stale);
    for (const door of doors) paint(this._picture, door, this._status?.doors?.[door]);
    this._picture.querySelector("title").textContent = t("car.picture");
    this._picture.querySelector(".front").textContent = t("car.front");
    this._table.setAttribute("aria-label", t("car.table"));
    clear(this._table).append(this._rows(doors));
    this._age();
  }

  _rows(doors) {
    const states = doors.map((door) => this._status?.doors?.[door]);
    const columns = ["locked", "open", "windowOpen", "childLock"].filter(
      (member, index) => index < 2 || states.some((state) => state && member in state),
    );
    const head = el("tr", {}, el("th", { scope: "col" }, t("door")), columns.map((each) => el("th", { scope: "col" }, t(`column.${each}`))));
    const rows = doors.map((door, index) => el("tr", { data: { door } },
      el("th", { scope: "row" }, word("door", door), isOlder(states[index], this._status) && el("span", { class: "small muted" }, ` · ${formatTime(states[index].receivedAt)}`)),
      columns.map((member) => el("td", { data: { member } }, cell(states[index], member)))));
    return el("table", { class: "data" }, el("caption", { class: "visually-hidden" }, t("car.table")), el("thead", {}, head), el("tbody", {}, rows));
  }

  _age() {
    const received = heardAt(this._status);
    if (!received) {
      this._aged.textContent = t("car.nothing");
      return;
    }
    const age = formatAge((Date.now() - Date.parse(received)) / 1000);
    this._aged.textContent = t(this._stale ? "car.stale" : "car.fresh", { age, time: formatTime(received) });
  }
}

function cell(door, member) {
  // A window or a child lock that the door has not is no question.
  if (member !== "locked" && member !== "open" && !(door && member in door)) return el("span", { class: "muted", "aria-label": t("state.none") }, "–");
  const { key, mood } = stateOf(door, member);
  return el("span", { class: `badge ${mood}` }, t(key));
}

function picture(doors) {
  const sides = doors.filter((door) => door in SIDES).map((door) => {
    const { x, y, lock } = SIDES[door];
    const left = x < 110;
    const outer = left ? x - 5 : x + 5;
    const inner = left ? x + 3 : x - 3;
    return svg("g", { class: `door door-${door}` },
      svg("path", { class: "panel", d: `M${inner} ${y} H${outer} Q${left ? outer - 3 : outer + 3} ${y + 32} ${outer} ${y + 64} H${inner} Z` }),
      svg("line", { class: "window", x1: left ? x + 8 : x - 8, x2: left ? x + 8 : x - 8, y1: y + 10, y2: y + 54 }),
      sign(door, lock));
  });
  const hatches = doors.filter((door) => door in HATCHES).map((door) =>
    svg("g", { class: `hatch hatch-${door}` }, svg("path", { class: "lid", d: HATCHES[door].path }), sign(door, HATCHES[door].lock)));
  return svg("svg", { viewBox: "0 0 220 400", role: "img" },
    svg("title", {}),
    svg("path", { class: "body", d: "M46 120 Q46 30 74 22 Q110 10 146 22 Q174 30 174 120 L174 350 Q172 384 146 390 Q110 396 74 390 Q48 384 46 350 Z" }),
    svg("path", { class: "glass", d: "M60 140 Q66 106 110 102 Q154 106 160 140 Q110 128 60 140 Z" }),
    svg("path", { class: "glass", d: "M62 284 Q110 294 158 284 Q156 312 150 316 Q110 326 70 316 Q64 312 62 284 Z" }),
    hatches, sides,
    svg("text", { class: "front", x: 110, y: 8 }));
}

function sign(door, [x, y]) {
  return svg("g", { class: "lock", data: { lock: door }, transform: `translate(${x} ${y})` },
    svg("circle", { r: 13 }), svg("path", { class: "sign" }), svg("text", { y: 5 }));
}

function paint(root, door, state) {
  const group = root.querySelector(`.door-${door}, .hatch-${door}`);
  group.classList.toggle("is-open", state?.open === true);
  group.classList.toggle("is-unknown", state?.open === undefined);
  const lock = group.querySelector(".lock");
  const known = state?.locked !== undefined;
  lock.classList.toggle("is-locked", state?.locked === true);
  lock.classList.toggle("is-unlocked", state?.locked === false);
  lock.querySelector(".sign").setAttribute("d", known ? SHACKLE[state.locked ? "locked" : "unlocked"] : "");
  lock.querySelector("text").textContent = known ? "" : "?";
  const window = group.querySelector(".window");
  window?.classList.toggle("is-open", state?.windowOpen === true);
  window?.classList.toggle("is-unknown", state?.windowOpen === undefined);
}
