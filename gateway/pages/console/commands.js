/** The buttons that lock, unlock and cancel for the customer, and what becomes of a request before it is a command. */

import { isStepUp, newCorrelationId } from "../parts/api.js";
import { isFinal } from "../parts/command.js";
import { clear, el } from "../parts/dom.js";
import { doorNames } from "../parts/timeline.js";
import { onLanguage, t, word } from "../parts/words.js";
import { button, confirmed, notice, problemNotice, stepUpButton } from "./notice.js";

const DOORS = ["driver", "passenger", "rearLeft", "rearRight", "trunk"];
const REASONS = ["User cancellation", "Emergency stop", "System error", "Timeout"];
const UNCLEAR = ["NO_ANSWER", "OFFLINE", "DEADLINE_EXCEEDED"];

export class CommandPanel {
  /**
   * @param {HTMLElement} root is emptied and filled
   * @param {{api: Object, session: Object, vin: string, current: () => Object|null, onAccepted: (command: Object) => void, onShow: (id: string) => void}} options
   *   `current` is the command that is shown now, `onShow` shows another one
   */
  constructor(root, options) {
    Object.assign(this, options);
    this._root = root;
    this._capabilities = null;
    this._isEnabled = true;
    this._isBusy = false;
    this._chosen = new Set(["all"]);
    this._said = el("div", { class: "stack tight", data: { part: "answer" } });
    this._stopped = onLanguage(() => this._build());
    this._build();
  }

  /** Offer only what the car has: the body of GET capabilities, or null where nobody knows. */
  setCapabilities(capabilities) {
    this._capabilities = capabilities;
    const doors = this._doors();
    for (const door of this._chosen) if (door !== "all" && !doors.includes(door)) this._chosen.delete(door);
    if (!this._chosen.size) this._chosen.add("all");
    this._build();
  }

  /** Switch all buttons off for good, or on. */
  setEnabled(enabled) {
    this._isEnabled = enabled;
    this.update();
  }

  /** Follow the command that is shown: what runs can be cancelled. */
  update() {
    const command = this.current();
    const runs = Boolean(command) && !isFinal(command.status) && Boolean(command.correlationId);
    for (const each of this._root.querySelectorAll("button, input, select")) each.disabled = !this._isEnabled || this._isBusy;
    for (const name of ["unlock", "lock"]) {
      const made = this._root.querySelector(`[data-command="${name}"]`);
      if (made) made.setAttribute("aria-busy", String(this._isBusy === name));
    }
    const cancel = this._root.querySelector('[data-command="cancel"]');
    cancel.disabled ||= !runs;
    cancel.setAttribute("aria-busy", String(this._isBusy === "cancel"));
  }

  /** Put the focus on a button: "unlock", "lock" or "cancel". */
  focus(name) {
    this._root.querySelector(`[data-command="${name}"]`)?.focus();
  }

  close() {
    this._isEnabled = false;
    this._stopped();
    clear(this._said);
    clear(this._root);
  }

  _doors() {
    const fitted = this._capabilities?.doors?.filter((door) => door.remoteLock || door.remoteUnlock).map((door) => door.doorId);
    return fitted ? DOORS.filter((door) => fitted.includes(door)) : DOORS;
  }

  _has(name) {
    return !this._capabilities?.functions || this._capabilities.functions.includes(name);
  }

  _build() {
    const kept = Object.fromEntries([...this._root.querySelectorAll("select")].map((each) => [each.name, each.value]));
    const pick = (door) => el("label", { class: "choice" },
      el("input", { type: "checkbox", name: "door", value: door, checked: this._chosen.has(door), onchange: (event) => this._choose(door, event.target.checked) }), word("door", door));
    const choice = (name, values, group) => el("div", { class: "field" }, el("label", { for: name }, t(`command.${name}`)),
      el("select", { id: name, name }, values.map((value) => el("option", { value, selected: value === kept[name] }, word(group, value)))));
    const unlockModes = this._capabilities?.unlockModes ?? ["NORMAL", "EMERGENCY"];
    const lockModes = this._capabilities?.lockModes ?? ["NORMAL", "SECURE"];
    const canUnlock = this._has("REMOTE_UNLOCK") && unlockModes.length > 0;
    const canLock = this._has("REMOTE_LOCK") && lockModes.length > 0;
    clear(this._root).append(
      el("h2", {}, t("command.title")),
      el("fieldset", {}, el("legend", {}, t("command.doors")), el("div", { class: "doors" }, ["all", ...this._doors()].map(pick))),
      el("div", { class: "modes" }, canUnlock && choice("unlockMode", unlockModes, "mode"), canLock && choice("lockMode", lockModes, "mode")),
      el("div", { class: "commands" },
        canUnlock && this._button("unlock", "primary", () => this._unlock()),
        canLock && this._button("lock", "primary", () => this._order("lock", { lockMode: this._value("lockMode") })),
        this._button("cancel", "cancel", () => this._cancel())),
      el("p", { class: "small muted", hidden: canUnlock }, t("command.noUnlock")),
      el("details", { class: "small" }, el("summary", {}, t("command.cancelling")),
        el("div", { class: "stack tight" }, choice("cancelReason", REASONS, "cancel"),
          el("label", { class: "choice" }, el("input", { type: "checkbox", name: "force" }), t("command.force")))),
      el("details", { class: "small" }, el("summary", {}, t("command.approving")), this._approval()),
      this._said);
    this.update();
  }

  _button(name, kind, act) {
    return el("button", { type: "button", class: kind, data: { command: name }, onclick: act }, t(`command.${name}`));
  }

  _approval() {
    const approve = async (event) => {
      event.preventDefault();
      const agent = event.target.elements.agent.value.trim();
      await this.send({ method: "POST", path: `${this.api.door(this.vin)}/emergency/approve`, body: { agent }, correlationId: newCorrelationId(), at: Date.now(), label: t("command.approve") });
    };
    return el("form", { class: "stack tight", onsubmit: approve },
      el("p", { class: "muted" }, t("command.approving.text")),
      el("div", { class: "field" }, el("label", { for: "approve-agent" }, t("command.agent")),
        el("input", { id: "approve-agent", name: "agent", required: true, maxlength: "128", autocomplete: "off", spellcheck: "false" })),
      el("div", { class: "row" }, el("button", { class: "small" }, t("command.approve"))));
  }

  _choose(door, isOn) {
    if (door === "all") this._chosen = new Set(["all"]);
    else if (isOn) {
      this._chosen.delete("all");
      this._chosen.add(door);
    } else this._chosen.delete(door);
    if (!this._chosen.size) this._chosen.add("all");
    for (const each of this._root.querySelectorAll('input[name="door"]')) each.checked = this._chosen.has(each.value);
  }

  _value(name) {
    return this._root.querySelector(`[name="${name}"]`)?.value;
  }

  async _unlock() {
    const unlockMode = this._value("unlockMode");
    if (unlockMode === "EMERGENCY" && !(await confirmed(t("command.emergency"), t("command.emergency.text"), t("command.unlock")))) return;
    await this._order("unlock", { unlockMode });
  }

  async _order(name, mode) {
    const targetDoors = [...this._chosen];
    const label = `${t(`command.${name}`)} · ${doorNames(targetDoors)}`;
    await this.send({ method: "POST", path: `${this.api.door(this.vin)}/${name}`, body: { targetDoors, ...mode }, correlationId: newCorrelationId(), at: Date.now(), label });
  }

  /** Send a request, also once more: under the same id it is the same command. @returns {Promise<boolean>} false while another is sent */
  async send(pending) {
    const name = pending.path.split("/").at(-1);
    return this._try(name, async () => {
      const { data } = await this.api.send(pending.method, pending.path, pending.body, { correlationId: pending.correlationId });
      this._say();
      if (name === "unlock" || name === "lock") this.onAccepted({ action: name.toUpperCase(), targetDoors: pending.body.targetDoors, correlationId: pending.correlationId, ...data });
      else if (name === "approve") this._say(notice("good", t("command.approved"), [t("command.approved.text", pending.body)]));
    }, pending);
  }

  async _cancel() {
    const command = this.current();
    const body = { correlationId: command.correlationId, reason: this._value("cancelReason"), force: this._root.querySelector('[name="force"]').checked };
    await this._try("cancel", async () => {
      await this.api.send("POST", `${this.api.door(this.vin)}/cancel`, body);
      this.onShow(command.commandId);
    }, null);
  }

  async _try(name, act, pending) {
    if (this._isBusy || !this._isEnabled) return false;
    this._isBusy = name;
    this._say();
    this.update();
    try {
      await act();
    } catch (error) {
      if (!("code" in error)) throw error;
      this._refused(error, pending);
    } finally {
      this._isBusy = false;
      if (this._root.isConnected) this.update();
    }
    return true;
  }

  _refused(error, pending) {
    if (!this._isEnabled) return;
    const actions = [];
    if (isStepUp(error) && pending) {
      actions.push(stepUpButton(this.session, error, pending));
    } else if (error.code === "APPROVAL_REQUIRED" && pending) {
      actions.push(button("command.sendAgain", () => this.send(pending), { kind: "small" }));
    } else if (pending && UNCLEAR.includes(error.code)) {
      actions.push(button("command.sendAgain", () => this.send(pending), { kind: "small" }));
    } else if (pending && error.retryable && error.code !== "COMMAND_IN_PROGRESS") {
      actions.push(button("command.tryAgain", () => this.send({ ...pending, correlationId: newCorrelationId() }), { kind: "small" }));
    }
    const running = error.problem?.commandId;
    if (running && error.code === "COMMAND_IN_PROGRESS") actions.push(button("command.showRunning", () => this.onShow(running), { kind: "small" }));
    const shown = problemNotice(error, ...actions);
    if (error.code === "APPROVAL_REQUIRED") {
      const { case: number } = this.session.case ?? {};
      shown.querySelector(".text").append(el("p", { class: "small" }, t("command.askColleague", { agent: this.session.person, number })));
    }
    this._say(shown);
  }

  _say(...nodes) {
    clear(this._said).append(...nodes);
  }
}
