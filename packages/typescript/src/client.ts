/** The client: what an app does with vehicles' doors. */

import { DoorsError } from "./errors.js";
import type { DoorEvent } from "./events.js";
import { type DoorsOptions, mayRepeat, Requester, type Received, within } from "./http.js";
import type { components } from "./openapi.js";
import { pause } from "./time.js";
import { type Answer, type Call, type CallOptions, type DataOf, filled, type Method, type PathOf } from "./typed.js";
import { watch, type WatchOptions } from "./watch.js";
import { watchAll, type WatchAllOptions } from "./watch_all.js";

export type Schemas = components["schemas"];
export type DoorName = Schemas["DoorUnlock"]["targetDoors"][number];

/** How a command went. */
export type CommandResult = Schemas["DoorCommand"] &
  Partial<Schemas["DoorCommandDetails"]> & {
    /**
     * Whether `status` is the last word of the API. A `TIMEOUT` that is not is that of this client: the time to wait was up, and
     * the vehicle may have acted or may yet act. `command` with the `commandId` tells later.
     */
    isFinal: boolean;
    /** Why a command that was accepted could not be looked at any more: `status` is the last that is known. */
    error?: DoorsError;
  };

/** What goes with a lock or an unlock. */
export interface CommandOptions extends CallOptions {
  /** Default `["all"]`. */
  doors?: DoorName[];
  /**
   * Wait so many seconds for the end, `true` for the 30 that a command lives, and give that. Without, the command is given as soon
   * as it is accepted.
   */
  wait?: number | boolean;
  /** Called with each status on the way, while it is waited for. */
  onProgress?: (command: Schemas["DoorCommandDetails"]) => void;
}

const BASE = "/api/v1/remotecontrol/vehicles/{vin}/door" as const;
const LONGEST_PREFERRED_SECONDS = 30;
const LONGEST_WAIT_SECONDS = 300;
const LONGEST_RETRY_MS = 15_000;
const FIRST_LOOK_MS = 400;
const LONGEST_LOOK_MS = 2_000;
const SHORTEST_ANSWER_MS = 1_000;
const FINAL: ReadonlySet<string> = new Set(["SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"]);

/** A client of the Remote Door Control API. It holds no connection and needs no closing. */
export class Doors {
  readonly #requester: Requester;

  /** Throw a TypeError or a RangeError where an option is none. */
  constructor(options: DoorsOptions) {
    this.#requester = new Requester(options);
  }

  /**
   * Unlock doors. A refusal is a `DoorsError`; a command that was accepted and went wrong is a result whose `status` says so.
   *
   * The same request is never carried out twice, however often it has to be sent.
   */
  unlock(vin: string, options: CommandOptions & { mode?: Schemas["UnlockMode"] } = {}): Promise<CommandResult> {
    const { doors = ["all"], mode } = options;
    return this.#order(vin, "unlock", { targetDoors: doors, ...(mode ? { unlockMode: mode } : {}) }, options);
  }

  /** Lock doors, as `unlock` unlocks them. */
  lock(vin: string, options: CommandOptions & { mode?: Schemas["LockMode"] } = {}): Promise<CommandResult> {
    const { doors = ["all"], mode } = options;
    return this.#order(vin, "lock", { targetDoors: doors, ...(mode ? { lockMode: mode } : {}) }, options);
  }

  /** Withdraw a command, by the correlation id it was requested with. What becomes of it is told by its own status. */
  async cancel(
    vin: string,
    correlationId: string,
    options: { reason?: Schemas["DoorCancellation"]["reason"]; force?: boolean } & Omit<CallOptions, "correlationId"> = {},
  ): Promise<Schemas["DoorCommand"]> {
    const { reason = "User cancellation", force, signal } = options;
    const body = { correlationId, reason, ...(force === undefined ? {} : { force }) };
    return (await this.request("POST", `${BASE}/cancel`, { path: { vin }, body, ...(signal ? { signal } : {}) })).data;
  }

  /** A command with its life so far. */
  async command(vin: string, commandId: string, options: CallOptions = {}): Promise<Schemas["DoorCommandDetails"]> {
    return (await this.request("GET", `${BASE}/commands/{commandId}`, { path: { vin, commandId }, ...options })).data;
  }

  /** Wait for a command's end, `wait` seconds at most (30). */
  follow(vin: string, command: Schemas["DoorCommand"], options: Omit<CommandOptions, "doors"> = {}): Promise<CommandResult> {
    return this.#end(vin, command, Date.now() + waitOf(options.wait ?? true) * 1000, options);
  }

  /** How the vehicle's doors stand. */
  async status(vin: string, options: CallOptions = {}): Promise<Schemas["DoorStatus"]> {
    return (await this.request("GET", `${BASE}/status`, { path: { vin }, ...options })).data;
  }

  /** What a vehicle of this model has and can do. */
  async capabilities(vin: string, options: CallOptions = {}): Promise<Schemas["DoorCapabilities"]> {
    return (await this.request("GET", `${BASE}/capabilities`, { path: { vin }, ...options })).data;
  }

  /** What was asked of the vehicle and how it ended, newest first: one page. */
  async history(vin: string, query: HistoryQuery = {}, options: CallOptions = {}): Promise<Schemas["DoorHistory"]> {
    return (await this.request("GET", `${BASE}/history`, { path: { vin }, query, ...options })).data;
  }

  /** The same, entry by entry over all pages of one list. */
  async *entries(vin: string, query: HistoryQuery = {}, options: CallOptions = {}): AsyncGenerator<Schemas["DoorHistoryEntry"], void> {
    let page = await this.history(vin, query, options);
    for (;;) {
      yield* page.history;
      if (!page.nextPageToken) return;
      page = await this.history(vin, { ...query, pageToken: page.nextPageToken }, options);
    }
  }

  /** All settings, and whether the vehicle has applied them. */
  async config(vin: string, options: CallOptions = {}): Promise<Schemas["DoorConfig"]> {
    return (await this.request("GET", `${BASE}/config`, { path: { vin }, ...options })).data;
  }

  /** Change the named settings. */
  async updateConfig(vin: string, settings: Schemas["DoorConfigUpdate"], options: CallOptions = {}): Promise<Schemas["DoorConfig"]> {
    return (await this.request("PUT", `${BASE}/config`, { path: { vin }, body: settings, ...options })).data;
  }

  /** The vehicle's last self-check. */
  async diagnostics(vin: string, options: CallOptions = {}): Promise<Schemas["DoorDiagnostics"]> {
    return (await this.request("GET", `${BASE}/diagnostics`, { path: { vin }, ...options })).data;
  }

  /** The vehicles on which the caller has a right. */
  async vehicles(options: CallOptions = {}): Promise<Schemas["PersonVehicleList"]> {
    return (await this.request("GET", "/api/v1/remotecontrol/vehicles", options)).data;
  }

  /**
   * Tell what happens to a vehicle, as it happens: `for await (const event of doors.watch(vin))`. Where the connection breaks it
   * is opened again after the last event, and nothing is missed or told twice.
   *
   * It ends when the loop is left, with the reason of `signal` when that is aborted, and with a DoorsError when the right to watch
   * is over (`ACTION_NOT_GRANTED`, `TOKEN_INVALID`, `TOKEN_EXPIRED` where no other token can be had ...).
   */
  watch(vin: string, options: WatchOptions = {}): AsyncGenerator<DoorEvent, never, undefined> {
    within("silenceSeconds", options.silenceSeconds ?? 40, 0.01, 3600);
    return watch(this.#requester, filled(`${BASE}/updates/stream`, { vin }), newCorrelationId, options);
  }

  /**
   * Tell what happens to many vehicles over one WebSocket, which is opened again where it breaks, after each vehicle's last event:
   * nothing is missed or told twice. A vehicle that may not be watched (any more) is told to `onEnded`, and the others go on.
   *
   * It ends when the loop is left, with the reason of `signal`, and with a DoorsError when no vehicle is left or the sign-in is over.
   */
  watchAll(vins: Iterable<string>, options: WatchAllOptions = {}): AsyncGenerator<DoorEvent, never, undefined> {
    return watchAll(this.#requester, vins, newCorrelationId, options);
  }

  /** Any operation of the OpenAPI document, by its method and its path as they stand there. */
  async request<M extends Method, P extends PathOf<M>>(method: M, path: P, call: Call<M, P>): Promise<Answer<DataOf<M, P>>> {
    const { correlationId = newCorrelationId(), signal, headers } = call;
    const received = await this.#requester.send({
      method,
      path: filled(path, call.path, call.query),
      correlationId,
      ...(call.body === undefined ? {} : { body: call.body }),
      ...(headers ? { headers: () => headers } : {}),
      ...(signal ? { signal } : {}),
    });
    return { status: received.status, headers: received.headers, correlationId, data: dataOf(received, method) as DataOf<M, P> };
  }

  async #order(vin: string, action: "lock" | "unlock", body: object, options: CommandOptions): Promise<CommandResult> {
    const { correlationId = newCorrelationId(), signal } = options;
    const seconds = waitOf(options.wait ?? false);
    const until = Date.now() + seconds * 1000;
    const left = (): number => Math.min(LONGEST_PREFERRED_SECONDS, Math.ceil((until - Date.now()) / 1000));
    const received = await this.#requester.send({
      method: "POST",
      path: filled(`${BASE}/${action}`, { vin }),
      correlationId,
      body,
      answerMs: this.#requester.answerMs + Math.min(LONGEST_PREFERRED_SECONDS, seconds) * 1000,
      retryMs: seconds > 0 ? seconds * 1000 : Math.min(this.#requester.retryMs, LONGEST_RETRY_MS),
      headers: (): Record<string, string> => (seconds > 0 && left() > 0 ? { Prefer: `wait=${left()}` } : {}),
      ...(signal ? { signal } : {}),
    });
    const command = commandOf(received);
    return seconds > 0 ? this.#end(vin, command, until, options) : ended(command);
  }

  async #end(vin: string, command: Schemas["DoorCommand"], until: number, options: CommandOptions): Promise<CommandResult> {
    const { commandId, correlationId } = command;
    let known: CommandResult = ended(command);
    let pauseMs = FIRST_LOOK_MS;
    while (!known.isFinal) {
      const leftMs = until - Date.now();
      if (leftMs <= 0) return { ...known, status: "TIMEOUT", mayHaveSucceeded: true, message: LATE, isFinal: false };
      await pause(Math.min(pauseMs, leftMs), options.signal);
      pauseMs = Math.min(LONGEST_LOOK_MS, pauseMs * 1.5);
      try {
        const details = await this.#look(vin, commandId, Math.max(SHORTEST_ANSWER_MS, until - Date.now()), options.signal);
        if (details.status !== known.status) options.onProgress?.(details);
        known = ended(details);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        // It was accepted: an error would hide that the vehicle may act, whatever a look is answered.
        if (!(error instanceof DoorsError)) {
          const detail = "The command was accepted, and could not be looked at.";
          const failed = new DoorsError({ code: "NO_ANSWER", correlationId, commandId, detail, mayHaveSucceeded: true, cause: error });
          return { ...known, mayHaveSucceeded: true, isFinal: false, error: failed };
        }
        if (!mayRepeat(error)) {
          return { ...known, mayHaveSucceeded: true, isFinal: false, error: error.inDoubt({ commandId, correlationId }) };
        }
        pauseMs = Math.max(pauseMs, (error.retryAfterSeconds ?? 0) * 1000);
      }
    }
    return known;
  }

  async #look(vin: string, commandId: string, leftMs: number, signal?: AbortSignal): Promise<Schemas["DoorCommandDetails"]> {
    const received = await this.#requester.send({
      method: "GET",
      path: filled(`${BASE}/commands/{commandId}`, { vin, commandId }),
      correlationId: newCorrelationId(),
      isOnce: true,
      answerMs: Math.min(this.#requester.answerMs, leftMs),
      ...(signal ? { signal } : {}),
    });
    return dataOf(received, "GET") as Schemas["DoorCommandDetails"];
  }
}

export type HistoryQuery = NonNullable<Call<"GET", `${typeof BASE}/history`>["query"]>;

const LATE = "The vehicle has not answered in time. It may have acted, or may yet act.";

function ended(command: Schemas["DoorCommand"]): CommandResult {
  return { ...command, isFinal: FINAL.has(command.status) };
}

/** Seconds; 0 where it is not waited. */
function waitOf(wait: number | boolean): number {
  if (typeof wait === "boolean") return wait ? LONGEST_PREFERRED_SECONDS : 0;
  return wait === 0 ? 0 : within("wait", wait, 0.01, LONGEST_WAIT_SECONDS);
}

/** A name for a request that nobody else gives. */
export function newCorrelationId(): string {
  if (typeof globalThis.crypto?.randomUUID === "function") return crypto.randomUUID();
  // A page that came over plain HTTP has no randomUUID.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The command of an answer. Throw a DoorsError where there is none: it may have been carried out. */
function commandOf(received: Received): Schemas["DoorCommand"] {
  const command = dataOf(received, "POST") as Partial<Schemas["DoorCommand"]> | null;
  if (typeof command?.commandId === "string" && typeof command.status === "string") return command as Schemas["DoorCommand"];
  const { status, correlationId } = received;
  throw new DoorsError({ code: "INVALID_ANSWER", status, correlationId, detail: "The answer is no command.", mayHaveSucceeded: true });
}

function dataOf(received: Received, method: Method): unknown {
  const { text, headers, status, correlationId } = received;
  if (!/^application\/([\w.+-]+\+)?json\b/i.test(headers.get("content-type") ?? "")) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const detail = "The answer is no JSON.";
    throw new DoorsError({ code: "INVALID_ANSWER", status, correlationId, detail, cause, mayHaveSucceeded: method !== "GET" });
  }
}
