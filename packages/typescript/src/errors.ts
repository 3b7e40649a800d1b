/** Why something was not done, and whether it may have been done all the same. */

import { objectOf } from "./json.js";
import type { components } from "./openapi.js";

/** A problem document (RFC 9457). */
export type Problem = components["schemas"]["Problem"];

/** What a sign-in has to be for the request to go through (RFC 9470). */
export interface StepUpChallenge {
  /** The classes of sign-in that will do, with spaces between them: `acr_values` of the authorization request. */
  acrValues?: string;
  /** Seconds that the sign-in may be old: `max_age` of the authorization request. */
  maxAge?: number;
  /** What to tell the person. */
  detail: string;
  /** The request that waits. */
  correlationId: string;
}

/** What a `DoorsError` is made of. */
export interface Failure {
  code: string;
  correlationId: string;
  status?: number;
  problem?: Partial<Problem>;
  retryAfterSeconds?: number;
  challenge?: StepUpChallenge;
  mayHaveSucceeded?: boolean;
  retryable?: boolean;
  commandId?: string;
  detail?: string;
  cause?: unknown;
}

/**
 * A request was refused, or no answer came.
 *
 * `code` is one of the API's closed list, or of this client's: `NO_ANSWER` (none came, or it broke off), `INVALID_ANSWER`
 * (something else than this API answered), `HTTP_<status>` (a refusal without a problem document).
 */
export class DoorsError extends Error {
  override readonly name = "DoorsError";
  readonly code: string;
  /** The HTTP status; absent where nothing answered. */
  readonly status: number | undefined;
  /** What happened and what to do next, for people. */
  readonly detail: string;
  /** The request's name: what support asks for, and what the same request is sent again under. */
  readonly correlationId: string;
  /** The command it is about: the one in flight with `COMMAND_IN_PROGRESS`. */
  readonly commandId: string | undefined;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** Whether it may have been carried out. Never tell a person that nothing happened where this is true. */
  readonly mayHaveSucceeded: boolean;
  readonly retryAfterSeconds: number | undefined;
  /** Each field that was wrong, and why. */
  readonly errors: readonly { field: string; reason: string }[];
  readonly doorResults: readonly components["schemas"]["DoorResult"][];
  /** With `STEP_UP_REQUIRED`. */
  readonly challenge: StepUpChallenge | undefined;
  /** The problem document, with members that are not named here. */
  readonly problem: Partial<Problem>;

  constructor(failure: Failure) {
    const problem = failure.problem ?? {};
    const detail = failure.detail ?? problem.detail ?? problem.title ?? "";
    super(detail ? `${failure.code}: ${detail}` : failure.code, failure.cause === undefined ? {} : { cause: failure.cause });
    this.code = failure.code;
    this.status = failure.status;
    this.detail = detail;
    this.correlationId = failure.correlationId;
    this.commandId = failure.commandId ?? problem.commandId;
    this.retryable = failure.retryable ?? problem.retryable ?? false;
    this.mayHaveSucceeded = failure.mayHaveSucceeded ?? problem.mayHaveSucceeded ?? false;
    this.retryAfterSeconds = failure.retryAfterSeconds;
    this.errors = problem.errors ?? [];
    this.doorResults = problem.doorResults ?? [];
    this.challenge = failure.challenge;
    this.problem = problem;
  }

  /** @internal The same, where an earlier attempt, or this command, may have been carried out. */
  inDoubt(command: { commandId?: string; correlationId?: string } = {}): DoorsError {
    const { code, status, problem, retryAfterSeconds, challenge, retryable, detail, cause } = this;
    const { commandId = this.commandId, correlationId = this.correlationId } = command;
    const known = { code, status, problem, retryAfterSeconds, challenge, retryable, detail, cause };
    return new DoorsError(present({ ...known, commandId, correlationId, mayHaveSucceeded: true }));
  }
}

/** @internal Without the members that are undefined. */
export function present<T extends object>(members: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  const found = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(found) as { [Key in keyof T]: Exclude<T[Key], undefined> };
}

/** @internal The error that an answer with a refusal is. */
export function refusal(response: Response, text: string, sent: { correlationId: string; isRead: boolean }): DoorsError {
  const { status, headers } = response;
  const problem = problemOf(headers, text);
  const correlationId = headers.get("x-correlation-id") ?? sent.correlationId;
  const wasPassedOn = status === 502 || status === 504;
  const code = problem.code ?? `HTTP_${status}`;
  return new DoorsError(
    present({
      code,
      status,
      problem,
      correlationId,
      retryAfterSeconds: secondsOf(headers.get("retry-after")),
      challenge: status === 401 ? challengeOf(headers, problem, correlationId) : undefined,
      // Of a gateway's own answer nothing says how far the request came.
      retryable: problem.retryable ?? (problem.code === undefined && (wasPassedOn || status === 503 || status === 429)),
      mayHaveSucceeded: problem.mayHaveSucceeded ?? (!sent.isRead && !(status >= 400 && status < 500)),
    }),
  );
}

function problemOf(headers: Headers, text: string): Partial<Problem> {
  if (!/^application\/(problem\+)?json\b/i.test(headers.get("content-type") ?? "")) return {};
  return (objectOf(text) as Partial<Problem> | undefined) ?? {}; // else the status alone tells
}

/** Seconds, of a number of seconds or an HTTP date (RFC 9110). */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

function challengeOf(headers: Headers, problem: Partial<Problem>, correlationId: string): StepUpChallenge | undefined {
  const header = headers.get("www-authenticate") ?? "";
  if (problem.code !== "STEP_UP_REQUIRED" && !/error="?insufficient_user_authentication"?/.test(header)) return undefined;
  const acrValues = problem.acrValues ?? /acr_values="([^"]*)"/.exec(header)?.[1];
  const maxAge = problem.maxAge ?? /max_age="?(\d+)"?/.exec(header)?.[1];
  const detail = problem.detail ?? "";
  return {
    detail,
    correlationId,
    ...(acrValues === undefined ? {} : { acrValues }),
    ...(maxAge === undefined ? {} : { maxAge: Number(maxAge) }),
  };
}
