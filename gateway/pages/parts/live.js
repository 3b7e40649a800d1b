/**
 * Live updates of vehicles over the WebSocket, from a ticket on: resumed by each vehicle's last id when the connection is
 * cut, with growing and jittered pauses, and never silently given up.
 */

import { ApiError, isAway } from "./api.js";
import { ISSUER_AWAY, SignInError } from "./session.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const SOON_MS = 1_000;
const QUIET_MS = 25_000;
const ANSWER_MS = 10_000;
const OPEN_MS = 15_000;
const RATE_PAUSE_MS = 60_000;
const LONGEST_REFUSAL_MS = 86_400_000;
const [SIGN_IN_OVER, RIGHT_OVER, IDLE, TOO_OFTEN, GOES_AWAY, TOO_SLOW] = [4401, 4403, 4408, 4429, 1001, 1013];

/**
 * Return whether a "refused" or an "ended-vehicle" means that nothing more is told of this vehicle: what is said of another
 * one, or of a message, ends nothing, nor does what comes again by itself. Pure.
 */
export function endsVehicle({ vin, retryAfterSeconds }, ours) {
  return vin === ours && !retryAfterSeconds;
}

/**
 * Events: "state" {state, code, detail, retryInSeconds}; "update" {id, type, vin, timestamp, data}; "refused" and
 * "ended-vehicle" {vin, code, detail}; "reset" {vin}: what was told before may be missing something, read the status anew.
 * `state` is idle, connecting, live, reconnecting or ended (a sign-in or a right is over: it does not come back by itself).
 */
export class LiveUpdates extends EventTarget {
  #api;
  #vehicles = new Map();
  #socket = null;
  #attempts = 0;
  #timers = new Set();
  #retry = null;
  #generation = 0;
  #heard = 0;
  #isRenewed = false;
  #isHeldBack = false;
  #wake = () => this.#again();
  #lost = () => this.#cut("OFFLINE");

  state = "idle";

  constructor(api) {
    super();
    this.#api = api;
    globalThis.addEventListener("online", this.#wake);
    globalThis.addEventListener("offline", this.#lost);
  }

  /** Tell of a vehicle from now on. `types`: those to be told of; without, all. */
  subscribe(vin, { types, lastEventId } = {}) {
    this.#vehicles.set(vin, { types, last: lastEventId ?? this.#vehicles.get(vin)?.last ?? null, refusal: null });
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#ask([vin]);
    } else if (this.state !== "connecting" && (!this.#retry || this.#isHeldBack)) {
      this.#attempts = 0;
      this.#connect();
    }
  }

  unsubscribe(vin) {
    if (!this.#vehicles.delete(vin)) return;
    if (this.#vehicles.size === 0) {
      this.close();
    } else if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#say({ action: "unsubscribe", vins: [vin] });
    }
  }

  /** Stop; subscribe() begins anew. */
  close() {
    this.#vehicles.clear();
    this.#drop();
    this.#show("idle");
  }

  /** Stop for good: nothing is listened to any more. */
  dispose() {
    this.close();
    globalThis.removeEventListener("online", this.#wake);
    globalThis.removeEventListener("offline", this.#lost);
  }

  #again() {
    if (this.state !== "reconnecting") return;
    this.#attempts = 0;
    this.#connect();
  }

  async #connect() {
    this.#drop();
    if (this.#wanted().length === 0) {
      this.#hold();
      return;
    }
    const generation = this.#generation;
    this.#show(this.state === "reconnecting" ? "reconnecting" : "connecting");
    let ticket;
    try {
      const { data } = await this.#api.send("POST", "/events/tickets", {}, { timeoutMs: OPEN_MS });
      ticket = data.ticket;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (generation === this.#generation) this.#noTicket(error);
      return;
    }
    if (generation !== this.#generation) return;
    const socket = new WebSocket(this.#api.socketUrl(ticket));
    this.#socket = socket;
    this.#after(OPEN_MS, () => socket.readyState === WebSocket.CONNECTING && this.#cut("NO_ANSWER"));
    socket.onopen = () => {
      this.#heard = Date.now();
      this.#ask(this.#wanted());
      for (const [vin, vehicle] of this.#vehicles) if (vehicle.refusal) this.#askAgain(vin, vehicle);
      this.#watch(socket);
    };
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
  }

  /** The vehicles that may be asked for now: not refused, or refused for a time that is over. */
  #wanted() {
    return [...this.#vehicles].filter(([, { refusal }]) => !refusal || refusal.retryAt <= Date.now()).map(([vin]) => vin);
  }

  /** The refusal that is over first, or where none ends by itself one of them; null where there is none. */
  #firstRefusal() {
    const refusals = [...this.#vehicles.values()].map(({ refusal }) => refusal).filter(Boolean);
    return refusals.sort((one, other) => one.retryAt - other.retryAt)[0] ?? null;
  }

  /** Every vehicle was refused: without a connection wait until the first may be asked for again, or say that none will be. */
  #hold() {
    const refusal = this.#firstRefusal();
    if (refusal === null) {
      this.#show("idle");
    } else if (refusal.retryAt === Infinity) {
      this.#end(refusal.code, refusal.detail);
    } else {
      const pause = Math.max(0, refusal.retryAt - Date.now());
      this.#isHeldBack = true;
      this.#retry = setTimeout(() => this.#connect(), pause);
      this.#show("reconnecting", refusal.code, refusal.detail, Math.ceil(pause / 1000));
    }
  }

  #noTicket(error) {
    if (error.status === 401 || error.status === 403 || error.code === "SIGNED_OUT") {
      this.#end(error.code, error.detail);
    } else {
      this.#pause(error.code, error.detail, isAway(error) ? 0 : (error.retryAfterSeconds ?? 1) * 1000);
    }
  }

  #closed(code, reason) {
    if (code === SIGN_IN_OVER) {
      this.#signInOver(reason || "TOKEN_INVALID");
    } else if (code === RIGHT_OVER && !Number.isFinite(this.#firstRefusal()?.retryAt)) {
      this.#end("ACTION_NOT_GRANTED", reason);
    } else if (code === RIGHT_OVER || code === IDLE) {
      this.#connect(); // for what may be asked for again, now or later
    } else if (code === TOO_OFTEN) {
      this.#pause("RATE_LIMITED", reason, RATE_PAUSE_MS);
    } else if (code === GOES_AWAY || code === TOO_SLOW) {
      this.#attempts = 0;
      this.#pause(code === TOO_SLOW ? "TOO_SLOW" : "DEPENDENCY_UNAVAILABLE", reason, 0);
    } else {
      this.#pause("OFFLINE", reason, 0);
    }
  }

  /** A connection ends with the token it was opened with: where the token can be renewed the sign-in goes on. */
  async #signInOver(code) {
    const { session } = this.#api;
    if (code !== "TOKEN_EXPIRED" || session.case || this.#isRenewed) {
      session.end(code, "");
      this.#end(code, "");
      return;
    }
    this.#isRenewed = true;
    this.#drop();
    const generation = this.#generation;
    this.#show("reconnecting", code);
    try {
      await session.renew();
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      if (generation !== this.#generation) return;
      if (error.code === ISSUER_AWAY) {
        this.#isRenewed = false; // nothing was renewed: the ticket asks for it again
        this.#pause("OFFLINE", error.detail, 0);
      } else {
        session.end(code, error.detail);
        this.#end(code, error.detail);
      }
      return;
    }
    if (generation === this.#generation) this.#connect();
  }

  #ask(vins) {
    for (const types of new Set(vins.map((vin) => JSON.stringify(this.#vehicles.get(vin).types ?? null)))) {
      const alike = vins.filter((vin) => JSON.stringify(this.#vehicles.get(vin).types ?? null) === types);
      const vehicles = alike.map((vin) => {
        const { last } = this.#vehicles.get(vin);
        return last ? { vin, lastEventId: last } : { vin };
      });
      this.#say({ action: "subscribe", vehicles, ...(types === "null" ? {} : { types: JSON.parse(types) }) });
    }
  }

  #say(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #take(message) {
    this.#heard = Date.now();
    const vehicle = this.#vehicles.get(message.vin);
    switch (message.type) {
      case "SUBSCRIBED":
        if (vehicle) vehicle.refusal = null;
        if (vehicle && message.eventId) vehicle.last = message.eventId;
        this.#attempts = 0;
        this.#isRenewed = false;
        this.#show("live");
        break;
      case "REFUSED":
      case "ENDED":
        this.#refused(message, vehicle);
        break;
      case "UNSUBSCRIBED":
        break;
      case "ERROR":
        this.#tell("refused", { vin: message.vin ?? null, code: message.code, detail: message.detail });
        break;
      default:
        if (!vehicle) break;
        if (message.id) vehicle.last = message.id;
        if (message.type === "SYSTEM_ALERT" && message.data.code === "UPDATES_RESET") this.#tell("reset", { vin: message.vin });
        else this.#tell("update", message);
    }
  }

  #refused(message, vehicle) {
    const { vin, code, detail, retryAfterSeconds } = message;
    if (vehicle) {
      const pause = retryAfterSeconds ? Math.min(retryAfterSeconds * 1000, LONGEST_REFUSAL_MS) : Infinity;
      vehicle.refusal = { code, detail, retryAt: Date.now() + pause };
      this.#askAgain(vin, vehicle);
    }
    this.#tell(message.type === "ENDED" ? "ended-vehicle" : "refused", { vin, code, detail, retryAfterSeconds });
    const retryAt = this.#firstRefusal()?.retryAt;
    if (Number.isFinite(retryAt) && [...this.#vehicles.values()].every(({ refusal }) => refusal)) {
      this.#show("reconnecting", code, detail, Math.ceil((retryAt - Date.now()) / 1000)); // connected, and told of nothing
    }
  }

  /** Ask for a refused vehicle over this connection, once it may be. Without a connection #connect() does. */
  #askAgain(vin, vehicle) {
    const { refusal } = vehicle;
    if (refusal.retryAt === Infinity || refusal.retryAt <= Date.now()) return;
    this.#after(refusal.retryAt - Date.now(), () => {
      const isStill = this.#vehicles.get(vin) === vehicle && vehicle.refusal === refusal;
      if (isStill && this.#socket?.readyState === WebSocket.OPEN) this.#ask([vin]);
    });
  }

  /** A connection over which nothing comes is asked for an answer, and taken for dead where none comes. */
  #watch(socket) {
    this.#after(QUIET_MS, () => {
      if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
      if (Date.now() - this.#heard < QUIET_MS) {
        this.#watch(socket);
        return;
      }
      const asked = Date.now();
      this.#say({ action: "unsubscribe", requestId: "ping", vins: ["00000000000000000"] });
      this.#after(ANSWER_MS, () => {
        if (socket !== this.#socket) return;
        if (this.#heard >= asked) this.#watch(socket);
        else this.#cut("NO_ANSWER");
      });
    });
  }

  #cut(code) {
    if (this.state === "idle" || this.state === "ended") return;
    this.#pause(code, "", 0);
  }

  #pause(code, detail, leastMs) {
    this.#drop();
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    const pause = Math.max(leastMs, Math.min(SOON_MS, longest) / 2 + Math.random() * longest);
    this.#show("reconnecting", code, detail, Math.ceil(pause / 1000));
    this.#retry = setTimeout(() => this.#connect(), pause);
  }

  #end(code, detail) {
    this.#drop();
    this.#show("ended", code, detail);
  }

  #drop() {
    this.#generation += 1;
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#isHeldBack = false;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #after(milliseconds, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, milliseconds);
    this.#timers.add(timer);
  }

  #show(state, code = "", detail = "", retryInSeconds = null) {
    this.state = state;
    this.#tell("state", { state, code, detail, retryInSeconds });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
