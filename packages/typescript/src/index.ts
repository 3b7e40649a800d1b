/** The client of the Remote Door Control API: lock, unlock and watch vehicles. */

export { type CommandOptions, type CommandResult, type DoorName, Doors, type HistoryQuery, newCorrelationId, type Schemas } from "./client.js";
export { DoorsError, type Failure, type Problem, type StepUpChallenge } from "./errors.js";
export type { CommandStatusChange, DoorEvent, DoorStatusChange, SystemAlert } from "./events.js";
export type { DoorsOptions, TokenSource } from "./http.js";
export type { components, operations, paths } from "./openapi.js";
export type { Answer, Call, CallOptions, DataOf, Method, PathOf } from "./typed.js";
export { VERSION } from "./version.js";
export type { WatchOptions } from "./watch.js";
export type { WatchAllOptions } from "./watch_all.js";
