/** The REST API as pages call it: a correlation id for each request, problem documents as errors, limits on waiting. */

import { ISSUER_AWAY, SignInError, challengeOf } from "./session.js";

/** So long an answer is waited for, where nobody says otherwise. */
export const TIMEOUT_MS = 15_000;
/** Answers of Envoy and of services that say: a part is away, try again. */
const AWAY = new Set([502, 503, 504]);
const SESSION_OVER = new Set(["TOKEN_INVALID", "TOKEN_EXPIRED", "AUTHENTICATION_REQUIRED", "PROOF_INVALID"]);

/**
 * A request that was not answered with success. `problem` is the problem document (RFC 9457), {} where there was none.
 * `code` is one of the API's, or OFFLINE (nothing answers), NO_ANSWER (not in time), SIGNED_OUT.
 */
export class ApiError extends Error {
  constructor(code, { status = 0, problem = {}, correlationId = "", retryAfterSeconds = null, challenge = null } = {}) {
    super(problem.detail ?? code);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.problem = { code, correlationId, ...problem };
    this.title = problem.title ?? "";
    this.detail = problem.detail ?? "";
    this.correlationId = problem.correlationId ?? correlationId;
    this.retryable = problem.retryable ?? AWAY.has(status);
    /** Whether the car may have acted: true, false, or null where nobody knows. */
    this.mayHaveSucceeded = problem.mayHaveSucceeded ?? null;
    this.retryAfterSeconds = retryAfterSeconds;
    /** What is wrong with which field: [{field, reason}]. */
    this.fields = problem.errors ?? [];
    /** What a stronger sign-in needs (RFC 9470): {acrValues, maxAge}. */
    this.challenge = challenge;
  }
}

/** Return whether a stronger or fresher sign-in is what is missing. */
export function isStepUp(error) {
  return error instanceof ApiError && error.challenge !== null;
}

/** Return whether the service could not be reached: what is shown then is what was known before. */
export function isAway(error) {
  return error instanceof ApiError && (error.code === "OFFLINE" || error.code === "NO_ANSWER" || AWAY.has(error.status));
}

/** Return an id for a request: sent again with the same one it is the same command. */
export function newCorrelationId() {
  return `web-${crypto.randomUUID()}`;
}

/** Calls the API for a session. */
export class Api {
  #session;
  #base;
  #timeoutMs;

  constructor(session, { base = session.config.apiBase ?? "/api/v1/remotecontrol", timeoutMs = TIMEOUT_MS } = {}) {
    this.#session = session;
    this.#base = base;
    this.#timeoutMs = timeoutMs;
  }

  get session() {
    return this.#session;
  }

  /** Return where everything about a vehicle's doors is. */
  door(vin) {
    return `/vehicles/${encodeURIComponent(vin)}/door`;
  }

  /** Return the WebSocket's URL for a ticket. */
  socketUrl(ticket) {
    const url = new URL(`${this.#base}/events/ws`, location.origin);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    return url.href;
  }

  get(path, options = {}) {
    return this.request("GET", path, options);
  }

  send(method, path, body, options = {}) {
    return this.request(method, path, { ...options, body });
  }

  /**
   * Send a request. `path` is below the API's base, `query` an object whose empty values are left out.
   * @returns {Promise<{status: number, data: any, body: any, correlationId: string, headers: Headers}>} Raises ApiError.
   */
  async request(method, path, { body, query, correlationId = newCorrelationId(), signal, timeoutMs, headers } = {}) {
    const url = new URL(this.#base + path, location.origin);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
    }
    const options = { method, url, body, correlationId, signal, timeoutMs: timeoutMs ?? this.#timeoutMs, headers };
    try {
      return await this.#once(options);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "TOKEN_EXPIRED" || !this.#session.isSignedIn) throw error;
    }
    await this.#authorized(() => this.#session.renew(), correlationId);
    return this.#once({ ...options, isLast: true }); // the refusal says that nothing was accepted
  }

  async #once({ method, url, body, correlationId, signal, timeoutMs, headers, isLast = false }) {
    const sent = {
      Accept: "application/json",
      "X-Correlation-ID": correlationId,
      ...headers,
      ...(await this.#authorized(() => this.#session.headers(method, url.href), correlationId)),
    };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const response = await this.#fetch(url, { method, headers: sent, body, signal, timeoutMs, correlationId });
    const data = await this.#read(response, correlationId, timeoutMs);
    if (response.ok) {
      return { status: response.status, data, body: data, correlationId, headers: response.headers };
    }
    const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
    const error = new ApiError(data?.code ?? (AWAY.has(response.status) ? "OFFLINE" : `HTTP_${response.status}`), {
      status: response.status,
      problem: data ?? {},
      correlationId: response.headers.get("x-correlation-id") ?? correlationId,
      retryAfterSeconds: Number.isNaN(seconds) ? null : seconds,
      challenge: response.status === 401 ? challengeOf(response.headers.get("www-authenticate")) : null,
    });
    const mayRenew = error.code === "TOKEN_EXPIRED" && !isLast;
    if (response.status === 401 && !error.challenge && SESSION_OVER.has(error.code) && !mayRenew) {
      this.#session.end(error.code, error.detail);
    }
    throw error;
  }

  async #authorized(ask, correlationId) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      const code = error.code === ISSUER_AWAY ? "OFFLINE" : "SIGNED_OUT";
      throw new ApiError(code, { correlationId, problem: error.detail ? { detail: error.detail } : {} });
    }
  }

  async #fetch(url, { method, headers, body, signal, timeoutMs, correlationId }) {
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      return await fetch(url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      const problem = method === "GET" ? { mayHaveSucceeded: false } : {};
      throw new ApiError(limit.aborted ? "NO_ANSWER" : "OFFLINE", { correlationId, problem });
    }
  }

  async #read(response, correlationId, timeoutMs) {
    let text;
    try {
      text = await response.text();
    } catch {
      throw new ApiError("NO_ANSWER", { status: response.status, correlationId, problem: { detail: `${timeoutMs} ms` } });
    }
    if (!/json/.test(response.headers.get("content-type") ?? "")) return text || null;
    try {
      return JSON.parse(text);
    } catch {
      throw new ApiError("NO_ANSWER", { status: response.status, correlationId });
    }
  }
}
