/** The updates of many vehicles over one WebSocket, each resumed by its own last id wherever the connection breaks. */

import { DoorsError } from "./errors.js";
import type { DoorEvent } from "./events.js";
import { mayRepeat, type Requester } from "./http.js";
import { objectOf } from "./json.js";
import { isClosed, type Message, Socket, type SocketClass } from "./socket.js";
import { backOff, pause, retryAfterMs } from "./time.js";
import { OVER } from "./watch.js";

/** How many vehicles are watched. */
export interface WatchAllOptions {
  /** The last event of each vehicle, by its VIN: what came after it is told first. */
  lastEventIds?: Readonly<Record<string, string>> | undefined;
  /** What to be told of; without, everything. */
  types?: DoorEvent["type"][] | undefined;
  /** Called with each vehicle and its place, each time that it is watched from there: nothing after it is missed. */
  onOpen?: (vin: string, lastEventId: string | undefined) => void;
  /** Called where nothing more is told of a vehicle. */
  onEnded?: (vin: string, reason: DoorsError) => void;
  /** Called with the reason each time that the connection has broken and will be opened again. */
  onReconnect?: (reason: DoorsError, pauseSeconds: number) => void;
  /** Instead of the global one, which Node has from version 22 on. */
  WebSocket?: SocketClass | undefined;
  signal?: AbortSignal | undefined;
}

const PATH = "/api/v1/remotecontrol/events";
const AT_ONCE = 100;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const TOO_OFTEN_PAUSE_MS = 60_000;
const [SIGN_IN_OVER, RIGHT_OVER, TOO_OFTEN] = [4401, 4403, 4429];

/** A vehicle that is watched: its last event, and when it may be asked for again where it was refused for a time. */
interface Watched {
  last: string | undefined;
  askAt: number;
}

/** @internal */
export async function* watchAll(
  requester: Requester,
  vins: Iterable<string>,
  newId: () => string,
  options: WatchAllOptions,
): AsyncGenerator<DoorEvent, never, undefined> {
  const socketClass = options.WebSocket ?? (globalThis as { WebSocket?: SocketClass }).WebSocket;
  if (!socketClass) throw new TypeError("there is no WebSocket here: give one as an option");
  const watching = new Watching(vins, options);
  for (let [failures, renewals] = [0, 0]; ; failures += 1) {
    let reason: DoorsError;
    let leastMs = 0;
    try {
      const ticket = await ticketOf(requester, newId(), options.signal);
      const url = `${requester.socketUrl(`${PATH}/ws`)}?ticket=${encodeURIComponent(ticket)}`;
      const ended = yield* watching.over(new Socket(socketClass, url, options.signal), newId);
      if (watching.isAlive) [failures, renewals] = [0, 0];
      reason = ended.reason;
      if (ended.code === TOO_OFTEN) leastMs = TOO_OFTEN_PAUSE_MS;
      if (ended.code === RIGHT_OVER) leastMs = watching.rightsOver(newId(), reason.detail);
    } catch (error) {
      if (!(error instanceof DoorsError) || !mayRepeat(error)) throw error;
      reason = error;
    }
    if (reason.code === "TOKEN_EXPIRED") {
      if (!requester.mayRenew || renewals > 0) throw reason;
      renewals += 1;
      await requester.renew();
    } else if (OVER.has(reason.code) && !reason.retryable) {
      throw reason;
    }
    const pauseMs = Math.max(leastMs, retryAfterMs(reason.retryAfterSeconds), backOff(failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS));
    options.onReconnect?.(reason, pauseMs / 1000);
    await pause(pauseMs, options.signal);
  }
}

async function ticketOf(requester: Requester, correlationId: string, signal: AbortSignal | undefined): Promise<string> {
  const sent = { method: "POST", path: `${PATH}/tickets`, correlationId, body: {}, isOnce: true };
  const { text } = await requester.send(signal ? { ...sent, signal } : sent);
  const ticket = objectOf(text)?.["ticket"];
  if (typeof ticket === "string") return ticket;
  // Something stands in front of the API now: as where nothing answers, another ticket is asked for later.
  throw new DoorsError({ code: "INVALID_ANSWER", correlationId, detail: "There is no ticket in the answer.", retryable: true });
}

class Watching {
  readonly #vehicles = new Map<string, Watched>();
  readonly #options: WatchAllOptions;
  /** Whether the last connection told anything. */
  isAlive = false;

  constructor(vins: Iterable<string>, options: WatchAllOptions) {
    this.#options = options;
    const places = new Map(Object.entries(options.lastEventIds ?? {}).map(([vin, last]) => [vin.toUpperCase(), last]));
    for (const vin of vins) this.#vehicles.set(vin.toUpperCase(), { last: places.get(vin.toUpperCase()), askAt: 0 });
    if (this.#vehicles.size === 0) throw new TypeError("no vehicle to watch");
  }

  /** Yield what one connection tells. Return how it was closed. */
  async *over(socket: Socket, newId: () => string): AsyncGenerator<DoorEvent, { code: number; reason: DoorsError }, undefined> {
    this.isAlive = false;
    try {
      const broken = await socket.opened();
      if (broken) return { code: broken.code, reason: this.#closed(broken, newId()) };
      const asked = new Set<string>();
      for (;;) {
        this.#ask(socket, asked);
        const message = await socket.next(this.#untilNextMs(asked));
        if (message === undefined) continue; // somebody may be asked for again
        if (isClosed(message)) return { code: message.code, reason: this.#closed(message, newId()) };
        this.isAlive = true;
        const event = this.#take(message, asked, newId);
        if (event) yield event;
      }
    } finally {
      socket.close();
    }
  }

  /** End the vehicles that were watched. Return in how many milliseconds one may be asked for again; throw where none is left. */
  rightsOver(correlationId: string, detail: string): number {
    const reason = new DoorsError({ code: "ACTION_NOT_GRANTED", correlationId, detail, retryable: false });
    for (const [vin, { askAt }] of [...this.#vehicles]) {
      if (askAt > 0) continue;
      this.#vehicles.delete(vin);
      this.#options.onEnded?.(vin, reason);
    }
    if (this.#vehicles.size === 0) throw reason;
    return Math.max(0, Math.min(...[...this.#vehicles.values()].map(({ askAt }) => askAt)) - Date.now());
  }

  #ask(socket: Socket, asked: Set<string>): void {
    const now = Date.now();
    const wanted = [...this.#vehicles].filter(([vin, { askAt }]) => !asked.has(vin) && askAt <= now);
    for (let from = 0; from < wanted.length; from += AT_ONCE) {
      const vehicles = wanted.slice(from, from + AT_ONCE).map(([vin, { last }]) => (last ? { vin, lastEventId: last } : { vin }));
      const types = this.#options.types ? { types: this.#options.types } : {};
      socket.say({ action: "subscribe", vehicles, ...types });
    }
    for (const [vin] of wanted) asked.add(vin);
  }

  /** Milliseconds until a refused vehicle may be asked for again. */
  #untilNextMs(asked: Set<string>): number | undefined {
    const waiting = [...this.#vehicles].filter(([vin]) => !asked.has(vin)).map(([, { askAt }]) => askAt - Date.now());
    return waiting.length > 0 ? Math.max(0, Math.min(...waiting)) : undefined;
  }

  #take(message: Message, asked: Set<string>, newId: () => string): DoorEvent | undefined {
    const vehicle = this.#vehicles.get(message.vin);
    if (!vehicle) return undefined;
    switch (message.type) {
      case "SUBSCRIBED":
        vehicle.askAt = 0;
        vehicle.last = message.eventId ?? vehicle.last;
        this.#options.onOpen?.(message.vin, vehicle.last);
        return undefined;
      case "REFUSED":
      case "ENDED":
        asked.delete(message.vin);
        this.#refused(message, vehicle, newId());
        return undefined;
      case "UNSUBSCRIBED":
      case "ERROR":
        return undefined;
      default:
        vehicle.last = message.id ?? vehicle.last;
        return message as unknown as DoorEvent;
    }
  }

  #refused({ vin, code = "INTERNAL_ERROR", detail = "", retryAfterSeconds }: Message, vehicle: Watched, correlationId: string): void {
    const isForATime = retryAfterSeconds !== undefined || code === "INTERNAL_ERROR" || code === "RATE_LIMITED";
    const reason = new DoorsError({ code, detail, correlationId, retryable: isForATime });
    if (isForATime) {
      vehicle.askAt = Date.now() + retryAfterMs(retryAfterSeconds ?? LONGEST_PAUSE_MS / 1000);
      return;
    }
    this.#vehicles.delete(vin);
    this.#options.onEnded?.(vin, reason);
    if (this.#vehicles.size === 0) throw reason;
  }

  #closed({ code, reason }: { code: number; reason: string }, correlationId: string): DoorsError {
    if (code === SIGN_IN_OVER) return new DoorsError({ code: reason || "TOKEN_INVALID", correlationId, detail: "The sign-in is over." });
    if (code === RIGHT_OVER) return new DoorsError({ code: "ACTION_NOT_GRANTED", correlationId, detail: reason, retryable: true });
    const known = code === TOO_OFTEN ? "RATE_LIMITED" : "NO_ANSWER";
    return new DoorsError({ code: known, correlationId, detail: reason || `The connection was closed (${code}).`, retryable: true });
  }
}
