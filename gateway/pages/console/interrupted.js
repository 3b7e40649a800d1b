/** What a step-up interrupted: offered once the case is open again, and sent when the agent says so; time has passed. */

import { clear } from "../parts/dom.js";
import { formatAge, onLanguage, t } from "../parts/words.js";
import { button, notice } from "./notice.js";

/**
 * Return the area of the workplace that sends a request: "settings", "diagnostics", "security", "commands", or null for one that is
 * about another vehicle or another customer than the case is. Pure.
 * @param {import("../parts/session.js").PendingAction & {customer?: string}} pending `customer`: of what names no vehicle @param {string} door where everything about the vehicle's doors is
 * @param {string} customer of the case
 */
export function areaOf(pending, door, customer) {
  const { path } = pending;
  if (path.startsWith("/security/")) return customer && pending.customer === customer ? "security" : null;
  if (!path.startsWith(`${door}/`)) return null;
  const rest = path.slice(door.length + 1);
  return rest === "config" ? "settings" : rest.startsWith("diagnostics/") ? "diagnostics" : "commands";
}

export class InterruptedRequest {
  /** @param {HTMLElement} root is emptied and filled @param {(pending: Object) => Promise<boolean>} send false: it could not be sent now */
  constructor(root, send) {
    this._root = root;
    this._send = send;
    this._pending = null;
    this._stopped = onLanguage(() => this._draw());
  }

  /** Offer a PendingAction. */
  offer(pending) {
    this._pending = pending;
    this._draw();
  }

  close() {
    this._stopped();
    this._pending = null;
    this._draw();
  }

  _draw() {
    clear(this._root);
    const pending = this._pending;
    if (!pending) return;
    const age = formatAge((Date.now() - pending.at) / 1000);
    this._root.append(notice("warn", t("command.returned"), [t("command.returned.text", { label: pending.label, age })],
      [button("command.sendNow", (event) => this._sendNow(event.currentTarget), { kind: "primary" }), button("command.forget", () => this.offer(null), { kind: "quiet" })]));
  }

  async _sendNow(pressed) {
    const pending = this._pending;
    pressed.disabled = true;
    pressed.setAttribute("aria-busy", "true");
    const isSent = await this._send(pending);
    if (this._pending !== pending) return;
    this.offer(isSent ? null : pending);
  }
}
