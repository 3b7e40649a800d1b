/** Waiting, which an AbortSignal ends. */

/** What a timer can count: with more than that it rings at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** However long an answer says to keep away, a watch tries again by then. */
const LONGEST_RETRY_AFTER_MS = 300_000;

/** Resolve after so long (24 days at most). Reject with the signal's reason once it is aborted. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, Math.min(milliseconds, LONGEST_TIMER_MS));
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** Return how long a watch that was told to keep away for so many seconds does, in milliseconds. */
export function retryAfterMs(seconds: number | undefined): number {
  return Math.min((seconds ?? 0) * 1000, LONGEST_RETRY_AFTER_MS);
}

/** Return a growing pause in milliseconds, of which half is chance: of many clients not all come back at once. */
export function backOff(attempt: number, firstMs: number, longestMs: number): number {
  const longest = Math.min(longestMs, firstMs * 2 ** Math.min(attempt, 16));
  return longest / 2 + (Math.random() * longest) / 2;
}
