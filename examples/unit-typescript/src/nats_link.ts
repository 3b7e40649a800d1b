/** Over NATS: docs/tcu.md, Connecting. JetStream is used by its subjects alone; a unit may do nothing else. */

import { headers, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { randomBytes } from "node:crypto";
import { Arrivals, CONFIRM_MILLIS, LinkDownError, QueueGoneError, pause, type Delivery, type Link } from "./link.js";

const SECOND_NANOS = 1_000_000_000;
const FIRST_PULL = { batch: 16, no_wait: true };
const LATER_PULL = { batch: 1, expires: 25 * SECOND_NANOS, idle_heartbeat: 5 * SECOND_NANOS };
const FIRST_PATIENCE_MILLIS = 300;
const MOST_PATIENCE_MILLIS = 5_000;
/** Two heartbeats and a bit. */
const LOST_MILLIS = 11_000;
const QUIET_MILLIS = 50;
const MOST_AGAIN_MILLIS = 2_000;

export interface NatsAccess {
  url: string;
  ca?: string;
  cert?: string;
  key?: string;
  user?: string;
  password?: string;
}

interface PubAck { error?: { code: number; description: string } }

export class NatsLink implements Link {
  private readonly inbox: string;
  private readonly arrived = new Arrivals<Msg>();
  private readonly waiting = new Map<string, (message: Msg | undefined) => void>();
  private asked = 0;
  private isFirst = true;
  private patience = FIRST_PATIENCE_MILLIS;
  private isOver = false;

  private constructor(private readonly vin: string, private readonly nats: NatsConnection) {
    // Random, because any car may name any inbox as the place for its answers.
    this.inbox = `_INBOX.${vin}.${randomBytes(16).toString("hex")}`;
    nats.subscribe(`${this.inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.take(message);
      },
    });
    void nats.closed().then(() => {
      this.isOver = true;
      this.arrived.end();
      for (const resolve of this.waiting.values()) resolve(undefined);
    });
  }

  static async open(vin: string, access: NatsAccess): Promise<NatsLink> {
    const { url, user, password } = access;
    try {
      const nats = await connect({
        servers: url.split(","),
        inboxPrefix: `_INBOX.${vin}`,
        reconnect: false, // the unit makes a new one, and says hello on it
        pingInterval: 10_000,
        maxPingOut: 2,
        timeout: 10_000,
        ...(user === undefined ? {} : { user, pass: password ?? "" }),
        ...(access.ca === undefined ? {} : { tls: tlsOf(access) }),
      });
      return new NatsLink(vin, nats);
    } catch (error) {
      throw new LinkDownError(String(error));
    }
  }

  /** A full stream says so (429): the same message, under the same id, is said again. */
  async publish(domain: string, data: Buffer, messageId: string): Promise<void> {
    for (let wait = 20; ; wait = Math.min(2 * wait, MOST_AGAIN_MILLIS)) {
      const answer = await this.ask(domain, data, messageId);
      if (answer.error === undefined) return;
      if (answer.error.code !== 429) throw new LinkDownError(answer.error.description);
      await pause(wait);
    }
  }

  async receive(): Promise<Delivery[]> {
    const isFirst = this.isFirst;
    this.isFirst = false;
    this.asked += 1;
    const reply = `${this.inbox}.${this.asked}`;
    const question = JSON.stringify(isFirst ? FIRST_PULL : LATER_PULL);
    this.send(`$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.${this.vin}`, question, reply);
    const found: Delivery[] = [];
    for (;;) {
      const message = await this.arrived.next(found.length > 0 ? QUIET_MILLIS : isFirst ? this.patience : LOST_MILLIS);
      if (message === undefined) {
        if (found.length > 0) return found;
        this.isFirst = true;
        this.patience = Math.min(2 * this.patience, MOST_PATIENCE_MILLIS);
        throw new QueueGoneError();
      }
      const status = message.headers?.code ?? 0;
      if (status === 0) {
        found.push(this.delivery(message));
        if (!isFirst) return found;
      } else if (message.subject === reply && status !== 100) {
        if (found.length > 0 || isEnd(message)) {
          this.patience = FIRST_PATIENCE_MILLIS;
          return found;
        }
        this.isFirst = true;
        throw new QueueGoneError();
      }
    }
  }

  async close(): Promise<void> {
    await this.nats.close();
  }

  private take(message: Msg): void {
    const waiting = this.waiting.get(message.subject);
    if (waiting) waiting(message);
    else this.arrived.push(message);
  }

  private async ask(domain: string, data: Buffer, messageId: string): Promise<PubAck> {
    this.asked += 1;
    const reply = `${this.inbox}.${this.asked}`;
    const confirmed = new Promise<Msg | undefined>((resolve) => this.waiting.set(reply, resolve));
    const timer = setTimeout(() => this.waiting.get(reply)?.(undefined), CONFIRM_MILLIS);
    const once = headers();
    once.set("Nats-Msg-Id", messageId);
    try {
      this.send(`vehicle.${this.vin}.${domain}`, data, reply, once);
      const answer = await confirmed;
      if (answer === undefined || (answer.headers?.code ?? 0) !== 0) throw new LinkDownError(`${domain} not confirmed`);
      return answer.json<PubAck>();
    } finally {
      clearTimeout(timer);
      this.waiting.delete(reply);
    }
  }

  private send(subject: string, data: Buffer | string, reply?: string, once = headers()): void {
    if (this.isOver) throw new LinkDownError("the connection is over");
    const options = reply === undefined ? {} : { reply };
    this.nats.publish(subject, data, [...once].length > 0 ? { ...options, headers: once } : options);
  }

  private delivery(message: Msg): Delivery {
    const say = (word: string): void => {
      if (!this.isOver && message.reply !== undefined) this.send(message.reply, word);
    };
    return {
      domain: message.subject.split(".").slice(2).join("."),
      data: Buffer.from(message.data),
      settle: () => say("+ACK"),
      refuse: () => say("+TERM"),
    };
  }
}

/** Whether this status ends a pull, and all is well. */
function isEnd(message: Msg): boolean {
  const code = message.headers?.code;
  return code === 404 || code === 408 || (message.headers?.description ?? "").includes("Batch Completed");
}

function tlsOf(access: NatsAccess): { caFile: string; certFile?: string; keyFile?: string } {
  const { ca, cert, key } = access;
  return { caFile: ca ?? "", ...(cert === undefined || key === undefined ? {} : { certFile: cert, keyFile: key }) };
}
