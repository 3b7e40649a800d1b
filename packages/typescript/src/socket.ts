/** One WebSocket, read message by message, that is asked for an answer where it says nothing. */

import { objectOf } from "./json.js";

/** What there must be of a WebSocket: the standard's, of browsers and of Node. */
export type SocketClass = new (url: string) => {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
  addEventListener(type: string, listener: (event: never) => void): void;
};

/** @internal What the API says over it, or that it is closed. */
export interface Message {
  type: string;
  vin: string;
  id?: string;
  eventId?: string;
  code?: string;
  detail?: string;
  retryAfterSeconds?: number;
}

/** @internal */
export interface Closed {
  type: "CLOSED";
  code: number;
  reason: string;
}

/** @internal */
export function isClosed(message: Message | Closed): message is Closed {
  return message.type === "CLOSED";
}

const OPEN = 1;
const OPEN_MS = 15_000;
const QUIET_MS = 25_000;
const ANSWER_MS = 10_000;
/** Of one that reads too slowly what is not read is given up, and asked for anew from its last event. */
const MOST_WAITING = 10_000;
const GONE = 1006;
/** Answered, and about no vehicle. */
const PING = { action: "unsubscribe", requestId: "ping", vins: ["00000000000000000"] };

/** @internal */
export class Socket {
  readonly #socket: InstanceType<SocketClass>;
  readonly #signal: AbortSignal | undefined;
  #waiting: Message[] = [];
  #closed: Closed | undefined;
  #isOpen = false;
  #heard = Date.now();
  #asked = 0;
  #wake: () => void = () => undefined;
  #abort = (): void => this.#wake();

  constructor(socketClass: SocketClass, url: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#socket = new socketClass(url);
    this.#socket.addEventListener("open", () => {
      this.#isOpen = true;
      this.#wake();
    });
    this.#socket.addEventListener("message", ({ data }: { data: unknown }) => this.#take(data));
    this.#socket.addEventListener("close", ({ code, reason }: { code: number; reason: string }) => this.#end(code, reason));
    this.#socket.addEventListener("error", () => undefined); // a close follows, and says what there is to say
    signal?.addEventListener("abort", this.#abort);
  }

  /** Wait until it is open. Return how it was closed instead; throw the signal's reason. */
  async opened(): Promise<Closed | undefined> {
    const until = Date.now() + OPEN_MS;
    while (!this.#isOpen && !this.#closed) {
      if (Date.now() >= until) this.#end(GONE, "It did not open in time.");
      else await this.#change(until - Date.now());
    }
    this.#heard = Date.now();
    return this.#closed;
  }

  /** Return the next message; undefined where none has come for so long, which is for ever by default. */
  async next(milliseconds = Number.POSITIVE_INFINITY): Promise<Message | Closed | undefined> {
    const until = Date.now() + milliseconds;
    for (;;) {
      if (this.#signal?.aborted) throw this.#signal.reason;
      const message = this.#waiting.shift();
      if (message) return message;
      if (this.#closed) return this.#closed;
      const now = Date.now();
      if (now >= until) return undefined;
      const quietUntil = (this.#asked > this.#heard ? this.#asked + ANSWER_MS : this.#heard + QUIET_MS) - now;
      if (quietUntil > 0) {
        await this.#change(Math.min(quietUntil, until - now));
      } else if (this.#asked > this.#heard) {
        this.#end(GONE, "Nothing came any more.");
      } else {
        this.#asked = now;
        this.say(PING);
      }
    }
  }

  say(message: object): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(message));
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#end(1000, "");
  }

  #take(data: unknown): void {
    this.#heard = Date.now();
    if (this.#closed || typeof data !== "string") return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#waiting = [];
      this.#end(GONE, "What came was not read in time.");
      return;
    }
    const message = objectOf(data);
    if (message) this.#waiting.push(message as unknown as Message);
    else this.#end(GONE, "A message is no JSON object.");
    this.#wake();
  }

  #end(code: number, reason: string): void {
    this.#closed ??= { type: "CLOSED", code, reason };
    if (this.#socket.readyState <= OPEN) this.#socket.close();
    this.#wake();
  }

  async #change(milliseconds: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (milliseconds < 2 ** 31) timer = setTimeout(resolve, Math.max(1, milliseconds));
    });
    clearTimeout(timer);
    if (this.#signal?.aborted) throw this.#signal.reason;
  }
}
