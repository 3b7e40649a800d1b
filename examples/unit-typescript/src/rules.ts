/** The vehicle's own rules: refusing by these is a result (docs/tcu.md, What the vehicle itself refuses). */

import {
  DoorId, Ignition, RemoteAccess, UnlockMode, type DoorSettings,
} from "../gen/ecarus/remotecontrol/vehicle/v1/body_pb.js";
import { DoorAction, DoorActionMode, type DoorCommand } from "../gen/ecarus/remotecontrol/vehicle/v1/command_pb.js";
import { FaultCode } from "../gen/ecarus/remotecontrol/vehicle/v1/report_pb.js";
import { DOORS, type Car } from "./car.js";

const LOW_BATTERY_PERCENT = 10;

export interface Refusal { fault: FaultCode; guidance: string }

/** Every door that the command is about, in order, each once; also those that the car lacks. */
export function doorsOf(command: DoorCommand, settings: DoorSettings, car: Car): DoorId[] {
  if (!command.allDoors) return [...new Set(command.doors)];
  const isPlainUnlock = command.action === DoorAction.UNLOCK && command.mode !== DoorActionMode.EMERGENCY;
  const isDriverFirst =
    settings.unlockMode === UnlockMode.DRIVER_ONLY ||
    (settings.unlockMode === UnlockMode.SEQUENCE && car.isLocked(DoorId.DRIVER));
  return isPlainUnlock && isDriverFirst ? [DoorId.DRIVER] : [...DOORS];
}

/** Why nothing may move, if so. */
export function refusal(command: DoorCommand, doors: DoorId[], car: Car): Refusal | undefined {
  const { now } = car;
  if (now.remoteAccess === RemoteAccess.DISABLED || now.remoteAccess === RemoteAccess.PRIVACY_MODE) {
    return { fault: FaultCode.REMOTE_ACCESS_DISABLED, guidance: "Switch remote access on in the vehicle." };
  }
  const isUnlock = command.action === DoorAction.UNLOCK;
  const isEmergency = command.mode === DoorActionMode.EMERGENCY;
  // This car has no deadlock, so it knows no SECURE.
  const isMode = command.mode === DoorActionMode.NORMAL || (isUnlock && isEmergency);
  const isAction = isUnlock || command.action === DoorAction.LOCK;
  if (!isAction || !isMode || doors.length === 0 || doors.some((door) => !DOORS.includes(door))) {
    return { fault: FaultCode.NOT_SUPPORTED, guidance: "This vehicle cannot do that." };
  }
  if (!isUnlock) {
    const isOpen = doors.some((door) => car.isOpen(door));
    return isOpen ? { fault: FaultCode.DOOR_OPEN, guidance: "Shut the door first." } : undefined;
  }
  if (car.isMoving) return { fault: FaultCode.VEHICLE_MOVING, guidance: "Stop the vehicle first." };
  if (isEmergency) return undefined;
  if (now.ignition === Ignition.ON) return { fault: FaultCode.ENGINE_ON, guidance: "Switch the ignition off first." };
  if (now.batteryPercent < LOW_BATTERY_PERCENT) {
    return { fault: FaultCode.LOW_BATTERY, guidance: "Charge the battery, or use the key." };
  }
  return undefined;
}

/** What is wrong with settings, empty where nothing is. */
export function settingsFault(wanted: DoorSettings): string {
  const wrong: string[] = [];
  const range = (name: string, value: number, least: number, most: number): void => {
    if (value < least || value > most) wrong.push(`${name} must be ${least} to ${most}, not ${value}`);
  };
  range("auto_lock_delay_seconds", wanted.autoLockDelaySeconds, 5, 600);
  range("speed_lock_threshold_kmh", wanted.speedLockThresholdKmh, 5, 60);
  if (![UnlockMode.ALL, UnlockMode.DRIVER_ONLY, UnlockMode.SEQUENCE].includes(wanted.unlockMode)) {
    wrong.push(`unlock_mode ${wanted.unlockMode} is not known`);
  }
  return wrong.join("; ");
}
