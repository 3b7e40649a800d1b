/**
 * One request to the doors and what is known of it. The person is told the end if it comes within 30 seconds; after that the
 * page says that the car did not answer, and a late answer changes the history and the picture but not what was said.
 */

import { isFinal, withUpdate } from "../parts/command.js";

export const WAIT_SECONDS = 30;
/** Between two questions while no live updates come. */
const ASK_MS = 2_000;
/** So many updates of commands are kept while it is not known which command is this request's. */
const MOST_EARLY = 50;

/** @typedef {"sending"|"waiting"|"done"|"late"|"unclear"} Phase `late`: not in time; `unclear`: not known whether it was taken */

export class Order {
  #api;
  #vin;
  #onChange;
  #deadline = 0;
  #timer = null;
  #asking = null;
  #early = [];
  #isAskedFor = false;

  /** @param {{api: Object, vin: string, pending: Object, onChange: () => void}} options */
  constructor({ api, vin, pending, onChange }) {
    this.#api = api;
    this.#vin = vin;
    this.#onChange = onChange;
    this.pending = pending;
    /** @type {Phase} */
    this.phase = "sending";
    this.command = null;
  }

  /** "unlock" or "lock". */
  get name() {
    return this.pending.path.endsWith("/unlock") ? "unlock" : "lock";
  }

  get isOpen() {
    return this.phase === "sending" || this.phase === "waiting";
  }

  get secondsLeft() {
    return Math.max(0, Math.ceil((this.#deadline - Date.now()) / 1000));
  }

  /** Send it. Raises ApiError where it was refused; where no answer came it is `unclear`. */
  async send() {
    const { method, path, body, correlationId } = this.pending;
    this.#move("sending");
    this.#deadline = Date.now() + WAIT_SECONDS * 1000;
    this.#tick();
    try {
      const { data } = await this.#api.send(method, path, body, { correlationId });
      if (!this.isOpen) return;
      // An update may overtake the answer that says whose it is.
      this.command = this.#early.reduce(withUpdate, data);
      this.#early = [];
      this.#settle();
    } catch (error) {
      this.stop();
      if (error.code === "NO_ANSWER" || error.code === "OFFLINE" || error.code === "DEADLINE_EXCEEDED") {
        this.#move("unclear");
        return;
      }
      throw error;
    }
    if (this.#isAskedFor) await this.ask();
  }

  /** Take a live message in. @returns {boolean} whether it is about this request and came too late to be told */
  apply(update) {
    if (update.type === "COMMAND_STATUS_UPDATE" && this.phase === "sending") {
      this.#early = [...this.#early, update].slice(-MOST_EARLY);
      return false;
    }
    if (update.type !== "COMMAND_STATUS_UPDATE" || update.data.commandId !== this.command?.commandId) return false;
    if (!this.isOpen) return true;
    this.command = withUpdate(this.command, update);
    this.#settle();
    return false;
  }

  /** Ask for the state of the command, where live updates may have missed something. */
  async ask() {
    const id = this.command?.commandId;
    this.#isAskedFor = !id && this.isOpen; // then as soon as it is known what to ask for
    if (!id || !this.isOpen || this.#asking) return;
    this.#asking = this.#api.get(`${this.#api.door(this.#vin)}/commands/${encodeURIComponent(id)}`);
    try {
      const { data } = await this.#asking;
      if (this.isOpen) {
        this.command = data;
        this.#settle();
      }
    } catch (error) {
      if (!("code" in error)) throw error; // not reached: it is asked again, until the time is up
    } finally {
      this.#asking = null;
    }
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #settle() {
    this.#move(isFinal(this.command.status) ? "done" : "waiting");
  }

  #tick() {
    this.#timer = setTimeout(() => {
      if (!this.isOpen) return;
      if (Date.now() >= this.#deadline) {
        this.#move("late");
        return;
      }
      this.#onChange();
      this.#tick();
    }, 1000);
  }

  /** Ask every few seconds as long as `isNeeded()`; for when there are no live updates. */
  poll(isNeeded) {
    const again = async () => {
      if (!this.isOpen) return;
      if (isNeeded()) await this.ask();
      setTimeout(again, ASK_MS);
    };
    setTimeout(again, ASK_MS);
  }

  #move(phase) {
    this.phase = phase;
    if (!this.isOpen) this.stop();
    this.#onChange();
  }
}
