/** What the unit says: each message signed, sealed and given to the broker of the connection that there is now. */

import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { randomUUID, type KeyObject } from "node:crypto";
import { CancelResultSchema, CommandResultSchema, HelloSchema } from "../gen/ecarus/remotecontrol/vehicle/v1/report_pb.js";
import {
  KeyUse, OrderRefusedSchema, ProtocolFault, SessionInfoSchema, SignedAnswerSchema,
} from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";
import { Envelope } from "./envelope.js";
import type { Epoch } from "./epoch.js";
import type { RefusedError } from "./faults.js";
import type { OrderDomain } from "./gate.js";
import type { Answer, Journal } from "./journal.js";
import { LinkDownError, pause, type Link } from "./link.js";
import { seal } from "./seal.js";
import type { Trust } from "./trust.js";

type Said = NonNullable<MessageInitShape<typeof SignedAnswerSchema>["answer"]>;
type Member = "received" | "result" | "cancel" | "config";

const PLACES: Record<Member, { domain: string; contentType: string }> = {
  received: { domain: "evt.received", contentType: "rdc-received+v1" },
  result: { domain: "evt.result", contentType: "rdc-result+v1" },
  cancel: { domain: "evt.cancel", contentType: "rdc-cancelled+v1" },
  config: { domain: "evt.config", contentType: "rdc-configured+v1" },
};
const REFUSED_ON: Record<OrderDomain, string> = {
  "cmd.door": "evt.result", "cmd.cancel": "evt.cancel", "cmd.config": "evt.config",
};
const AGAIN_MILLIS = 20;
const MOST_AGAIN_MILLIS = 2_000;

/** Whom the unit trusts and which epoch it is; both are replaced, the epoch at boot and when a manifest ends it. */
export interface Standing { trust: Trust; epoch: Epoch }

export class Voice {
  private link: Link | undefined;
  private waiting: ((link: Link) => void)[] = [];
  private readonly sending = new Map<string, Promise<void>>();

  constructor(
    private readonly vin: string,
    private readonly signKey: KeyObject,
    private readonly bootId: string,
    private readonly standing: Standing,
    private readonly journal: Journal,
    private readonly wallSeconds: () => number,
  ) {}

  /** The connection whose hello was confirmed, or undefined while there is none. */
  use(link: Link | undefined): void {
    this.link = link;
    if (link === undefined) return;
    this.waiting.forEach((resolve) => resolve(link));
    this.waiting = [];
  }

  /** Resolve with the connection, once there is one and its hello is confirmed. */
  online(): Promise<Link> {
    if (this.link !== undefined) return Promise.resolve(this.link);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Before everything else on `link`, and again when it is asked for. */
  async hello(link: Link, challenge: Uint8Array = new Uint8Array()): Promise<void> {
    const messageId = randomUUID();
    const info = this.standing.epoch.info(this.standing.trust, messageId);
    info.challenge = challenge;
    info.hello = create(HelloSchema, {
      bootId: this.bootId,
      agentVersion: "unit-typescript 1.0.0",
      configVersion: this.journal.settings?.version ?? 0,
      saidAt: timestampNow(),
    });
    const sealed = this.sealed("evt.hello", "rdc-session+v1", toBinary(SessionInfoSchema, info));
    await link.publish("evt.hello", sealed, messageId);
  }

  /** Say it once. Reject with LinkDownError. */
  async say(said: Said & { case: Member }, hash: Buffer, messageId: string = randomUUID()): Promise<void> {
    const { domain, contentType } = PLACES[said.case];
    await this.publish(domain, contentType, said, hash, messageId);
  }

  /** Say it until the broker has it, signed anew each time. */
  async sayUntilConfirmed(said: Said & { case: Member }, hash: Buffer, messageId: string = randomUUID()): Promise<void> {
    for (let wait = AGAIN_MILLIS; ; wait = Math.min(2 * wait, MOST_AGAIN_MILLIS)) {
      try {
        await this.say(said, hash, messageId);
        return;
      } catch (error) {
        if (!(error instanceof LinkDownError)) throw error;
        await pause(wait);
      }
    }
  }

  /** A stored answer, for this hash. Who asks for the same while it is being said waits for the same. */
  send(answer: Answer, hash: Buffer): Promise<void> {
    const key = `${answer.order}/${hash.toString("hex")}`;
    const found = this.sending.get(key);
    if (found) return found;
    const payload = Buffer.from(answer.payload, "base64");
    const said: Said & { case: Member } =
      answer.member === "result"
        ? { case: "result", value: fromBinary(CommandResultSchema, payload) }
        : { case: "cancel", value: fromBinary(CancelResultSchema, payload) };
    const sent = this.sayUntilConfirmed(said, hash, answer.messageId)
      .then(() => this.journal.confirm(answer.order))
      .finally(() => this.sending.delete(key));
    this.sending.set(key, sent);
    return sent;
  }

  isSending(order: string, hash: Buffer): boolean {
    return this.sending.has(`${order}/${hash.toString("hex")}`);
  }

  /** The fault of an order, if it is one that is answered. */
  async refuse(domain: OrderDomain, refused: RefusedError): Promise<void> {
    if (refused.requestHash === undefined) return;
    const messageId = randomUUID();
    const { trust, epoch } = this.standing;
    const value = create(OrderRefusedSchema, {
      fault: ProtocolFault[refused.fault],
      ...(refused.carriesSession ? { session: epoch.info(trust, messageId) } : {}),
    });
    await this.publish(REFUSED_ON[domain], "rdc-fault+v1", { case: "refused", value }, refused.requestHash, messageId);
  }

  /** A report, under the session key. Never the same bytes twice: what was not confirmed is said anew. */
  async report(link: Link, domain: string, report: Uint8Array): Promise<void> {
    const sealed = this.standing.epoch.reports.seal(domain, report);
    await link.publish(domain, sealed, sealed.subarray(2, 26).toString("hex")); // epoch and counter
  }

  private async publish(
    domain: string, contentType: string, answer: Said, hash: Buffer, messageId: string,
  ): Promise<void> {
    const link = await this.online();
    const { epoch } = this.standing;
    const message = create(SignedAnswerSchema, {
      vin: this.vin, messageId, epoch: epoch.id, counter: epoch.nextCounter(domain), requestHash: hash, answer,
    });
    const once = `${messageId}-${hash.toString("hex").slice(0, 16)}`;
    await link.publish(domain, this.sealed(domain, contentType, toBinary(SignedAnswerSchema, message)), once);
  }

  private sealed(domain: string, contentType: string, payload: Uint8Array): Buffer {
    const envelope = Envelope.sign(this.signKey, contentType, `vehicle.${this.vin}.${domain}`, payload);
    return seal(envelope, this.standing.trust.first(KeyUse.SEAL, this.wallSeconds()), this.vin);
  }
}
