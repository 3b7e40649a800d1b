/** What `Doors.watch` and `Doors.watchAll` tell: the updates of the AsyncAPI document. */

import type { components } from "./asyncapi.js";

type Schemas = components["schemas"];

/** A door, as it is since `timestamp`. What the vehicle cannot tell is absent. */
export type DoorStatusChange = Schemas["DoorStatusChange"];

/** How far a command is. */
export type CommandStatusChange = Schemas["CommandStatusChange"];

/** Something that needs somebody's attention. With the code `UPDATES_RESET` the stream could not be resumed: read the status anew. */
export type SystemAlert = Schemas["SystemAlert"];

/**
 * An update of one vehicle. A newer server may send a `type`, or a word in one, that is not listed here: pass it over.
 */
export type DoorEvent = Schemas["DoorStatusUpdateMessage"] | Schemas["CommandStatusUpdateMessage"] | Schemas["SystemAlertMessage"];
