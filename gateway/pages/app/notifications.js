/** Notifications of this browser: asked for by a button and never by the page itself, and registered for who is signed in. */

import { button, notice, problemNotice } from "../console/notice.js";
import { Panel } from "../console/panel.js";
import { Base64Url } from "../parts/proofs.js";
import { el, fill } from "../parts/dom.js";
import { language, t } from "../parts/words.js";
import { DEVICES, deviceId, keepDevice, removeDevice, speakAs } from "./push_device.js";

const WORKER = "worker.js";

export class NotificationsPanel extends Panel {
  constructor(root, options) {
    super(root);
    Object.assign(this, options);
  }

  /** What stands: whether this browser can, may, and is registered. */
  async read() {
    const key = this.session.config.pushKey ?? "";
    if (!key || !("serviceWorker" in navigator) || !("PushManager" in globalThis)) return { state: "impossible" };
    if (Notification.permission === "denied") return { state: "denied" };
    const { data } = await this.api.get(DEVICES);
    const registration = await navigator.serviceWorker.getRegistration("./");
    const subscription = await registration?.pushManager.getSubscription();
    const known = (data.devices ?? []).some((device) => device.deviceId === deviceId());
    return { state: subscription && known ? "on" : "off", others: (data.devices ?? []).length - (known ? 1 : 0) };
  }

  draw() {
    const { state, others = 0 } = this.data;
    fill(this.root,
      el("p", {}, t(`push.${state}`)),
      others > 0 && el("p", { class: "small muted" }, t("push.others", { count: others })),
      el("div", { class: "row" },
        state === "off" && button("push.turnOn", () => this.#try(() => this.#turnOn()), { kind: "primary", "data-part": "push-on" }),
        state === "on" && button("push.turnOff", () => this.#try(() => removeDevice(this.api)), { "data-part": "push-off" })));
  }

  async #turnOn() {
    if ((await Notification.requestPermission()) !== "granted") return;
    const registration = await navigator.serviceWorker.register(workerUrl(), { scope: "./" });
    await navigator.serviceWorker.ready;
    const subscription = await registration.pushManager.subscribe({
      userVisibleOnly: true,
      applicationServerKey: Base64Url.bytes(this.session.config.pushKey),
    });
    await speakAs(this.api, language(), Intl.DateTimeFormat().resolvedOptions().timeZone);
    const { endpoint, keys } = subscription.toJSON();
    const id = deviceId() ?? `web-${crypto.randomUUID()}`;
    await this.api.send("PUT", `${DEVICES}/${id}`, { kind: "WEB_PUSH", token: endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } });
    keepDevice(id);
  }

  async #try(act) {
    try {
      await act();
      await this.refresh();
    } catch (error) {
      const told = "code" in error && error.problem ? problemNotice(error) : notice("bad", t("push.failed"), [t("push.failed.text")]);
      this.root.append(told);
    }
  }
}

let policy = null;

/** The one address of code that this page makes: Trusted Types let no other through. */
function workerUrl() {
  if (!globalThis.trustedTypes) return WORKER;
  policy ??= trustedTypes.createPolicy("worker-url", { createScriptURL: () => WORKER });
  return policy.createScriptURL(WORKER);
}
