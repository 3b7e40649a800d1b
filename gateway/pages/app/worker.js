/**
 * What this browser does with a notification, also while no page is open. It asks the service for nothing, keeps nothing,
 * and stands in no request's way: it has no `fetch` event.
 */

const UNREADABLE = { title: "Remote Door Control", body: "" };

self.addEventListener("install", () => self.skipWaiting());

/** Every push shows something: browsers end a subscription whose pushes show nothing. */
self.addEventListener("push", (event) => {
  const { title, body, tag, data } = messageIn(event.data);
  event.waitUntil(self.registration.showNotification(title, {
    body,
    tag,
    renotify: tag !== "",
    icon: "icon.svg",
    data,
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(showPage());
});

/** The page that is open already, or a new one: never an address that a message names. */
async function showPage() {
  const { scope } = self.registration;
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = pages.find((page) => page.url.startsWith(scope));
  return open ? open.focus() : self.clients.openWindow(scope);
}

function messageIn(pushed) {
  let message = null;
  try {
    message = pushed?.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { title, body, tag, data } = message ?? {};
  return {
    title: text(title) || UNREADABLE.title,
    body: text(body) || UNREADABLE.body,
    tag: text(tag),
    data: { commandId: text(data?.commandId), kind: text(data?.kind) },
  };
}

function text(value) {
  return typeof value === "string" ? value : "";
}
