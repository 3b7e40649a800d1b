/** What the unit needs of a connection to the broker. */

/** A message that came. Settle it when it is answered; refuse it when it must never come again. */
export interface Delivery {
  domain: string;
  data: Buffer;
  settle(): void;
  refuse(): void;
}

export class LinkDownError extends Error {}

/** There is no queue to pull from (NATS): say hello again. */
export class QueueGoneError extends Error {}

/** One connection; a new one is made when it is over. */
export interface Link {
  /** Resolve when the broker has the message. Reject with LinkDownError where it does not say so. */
  publish(domain: string, data: Buffer, messageId: string): Promise<void>;
  /** What came together. Reject with LinkDownError or QueueGoneError. */
  receive(): Promise<Delivery[]>;
  /** End it on purpose: after this the vehicle sleeps. */
  close(): Promise<void>;
}

export const CONFIRM_MILLIS = 2_000;

/** A queue with one reader, who waits. */
export class Arrivals<T> {
  private readonly items: T[] = [];
  private isEnded = false;
  private wake: (() => void) | undefined;

  push(item: T): void {
    this.items.push(item);
    this.wake?.();
  }

  /** Nothing comes any more: from now on `next` throws LinkDownError. */
  end(): void {
    this.isEnded = true;
    this.wake?.();
  }

  /** The next one, or undefined after so many milliseconds. */
  async next(millis: number): Promise<T | undefined> {
    if (this.items.length === 0 && !this.isEnded) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, millis);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = undefined;
    }
    if (this.isEnded) throw new LinkDownError("the connection is over");
    return this.items.shift();
  }
}

export function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}
