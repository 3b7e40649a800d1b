/** This browser as a device for push notifications: the id under which it is registered, and the end of that. */

import { ApiError } from "../parts/api.js";

const DEVICE = "push-device";
const PATIENCE_MS = 3_000;
const PREFERENCES = "/notifications/preferences";
export const DEVICES = "/notifications/devices";

/** Return the id under which this browser is registered, or null. */
export function deviceId() {
  return localStorage.getItem(DEVICE);
}

/** Keep the id under which this browser was registered. */
export function keepDevice(id) {
  localStorage.setItem(DEVICE, id);
}

/** Have notifications speak as the page does from now on; what else was chosen stays. Raises ApiError. */
export async function speakAs(api, language, timeZone) {
  const { data: wanted } = await api.get(PREFERENCES);
  try {
    await api.send("PUT", PREFERENCES, { ...wanted, language, timeZone });
  } catch (error) {
    // A browser may know a zone that the service does not: then its times stay in the zone that they were in.
    if (!(error instanceof ApiError) || error.status !== 400) throw error;
    await api.send("PUT", PREFERENCES, { ...wanted, language });
  }
}

/** Take this browser from the service, and its subscription from the browser's own. Raises ApiError where the service is not reached. */
export async function removeDevice(api) {
  const id = deviceId();
  if (id) await api.send("DELETE", `${DEVICES}/${encodeURIComponent(id)}`);
  await unsubscribe();
  localStorage.removeItem(DEVICE);
}

/**
 * Do what can be done in a few seconds so that nobody is told here what is for who signs out now. Where the service is not
 * reached the subscription ends all the same: the next push to it is refused, and the service removes it.
 * @returns {Promise<void>} never rejected for what is out of reach, and never later than after `patienceMs`
 */
export async function leaveDevice(api, patienceMs = PATIENCE_MS) {
  const id = deviceId();
  localStorage.removeItem(DEVICE);
  const removed = id ? api.send("DELETE", `${DEVICES}/${encodeURIComponent(id)}`, undefined, { timeoutMs: patienceMs }) : null;
  let timer;
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  try {
    await Promise.race([limit, Promise.all([removed, unsubscribe()].map(ifReached))]);
  } finally {
    clearTimeout(timer);
  }
}

async function ifReached(removal) {
  try {
    await removal;
  } catch (error) {
    if (!(error instanceof ApiError) && !(error instanceof DOMException)) throw error;
  }
}

async function unsubscribe() {
  const registration = await globalThis.navigator?.serviceWorker?.getRegistration("./");
  await (await registration?.pushManager?.getSubscription())?.unsubscribe();
}
