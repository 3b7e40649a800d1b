/** The large buttons, and what became of the last request: while it runs a clock, then its end with reason and guidance. */

import { button, problemNotice } from "../console/notice.js";
import { isStepUp, newCorrelationId } from "../parts/api.js";
import { clear, el, svg } from "../parts/dom.js";
import { hasWord, onLanguage, t, word } from "../parts/words.js";
import { Order, WAIT_SECONDS } from "./order.js";

const CHOICES = ["all", "driver", "trunk"];
const SIGNS = {
  unlock: ["M7 11V7a5 5 0 0 1 9.5-2", "M5 11h14v10H5z"],
  lock: ["M7 11V7a5 5 0 0 1 10 0v4", "M5 11h14v10H5z"],
};
const MOODS = { SUCCESS: "good", FAILED: "bad", TIMEOUT: "warn", CANCELLED: "warn" };

const RESTORE = "/account/restore";

/** Return whether a PendingAction gives back a restricted account. */
export function isRestoration({ path }) {
  return path.endsWith(RESTORE);
}

export class OrderPanel {
  #api;
  #session;
  #vin;
  #isLive;
  #onLate;
  #order = null;
  #error = null;
  #isEnabled = true;
  #isCancelling = false;
  #isRestoring = false;
  #isRestored = false;
  #capabilities = null;
  #buttons = {};
  #choice;
  #outcome = el("div", { class: "outcome stack tight", data: { part: "outcome" } });
  #said = el("p", { class: "visually-hidden", role: "status", "aria-live": "assertive" });
  #stopped;

  constructor(root, { api, session, vin, isLive, onLate }) {
    this.#api = api;
    this.#session = session;
    this.#vin = vin;
    this.#isLive = isLive;
    this.#onLate = onLate;
    for (const name of ["unlock", "lock"]) {
      this.#buttons[name] = el("button", { type: "button", class: "primary", data: { command: name }, onclick: () => this.#begin(name) },
        svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, SIGNS[name].map((d) => svg("path", { d }))), el("span", {}));
    }
    this.#buttons.cancel = el("button", { type: "button", class: "cancel", data: { command: "cancel" }, onclick: () => this.#cancel() }, el("span", {}));
    this.#choice = el("fieldset", {});
    root.classList.add("stack");
    clear(root).append(el("div", { class: "orders" }, Object.values(this.#buttons)), this.#choice, this.#outcome, this.#said);
    this.#stopped = onLanguage(() => this.#build());
    this.#build();
  }

  /** Offer only what the car has. */
  setCapabilities(capabilities) {
    this.#capabilities = capabilities;
    this.#build();
  }

  setEnabled(isEnabled) {
    this.#isEnabled = isEnabled;
    this.#draw();
  }

  /** Take a live message in. */
  apply(update) {
    if (this.#order?.apply(update)) this.#onLate();
  }

  /** Ask what became of the request that runs. */
  ask() {
    this.#order?.ask();
  }

  close() {
    this.#order?.stop();
    this.#stopped();
  }

  /** Send a request: a new one, or one that was sent before, under the same id. */
  async send(pending) {
    this.#order?.stop();
    this.#error = null;
    this.#isRestored = false;
    const order = new Order({ api: this.#api, vin: this.#vin, pending, onChange: () => order === this.#order && this.#draw() });
    this.#order = order;
    order.poll(() => !this.#isLive());
    try {
      await order.send();
    } catch (error) {
      if (!("code" in error)) throw error;
      if (order !== this.#order) return;
      this.#order = null;
      this.#error = { error, pending };
      this.#draw();
    }
  }

  /** Give the person their restricted account back, which a fresh second factor proves to be theirs. */
  async restore(pending) {
    this.#error = null;
    this.#isRestored = false;
    this.#isRestoring = true;
    this.#draw();
    try {
      await this.#api.send(pending.method, pending.path, undefined, { correlationId: pending.correlationId });
      this.#isRestored = true;
    } catch (error) {
      if (!("code" in error)) throw error;
      this.#error = { error, pending };
    } finally {
      this.#isRestoring = false;
      this.#draw();
    }
  }

  #restoration() {
    return { method: "POST", path: `${this.#api.door(this.#vin)}${RESTORE}`, correlationId: newCorrelationId(), at: Date.now(), label: t("app.restore") };
  }

  #begin(name) {
    const doors = [this.#choice.querySelector("input:checked")?.value ?? "all"];
    const mode = name === "unlock" ? { unlockMode: "NORMAL" } : { lockMode: "NORMAL" };
    return this.send({
      method: "POST",
      path: `${this.#api.door(this.#vin)}/${name}`,
      body: { targetDoors: doors, ...mode },
      correlationId: newCorrelationId(),
      at: Date.now(),
      label: t(`app.${name}`),
    });
  }

  async #cancel() {
    const order = this.#order;
    if (!order?.isOpen) return;
    this.#isCancelling = true;
    this.#draw();
    try {
      const body = { correlationId: order.pending.correlationId, reason: "User cancellation", force: false };
      await this.#api.send("POST", `${this.#api.door(this.#vin)}/cancel`, body);
    } catch (error) {
      if (!("code" in error)) throw error;
      this.#error = { error, pending: null };
    } finally {
      this.#isCancelling = false;
      this.#draw();
    }
    await order.ask();
  }

  #has(name) {
    const { functions } = this.#capabilities ?? {};
    return !functions || functions.includes(name);
  }

  #build() {
    const fitted = this.#capabilities?.doors?.filter((door) => door.remoteControl !== false).map((door) => door.doorId);
    const chosen = this.#choice.querySelector("input:checked")?.value ?? "all";
    const choices = CHOICES.filter((door) => door === "all" || !fitted || fitted.includes(door));
    clear(this.#choice).append(el("legend", {}, t("app.which")), el("div", { class: "doors-choice" }, choices.map((door) => el("label", { class: "choice" },
      el("input", { type: "radio", name: "which", value: door, checked: door === chosen }), word("door", door)))));
    for (const [name, made] of Object.entries(this.#buttons)) made.querySelector("span").textContent = t(`app.${name}`);
    this.#draw();
  }

  #draw() {
    const order = this.#order;
    const isOpen = Boolean(order?.isOpen);
    const { unlock, lock, cancel } = this.#buttons;
    // To lock is the safe word: it is taken while an unlock is under way, too.
    unlock.disabled = !this.#isEnabled || isOpen || !this.#has("REMOTE_UNLOCK");
    lock.disabled = !this.#isEnabled || (isOpen && order.name === "lock") || !this.#has("REMOTE_LOCK");
    cancel.disabled = !this.#isEnabled || !isOpen || order.phase !== "waiting" || this.#isCancelling;
    for (const [name, made] of Object.entries({ unlock, lock })) made.setAttribute("aria-busy", String(isOpen && order.name === name));
    cancel.setAttribute("aria-busy", String(this.#isCancelling));
    this.#drawOutcome();
  }

  #drawOutcome() {
    const order = this.#order;
    const parts = [];
    if (order?.isOpen) parts.push(this.#waiting(order));
    else if (order) parts.push(this.#ended(order));
    if (this.#error) parts.push(this.#refusal());
    if (this.#isRestoring) parts.push(el("p", { class: "skeleton", "aria-busy": "true" }));
    if (this.#isRestored) parts.push(this.#result("good", "restored", t("app.restored"), [], []));
    const words = parts.map((each) => each.dataset.say ?? "").join(" ");
    if (this.#said.textContent !== words) this.#said.textContent = words;
    clear(this.#outcome).append(...(parts.length ? parts : [el("p", { class: "muted" }, t("app.nothing"))]));
  }

  #waiting(order) {
    const text = t(order.phase === "sending" ? "app.sending" : `app.waiting.${order.name}`);
    return el("div", { class: "waiting", data: { phase: order.phase, say: text } },
      el("p", { class: "headline" }, text),
      el("progress", { max: WAIT_SECONDS, value: WAIT_SECONDS - order.secondsLeft, "aria-label": t("app.waited") }),
      el("p", { class: "small muted" }, t("app.secondsLeft", { seconds: order.secondsLeft })));
  }

  #ended(order) {
    if (order.phase === "late") return this.#result("warn", "late", t("app.late"), [t("app.late.text")], []);
    if (order.phase === "unclear") {
      const again = button("app.sameAgain", () => this.send(order.pending), { kind: "primary small" });
      return this.#result("warn", "unclear", t("app.unclear"), [t("app.unclear.text")], [again]);
    }
    const { status, failureReason: reason, mayHaveSucceeded, guidance, doorResults } = order.command;
    const lines = [];
    const title = status === "SUCCESS" ? t(`app.done.${order.name}`) : reason ? word("failure", reason) : word("status", status);
    if (reason) lines.push(hasWord(`guidance.${reason}`) ? t(`guidance.${reason}`) : (guidance ?? ""));
    const stood = (doorResults ?? []).filter((each) => !each.success).map((each) => word("door", each.doorId));
    if (status !== "SUCCESS" && stood.length) lines.push(t("history.stood", { doors: stood.join(", ") }));
    if (status === "TIMEOUT" && mayHaveSucceeded !== undefined) lines.push(t(mayHaveSucceeded ? "timeline.may" : "timeline.maynot"));
    return this.#result(MOODS[status] ?? "", status, title, lines, []);
  }

  #refusal() {
    const { error, pending } = this.#error;
    const actions = [];
    if (error.code === "ACCOUNT_RESTRICTED") {
      actions.push(button("app.restore", () => this.restore(this.#restoration()), { kind: "primary small", "data-part": "restore" }));
    } else if (isStepUp(error) && pending) {
      actions.push(button("app.confirmIdentity", () => this.#session.stepUp(error, pending, { vin: this.#vin }), { kind: "primary small", "data-part": "step-up" }));
    } else if (pending && error.retryable) {
      actions.push(button("app.sameAgain", () => (isRestoration(pending) ? this.restore(pending) : this.send(pending)), { kind: "small" }));
    }
    const told = problemNotice(error, ...actions);
    if (error.retryAfterSeconds) told.firstChild.append(el("p", { class: "small" }, t("app.retryIn", { seconds: error.retryAfterSeconds })));
    return told;
  }

  #result(mood, name, title, lines, actions) {
    return el("div", { class: `alert ${mood}`, data: { outcome: name, say: [title, ...lines].join(" ") } },
      el("div", { class: "text" }, el("strong", { class: "headline" }, title), lines.filter(Boolean).map((line) => el("p", {}, line))),
      actions.length > 0 && el("div", { class: "row tight" }, actions));
  }
}
