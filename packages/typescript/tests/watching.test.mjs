import assert from "node:assert/strict";
import { test } from "node:test";
import { Doors } from "@ecarus/doors";
import { cut, DOOR, event, failure, problem, server, stream, VIN } from "./server.mjs";

const client = ({ baseUrl }, more = {}) => new Doors({ baseUrl, token: "t-1", ...more });
const OPENING = `retry: 10\nid: e0\nevent: STREAM_OPENED\ndata: {"type":"STREAM_OPENED","vin":"${VIN}","data":{}}\n\n`;

/** The first events, and then it is left. */
async function first(count, doors, options) {
  const events = [];
  for await (const each of doors.watch(VIN, options)) if (events.push(each) === count) break;
  return events;
}

test("updates come as they are told, and a break is resumed after the last one", async (t) => {
  const at = await server(
    t,
    stream(OPENING + event("e1", { doorId: "driver", locked: false }), { then: "break" }),
    cut,
    problem(503, "DEPENDENCY_UNAVAILABLE", { retryable: true }),
    stream(": heartbeat\n\n"),
    stream(event("e2", { doorId: "driver", locked: true }), { then: "stay" }),
  );
  const [opened, reasons] = [[], []];
  const events = await first(2, client(at), { onOpen: (place) => opened.push(place), onReconnect: ({ code }) => reasons.push(code) });
  assert.deepEqual(events.map(({ id, type, data }) => [id, type, data.locked]), [["e1", "DOOR_STATUS_UPDATE", false], ["e2", "DOOR_STATUS_UPDATE", true]]);
  assert.deepEqual(at.asked.map(({ headers }) => headers["last-event-id"]), [undefined, "e1", "e1", "e1", "e1"]);
  assert.equal(at.asked[0].path, `${DOOR}/updates/stream`);
  assert.equal(at.asked[0].headers.accept, "text/event-stream");
  assert.deepEqual(opened, ["e0", "e1", "e1"]);
  assert.deepEqual(reasons, ["NO_ANSWER", "NO_ANSWER", "DEPENDENCY_UNAVAILABLE", "NO_ANSWER"]);
});

test("what broke before the first update is resumed where it was opened", async (t) => {
  const at = await server(t, stream(OPENING), stream(event("e1", {}), { then: "stay" }));
  await first(1, client(at));
  assert.deepEqual(at.asked.map(({ headers }) => headers["last-event-id"]), [undefined, "e0"]);
});

test("a stream of yesterday is resumed", async (t) => {
  const at = await server(t, stream(event("e8", {}), { then: "stay" }));
  await first(1, client(at), { lastEventId: "e7" });
  assert.equal(at.asked[0].headers["last-event-id"], "e7");
});

test("silence is a break", async (t) => {
  const at = await server(t, stream(OPENING, { then: "stay" }), stream(event("e1", {}), { then: "stay" }));
  const [{ id }] = await first(1, client(at), { silenceSeconds: 0.2 });
  assert.deepEqual([id, at.asked[1].headers["last-event-id"]], ["e1", "e0"]);
});

for (const code of ["ACTION_NOT_GRANTED", "ACCOUNT_LOCKED", "TOKEN_INVALID", "TOKEN_EXPIRED"]) {
  test(`a right that is over ends it: ${code}`, async (t) => {
    const at = await server(t, stream(`${OPENING}: the stream ends: ${code}: Because.\n\n`));
    const error = await failure(first(1, client(at)));
    assert.deepEqual([error.code, error.detail, at.asked.length], [code, "Because.", 1]);
  });
}

test("a token that has expired is renewed, and the stream goes on", async (t) => {
  const at = await server(t, stream(`${OPENING}: the stream ends: TOKEN_EXPIRED: over\n\n`), stream(event("e1", {}), { then: "stay" }));
  let tokens = 1;
  const token = ({ expired }) => `t-${(tokens += expired ? 1 : 0)}`;
  await first(1, client(at, { token }));
  assert.deepEqual(at.asked.map(({ headers }) => headers.authorization), ["Bearer t-1", "Bearer t-2"]);
});

test("a stream that goes away with its instance is opened again", async (t) => {
  const at = await server(t, stream(`${OPENING}: the stream ends: DEPENDENCY_UNAVAILABLE: bye\n\n`), stream(event("e1", {}), { then: "stay" }));
  const reasons = [];
  await first(1, client(at), { onReconnect: ({ code }) => reasons.push(code) });
  assert.deepEqual(reasons, ["DEPENDENCY_UNAVAILABLE"]);
});

test("a refusal is an error at once", async (t) => {
  const at = await server(t, problem(404, "VEHICLE_NOT_FOUND"));
  assert.equal((await failure(first(1, client(at)))).code, "VEHICLE_NOT_FOUND");
  assert.equal(at.asked.length, 1);
});

test("an abort ends it, while it waits and while it pauses", async (t) => {
  const at = await server(t, stream(OPENING, { then: "stay" }));
  assert.equal((await failure(first(1, client(at), { signal: AbortSignal.timeout(300) }))).name, "TimeoutError");
  const away = await server(t, problem(503, "DEPENDENCY_UNAVAILABLE", { retryable: true }, { "Retry-After": "60" }));
  assert.equal((await failure(first(1, client(away), { signal: AbortSignal.timeout(300) }))).name, "TimeoutError");
});

test("who leaves the loop closes the connection", async (t) => {
  let closed;
  const isClosed = new Promise((resolve) => { closed = resolve; });
  const at = await server(t, (request, response) => {
    request.on("close", closed);
    response.on("close", closed);
    response.writeHead(200, { "Content-Type": "text/event-stream" }).write(OPENING + event("e1", {}));
  });
  await first(1, client(at));
  await isClosed;
});

test("a stream is read in whatever pieces it comes, with either end of line", async (t) => {
  const text = `\uFEFF${OPENING}${event("e1", { message: "문 열림 ✓" })}`.replaceAll("\n", "\r\n") + 'id: e2\rdata: {"one": 1,\rdata: "two": 2}\r\r';
  const at = await server(t, async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const byte of Buffer.from(text)) {
      response.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.write("\n");
  });
  const [one, two] = await first(2, client(at));
  assert.deepEqual([one.id, one.data.message, two], ["e1", "문 열림 ✓", { one: 1, two: 2, id: "e2" }]);
});

test("an event without an end is no event", async (t) => {
  const at = await server(t, stream(`data: ${"x".repeat(1024 * 1024 + 1)}`, { then: "stay" }));
  assert.equal((await failure(first(1, client(at)))).code, "INVALID_ANSWER");
});

test("an event that is no object is none", async (t) => {
  for (const data of ["null", "5", "[]", "hello"]) {
    const at = await server(t, stream(`data: ${data}\n\n`, { then: "stay" }));
    assert.equal((await failure(first(1, client(at)))).code, "INVALID_ANSWER");
  }
});

test("what is no event stream is none", async (t) => {
  const at = await server(t, (_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>hello</p>"));
  assert.equal((await failure(first(1, client(at)))).code, "INVALID_ANSWER");
});

test("a stream that opens and breaks at once has growing pauses", async (t) => {
  const at = await server(t, ...Array(5).fill(stream(OPENING.replace("retry: 10", "retry: 40"))), stream(event("e1", {}), { then: "stay" }));
  const pauses = [];
  await first(1, client(at), { onReconnect: (_, seconds) => pauses.push(seconds) });
  assert.equal(pauses.length, 5);
  assert.ok(pauses[4] > 2 * pauses[0], pauses.join());
});

for (const keepAway of ["999999999", "2147484", new Date(Date.now() + 9e12).toUTCString()]) {
  test(`however long it is to keep away it does, for five minutes at most: ${keepAway}`, async (t) => {
    const at = await server(t, problem(503, "DEPENDENCY_UNAVAILABLE", { retryable: true }, { "Retry-After": keepAway }));
    const [pauses, leave] = [[], new AbortController()];
    const onReconnect = (_, seconds) => {
      pauses.push(seconds);
      setTimeout(() => leave.abort(new Error("left")), 200);
    };
    const error = await failure(first(1, client(at), { onReconnect, signal: leave.signal }));
    assert.deepEqual([error.message, pauses, at.asked.length], ["left", [300], 1]);
  });
}

/** A client whose stream comes in these pieces. */
function cutInto(pieces) {
  const encoder = new TextEncoder();
  const headers = { "Content-Type": "text/event-stream" };
  const body = () => new ReadableStream({ pull: (to) => (pieces.length > 0 ? to.enqueue(encoder.encode(pieces.shift())) : to.close()) });
  return new Doors({ baseUrl: "https://api.example", token: "t", fetch: async () => new Response(body(), { headers }) });
}

test("an event of endless empty lines is an error, and does not grow without bound", async () => {
  const pieces = Array.from({ length: 300 }, () => "data\n".repeat(4_000));
  assert.equal((await failure(first(1, cutInto(pieces), { onReconnect: (reason) => { throw reason; } }))).code, "INVALID_ANSWER");
  assert.ok(pieces.length > 0, "it was read to its end");
});

test("what has come is searched once, however it is cut", async (t) => {
  const text = `\uFEFF: note\r\rdata: {"type":"A",\r\nid: e1\r\ndata: "data":{"long":"${"x".repeat(5_000)}"}}\r\n\r\n`;
  const split = String.prototype.split;
  let searched = 0;
  t.mock.method(String.prototype, "split", function (separator, limit) {
    if (separator instanceof RegExp && separator.source.includes("\\n")) searched += this.length;
    return split.call(this, separator, limit);
  });
  const [{ type, id, data }] = await first(1, cutInto([...text]));
  assert.deepEqual([type, id, data.long.length], ["A", "e1", 5_000]);
  assert.ok(searched > 0 && searched <= text.length, `${searched} characters`);
});

test("an id that cannot be sent back is no place", async (t) => {
  const at = await server(t, stream(OPENING + event("e1", {}) + event("\u20ac2", {})), stream(event("e3", {}), { then: "stay" }));
  assert.deepEqual((await first(3, client(at))).map(({ id }) => id), ["e1", "", "e3"]);
  assert.equal(at.asked[1].headers["last-event-id"], "e1");
});
