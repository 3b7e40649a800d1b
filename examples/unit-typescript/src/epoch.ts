/** One epoch: its id, clock, counters and report key. Nothing of it is ever on the disk. */

import { create } from "@bufbuild/protobuf";
import { randomBytes, type KeyObject } from "node:crypto";
import {
  DomainCounterSchema, KeyUse, SessionInfoSchema, type SessionInfo,
} from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";
import { RefusedError } from "./faults.js";
import { agree, keyId, newAgreementKey, rawPublic } from "./keys.js";
import { ReportSealer } from "./seal.js";
import type { Trust } from "./trust.js";

export const LAST_COUNTER = 2n ** 48n - 1n;

export class Epoch {
  readonly id: Buffer;
  readonly cloudReportKey: Buffer;
  readonly reports: ReportSealer;
  private readonly reportPublic: Buffer;
  private readonly said = new Map<string, bigint>();

  /** `clockMillis` counts from the epoch's begin; id, key and counters are given by tests only. */
  constructor(
    private readonly vin: string,
    trust: Trust,
    wallSeconds: number,
    readonly clockMillis: () => number,
    id: Buffer = randomBytes(16),
    private readonly accepted: Map<string, bigint> = new Map(),
    reportKey: KeyObject = newAgreementKey(),
  ) {
    this.id = id;
    this.cloudReportKey = Buffer.from(trust.first(KeyUse.REPORT, wallSeconds));
    this.reportPublic = rawPublic(reportKey);
    this.reports = new ReportSealer(vin, id, agree(reportKey, this.cloudReportKey));
  }

  /** Spend the counter of an order, or throw RefusedError. */
  spend(domain: string, counter: bigint): void {
    if (counter > LAST_COUNTER) throw new RefusedError("COUNTER_TOO_LARGE");
    if (counter <= (this.accepted.get(domain) ?? 0n)) throw new RefusedError("COUNTER_NOT_NEW");
    this.accepted.set(domain, counter);
  }

  /** The unit's own counter for what it says next in a domain. */
  nextCounter(domain: string): bigint {
    const next = (this.said.get(domain) ?? 0n) + 1n;
    this.said.set(domain, next);
    return next;
  }

  /** SessionInfo without hello and challenge. */
  info(trust: Trust, messageId: string): SessionInfo {
    return create(SessionInfoSchema, {
      vin: this.vin,
      messageId,
      epoch: this.id,
      clockMillis: BigInt(this.clockMillis()),
      counters: [...this.accepted].map(([domain, counter]) => create(DomainCounterSchema, { domain, counter })),
      manifestVersion: trust.manifest.version,
      reportPublicKey: this.reportPublic,
      reportKeyId: keyId(this.cloudReportKey),
    });
  }
}
