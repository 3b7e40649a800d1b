import assert from "node:assert/strict";
import { test } from "node:test";
import { Doors } from "@ecarus/doors";
import { accepted, cut, details, DOOR, failure, json, problem, server, VIN } from "./server.mjs";

const client = ({ baseUrl }, more = {}) => new Doors({ baseUrl, token: "t-1", ...more });

test("the end that the request itself waits for is the result", async (t) => {
  const at = await server(t, json(200, details("SUCCESS")));
  const result = await client(at).unlock(VIN, { wait: 30 });
  assert.deepEqual([result.status, result.isFinal, at.asked.length], ["SUCCESS", true, 1]);
  assert.equal(at.asked[0].headers.prefer, "wait=30");
});

test("a command that was only accepted is followed to its end", async (t) => {
  const at = await server(t, json(202, accepted()), json(200, details("IN_PROGRESS")), cut, json(200, details("FAILED", { failureReason: "DOOR_OPEN" })));
  const seen = [];
  const result = await client(at).unlock(VIN, { wait: true, onProgress: ({ status }) => seen.push(status) });
  assert.deepEqual([result.status, result.failureReason, result.isFinal], ["FAILED", "DOOR_OPEN", true]);
  assert.deepEqual(seen, ["IN_PROGRESS", "FAILED"]);
  assert.deepEqual(at.asked.map(({ path }) => path), [`${DOOR}/unlock`, ...Array(3).fill(`${DOOR}/commands/cmd-1`)]);
});

test("after the time to wait the vehicle may have acted", async (t) => {
  const at = await server(t, json(202, accepted()), json(200, details("IN_PROGRESS")));
  const result = await client(at).unlock(VIN, { wait: 1 });
  assert.deepEqual([result.status, result.mayHaveSucceeded, result.isFinal, result.commandId], ["TIMEOUT", true, false, "cmd-1"]);
});

test("so it is where nothing answers any more", async (t) => {
  const at = await server(t, json(202, accepted()), cut);
  const result = await client(at).unlock(VIN, { wait: 1 });
  assert.deepEqual([result.status, result.mayHaveSucceeded, result.isFinal], ["TIMEOUT", true, false]);
});

test("a timeout of the API is its last word", async (t) => {
  const at = await server(t, json(200, details("TIMEOUT", { mayHaveSucceeded: false })));
  const result = await client(at).lock(VIN, { wait: 30 });
  assert.deepEqual([result.status, result.mayHaveSucceeded, result.isFinal], ["TIMEOUT", false, true]);
});

test("a command that cannot be looked at any more was accepted all the same", async (t) => {
  const at = await server(t, json(202, accepted()), problem(404, "VEHICLE_NOT_FOUND"));
  const { status, mayHaveSucceeded, isFinal, error } = await client(at).unlock(VIN, { wait: 30 });
  assert.deepEqual([status, mayHaveSucceeded, isFinal], ["PENDING", true, false]);
  assert.deepEqual([error.code, error.mayHaveSucceeded, error.commandId, error.correlationId], ["VEHICLE_NOT_FOUND", true, "cmd-1", "c-1"]);
});

test("an answer that breaks off while it is waited for is asked for again, with the time that is left", async (t) => {
  const at = await server(t, (_, response) => setTimeout(() => response.socket.destroy(), 1100), json(200, details("SUCCESS")));
  const result = await client(at).unlock(VIN, { wait: 5, correlationId: "mine" });
  assert.equal(result.status, "SUCCESS");
  assert.deepEqual(at.asked.map(({ headers }) => headers["x-correlation-id"]), ["mine", "mine"]);
  assert.ok(Number(at.asked[1].headers.prefer.replace("wait=", "")) < 5);
});

test("a command is followed later, and the following is left at once", async (t) => {
  const at = await server(t, json(200, details("IN_PROGRESS")), json(200, details("CANCELLED")));
  assert.equal((await client(at).follow(VIN, accepted())).status, "CANCELLED");
  const endless = await server(t, json(200, details("IN_PROGRESS")));
  const error = await failure(client(endless).follow(VIN, accepted(), { wait: 30, signal: AbortSignal.timeout(600) }));
  assert.equal(error.name, "TimeoutError");
});

test("a waiting that is none is refused", async (t) => {
  const at = await server(t, json(202, accepted()));
  for (const wait of [-1, 301, Number.NaN]) await assert.rejects(client(at).unlock(VIN, { wait }), RangeError);
  assert.equal(at.asked.length, 0);
});

for (const body of [[], null, "PENDING", {}, accepted({ commandId: 7 }), accepted({ status: null })]) {
  test(`an acceptance that is no command leaves a doubt: ${JSON.stringify(body)}`, async (t) => {
    const at = await server(t, json(202, body));
    for (const options of [{}, { wait: 5 }]) {
      const { name, code, mayHaveSucceeded, correlationId } = await failure(client(at).unlock(VIN, { ...options, correlationId: "mine" }));
      assert.deepEqual([name, code, mayHaveSucceeded, correlationId], ["DoorsError", "INVALID_ANSWER", true, "mine"]);
    }
  });
}
