// This browser as a device for push notifications, without a browser: node --test.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { deviceId, keepDevice, leaveDevice, removeDevice, speakAs } from "../../../gateway/pages/app/push_device.js";
import { ApiError } from "../../../gateway/pages/parts/api.js";

let sent;
let answer;
let unsubscribed;
let kept;

const api = {
  get: async () => ({ data: { diagnostics: false, language: "en", timeZone: "UTC" } }),
  send: (method, path, body) => {
    sent.push([method, path, body]);
    return answer();
  },
};

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [sent, answer, unsubscribed, kept] = [[], async () => ({}), 0, new Map()];
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  const subscription = { unsubscribe: async () => { unsubscribed += 1; } };
  browserHas({ getRegistration: async () => ({ pushManager: { getSubscription: async () => subscription } }) });
});

function browserHas(serviceWorker) {
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { serviceWorker } });
}

test("who signs out is told of nothing more here: the device is deleted, and the subscription ended", async () => {
  keepDevice("web-1");
  await leaveDevice(api);
  assert.deepEqual(sent, [["DELETE", "/notifications/devices/web-1", undefined]]);
  assert.deepEqual([unsubscribed, deviceId()], [1, null]);
});

test("a service that is away holds up no sign-out, and the subscription ends all the same", async () => {
  keepDevice("web-1");
  answer = async () => {
    throw new ApiError("OFFLINE");
  };
  await leaveDevice(api);
  assert.deepEqual([unsubscribed, deviceId()], [1, null]);
});

test("one that says nothing holds it up for three seconds", async () => {
  keepDevice("web-1");
  answer = () => new Promise(() => {});
  let isOver = false;
  const leaving = leaveDevice(api).then(() => {
    isOver = true;
  });
  mock.timers.tick(2_999);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  assert.deepEqual([isOver, unsubscribed], [false, 1]);
  mock.timers.tick(1);
  await leaving;
});

test("a browser that was not registered, or cannot be, asks for nothing", async () => {
  browserHas(undefined);
  await leaveDevice(api);
  assert.deepEqual(sent, []);
});

test("who turns notifications off is told where that did not come about, and stays registered", async () => {
  keepDevice("web-1");
  answer = async () => {
    throw new ApiError("OFFLINE");
  };
  await assert.rejects(removeDevice(api), { code: "OFFLINE" });
  assert.deepEqual([deviceId(), unsubscribed], ["web-1", 0]);
  answer = async () => ({});
  await removeDevice(api);
  assert.deepEqual([deviceId(), unsubscribed], [null, 1]);
});

test("notifications speak as the page does, and what else was chosen stays", async () => {
  await speakAs(api, "ko", "Asia/Seoul");
  assert.deepEqual(sent, [["PUT", "/notifications/preferences", { diagnostics: false, language: "ko", timeZone: "Asia/Seoul" }]]);
});

test("a zone that the service does not know leaves the one that was", async () => {
  const answers = [() => Promise.reject(new ApiError("INVALID_ARGUMENT", { status: 400 })), async () => ({})];
  answer = () => answers.shift()();
  await speakAs(api, "ko", "Mars/Olympus");
  assert.deepEqual(sent.at(-1)[2], { diagnostics: false, language: "ko", timeZone: "UTC" });
  answer = () => Promise.reject(new ApiError("OFFLINE", { status: 503 }));
  await assert.rejects(speakAs(api, "ko", "Asia/Seoul"), { code: "OFFLINE" });
});
