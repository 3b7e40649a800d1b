/**
 * The car around the unit: five doors whose locks are sensed, and what of it decides whether they may move. In a real vehicle
 * this is the body controller; here it is a file, and a line in actuations.jsonl before and after each lock moves.
 */

import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DoorId, Gear, Ignition, LockCause, RemoteAccess } from "../gen/ecarus/remotecontrol/vehicle/v1/body_pb.js";
import { pause } from "./link.js";

export const DOORS = [DoorId.DRIVER, DoorId.PASSENGER, DoorId.REAR_LEFT, DoorId.REAR_RIGHT, DoorId.TRUNK];

interface State {
  locked: Record<number, boolean>;
  open: Record<number, boolean>;
  ignition: Ignition;
  gear: Gear;
  speedKmh: number;
  batteryPercent: number;
  remoteAccess: RemoteAccess;
  doorSeconds: number;
}

export interface Change { cause: LockCause; afterSequence: bigint }

export class Car {
  /** What moved each lock last, in this boot. */
  readonly changes = new Map<DoorId, Change>();
  private readonly state: State;
  private readonly file: string;
  private readonly actuations: string;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.file = join(folder, "car.json");
    this.actuations = join(folder, "actuations.jsonl");
    this.state = existsSync(this.file) ? (JSON.parse(readFileSync(this.file, "utf8")) as State) : parked();
  }

  get now(): Readonly<State> {
    return this.state;
  }

  get isMoving(): boolean {
    return this.state.speedKmh > 0;
  }

  isLocked(door: DoorId): boolean {
    return this.state.locked[door] === true;
  }

  isOpen(door: DoorId): boolean {
    return this.state.open[door] === true;
  }

  /** Set the lock in motion, for a command. A lock that stands so already is not touched. */
  async move(door: DoorId, locked: boolean, commandId: string, afterSequence: bigint): Promise<void> {
    if (this.isLocked(door) === locked) return;
    this.log(commandId, "BEFORE", door);
    await pause(1_000 * this.state.doorSeconds);
    this.set({ locked: { ...this.state.locked, [door]: locked } });
    this.changes.set(door, { cause: LockCause.COMMAND, afterSequence });
    this.log(commandId, "AFTER", door);
  }

  /** What people and the road do to it. */
  set(change: Partial<State>): void {
    Object.assign(this.state, change);
    writeFileSync(this.file, JSON.stringify(this.state));
  }

  private log(commandId: string, phase: string, door: DoorId): void {
    appendFileSync(this.actuations, `${JSON.stringify({ command_id: commandId, phase, door: DoorId[door] })}\n`);
  }
}

function parked(): State {
  const every = (value: boolean): Record<number, boolean> => Object.fromEntries(DOORS.map((door) => [door, value]));
  return {
    locked: every(true), open: every(false), ignition: Ignition.OFF, gear: Gear.P, speedKmh: 0,
    batteryPercent: 90, remoteAccess: RemoteAccess.ENABLED, doorSeconds: 0,
  };
}
