/** The door settings: as they are, whether the car has them, and changed for the customer. */

import { isStepUp, newCorrelationId } from "../parts/api.js";
import { clear, el } from "../parts/dom.js";
import { formatTime, t, word } from "../parts/words.js";
import { button, notice, problemNotice, stepUpButton } from "./notice.js";
import { Panel } from "./panel.js";
import { changedSettings } from "./settings_values.js";

const MODES = ["ALL", "DRIVER_ONLY", "SEQUENCE"];
/** What each setting needs of the car, by GET capabilities. */
const FIELDS = [
  { name: "autoLockEnabled", kind: "switch", needs: "AUTO_LOCK" },
  { name: "autoLockDelay", kind: "number", least: 5, most: 600, needs: "AUTO_LOCK" },
  { name: "unlockMode", kind: "choice" },
  { name: "childLockEnabled", kind: "switch", needs: "CHILD_LOCK" },
  { name: "speedBasedLockEnabled", kind: "switch", needs: "SPEED_LOCK" },
  { name: "speedLockThreshold", kind: "number", least: 5, most: 60, needs: "SPEED_LOCK" },
  { name: "parkingAutoUnlock", kind: "switch", needs: "PARKING_UNLOCK" },
];
const MOODS = { APPLIED: "good", PENDING: "busy", REJECTED: "bad" };

export class SettingsPanel extends Panel {
  /** @param {{api: Object, session: Object, vin: string, capabilities: () => Object|null}} options */
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
    this._said = el("div", { class: "stack tight" });
  }

  async read() {
    return (await this.api.get(`${this.api.door(this.vin)}/config`)).data;
  }

  draw() {
    const config = this.data;
    const functions = this.capabilities()?.functions;
    const fields = FIELDS.filter((field) => !field.needs || !functions || functions.includes(field.needs));
    const missing = FIELDS.length - fields.length;
    clear(this.root).append(el("form", { class: "stack", novalidate: true, onsubmit: (event) => this._save(event) },
      this._application(config),
      el("div", { class: "settings" }, fields.map((field) => this._field(field, config[field.name]))),
      missing > 0 && el("p", { class: "small muted" }, t("settings.missing")),
      el("div", { class: "row end" },
        el("span", { class: "small muted grow" }, config.updatedTime ? t("settings.updated", { time: formatTime(config.updatedTime) }) : ""),
        button("refresh", () => this.refresh(), { kind: "small" }),
        el("button", { class: "primary" }, t("settings.save"))),
      this._said));
  }

  _application({ application }) {
    if (!application) return null;
    const { state, reason, leftOut } = application;
    const left = leftOut?.settings?.map((name) => word("config", name)).join(", ");
    return el("div", { class: "row" },
      el("span", { class: `badge ${MOODS[state] ?? ""}`, data: { application: state } }, word("application", state)),
      reason && el("span", { lang: "en" }, reason),
      left && el("span", {}, t("settings.leftOut", { settings: left }), " ", el("span", { lang: "en" }, leftOut.reason)));
  }

  _field({ name, kind, least, most }, value) {
    const id = `setting-${name}`;
    if (kind === "switch") return el("label", { class: "choice" }, el("input", { type: "checkbox", id, name, checked: value === true }), word("config", name));
    const modes = this.capabilities()?.settingUnlockModes ?? MODES;
    const control = kind === "choice"
      ? el("select", { id, name }, modes.map((mode) => el("option", { value: mode, selected: mode === value }, word("unlockMode", mode))))
      : el("input", { id, name, type: "number", min: least, max: most, step: 1, required: true, value, inputmode: "numeric" });
    return el("div", { class: "field" }, el("label", { for: id }, word("config", name)), control,
      kind === "number" && el("span", { class: "hint" }, t("settings.between", { least, most })));
  }

  async _save(event) {
    event.preventDefault();
    const form = event.target;
    if (!form.reportValidity()) return;
    const values = {};
    for (const { name, kind } of FIELDS) {
      const control = form.elements[name];
      if (control) values[name] = kind === "switch" ? control.checked : kind === "number" ? Number(control.value) : control.value;
    }
    const changed = changedSettings(this.data, values);
    if (!Object.keys(changed).length) {
      clear(this._said).append(notice("", t("settings.same")));
      return;
    }
    // With the time at which they were read nobody overwrites what somebody else has changed meanwhile.
    const { updatedTime } = this.data;
    await this.send({ method: "PUT", path: `${this.api.door(this.vin)}/config`, body: { ...changed, ...(updatedTime && { updatedTime }) }, correlationId: newCorrelationId(), at: Date.now(), label: t("settings.save") });
  }

  /** Send a change, also one that a step-up has interrupted. */
  async send(pending) {
    const submit = this.root.querySelector("button.primary");
    submit?.setAttribute("aria-busy", "true");
    try {
      const { data } = await this.api.send(pending.method, pending.path, pending.body, { correlationId: pending.correlationId });
      this.take(data);
      clear(this._said).append(notice("good", t("settings.saved"), [t("settings.saved.text")]));
    } catch (error) {
      if (!("code" in error)) throw error;
      const act = isStepUp(error) ? stepUpButton(this.session, error, pending) : button("refresh", () => this.refresh(), { kind: "small" });
      clear(this._said).append(problemNotice(error, act));
    } finally {
      submit?.removeAttribute("aria-busy");
    }
  }
}
