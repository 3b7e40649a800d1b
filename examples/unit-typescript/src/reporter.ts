/** Status reports and self-checks: at once after a hello and a change, and every INTERVAL_SECONDS. */

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { DoorId, DoorObservationSchema, LockChangeSchema, RemoteAccess } from "../gen/ecarus/remotecontrol/vehicle/v1/body_pb.js";
import {
  ComponentCondition, ComponentSchema, DiagnosticsReportSchema, StatusReportSchema, type StatusReport,
} from "../gen/ecarus/remotecontrol/vehicle/v1/report_pb.js";
import { DOORS, type Car } from "./car.js";
import { LinkDownError, pause, type Link } from "./link.js";
import type { Voice } from "./voice.js";

const INTERVAL_SECONDS = 30;
const SELF_CHECK_MILLIS = 300_000;
const LEAST_BETWEEN_ASKED_MILLIS = 10_000;
const AGAIN_MILLIS = 1_000;

export class Reporter {
  /** Of the last report that was made in this boot, those inside results and self-checks included. */
  sequence = 0n;
  private changed: (() => void) | undefined;
  private hasChanged = true;
  private checkedAt = -Infinity;
  private askedAt = -Infinity;
  private isCheckWanted = true;
  private wasLow = false;
  private isAwake = true;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly bootId: string, private readonly car: Car, private readonly voice: Voice) {}

  /** The vehicle as it stands. In privacy mode it says nothing of doors, ignition, speed and gear. */
  status(goingToSleep = false): StatusReport {
    this.sequence += 1n;
    const { now } = this.car;
    const isPrivate = now.remoteAccess === RemoteAccess.PRIVACY_MODE;
    return create(StatusReportSchema, {
      observedAt: timestampNow(),
      bootId: this.bootId,
      sequence: this.sequence,
      reportingIntervalSeconds: INTERVAL_SECONDS,
      goingToSleep,
      fittedDoors: DOORS,
      remoteAccess: now.remoteAccess,
      ...(isPrivate ? {} : {
        ignition: now.ignition, gear: now.gear, speedKmh: now.speedKmh, doors: DOORS.map((door) => this.observed(door)),
      }),
    });
  }

  /** Report at once. */
  request(): void {
    this.hasChanged = true;
    this.changed?.();
  }

  /** Check at once, also where nothing changed; not more often than every 10 s, because the request can be replayed. */
  requestSelfCheck(): void {
    const now = performance.now();
    if (now - this.askedAt < LEAST_BETWEEN_ASKED_MILLIS) return;
    this.askedAt = now;
    this.isCheckWanted = true;
    this.request();
  }

  /** For as long as the unit runs. */
  async run(): Promise<never> {
    for (;;) {
      const link = await this.voice.online();
      this.hasChanged = false;
      try {
        await this.alone(() => this.isAwake ? this.report(link) : Promise.resolve());
      } catch (error) {
        if (!(error instanceof LinkDownError)) throw error;
        process.stderr.write(`not reported: ${error.message}\n`);
        this.hasChanged = true;
        await pause(AGAIN_MILLIS);
        continue;
      }
      await this.untilChanged();
    }
  }

  /** The last report before the vehicle disconnects on purpose. No other follows until `wake`. */
  async sayGoodbye(link: Link): Promise<void> {
    this.isAwake = false;
    await this.alone(() => this.voice.report(link, "evt.status", toBinary(StatusReportSchema, this.status(true))));
  }

  wake(): void {
    this.isAwake = true;
  }

  private async report(link: Link): Promise<void> {
    await this.voice.report(link, "evt.status", toBinary(StatusReportSchema, this.status()));
    const isLow = this.isLow();
    if (!this.isCheckWanted && isLow === this.wasLow && performance.now() - this.checkedAt < SELF_CHECK_MILLIS) return;
    await this.voice.report(link, "evt.diagnostics", this.selfCheck());
    [this.isCheckWanted, this.wasLow, this.checkedAt] = [false, isLow, performance.now()];
  }

  private selfCheck(): Uint8Array {
    this.sequence += 1n;
    const actuators = DOORS.map((door) => {
      const name = String(DoorId[door]).toLowerCase();
      return create(ComponentSchema, {
        componentId: `${name}_actuator_01`,
        name: `${name.replace("_", " ")} door actuator`,
        condition: ComponentCondition.ACTIVE,
        health: 100,
      });
    });
    const module = create(ComponentSchema, {
      componentId: "lock_module_01",
      name: "lock module",
      condition: this.isLow() ? ComponentCondition.MAINTENANCE_REQUIRED : ComponentCondition.ACTIVE,
      errorCodes: this.isLow() ? ["B1A10"] : [],
    });
    const { bootId, sequence } = this;
    const components = [...actuators, module];
    return toBinary(
      DiagnosticsReportSchema,
      create(DiagnosticsReportSchema, { observedAt: timestampNow(), bootId, sequence, components }),
    );
  }

  private isLow(): boolean {
    return this.car.now.batteryPercent < 10;
  }

  private observed(door: DoorId) {
    const change = this.car.changes.get(door);
    return create(DoorObservationSchema, {
      door,
      locked: this.car.isLocked(door), // written also where it is false: absent would be unknown
      open: this.car.isOpen(door),
      ...(change === undefined ? {} : { lockChange: create(LockChangeSchema, change) }),
    });
  }

  /** One after the other: reports are counted in the order in which they are said. */
  private alone(say: () => Promise<void>): Promise<void> {
    const next = this.last.then(say);
    this.last = next.catch(() => undefined);
    return next;
  }

  private async untilChanged(): Promise<void> {
    if (this.hasChanged) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 1_000 * INTERVAL_SECONDS);
      this.changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.changed = undefined;
  }
}
