/** The event stream of one vehicle: resumed by its last id wherever it breaks, until a right or the caller ends it. */

import { DoorsError } from "./errors.js";
import type { DoorEvent } from "./events.js";
import { mayRepeat, type Requester } from "./http.js";
import { objectOf } from "./json.js";
import { type Block, EventStreamReader } from "./sse.js";
import { backOff, pause, retryAfterMs } from "./time.js";

/** How a vehicle is watched. */
export interface WatchOptions {
  /** Begin after this event; without, with what happens from now on. */
  lastEventId?: string | undefined;
  /** Called with the place that the stream is at, each time that it has been opened: nothing after it is missed. */
  onOpen?: (lastEventId: string | undefined) => void;
  /** Called with the reason each time that the stream has broken and will be opened again. */
  onReconnect?: (reason: DoorsError, pauseSeconds: number) => void;
  /** Open the stream again where nothing, not even a heartbeat (each 15 s), has come for so long. Default 40. */
  silenceSeconds?: number;
  signal?: AbortSignal | undefined;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const ENDS = /^the stream ends: ([A-Z][A-Z_0-9]*)(?:: (.*))?$/s;
/** @internal With these the right to watch is over: it does not come back by opening the stream again. */
export const OVER: ReadonlySet<string> = new Set(["ACTION_NOT_GRANTED", "ACCOUNT_LOCKED", "TOKEN_INVALID", "CONSENT_MISSING", "VEHICLE_NOT_FOUND"]);

/** @internal */
export async function* watch(
  requester: Requester,
  path: string,
  newId: () => string,
  options: WatchOptions,
): AsyncGenerator<DoorEvent, never, undefined> {
  const { signal } = options;
  const silenceMs = (options.silenceSeconds ?? 40) * 1000;
  const place: Place = { last: options.lastEventId, firstPauseMs: FIRST_PAUSE_MS, isAlive: false };
  for (let [failures, renewals] = [0, 0]; ; ) {
    const correlationId = newId();
    let reason: DoorsError;
    try {
      const { response } = await requester.send({
        method: "GET",
        path,
        correlationId,
        isOnce: true,
        isStream: true,
        headers: () => ({
          Accept: "text/event-stream",
          ...(place.last === undefined ? {} : { "Last-Event-ID": place.last }),
        }),
        ...(signal ? { signal } : {}),
      });
      place.isAlive = false;
      reason = yield* events(response, place, correlationId, silenceMs, options);
    } catch (error) {
      if (!(error instanceof DoorsError) || !mayRepeat(error)) throw error;
      reason = error;
    }
    if (place.isAlive) [failures, renewals] = [0, 0];
    if (reason.code === "TOKEN_EXPIRED") {
      // A second time without anything between: the new one is no better.
      if (!requester.mayRenew || renewals > 0) throw reason;
      renewals += 1;
      await requester.renew();
    } else if (OVER.has(reason.code)) {
      throw reason;
    }
    const pauseMs = Math.max(retryAfterMs(reason.retryAfterSeconds), backOff(failures, place.firstPauseMs, LONGEST_PAUSE_MS));
    failures += 1;
    options.onReconnect?.(reason, pauseMs / 1000);
    await pause(pauseMs, signal);
  }
}

interface Place {
  last: string | undefined;
  firstPauseMs: number;
  /** Whether this stream has told anything since it opened: one that opens and breaks at once has growing pauses. */
  isAlive: boolean;
}

/** Yield what one stream tells. Return why it ended; throw the reason of the caller's signal. */
async function* events(
  response: Response,
  place: Place,
  correlationId: string,
  silenceMs: number,
  options: WatchOptions,
): AsyncGenerator<DoorEvent, DoorsError, undefined> {
  const broke = (detail: string, cause?: unknown): DoorsError =>
    new DoorsError({ code: "NO_ANSWER", correlationId, detail, retryable: true, cause });
  if (response.body === null || !/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
    await response.body?.cancel();
    throw new DoorsError({ code: "INVALID_ANSWER", correlationId, detail: "The answer is no event stream.", status: response.status });
  }
  const reader = response.body.getReader();
  const blocks = new EventStreamReader();
  const decoder = new TextDecoder();
  let isOpen = false;
  try {
    for (;;) {
      let piece: Uint8Array | undefined;
      try {
        piece = await nextPiece(reader, silenceMs);
      } catch (error) {
        if (options.signal?.aborted) throw options.signal.reason;
        return broke(error instanceof Silence ? "Nothing came any more." : "The stream broke.", error);
      }
      if (piece === undefined) return broke("The stream ended without a reason.");
      for (const block of taken(blocks, decoder.decode(piece, { stream: true }), correlationId)) {
        if (block.kind === "retry") {
          place.firstPauseMs = Math.min(Math.max(block.milliseconds, 10), LONGEST_PAUSE_MS);
          continue;
        }
        const ended = block.kind === "comment" ? ENDS.exec(block.text) : null;
        if (ended) {
          return new DoorsError({ code: ended[1] ?? "", correlationId, detail: ended[2] ?? "", retryable: !OVER.has(ended[1] ?? "") });
        }
        const isOpening = block.kind === "event" && block.type === "STREAM_OPENED";
        place.isAlive ||= !isOpening;
        if (!isOpen) {
          isOpen = true;
          options.onOpen?.(isOpening ? block.id : place.last);
        }
        if (block.kind === "event" && block.id !== undefined) place.last = block.id;
        if (block.kind === "event" && !isOpening && block.data !== "") yield eventOf(block, correlationId);
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined); // of a stream that has broken there is nothing left to cancel
  }
}

function taken(blocks: EventStreamReader, text: string, correlationId: string): Block[] {
  try {
    return blocks.take(text);
  } catch (cause) {
    throw new DoorsError({ code: "INVALID_ANSWER", correlationId, detail: "An event is larger than any of this API.", cause });
  }
}

function eventOf(block: { data: string; id: string | undefined }, correlationId: string): DoorEvent {
  const event = objectOf(block.data);
  if (!event) throw new DoorsError({ code: "INVALID_ANSWER", correlationId, detail: "An event is no JSON object." });
  return { ...(event as unknown as DoorEvent), id: block.id ?? "" };
}

class Silence extends Error {}

async function nextPiece(reader: ReadableStreamDefaultReader<Uint8Array>, silenceMs: number): Promise<Uint8Array | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Silence()), silenceMs);
  });
  try {
    return (await Promise.race([reader.read(), silence])).value;
  } finally {
    clearTimeout(timer);
  }
}
