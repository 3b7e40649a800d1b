/** What becomes of orders that passed the gate: commands, cancellations, settings; each answered, each acting once. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { randomUUID } from "node:crypto";
import {
  DoorId, DoorSettingsSchema, RemoteAccess, UnlockMode, type DoorSettings,
} from "../gen/ecarus/remotecontrol/vehicle/v1/body_pb.js";
import { DoorAction, type ApplyConfig, type CancelCommand, type DoorCommand } from "../gen/ecarus/remotecontrol/vehicle/v1/command_pb.js";
import {
  CancelOutcome, CancelResultSchema, CommandOutcome, CommandReceivedSchema, CommandResultSchema, ConfigReportSchema,
  DoorOutcomeSchema, FaultCode, type CommandResult, type DoorOutcome,
} from "../gen/ecarus/remotecontrol/vehicle/v1/report_pb.js";
import type { Budget } from "./budget.js";
import { DOORS, type Car } from "./car.js";
import type { Order, OrderDomain } from "./gate.js";
import type { Journal } from "./journal.js";
import type { Delivery } from "./link.js";
import type { Reporter } from "./reporter.js";
import { doorsOf, refusal, settingsFault } from "./rules.js";
import type { Voice } from "./voice.js";

/** An order that is not answered yet. It may come again meanwhile, also signed anew under another hash. */
class Open {
  readonly deliveries: Delivery[] = [];
  readonly hashes = new Map<string, Buffer>();

  add(hash: Buffer, delivery: Delivery): void {
    this.hashes.set(hash.toString("hex"), hash);
    this.deliveries.push(delivery);
  }
}

class Job extends Open {
  isRunning = false;
  isStopped = false;
  mustStop = false;
  readonly done: Promise<void>;
  finish: () => void = () => undefined;

  constructor(readonly order: Order, readonly command: DoorCommand, readonly clockMillis: () => number) {
    super();
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
  }
}

export class Orders {
  private readonly jobs = new Map<string, Job>();
  private readonly cancellations = new Map<string, Open>();
  private queue: Job[] = [];
  private isBusy = false;

  constructor(
    private readonly car: Car,
    private readonly journal: Journal,
    private readonly voice: Voice,
    private readonly reporter: Reporter,
    private readonly budget: Budget,
    private readonly wallSeconds: () => number,
  ) {}

  get settings(): DoorSettings {
    const kept = this.journal.settings;
    if (kept === undefined) return create(DoorSettingsSchema, NEW_CAR);
    return fromBinary(DoorSettingsSchema, Buffer.from(kept.payload, "base64"));
  }

  isKnown(domain: OrderDomain, id: string): boolean {
    if (domain === "cmd.config") return Number(id) <= (this.journal.settings?.version ?? 0);
    if (domain === "cmd.cancel" && this.cancellations.has(id)) return true;
    if (domain === "cmd.door" && this.jobs.has(id)) return true;
    return this.journal.answers.has(`${domain}/${id}`);
  }

  /** After a power cut: what had begun is INTERRUPTED, and what the broker may not have is said again. */
  recover(): void {
    for (const begun of [...this.journal.begun.values()]) {
      const doors = begun.doors.map((door) => this.outcome(door, FaultCode.INTERRUPTED));
      const fault = FaultCode.INTERRUPTED;
      this.keepResult(begun.id, Buffer.from(begun.hash, "hex"), { outcome: CommandOutcome.FAILED, fault, doors });
    }
    for (const answer of this.journal.answers.values()) {
      if (!answer.isConfirmed) void this.voice.send(answer, Buffer.from(answer.hash, "hex"));
    }
  }

  /** What waits does not outlive the epoch. The broker brings it again, and then it is of another epoch. */
  endWaiting(): void {
    for (const job of this.queue) this.jobs.delete(job.order.id);
    this.queue = [];
  }

  /** Resolve when no command moves a door. */
  async idle(): Promise<void> {
    await Promise.all([...this.jobs.values()].filter((job) => job.isRunning).map((job) => job.done));
  }

  take(order: Order, delivery: Delivery, clockMillis: () => number): void {
    if (order.isKnown) this.again(order, delivery);
    else if (order.domain === "cmd.door") this.takeCommand(order, delivery, clockMillis);
    else if (order.domain === "cmd.cancel") void this.cancel(order, delivery);
    else void this.configure(order, delivery);
  }

  /** A known order: joined to what is not answered yet; else its stored answer, within the budget. */
  private again(order: Order, delivery: Delivery): void {
    const open = order.domain === "cmd.door" ? this.jobs.get(order.id) : this.cancellations.get(order.id);
    if (order.domain !== "cmd.config" && open !== undefined) {
      open.add(order.hash, delivery);
      return;
    }
    const key = `${order.domain}/${order.id}`;
    if (!this.voice.isSending(key, order.hash) && !this.budget.spend()) {
      delivery.refuse();
      return;
    }
    const answer = this.journal.answers.get(key);
    const said = answer
      ? this.voice.send(answer, order.hash)
      : this.sayConfig(order.hash, this.journal.settings?.version ?? 0, true, "");
    void said.then(() => delivery.settle());
  }

  private takeCommand(order: Order, delivery: Delivery, clockMillis: () => number): void {
    const job = new Job(order, order.body as DoorCommand, clockMillis);
    job.add(order.hash, delivery);
    this.jobs.set(order.id, job);
    this.queue.push(job);
    if (!this.isBusy) void this.work();
  }

  private async work(): Promise<void> {
    this.isBusy = true;
    for (let job = this.queue.shift(); job !== undefined; job = this.queue.shift()) await this.carryOut(job);
    this.isBusy = false;
  }

  private async carryOut(job: Job): Promise<void> {
    const { command } = job;
    const id = command.commandId;
    const doors = doorsOf(command, this.settings, this.car);
    const lock = command.action === DoorAction.LOCK;
    job.isRunning = true;
    this.journal.begin({ kind: "begun", id, hash: job.order.hash.toString("hex"), lock, doors });
    const received = create(CommandReceivedSchema, { commandId: id, receivedAt: timestampNow() });
    // Worth saying once: the result says more.
    this.voice.say({ case: "received", value: received }, job.order.hash).catch(() => undefined);
    const [startedAt, beganAfterSequence] = [timestampNow(), this.reporter.sequence];
    const outcomes = await this.move(job, doors);
    this.close(job, { ...outcomes, startedAt, beganAfterSequence });
    job.finish();
  }

  /** Door by door; before each a look at the expiry, the vehicle's rules, and whether an unlock is to stop. */
  private async move(job: Job, doors: DoorId[]): Promise<Partial<CommandResult>> {
    const { command } = job;
    const isLock = command.action === DoorAction.LOCK;
    const outcomes: DoorOutcome[] = [];
    let [fault, guidance] = [FaultCode.UNSPECIFIED, ""];
    for (const door of doors) {
      if (fault === FaultCode.UNSPECIFIED) {
        const refused = refusal(command, doors, this.car);
        if (BigInt(job.clockMillis()) >= job.order.expiresAtMillis) fault = FaultCode.EXPIRED;
        else if (job.mustStop) [fault, job.isStopped] = [FaultCode.CANCELLED, true];
        else if (refused !== undefined) ({ fault, guidance } = refused);
      }
      if (fault === FaultCode.UNSPECIFIED) await this.car.move(door, isLock, command.commandId, this.reporter.sequence);
      if (COMMANDED.has(door)) outcomes.push(this.outcome(door, fault)); // a result names no other
    }
    if (doors.length === 0) ({ fault, guidance } = refusal(command, doors, this.car) ?? { fault, guidance });
    return { ...overall(outcomes, fault), guidance, doors: outcomes };
  }

  private async cancel(order: Order, delivery: Delivery): Promise<void> {
    const { cancelId, commandId, force } = order.body as CancelCommand;
    const open = new Open();
    open.add(order.hash, delivery);
    this.cancellations.set(cancelId, open);
    const outcome = await this.withdraw(commandId, force, order.hash);
    const result = create(CancelResultSchema, { cancelId, commandId, outcome });
    const key = `cmd.cancel/${cancelId}`;
    this.keep(key, "cancel", toBinary(CancelResultSchema, result), order.hash);
    this.cancellations.delete(cancelId);
    this.sendTo(key, open);
  }

  private async withdraw(commandId: string, force: boolean, hash: Buffer): Promise<CancelOutcome> {
    const job = this.jobs.get(commandId);
    if (job?.isRunning) {
      if (!force || job.command.action === DoorAction.LOCK) return CancelOutcome.TOO_LATE;
      job.mustStop = true;
      await job.done;
      return job.isStopped ? CancelOutcome.STOPPED : CancelOutcome.TOO_LATE;
    }
    const cancelled = { outcome: CommandOutcome.CANCELLED, fault: FaultCode.CANCELLED };
    if (job !== undefined) {
      this.queue = this.queue.filter((one) => one !== job);
      this.close(job, cancelled);
      return CancelOutcome.WILL_NOT_ACT;
    }
    const answer = this.journal.answers.get(`cmd.door/${commandId}`);
    if (answer !== undefined) {
      const { outcome } = fromBinary(CommandResultSchema, Buffer.from(answer.payload, "base64"));
      return outcome === CommandOutcome.CANCELLED ? CancelOutcome.WILL_NOT_ACT : CancelOutcome.TOO_LATE;
    }
    // It never came. Its result names the cancellation's hash, and it is known from now on.
    void this.voice.send(this.keepResult(commandId, hash, cancelled), hash);
    return CancelOutcome.WILL_NOT_ACT;
  }

  private async configure(order: Order, delivery: Delivery): Promise<void> {
    const { version, settings } = order.body as ApplyConfig;
    const wanted = settings ?? create(DoorSettingsSchema);
    const fault = settingsFault(wanted);
    let reason = fault;
    if (fault === "") {
      const left = ABSENT.filter((member) => wanted[member]);
      for (const member of left) wanted[member] = false;
      if (left.length > 0) reason = `this vehicle has no ${left.map(inWords).join(", ")}`;
      this.journal.keepSettings(version, Buffer.from(toBinary(DoorSettingsSchema, wanted)).toString("base64"));
    }
    await this.sayConfig(order.hash, version, fault === "", reason);
    delivery.settle();
  }

  private async sayConfig(hash: Buffer, version: number, applied: boolean, reason: string): Promise<void> {
    const value = create(ConfigReportSchema, {
      version, applied, reason, settings: this.settings, appliedAt: timestampNow(),
    });
    await this.voice.sayUntilConfirmed({ case: "config", value }, hash);
  }

  /** The command is over: its result to the disk, then said under every hash that it came with, then confirmed. */
  private close(job: Job, result: Partial<CommandResult>): void {
    this.keepResult(job.order.id, job.order.hash, result);
    this.jobs.delete(job.order.id);
    this.sendTo(`cmd.door/${job.order.id}`, job);
    this.reporter.request();
  }

  private sendTo(key: string, open: Open): void {
    const answer = this.journal.answers.get(key);
    if (answer === undefined) throw new Error(`${key} was not kept`);
    const sent = [...open.hashes.values()].map((hash) => this.voice.send(answer, hash));
    void Promise.all(sent).then(() => open.deliveries.forEach((delivery) => delivery.settle()));
  }

  private keepResult(commandId: string, hash: Buffer, result: Partial<CommandResult>) {
    const { $typeName: _, ...members } = result as CommandResult;
    const whole = create(CommandResultSchema, {
      ...members, commandId, finishedAt: timestampNow(), status: this.reporter.status(),
    });
    return this.keep(`cmd.door/${commandId}`, "result", toBinary(CommandResultSchema, whole), hash);
  }

  private keep(order: string, member: "result" | "cancel", payload: Uint8Array, hash: Buffer) {
    const answer = {
      kind: "answer", order, member, payload: Buffer.from(payload).toString("base64"), hash: hash.toString("hex"),
      messageId: randomUUID(), atSeconds: this.wallSeconds(), isConfirmed: false,
    } as const;
    this.journal.answer(answer);
    return this.journal.answers.get(order) ?? answer;
  }

  private outcome(door: DoorId, fault: FaultCode): DoorOutcome {
    const isTold = DOORS.includes(door) && this.car.now.remoteAccess !== RemoteAccess.PRIVACY_MODE;
    const succeeded = fault === FaultCode.UNSPECIFIED;
    return create(DoorOutcomeSchema, {
      door, succeeded, fault, ...(isTold ? { locked: this.car.isLocked(door) } : {}),
    });
  }
}

/** The doors that a command can name. */
const COMMANDED = new Set([DoorId.DRIVER, DoorId.PASSENGER, DoorId.REAR_LEFT, DoorId.REAR_RIGHT, DoorId.TRUNK]);

/** As the car is made: it does nothing by itself. */
const NEW_CAR = { autoLockDelaySeconds: 30, unlockMode: UnlockMode.ALL, speedLockThresholdKmh: 15 };

/** What this car cannot do; settings that ask for it are applied without it. */
const ABSENT = ["autoLockEnabled", "childLockEnabled", "speedBasedLockEnabled", "parkingAutoUnlock"] as const;

function inWords(member: string): string {
  return member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Of all doors: REFUSED and CANCELLED promise that none moved. */
function overall(doors: DoorOutcome[], fault: FaultCode): Pick<CommandResult, "outcome" | "fault"> {
  if (doors.length > 0 && doors.every((door) => door.succeeded)) {
    return { outcome: CommandOutcome.SUCCEEDED, fault: FaultCode.UNSPECIFIED };
  }
  if (doors.some((door) => door.succeeded)) return { outcome: CommandOutcome.PARTIAL, fault: FaultCode.UNSPECIFIED };
  return { outcome: fault === FaultCode.CANCELLED ? CommandOutcome.CANCELLED : CommandOutcome.REFUSED, fault };
}
