/** What `Doors.watch` tells: the updates of the event stream. */

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

/** A door, as it is since `timestamp`. What the vehicle cannot tell is absent. */
export interface DoorStatusChange {
  doorId: "driver" | "passenger" | "rearLeft" | "rearRight" | "trunk" | "hood";
  locked?: boolean;
  open?: boolean;
  windowOpen?: boolean;
  changeType?: "LOCKED" | "UNLOCKED" | "OPENED" | "CLOSED" | "WINDOW_OPENED" | "WINDOW_CLOSED";
  previousState?: { locked?: boolean; open?: boolean; windowOpen?: boolean };
  /** What moved the lock, where the vehicle tells. */
  cause?: "COMMAND" | "AUTO_LOCK" | "SPEED_LOCK" | "PARKING_UNLOCK" | "KEY" | "HANDLE" | "CRASH" | "OTHER";
}

/** How far a command is. */
export interface CommandStatusChange {
  commandId: string;
  correlationId: string;
  action: Schemas["CommandAction"];
  status: Schemas["CommandStatus"];
  /** For people. */
  message: string;
  failureReason?: Schemas["FailureReason"];
  /** For people: what to do about the failure. */
  guidance?: string;
  /** With TIMEOUT. */
  mayHaveSucceeded?: boolean;
  doorResults?: Schemas["DoorResult"][];
  /** An answer of the vehicle that came after the TIMEOUT; the status did not change. */
  late?: boolean;
}

/** Something that needs somebody's attention. */
export interface SystemAlert {
  /** Of `UPDATES_RESET` read the status anew: the stream could not be resumed from the given id. */
  code: string;
  severity: Schemas["AlertSeverity"];
  /** For people. */
  message: string;
  componentId?: string;
  /** That it is over. */
  cleared?: boolean;
  /** How often it came and went since it was last told. */
  flapCount?: number;
}

interface Told<Type extends string, Data> {
  /** Opaque; resume with it. */
  id: string;
  type: Type;
  vin: string;
  /** RFC 3339, UTC. */
  timestamp: string;
  data: Data;
}

/**
 * An update of one vehicle. A newer server may send a `type`, or a word in one, that is not listed here: pass it over.
 */
export type DoorEvent =
  | Told<"DOOR_STATUS_UPDATE", DoorStatusChange>
  | Told<"COMMAND_STATUS_UPDATE", CommandStatusChange>
  | Told<"SYSTEM_ALERT", SystemAlert>;
