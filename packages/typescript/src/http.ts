/** One request and its answer: sent again where that is safe and may help, always under the same correlation id. */

import { DoorsError, refusal, type StepUpChallenge } from "./errors.js";
import { backOff, pause } from "./time.js";
import { VERSION } from "./version.js";

/**
 * The bearer, or what gives it for each request. `expired` says that the one given last has expired, or that it was refused
 * as such.
 */
export type TokenSource = string | ((why: { expired: boolean }) => string | Promise<string>);

/** How a client reaches the API, and as whom. */
export interface DoorsOptions {
  /** Where the API is, without `/api/...`: over TLS, but for this machine. */
  baseUrl: string | URL;
  /** An access token or an API key, or what gives the one to use now. */
  token: TokenSource;
  /**
   * Have the person sign in as the challenge says, and give the new token. The same request is sent again with it, once. Where
   * `token` is a string the new one is used from then on.
   */
  stepUp?: (challenge: StepUpChallenge) => string | Promise<string>;
  /** Headers of each request besides, such as a DPoP proof with its `Authorization`. */
  headers?: (request: { method: string; url: string; token: string }) => HeadersInit | Promise<HeadersInit>;
  /** How often a request is sent at most, the first time included. Default 4. */
  attempts?: number;
  /**
   * For how long after the first time a request is sent again. Default 30; a lock or an unlock 15 at most, or for as long as it is
   * waited for: nobody expects a door to move minutes later.
   */
  retrySeconds?: number;
  /** How long an answer may take. Default 10; one that is waited for has the time of the waiting besides. */
  answerSeconds?: number;
  /** Instead of the global one. */
  fetch?: typeof globalThis.fetch;
}

/** @internal */
export interface Sent {
  method: string;
  /** With the query. */
  path: string;
  correlationId: string;
  body?: unknown;
  /** Asked for before each attempt. */
  headers?: () => Record<string, string>;
  signal?: AbortSignal;
  /** How long the answer may take instead of the usual, in milliseconds. */
  answerMs?: number;
  /** For how long it may be sent again, where that is not the usual. */
  retryMs?: number;
  /** That it is sent once: the caller asks again. */
  isOnce?: boolean;
  /** That an opened stream is given, of which nothing is read here. */
  isStream?: boolean;
}

/** @internal */
export interface Received {
  status: number;
  headers: Headers;
  correlationId: string;
  text: string;
  response: Response;
}

const LARGEST_ANSWER_BYTES = 64 * 1024 * 1024;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;
const IN_NODE = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;
/** The states of a gateway or a service that pass by themselves. Those of a vehicle (409) are for the caller to judge. */
const PASSING = new Set([429, 502, 503, 504]);
const THIS_MACHINE = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** @internal */
export class Requester {
  readonly #base: string;
  readonly #options: DoorsOptions;
  readonly #attempts: number;
  readonly #retryMs: number;
  readonly #answerMs: number;
  #token: TokenSource;

  constructor(options: DoorsOptions) {
    const url = new URL(options.baseUrl);
    const isPlain = url.protocol === "http:" && THIS_MACHINE.test(url.hostname);
    if (url.protocol !== "https:" && !isPlain) throw new TypeError("baseUrl: https:, or http: to this machine");
    if (url.username || url.password || url.search || url.hash) throw new TypeError("baseUrl: an origin, and a path at most");
    this.#base = url.href.replace(/\/+$/, "");
    this.#options = options;
    this.#attempts = within("attempts", options.attempts ?? 4, 1, 20);
    this.#retryMs = within("retrySeconds", options.retrySeconds ?? 30, 0, 3600) * 1000;
    this.#answerMs = within("answerSeconds", options.answerSeconds ?? 10, 0.01, 600) * 1000;
    this.#token = options.token;
  }

  /** Return the answer, of a status below 300. Throw a DoorsError, or the reason of the caller's signal. */
  async send(sent: Sent): Promise<Received> {
    const until = Date.now() + (sent.retryMs ?? this.#retryMs);
    let token = await this.#bearer(false);
    let [mayRenew, mayStepUp, inDoubt] = [typeof this.#token === "function", this.#options.stepUp !== undefined, false];
    for (let attempt = 1; ; attempt += 1) {
      let failure: DoorsError;
      try {
        return await this.#once(sent, token);
      } catch (error) {
        if (!(error instanceof DoorsError)) throw inDoubt && !sent.signal?.aborted ? notSentAgain(error, sent) : error;
        // An earlier attempt without an answer may have been carried out, whatever a later one is answered.
        failure = inDoubt ? error.inDoubt() : error;
      }
      inDoubt = failure.mayHaveSucceeded;
      if (failure.code === "TOKEN_EXPIRED" && mayRenew) {
        mayRenew = false;
        token = await asked(this.#bearer(true), inDoubt, sent);
      } else if (failure.challenge && mayStepUp && this.#options.stepUp) {
        const [stepUp, challenge] = [this.#options.stepUp, failure.challenge];
        mayStepUp = false;
        token = await asked((async () => stepUp(challenge))(), inDoubt, sent);
        if (typeof this.#token === "string") this.#token = token;
        attempt -= 1;
      } else {
        const pauseMs = Math.max((failure.retryAfterSeconds ?? 0) * 1000, backOff(attempt, FIRST_PAUSE_MS, LONGEST_PAUSE_MS));
        const isLast = sent.isOnce || attempt >= this.#attempts || Date.now() + pauseMs > until;
        if (isLast || !mayRepeat(failure)) throw failure;
        await pause(pauseMs, sent.signal);
      }
    }
  }

  /** The bearer to use; `expired` where the last one is over. */
  async #bearer(expired: boolean): Promise<string> {
    return typeof this.#token === "string" ? this.#token : await this.#token({ expired });
  }

  /** Return the address of a WebSocket at this path. */
  socketUrl(path: string): string {
    return this.#base.replace(/^http/, "ws") + path;
  }

  /** How long an answer may take that nothing is waited for in. */
  get answerMs(): number {
    return this.#answerMs;
  }

  /** For how long a request is sent again. */
  get retryMs(): number {
    return this.#retryMs;
  }

  /** Whether another token can be had when this one has expired. */
  get mayRenew(): boolean {
    return typeof this.#token === "function";
  }

  /** Have the next request ask for a token that has not expired. */
  async renew(): Promise<void> {
    await this.#bearer(true);
  }

  async #once(sent: Sent, token: string): Promise<Received> {
    const url = this.#base + sent.path;
    const headers = new Headers({
      Accept: "application/json",
      Authorization: `Bearer ${token}`,
      "X-Correlation-ID": sent.correlationId,
      // Browsers have their own, and would ask another origin whether they may send this one.
      ...(IN_NODE ? { "User-Agent": `ecarus-doors-typescript/${VERSION}` } : {}),
      ...(sent.body === undefined ? {} : { "Content-Type": "application/json" }),
      ...sent.headers?.(),
    });
    const more = await this.#options.headers?.({ method: sent.method, url, token });
    for (const [name, value] of new Headers(more)) headers.set(name, value);

    const time = new AbortController();
    const timer = setTimeout(() => time.abort(), sent.answerMs ?? this.#answerMs);
    const isRead = sent.method === "GET";
    try {
      const response = await (this.#options.fetch ?? globalThis.fetch)(url, {
        method: sent.method,
        headers,
        body: sent.body === undefined ? null : JSON.stringify(sent.body),
        signal: sent.signal ? AbortSignal.any([sent.signal, time.signal]) : time.signal,
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
      });
      const text = sent.isStream && response.ok ? "" : await textOf(response);
      if (!response.ok) throw refusal(response, text, { correlationId: sent.correlationId, isRead });
      const correlationId = response.headers.get("x-correlation-id") ?? sent.correlationId;
      return { status: response.status, headers: response.headers, correlationId, text, response };
    } catch (error) {
      if (error instanceof DoorsError) throw error;
      if (sent.signal?.aborted) throw sent.signal.reason;
      const { correlationId } = sent;
      const isTooLarge = error instanceof RangeError;
      const isLate = time.signal.aborted;
      const lost = isLate ? "There was no answer in time." : "There was no answer, or it broke off.";
      throw new DoorsError({
        code: isTooLarge ? "INVALID_ANSWER" : "NO_ANSWER",
        correlationId,
        detail: isTooLarge ? error.message : lost,
        retryable: !isTooLarge,
        mayHaveSucceeded: !isRead,
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The token that a caller's function gives; its error says so where the request may have been carried out. */
async function asked(token: Promise<string>, inDoubt: boolean, sent: Sent): Promise<string> {
  try {
    return await token;
  } catch (error) {
    throw inDoubt && !sent.signal?.aborted ? notSentAgain(error, sent) : error;
  }
}

function notSentAgain(cause: unknown, { correlationId }: Sent): DoorsError {
  if (cause instanceof DoorsError) return cause.inDoubt({ correlationId });
  const detail = "There was no answer, and the request could not be sent again.";
  return new DoorsError({ code: "NO_ANSWER", correlationId, detail, mayHaveSucceeded: true, cause });
}

/** Whether the same request may be sent again by itself: what has passed by then, and not what a vehicle's state forbids. */
export function mayRepeat(failure: DoorsError): boolean {
  return failure.retryable && (failure.status === undefined || PASSING.has(failure.status));
}

async function textOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > LARGEST_ANSWER_BYTES) {
      await reader.cancel();
      throw new RangeError("The answer is larger than any of this API.");
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** @internal Return the number. Throw a RangeError where it is none within these bounds. */
export function within(name: string, value: number, least: number, most: number): number {
  if (!(value >= least && value <= most)) throw new RangeError(`${name}: ${least} to ${most}`);
  return value;
}
