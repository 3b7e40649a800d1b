/** The life of a command as rules: what it is after an update, and which stages it has come through. Nothing here is shown. */

const FINAL = ["SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"];
const ORDER = ["ACCEPTED", "QUEUED", "WAKING", "SENT", "RECEIVED", "FINISHED"];
const TOLD = ["message", "failureReason", "guidance", "mayHaveSucceeded", "doorResults"];

/** Whether a status never changes any more. */
export function isFinal(status) {
  return FINAL.includes(status);
}

/**
 * A command after an update of the event stream. Pure.
 * @param {Object} command the body of GET commands/{id}, or of the 202
 * @param {Object} update a message of type COMMAND_STATUS_UPDATE; one about another command changes nothing
 * @returns {Object}
 */
export function withUpdate(command, update) {
  const { data } = update;
  if (update.type !== "COMMAND_STATUS_UPDATE" || data.commandId !== command.commandId) return command;
  if (data.late) {
    const { status, failureReason, doorResults } = data;
    return { ...command, lateResult: { status, receivedAt: update.timestamp, failureReason, doorResults } };
  }
  if (isFinal(command.status)) return command;
  const told = Object.fromEntries(TOLD.filter((name) => name in data).map((name) => [name, data[name]]));
  const stage = isFinal(data.status) ? "FINISHED" : data.status === "IN_PROGRESS" ? "RECEIVED" : null;
  return { ...command, ...told, status: data.status, stages: withStage(command.stages ?? [], stage, update.timestamp) };
}

/** Of two states of the same command the one that knows more: an answer may be older than an update that came while it was on its way. */
export function newer(shown, answered) {
  if (shown?.commandId !== answered.commandId) return answered;
  if (isFinal(shown.status) && !isFinal(answered.status)) return { ...answered, ...shown, stages: shown.stages };
  return { ...shown, ...answered, stages: answered.stages ?? shown.stages };
}

/**
 * The stages of a command in their order.
 * @returns {{name: string, state: "done"|"now"|"ahead"|"skipped", time: (string|undefined)}[]} `skipped`: it ended without
 */
export function stagesOf(command) {
  const reached = new Map((command.stages ?? []).map((stage) => [stage.name, stage.time]));
  if (!reached.has("ACCEPTED") && command.timestamp) reached.set("ACCEPTED", command.timestamp);
  const names = ORDER.filter((name) => name !== "WAKING" || reached.has("WAKING"));
  // What lies at the broker is sent, and the vehicle may be woken for it afterwards.
  if (Date.parse(reached.get("WAKING")) > Date.parse(reached.get("SENT"))) {
    names.splice(names.indexOf("WAKING"), 2, "SENT", "WAKING");
  }
  const last = names.findLastIndex((name) => reached.has(name));
  const ended = isFinal(command.status);
  return names.map((name, index) => {
    if (reached.has(name)) return { name, state: "done", time: reached.get(name) };
    // What lies before a stage that was reached was passed, whoever did not say so.
    if (index < last || ended) return { name, state: "skipped", time: undefined };
    return { name, state: index === last + 1 ? "now" : "ahead", time: undefined };
  });
}

function withStage(stages, name, time) {
  return name === null || stages.some((stage) => stage.name === name) ? stages : [...stages, { name, time }];
}
