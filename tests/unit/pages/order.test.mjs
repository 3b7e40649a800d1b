// One request of the driver's page and its 30 seconds, without a browser: node --test.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Order } from "../../../gateway/pages/app/order.js";
import { ApiError } from "../../../gateway/pages/parts/api.js";

const VIN = "KMHSH81C7LU123456";
const PENDING = { method: "POST", path: `/vehicles/${VIN}/door/unlock`, body: { targetDoors: ["all"] }, correlationId: "web-1", at: 0, label: "Unlock" };
const told = (status, more = {}) => ({ type: "COMMAND_STATUS_UPDATE", vin: VIN, timestamp: new Date().toISOString(), data: { commandId: "cmd-1", status, ...more } });

let sent;
let answers;
const api = {
  door: (vin) => `/vehicles/${vin}/door`,
  send: async (method, path, body, { correlationId }) => {
    sent.push({ method, path, body, correlationId });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return { data: answer };
  },
  get: async (path) => {
    sent.push({ path });
    return { data: answers.shift() };
  },
};

function order() {
  return new Order({ api, vin: VIN, pending: PENDING, onChange: () => {} });
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  sent = [];
  answers = [{ commandId: "cmd-1", status: "PENDING" }];
});

test("an end in time is told", async () => {
  const asked = order();
  await asked.send();
  assert.equal(asked.phase, "waiting");
  mock.timers.tick(29_000);
  assert.equal(asked.secondsLeft, 1);
  assert.equal(asked.apply(told("SUCCESS")), false);
  assert.equal(asked.phase, "done");
  assert.equal(asked.command.status, "SUCCESS");
  mock.timers.tick(60_000);
  assert.equal(asked.phase, "done");
});

test("an end that overtakes the answer to the request is told", async () => {
  const asked = order();
  const sending = asked.send();
  assert.equal(asked.apply(told("FAILED", { commandId: "cmd-2" })), false);
  assert.equal(asked.apply(told("IN_PROGRESS")), false);
  assert.equal(asked.apply(told("FAILED", { failureReason: "DOOR_OPEN" })), false);
  assert.equal(asked.phase, "sending");
  await sending;
  assert.deepEqual([asked.phase, asked.command.status, asked.command.failureReason], ["done", "FAILED", "DOOR_OPEN"]);
});

test("of the updates before the answer the last are kept, and not more than there can be use for", async () => {
  const asked = order();
  const sending = asked.send();
  for (let turn = 0; turn < 1000; turn += 1) asked.apply(told("IN_PROGRESS", { commandId: `cmd-x${turn}` }));
  asked.apply(told("SUCCESS"));
  await sending;
  assert.equal(asked.phase, "done");
});

test("where updates may be missing before the answer, it is asked once there is something to ask for", async () => {
  answers.push({ commandId: "cmd-1", status: "SUCCESS" });
  const asked = order();
  const sending = asked.send();
  const asking = asked.ask();
  assert.equal(sent.length, 1);
  await Promise.all([sending, asking]);
  assert.deepEqual([asked.phase, sent.at(-1).path], ["done", `/vehicles/${VIN}/door/commands/cmd-1`]);
});

test("after 30 seconds it is late, and a late end changes nothing that was said", async () => {
  const asked = order();
  await asked.send();
  mock.timers.tick(30_000);
  assert.equal(asked.phase, "late");
  assert.equal(asked.apply(told("SUCCESS")), true, "the history is read anew");
  assert.equal(asked.phase, "late");
  assert.equal(asked.command.status, "PENDING");
});

test("what the service itself calls timed out is told with its reason", async () => {
  const asked = order();
  await asked.send();
  asked.apply(told("TIMEOUT", { failureReason: "TTL_EXPIRED", mayHaveSucceeded: true }));
  assert.deepEqual([asked.phase, asked.command.mayHaveSucceeded], ["done", true]);
});

test("an update of another command is none of its own", async () => {
  const asked = order();
  await asked.send();
  assert.equal(asked.apply(told("FAILED", { commandId: "cmd-2" })), false);
  assert.equal(asked.phase, "waiting");
});

for (const code of ["NO_ANSWER", "OFFLINE", "DEADLINE_EXCEEDED"]) {
  test(`without an answer (${code}) it is not known whether it was taken, and is sent again under the same id`, async () => {
    answers = [new ApiError(code), { commandId: "cmd-1", status: "SUCCESS" }];
    const asked = order();
    await asked.send();
    assert.equal(asked.phase, "unclear");
    const again = new Order({ api, vin: VIN, pending: asked.pending, onChange: () => {} });
    await again.send();
    assert.equal(again.phase, "done");
    assert.deepEqual(sent.map(({ correlationId }) => correlationId), ["web-1", "web-1"]);
  });
}

test("a refusal is the caller's to show", async () => {
  answers = [new ApiError("DOOR_OPEN", { status: 409 })];
  await assert.rejects(order().send(), { code: "DOOR_OPEN" });
});

test("it asks for the state only while no live updates come", async () => {
  let isLive = true;
  const asked = order();
  asked.poll(() => !isLive);
  await asked.send();
  mock.timers.tick(2_000);
  assert.equal(sent.length, 1);
  isLive = false;
  answers = [{ commandId: "cmd-1", status: "SUCCESS" }];
  await settled();
  mock.timers.tick(2_000);
  await settled();
  assert.deepEqual([sent.length, asked.phase], [2, "done"]);
  mock.timers.tick(20_000);
  await settled();
  assert.equal(sent.length, 2);
});

async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}
