import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { Doors, DoorsError, VERSION } from "@ecarus/doors";
import { accepted, cut, DOOR, failure, json, problem, server, VIN } from "./server.mjs";

const client = ({ baseUrl }, more = {}) => new Doors({ baseUrl, token: "t-1", ...more });

test("an unlock is one request with a name of its own", async (t) => {
  const at = await server(t, json(202, accepted()));
  const result = await client(at).unlock(VIN, { doors: ["driver"], mode: "EMERGENCY" });
  assert.equal(result.commandId, "cmd-1");
  assert.equal(result.isFinal, false);
  const [{ method, path, headers, body }] = at.asked;
  assert.deepEqual([method, path], ["POST", `${DOOR}/unlock`]);
  assert.deepEqual(body, { targetDoors: ["driver"], unlockMode: "EMERGENCY" });
  assert.equal(headers.authorization, "Bearer t-1");
  assert.match(headers["x-correlation-id"], /^[A-Za-z0-9._-]{1,64}$/);
  assert.equal(headers["user-agent"], `ecarus-doors-typescript/${VERSION}`);
  assert.equal(headers.prefer, undefined);
  await client(at).unlock(VIN);
  assert.notEqual(at.asked[1].headers["x-correlation-id"], headers["x-correlation-id"]);
});

for (const [name, first] of [
  ["whose answer was lost", cut],
  ["that was let go", problem(503, "STORAGE_UNAVAILABLE", { retryable: true, mayHaveSucceeded: false })],
  ["whose time was up", problem(504, "DEADLINE_EXCEEDED", { retryable: true, mayHaveSucceeded: true })],
  ["that a gateway could not pass on", (_, response) => response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>no</h1>")],
]) {
  test(`a command ${name} is sent again under the same name`, async (t) => {
    const at = await server(t, first, json(202, accepted()));
    await client(at).lock(VIN, { correlationId: "mine" });
    assert.deepEqual(at.asked.map(({ headers }) => headers["x-correlation-id"]), ["mine", "mine"]);
    assert.deepEqual(at.asked[0].body, at.asked[1].body);
  });
}

test("Retry-After is waited for, and what would take too long is told", async (t) => {
  const limited = (seconds) => problem(429, "RATE_LIMITED", { retryable: true }, { "Retry-After": `${seconds}` });
  const at = await server(t, limited(1), json(202, accepted()));
  const began = performance.now();
  await client(at).lock(VIN);
  assert.ok(performance.now() - began >= 1000);
  const late = await server(t, limited(16));
  assert.equal((await failure(client(late).lock(VIN))).retryAfterSeconds, 16);
  assert.equal(late.asked.length, 1);
  const later = await server(t, limited(3600));
  const error = await failure(client(later).lock(VIN));
  assert.deepEqual([error.code, error.retryAfterSeconds, error.retryable, later.asked.length], ["RATE_LIMITED", 3600, true, 1]);
});

test("what a vehicle's state forbids is told at once", async (t) => {
  const at = await server(t, problem(409, "COMMAND_IN_PROGRESS", { retryable: true, commandId: "cmd-9" }, { "Retry-After": "1" }));
  const error = await failure(client(at).unlock(VIN));
  assert.ok(error instanceof DoorsError);
  assert.deepEqual([error.code, error.status, error.commandId, error.mayHaveSucceeded], ["COMMAND_IN_PROGRESS", 409, "cmd-9", false]);
  assert.equal(error.message, "COMMAND_IN_PROGRESS: COMMAND_IN_PROGRESS it is.");
  assert.equal(at.asked.length, 1);
});

test("a fault of the service is told at once", async (t) => {
  const at = await server(t, problem(500, "INTERNAL_ERROR", { retryable: false, mayHaveSucceeded: true }));
  const error = await failure(client(at).unlock(VIN));
  assert.deepEqual([error.mayHaveSucceeded, at.asked.length], [true, 1]);
});

test("a refusal names each field", async (t) => {
  const at = await server(t, problem(400, "INVALID_REQUEST", { errors: [{ field: "targetDoors", reason: "none" }] }));
  const error = await failure(client(at).unlock(VIN));
  assert.deepEqual(error.errors, [{ field: "targetDoors", reason: "none" }]);
  assert.equal(error.correlationId, at.asked[0].headers["x-correlation-id"]);
});

test("a command that nobody answers may have been carried out", async (t) => {
  const at = await server(t, cut);
  const error = await failure(client(at, { attempts: 3 }).unlock(VIN));
  assert.deepEqual([error.code, error.mayHaveSucceeded, error.retryable, at.asked.length], ["NO_ANSWER", true, true, 3]);
  const read = await failure(client(at, { attempts: 1 }).status(VIN));
  assert.equal(read.mayHaveSucceeded, false);
});

test("the doubt of a lost answer stays with what a later attempt is answered", async (t) => {
  const at = await server(t, cut, problem(403, "ACTION_NOT_GRANTED", { retryable: false, mayHaveSucceeded: false }));
  const error = await failure(client(at).unlock(VIN));
  assert.deepEqual([error.code, error.mayHaveSucceeded], ["ACTION_NOT_GRANTED", true]);
});

test("the doubt stays where no token can be had to send it again", async (t) => {
  const at = await server(t, cut, problem(401, "TOKEN_EXPIRED", { mayHaveSucceeded: false }));
  const away = new Error("the issuer is away");
  const token = ({ expired }) => { if (expired) throw away; return "t"; };
  const error = await failure(client(at, { token }).unlock(VIN, { correlationId: "mine" }));
  assert.deepEqual([error.code, error.mayHaveSucceeded, error.correlationId, error.cause], ["NO_ANSWER", true, "mine", away]);
  const challenged = await server(t, cut, problem(401, "STEP_UP_REQUIRED", { mayHaveSucceeded: false }));
  const refused = await failure(client(challenged, { stepUp: () => { throw away; } }).unlock(VIN));
  assert.deepEqual([refused.mayHaveSucceeded, refused.cause], [true, away]);
  const headed = await server(t, cut);
  let asked = 0;
  const headers = () => { if ((asked += 1) > 1) throw away; return {}; };
  assert.equal((await failure(client(headed, { headers }).unlock(VIN))).mayHaveSucceeded, true);
  const first = await server(t, problem(401, "TOKEN_EXPIRED", { mayHaveSucceeded: false }));
  assert.equal(await failure(client(first, { token }).unlock(VIN)), away);
});

for (const status of [200, 201, 204, 302]) {
  test(`a command that is answered with ${status} and no command may have been carried out`, async (t) => {
    const at = await server(t, (_, response) => response.writeHead(status, { Location: "/elsewhere" }).end());
    const error = await failure(client(at, { attempts: 1 }).unlock(VIN));
    assert.deepEqual([error instanceof DoorsError, error.mayHaveSucceeded, at.asked.length], [true, true, 1]);
  });
}

test("a command that was accepted is told of where no token can be had to look at it", async (t) => {
  const at = await server(t, json(202, accepted()));
  let asked = 0;
  const away = new Error("the issuer is away");
  const token = () => { if ((asked += 1) > 1) throw away; return "t"; };
  const result = await client(at, { token }).unlock(VIN, { wait: 5 });
  assert.deepEqual([result.commandId, result.isFinal, result.mayHaveSucceeded, result.error.cause], ["cmd-1", false, true, away]);
});

test("an answer that does not come is waited for so long", async (t) => {
  const at = await server(t, () => undefined);
  const error = await failure(client(at, { attempts: 1, answerSeconds: 0.05 }).unlock(VIN));
  assert.deepEqual([error.code, error.detail], ["NO_ANSWER", "There was no answer in time."]);
});

test("a step-up sends the same request once more, with the new token", async (t) => {
  const challenge = 'Bearer error="insufficient_user_authentication", acr_values="urn:ecarus:acr:2fa", max_age="300"';
  const stepUp = problem(401, "STEP_UP_REQUIRED", {}, { "WWW-Authenticate": challenge });
  const at = await server(t, stepUp, json(202, accepted()));
  const seen = [];
  const doors = client(at, { stepUp: (wanted) => { seen.push(wanted); return "t-2"; } });
  await doors.unlock(VIN, { correlationId: "mine" });
  assert.deepEqual([seen.length, seen[0].acrValues, seen[0].maxAge, seen[0].correlationId], [1, "urn:ecarus:acr:2fa", 300, "mine"]);
  assert.deepEqual(at.asked.map(({ headers }) => headers.authorization), ["Bearer t-1", "Bearer t-2"]);
  assert.deepEqual(at.asked.map(({ headers }) => headers["x-correlation-id"]), ["mine", "mine"]);
  await doors.status(VIN);
  assert.equal(at.asked[2].headers.authorization, "Bearer t-2");
});

test("a second step-up is not asked for, and without a callback it is an error with its challenge", async (t) => {
  const at = await server(t, problem(401, "STEP_UP_REQUIRED", { acrValues: "urn:ecarus:acr:2fa", maxAge: 300 }));
  let asked = 0;
  const twice = await failure(client(at, { stepUp: () => `t-${(asked += 1)}` }).unlock(VIN));
  assert.deepEqual([twice.code, asked, at.asked.length], ["STEP_UP_REQUIRED", 1, 2]);
  const none = await failure(client(at).unlock(VIN));
  assert.deepEqual([none.challenge.acrValues, none.challenge.maxAge, at.asked.length], ["urn:ecarus:acr:2fa", 300, 3]);
});

test("a token that has expired is asked for anew, once", async (t) => {
  const at = await server(t, problem(401, "TOKEN_EXPIRED"), json(200, { vin: VIN }), problem(401, "TOKEN_EXPIRED"));
  const why = [];
  const doors = client(at, { token: async ({ expired }) => { why.push(expired); return expired ? "new" : "old"; } });
  await doors.status(VIN);
  assert.deepEqual(why, [false, true]);
  assert.deepEqual(at.asked.map(({ headers }) => headers.authorization), ["Bearer old", "Bearer new"]);
  assert.equal((await failure(doors.status(VIN))).code, "TOKEN_EXPIRED");
  assert.equal(at.asked.length, 4);
});

test("an abort ends the request and the pause between two", async (t) => {
  const at = await server(t, () => undefined);
  const reason = new Error("left the page");
  const control = new AbortController();
  const asked = failure(client(at).unlock(VIN, { signal: control.signal }));
  while (at.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  control.abort(reason);
  assert.equal(await asked, reason);
  const limited = await server(t, problem(429, "RATE_LIMITED", { retryable: true }, { "Retry-After": "20" }));
  const pausing = failure(client(limited).status(VIN, { signal: AbortSignal.timeout(300) }));
  assert.equal((await pausing).name, "TimeoutError");
  assert.equal(limited.asked.length, 1);
});

test("any operation is called by its path, with what it takes", async (t) => {
  const at = await server(t, json(200, { grants: [] }), json(200, { history: [] }), (_, response) => {
    response.writeHead(200, { "Content-Type": "text/csv" }).end("from,reason\r\n");
  });
  const doors = client(at);
  const grants = await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/grants", { path: { vin: VIN } });
  assert.deepEqual([grants.status, grants.data], [200, { grants: [] }]);
  await doors.history(VIN, { period: "24h", limit: 20, action: undefined });
  const table = await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/failures.csv", { path: { vin: VIN } });
  assert.equal(table.data, "from,reason\r\n");
  assert.deepEqual(at.asked.map(({ path }) => path), [`${DOOR}/grants`, `${DOOR}/history?period=24h&limit=20`, `${DOOR}/failures.csv`]);
});

test("what stands in a path stays one part of it", async (t) => {
  const at = await server(t, json(200, {}));
  await client(at).command(VIN, "../../x?y");
  assert.equal(at.asked[0].path, `${DOOR}/commands/..%2F..%2Fx%3Fy`);
  for (const vin of ["", "..", undefined]) await assert.rejects(client(at).status(vin), TypeError);
});

test("all pages of a history are one list", async (t) => {
  const page = (id, next) => json(200, { vin: VIN, history: [{ id }], total: 2, hasMore: !!next, ...(next ? { nextPageToken: next } : {}) });
  const at = await server(t, page("a", "p2"), page("b"));
  const ids = [];
  for await (const { id } of client(at).entries(VIN, { action: "UNLOCK" })) ids.push(id);
  assert.deepEqual(ids, ["a", "b"]);
  assert.equal(at.asked[1].path, `${DOOR}/history?action=UNLOCK&pageToken=p2`);
});

test("headers of one's own go with each request", async (t) => {
  const at = await server(t, json(200, {}));
  const headers = ({ method, url, token }) => ({ Authorization: `DPoP ${token}`, DPoP: `${method} ${new URL(url).pathname}` });
  await client(at, { headers }).status(VIN);
  assert.deepEqual([at.asked[0].headers.authorization, at.asked[0].headers.dpop], ["DPoP t-1", `GET ${DOOR}/status`]);
});

test("a client that is shown tells no token", () => {
  const doors = new Doors({ baseUrl: "https://doors.example", token: "secret-token" });
  assert.ok(!inspect(doors, { depth: 9, showHidden: true }).includes("secret-token"));
  assert.ok(!JSON.stringify(doors).includes("secret-token"));
});

test("options that are none are refused", () => {
  for (const wrong of [{ baseUrl: "nowhere" }, { baseUrl: "ftp://a" }, { baseUrl: "http://doors.example" }, { baseUrl: "http://127.0.0.1.example" }, { baseUrl: "https://a:b@c" }]) {
    assert.throws(() => new Doors({ token: "t", ...wrong }), TypeError);
  }
  for (const wrong of [{ attempts: 0 }, { retrySeconds: -1 }, { answerSeconds: Number.NaN }]) {
    assert.throws(() => new Doors({ baseUrl: "https://a", token: "t", ...wrong }), RangeError);
  }
});
