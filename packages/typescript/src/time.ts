/** Waiting, which an AbortSignal ends. */

/** Resolve after so long. Reject with the signal's reason once it is aborted. */
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
    }, milliseconds);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** Return a growing pause in milliseconds, of which half is chance: of many clients not all come back at once. */
export function backOff(attempt: number, firstMs: number, longestMs: number): number {
  const longest = Math.min(longestMs, firstMs * 2 ** Math.min(attempt, 16));
  return longest / 2 + (Math.random() * longest) / 2;
}
