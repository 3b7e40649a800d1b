/** What the protocol refuses, and which refusals are answered (docs/vehicle-protocol.md, Orders and Faults). */

import { ProtocolFault } from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";

export type Fault = keyof typeof ProtocolFault;

const ANSWERED = new Set<Fault>([
  "UNKNOWN_KEY", "EXPIRED_KEY", "WRONG_TYPE", "WRONG_DOMAIN", "WRONG_VEHICLE", "WRONG_EPOCH", "EXPIRED",
  "VALID_TOO_LONG", "COUNTER_TOO_LARGE", "COUNTER_NOT_NEW", "ROLE_NOT_ALLOWED",
]);
const WITH_SESSION = new Set<Fault>([
  "UNKNOWN_KEY", "EXPIRED_KEY", "WRONG_EPOCH", "EXPIRED", "VALID_TOO_LONG", "COUNTER_TOO_LARGE", "COUNTER_NOT_NEW",
]);

/** A message that moves nothing. `requestHash` is there once the envelope could be read. */
export class RefusedError extends Error {
  requestHash: Buffer | undefined;

  constructor(readonly fault: Fault, requestHash?: Buffer) {
    super(fault);
    this.requestHash = requestHash;
  }

  get isAnswered(): boolean {
    return this.requestHash !== undefined && ANSWERED.has(this.fault);
  }

  get carriesSession(): boolean {
    return WITH_SESSION.has(this.fault);
  }
}

/** Run `read`; whatever it throws means that the bytes are not what they should be. */
export function wellFormed<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw new RefusedError("MALFORMED");
  }
}
