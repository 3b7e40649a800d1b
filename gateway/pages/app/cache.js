/**
 * The last status of each car, for when the service cannot be reached. It is kept for this tab only (sessionStorage), says
 * how doors stood and nothing about a person, and is forgotten with the sign-out or when the tab is closed.
 */

const PREFIX = "status:";

/** Keep the body of GET status for whom it was answered. */
export function keepStatus(person, status) {
  try {
    sessionStorage.setItem(PREFIX + status.vin, JSON.stringify({ person, status }));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // full or forbidden: then there is none when it is needed
  }
}

/** Return what was kept of a car for this person, or null. */
export function keptStatus(person, vin) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PREFIX + vin) ?? "null");
    return kept?.person === person ? kept.status : null;
  } catch {
    return null;
  }
}

/** Forget all. */
export function forgetStatuses() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
}
