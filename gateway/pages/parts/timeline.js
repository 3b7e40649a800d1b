/** A command as it goes: its stages, what each door did, why it failed, and what to do about it. */

import { isFinal, newer, stagesOf, withUpdate } from "./command.js";
import { clear, el } from "./dom.js";
import { formatNumber, formatTime, hasWord, onLanguage, t, word } from "./words.js";

const MOODS = { SUCCESS: "good", FAILED: "bad", TIMEOUT: "warn", CANCELLED: "unknown", PENDING: "busy", IN_PROGRESS: "busy" };
const MARKS = { done: "✓", now: "", ahead: "", skipped: "–" };

/** The badge of a command's status, in words. */
export function statusBadge(status) {
  return el("span", { class: `badge ${MOODS[status] ?? ""}`, data: { status } }, word("status", status));
}

/** The names of doors, in words. */
export function doorNames(doors) {
  return (doors ?? []).map((door) => word("door", door)).join(", ");
}

export class Timeline {
  /** @param {HTMLElement} root is emptied and filled; its end is announced to screen readers */
  constructor(root) {
    this._root = root;
    this._command = null;
    this._body = el("div", { class: "stack" });
    this._said = el("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    clear(root).append(this._body, this._said);
    this._stopped = onLanguage(() => this._draw());
    this._draw();
  }

  /** The command that is shown, or null. */
  get command() {
    return this._command;
  }

  /** Show the body of GET commands/{id} or of the 202. An answer that is older than what is shown of the same command takes nothing back. */
  show(command) {
    const before = this._command;
    this._command = newer(before, command);
    this._draw(before?.commandId === command.commandId ? before.status : undefined);
  }

  /** Take in a live message. @returns {boolean} whether it was about the command that is shown */
  apply(update) {
    if (!this._command || update.type !== "COMMAND_STATUS_UPDATE" || update.data.commandId !== this._command.commandId) return false;
    const before = this._command.status;
    this._command = withUpdate(this._command, update);
    this._draw(before);
    return true;
  }

  clear() {
    this._command = null;
    this._said.textContent = "";
    this._draw();
  }

  close() {
    this._stopped();
    clear(this._root);
  }

  _draw(before) {
    const command = this._command;
    clear(this._body);
    if (!command) {
      this._body.append(el("p", { class: "muted" }, t("timeline.none")));
      return;
    }
    if (command.status !== before) this._said.textContent = `${title(command)}: ${word("status", command.status)}. ${reasonText(command)}`;
    this._body.append(
      el("div", { class: "row spread" }, el("h3", {}, title(command)), statusBadge(command.status)),
      el("ol", { class: "timeline", "aria-label": t("timeline.stages") }, stagesOf(command).map((stage) => stageItem(stage, command))),
    );
    for (const part of [failure(command), confirmation(command), late(command), results(command.doorResults)]) if (part) this._body.append(part);
    this._body.append(facts(command));
  }
}

function title(command) {
  const action = word("action", command.action ?? "COMMAND");
  return command.targetDoors?.length ? `${action} · ${doorNames(command.targetDoors)}` : action;
}

function stageItem({ name, state, time }, command) {
  const bad = name === "FINISHED" && ["FAILED", "TIMEOUT"].includes(command.status);
  return el("li", { class: `is-${state}${bad ? " is-bad" : ""}`, data: { stage: name, state } },
    el("span", { class: "mark", "aria-hidden": "true" }, bad ? "✕" : MARKS[state]),
    el("span", { class: "stage" }, word("stage", name)),
    el("span", { class: "muted" }, time ? el("time", { datetime: time }, formatTime(time)) : t(`stage.${state}`)));
}

function reasonText(command) {
  return command.failureReason ? word("failure", command.failureReason) : "";
}

// What the vehicle itself said may name more than the words of its reason do (which door): it is kept beside them.
function failure(command) {
  const { failureReason: reason, status } = command;
  if (!reason && !["FAILED", "TIMEOUT"].includes(status)) return null;
  const known = reason && hasWord(`guidance.${reason}`) ? t(`guidance.${reason}`) : "";
  const told = [command.message, command.guidance].filter((each) => each && each !== known).join(" ");
  const may = command.mayHaveSucceeded === undefined ? "" : t(command.mayHaveSucceeded ? "timeline.may" : "timeline.maynot");
  return el("div", { class: `alert ${status === "FAILED" ? "bad" : "warn"}`, data: { part: "failure", reason: reason ?? "" } },
    el("div", { class: "text" },
      el("strong", {}, reason ? word("failure", reason) : word("status", status)),
      known && el("p", { data: { part: "guidance" } }, known),
      may && el("p", {}, may),
      told && el("p", { class: "small" }, `${t("timeline.told")} `, el("span", { lang: "en" }, told))));
}

function confirmation(command) {
  const state = command.confirmation?.state;
  if (!state) return null;
  const doors = (command.confirmation.doors ?? []).map((door) => `${word("door", door.doorId)}: ${t(door.locked ? "state.locked" : "state.unlocked")}`);
  return el("p", { class: `alert ${state === "CONFIRMED" ? "good" : "bad"}`, data: { part: "confirmation" } },
    `${word("confirmation", state)} ${state === "CONFIRMED" ? "" : doors.join(", ")}`);
}

function late(command) {
  const result = command.lateResult;
  if (!result) return null;
  const reason = result.failureReason ? ` (${word("failure", result.failureReason)})` : "";
  return el("p", { class: "alert warn", data: { part: "late" } },
    t("timeline.late", { time: formatTime(result.receivedAt), status: `${word("status", result.status)}${reason}` }));
}

function results(doors) {
  if (!doors?.length) return null;
  const rows = doors.map((door) => el("tr", { data: { door: door.doorId } },
    el("th", { scope: "row" }, word("door", door.doorId)),
    el("td", {}, el("span", { class: `badge ${door.success ? "good" : "bad"}` }, t(door.success ? "result.done" : "result.not"))),
    el("td", {}, door.locked === undefined ? t("state.unknown") : t(door.locked ? "state.locked" : "state.unlocked")),
    el("td", {}, door.failureReason ? word("failure", door.failureReason) : "")));
  const head = ["door", "result", "column.locked", "reason"].map((key) => el("th", { scope: "col" }, t(key)));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("timeline.results") },
    el("table", { class: "data", data: { part: "results" } }, el("caption", { class: "visually-hidden" }, t("timeline.results")),
      el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

function facts(command) {
  const rows = [
    ["timeline.took", command.executionTime === undefined ? null : t("seconds", { seconds: formatNumber(command.executionTime) })],
    ["timeline.expires", command.expiresAt && !isFinal(command.status) ? formatTime(command.expiresAt) : null],
    ["timeline.source", command.source ? word("source", command.source) : null],
    ["timeline.id", command.commandId],
    ["timeline.correlation", command.correlationId],
  ].filter(([, value]) => value);
  return el("details", { class: "small" }, el("summary", {}, t("timeline.details")),
    el("dl", { class: "facts" }, rows.flatMap(([key, value]) => [el("dt", {}, t(key)), el("dd", { class: "mono" }, value)])));
}
