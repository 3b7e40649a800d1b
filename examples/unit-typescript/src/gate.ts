/** The ten checks of an order, in their order, and what a session request must be (docs/vehicle-protocol.md, Orders). */

import { fromBinary } from "@bufbuild/protobuf";
import type { KeyObject } from "node:crypto";
import type { ApplyConfig, CancelCommand, DoorCommand } from "../gen/ecarus/remotecontrol/vehicle/v1/command_pb.js";
import {
  Role, SessionRequestSchema, SignedOrderSchema, type SessionRequest, type SignedOrder,
} from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";
import { Envelope, requestHash } from "./envelope.js";
import type { Epoch } from "./epoch.js";
import { RefusedError, wellFormed } from "./faults.js";
import { unseal } from "./seal.js";
import type { Trust } from "./trust.js";

export type OrderDomain = "cmd.door" | "cmd.cancel" | "cmd.config";

interface Rule {
  contentType: string;
  member: "door" | "cancel" | "config";
  longestMillis: bigint;
  roles: Role[];
}

const ANYBODY = [Role.OWNER, Role.SHARED_USER, Role.DIGITAL_KEY];
const RULES: Record<OrderDomain, Rule> = {
  "cmd.door": { contentType: "rdc-command+v1", member: "door", longestMillis: 30_000n, roles: ANYBODY },
  "cmd.cancel": { contentType: "rdc-tombstone+v1", member: "cancel", longestMillis: 60_000n, roles: ANYBODY },
  "cmd.config": { contentType: "rdc-config+v1", member: "config", longestMillis: 60_000n, roles: [Role.OWNER] },
};
const TYPES = new Set(Object.values(RULES).map((rule) => rule.contentType));
const CHALLENGE_BYTES = 16;

/** An order whose form, key and signature are right; `isKnown` ones are answered again, and never act. */
export interface Order {
  domain: OrderDomain;
  hash: Buffer;
  /** The id that says whether it is known: of the command, of the cancellation, or the settings' version. */
  id: string;
  isKnown: boolean;
  expiresAtMillis: bigint;
  body: DoorCommand | CancelCommand | ApplyConfig;
}

export function isOrderDomain(domain: string): domain is OrderDomain {
  return domain in RULES;
}

export class Gate {
  constructor(
    private readonly vin: string,
    private readonly sealKey: KeyObject,
    private readonly wallSeconds: () => number,
    private readonly isKnown: (domain: OrderDomain, id: string) => boolean,
  ) {}

  /** What is sealed on `cmd.keys`: an endorsed manifest, which Trust.adopt looks at. */
  endorsed(data: Buffer): Buffer {
    return unseal(data, this.sealKey, this.vin);
  }

  /** Throw RefusedError. A counter that is right is spent. */
  order(domain: OrderDomain, data: Buffer, trust: Trust, epoch: Epoch): Order {
    const sealed = unseal(data, this.sealKey, this.vin);
    const envelope = Envelope.read(sealed);
    const hash = requestHash(sealed);
    try {
      return this.checked(domain, envelope, hash, trust, epoch);
    } catch (error) {
      if (error instanceof RefusedError) error.requestHash = hash;
      throw error;
    }
  }

  /** Throw RefusedError, which is never answered. */
  sessionRequest(data: Buffer, trust: Trust): SessionRequest {
    const envelope = Envelope.read(unseal(data, this.sealKey, this.vin));
    this.verify(envelope, "cmd.session", trust);
    if (envelope.contentType !== "rdc-challenge+v1") throw new RefusedError("WRONG_TYPE");
    const request = wellFormed(() => fromBinary(SessionRequestSchema, envelope.payload));
    if (request.vin !== this.vin) throw new RefusedError("WRONG_VEHICLE");
    if (request.challenge.length !== CHALLENGE_BYTES) throw new RefusedError("MALFORMED");
    return request;
  }

  private checked(domain: OrderDomain, envelope: Envelope, hash: Buffer, trust: Trust, epoch: Epoch): Order {
    this.verify(envelope, domain, trust);
    const rule = RULES[domain];
    if (envelope.contentType !== rule.contentType) {
      throw new RefusedError(TYPES.has(envelope.contentType) ? "WRONG_DOMAIN" : "WRONG_TYPE");
    }
    const signed = wellFormed(() => fromBinary(SignedOrderSchema, envelope.payload));
    const { body, id } = this.bodyOf(signed, rule);
    if (signed.vin !== this.vin) throw new RefusedError("WRONG_VEHICLE");
    const isKnown = this.isKnown(domain, id);
    if (!isKnown) this.inStep(domain, signed, rule, epoch);
    return { domain, hash, id, isKnown, expiresAtMillis: signed.expiresAtMillis, body };
  }

  private verify(envelope: Envelope, domain: string, trust: Trust): void {
    envelope.verify(trust.signer(envelope.kid, this.wallSeconds()), `vehicle.${this.vin}.${domain}`);
  }

  private bodyOf(signed: SignedOrder, rule: Rule): { body: Order["body"]; id: string } {
    const { order } = signed;
    if (order.case !== rule.member || order.value === undefined) throw new RefusedError("WRONG_TYPE");
    const ids =
      order.case === "door" ? [order.value.commandId]
      : order.case === "cancel" ? [order.value.cancelId, order.value.commandId]
      : [String(order.value.version)];
    // Characters, not UTF-16 units.
    if (ids.some((id) => id.length < 1 || [...id].length > 128)) throw new RefusedError("MALFORMED");
    return { body: order.value, id: String(ids[0]) };
  }

  private inStep(domain: OrderDomain, signed: SignedOrder, rule: Rule, epoch: Epoch): void {
    if (!epoch.id.equals(signed.epoch)) throw new RefusedError("WRONG_EPOCH");
    const left = signed.expiresAtMillis - BigInt(epoch.clockMillis());
    if (left <= 0n) throw new RefusedError("EXPIRED");
    if (left > rule.longestMillis) throw new RefusedError("VALID_TOO_LONG");
    epoch.spend(domain, signed.counter);
    if (!rule.roles.includes(signed.role)) throw new RefusedError("ROLE_NOT_ALLOWED");
  }
}
