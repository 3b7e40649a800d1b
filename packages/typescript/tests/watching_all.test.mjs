import assert from "node:assert/strict";
import { test } from "node:test";
import { Doors } from "@ecarus/doors";
import { failure, json, problem, server, VIN } from "./server.mjs";

const OTHER = "KMHSH81C7LU123458";

/** A WebSocket whose server is `serve(socket, number)`: it calls `tell`, `end`, and has `said`, all that it was told. */
function sockets(serve) {
  const opened = [];
  class FakeSocket extends EventTarget {
    readyState = 0;
    said = [];
    constructor(url) {
      super();
      this.url = url;
      opened.push(this);
      setImmediate(() => {
        this.readyState = 1;
        this.dispatchEvent(new Event("open"));
      });
    }
    send(text) {
      const message = JSON.parse(text);
      this.said.push(message);
      serve(this, opened.length, message);
    }
    tell(message) {
      setImmediate(() => this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(message) })));
    }
    end(code, reason = "") {
      setImmediate(() => {
        this.readyState = 3;
        this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
      });
    }
    close() {
      this.readyState = 3;
    }
  }
  return { opened, WebSocket: FakeSocket };
}

const ticket = json(200, { ticket: "once", expiresIn: 30 });
const update = (vin, id) => ({ id, type: "DOOR_STATUS_UPDATE", vin, timestamp: "2026-01-12T14:30:00.000Z", data: { doorId: "driver" } });

async function first(count, doors, vins, options) {
  const events = [];
  for await (const each of doors.watchAll(vins, options)) if (events.push(each) === count) break;
  return events;
}

test("many vehicles are watched over one connection, and each is resumed by its own last event", async (t) => {
  const at = await server(t, ticket);
  const { opened, WebSocket } = sockets((socket, number) => {
    if (number === 1) {
      socket.tell({ type: "SUBSCRIBED", vin: VIN, eventId: "a0" });
      socket.tell({ type: "SUBSCRIBED", vin: OTHER, eventId: "b0" });
      socket.tell(update(VIN, "a1"));
      socket.end(1001);
    } else {
      socket.tell(update(OTHER, "b1"));
    }
  });
  const [places, reasons] = [[], []];
  const events = await first(2, new Doors({ ...at, token: "t" }), [VIN, OTHER], {
    WebSocket,
    types: ["DOOR_STATUS_UPDATE"],
    onOpen: (vin, place) => places.push([vin, place]),
    onReconnect: ({ code }) => reasons.push(code),
  });
  assert.deepEqual(events.map(({ id, vin }) => [id, vin]), [["a1", VIN], ["b1", OTHER]]);
  assert.deepEqual(places, [[VIN, "a0"], [OTHER, "b0"]]);
  assert.deepEqual(reasons, ["NO_ANSWER"]);
  assert.deepEqual(opened[0].said, [{ action: "subscribe", vehicles: [{ vin: VIN }, { vin: OTHER }], types: ["DOOR_STATUS_UPDATE"] }]);
  assert.deepEqual(opened[1].said[0].vehicles, [{ vin: VIN, lastEventId: "a1" }, { vin: OTHER, lastEventId: "b0" }]);
  assert.equal(opened[0].url, `${at.baseUrl.replace("http", "ws")}/api/v1/remotecontrol/events/ws?ticket=once`);
  assert.equal(at.asked.length, 2);
  assert.equal(opened[1].readyState, 3);
});

test("a vehicle that may not be watched ends alone, and with the last one it is over", async (t) => {
  const at = await server(t, ticket);
  const { WebSocket } = sockets((socket) => {
    socket.tell({ type: "REFUSED", vin: OTHER, code: "VEHICLE_NOT_FOUND", detail: "none" });
    socket.tell(update(VIN, "a1"));
    socket.tell({ type: "ENDED", vin: VIN, code: "ACTION_NOT_GRANTED", detail: "over" });
  });
  const ended = [];
  const [events, seen] = [[], new Doors({ ...at, token: "t" }).watchAll([VIN, OTHER], { WebSocket, onEnded: (vin, { code }) => ended.push([vin, code]) })];
  const error = await failure((async () => { for await (const each of seen) events.push(each.id); })());
  assert.deepEqual([events, error.code], [["a1"], "ACTION_NOT_GRANTED"]);
  assert.deepEqual(ended, [[OTHER, "VEHICLE_NOT_FOUND"], [VIN, "ACTION_NOT_GRANTED"]]);
});

test("a vehicle that is refused for a time is asked for again", async (t) => {
  const at = await server(t, ticket);
  let asked = 0;
  const { opened, WebSocket } = sockets((socket) => {
    asked += 1;
    if (asked === 1) socket.tell({ type: "REFUSED", vin: VIN, code: "RATE_LIMITED", retryAfterSeconds: 0.2 });
    else socket.tell(update(VIN, "a1"));
  });
  await first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket });
  assert.deepEqual([opened.length, asked], [1, 2]);
});

test("the end of the last right ends what was watched, and what waits is asked for again", async (t) => {
  const at = await server(t, ticket);
  const ended = [];
  const onEnded = (vin, { code }) => ended.push([vin, code]);
  const over = sockets((socket) => {
    socket.tell({ type: "SUBSCRIBED", vin: VIN, eventId: "a0" });
    socket.end(4403, "over");
  });
  const error = await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket: over.WebSocket, onEnded }));
  assert.deepEqual([error.code, error.retryable, over.opened.length, ended], ["ACTION_NOT_GRANTED", false, 1, [[VIN, "ACTION_NOT_GRANTED"]]]);
  const { opened, WebSocket } = sockets((socket, number) => {
    if (number > 1) return socket.tell(update(OTHER, "b1"));
    socket.tell({ type: "SUBSCRIBED", vin: VIN, eventId: "a0" });
    socket.tell({ type: "REFUSED", vin: OTHER, code: "RATE_LIMITED", retryAfterSeconds: 0.2 });
    socket.end(4403, "over");
  });
  const events = await first(1, new Doors({ ...at, token: "t" }), [VIN, OTHER], { WebSocket, onEnded });
  assert.deepEqual([events[0].id, ended.length, opened[1].said[0].vehicles], ["b1", 2, [{ vin: OTHER }]]);
});

test("a place is found however its VIN is written", async (t) => {
  const at = await server(t, ticket);
  const { opened, WebSocket } = sockets((socket) => socket.tell(update(VIN, "a1")));
  await first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, lastEventIds: { [VIN.toLowerCase()]: "a0" } });
  assert.deepEqual(opened[0].said[0].vehicles, [{ vin: VIN, lastEventId: "a0" }]);
});

test("a sign-in that is over ends it, and one that can be renewed goes on", async (t) => {
  const at = await server(t, ticket);
  const over = (reason) => sockets((socket, number) => (number === 1 ? socket.end(4401, reason) : socket.tell(update(VIN, "a1"))));
  const locked = await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket: over("ACCOUNT_LOCKED").WebSocket }));
  assert.equal(locked.code, "ACCOUNT_LOCKED");
  const expired = await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket: over("TOKEN_EXPIRED").WebSocket }));
  assert.equal(expired.code, "TOKEN_EXPIRED");
  const why = [];
  const doors = new Doors({ ...at, token: ({ expired: isOver }) => { why.push(isOver); return "t"; } });
  await first(1, doors, [VIN], { WebSocket: over("TOKEN_EXPIRED").WebSocket });
  assert.deepEqual(why, [false, true, false]);
});

test("a refused ticket ends it, and one that is not to be had now is asked for again", async (t) => {
  const { WebSocket } = sockets((socket) => socket.tell(update(VIN, "a1")));
  const no = await server(t, problem(403, "ACCOUNT_LOCKED"));
  assert.equal((await failure(first(1, new Doors({ ...no, token: "t" }), [VIN], { WebSocket }))).code, "ACCOUNT_LOCKED");
  const later = await server(t, problem(503, "DEPENDENCY_UNAVAILABLE", { retryable: true }), ticket);
  await first(1, new Doors({ ...later, token: "t" }), [VIN], { WebSocket });
  assert.equal(later.asked.length, 2);
});

test("more than a hundred vehicles are asked for in several messages", async (t) => {
  const at = await server(t, ticket);
  const vins = Array.from({ length: 150 }, (_, place) => `KMHSH81C7LU${String(place).padStart(6, "0")}`);
  const { opened, WebSocket } = sockets((socket) => socket.tell(update(vins[0], "a1")));
  await first(1, new Doors({ ...at, token: "t" }), vins, { WebSocket });
  assert.deepEqual(opened[0].said.map(({ vehicles }) => vehicles.length), [100, 50]);
});

test("an abort ends it", async (t) => {
  const at = await server(t, ticket);
  const { opened, WebSocket } = sockets(() => undefined);
  const error = await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, signal: AbortSignal.timeout(200) }));
  assert.equal(error.name, "TimeoutError");
  assert.equal(opened[0].readyState, 3);
});

test("without vehicles, and without a WebSocket, there is nothing to watch with", async (t) => {
  const at = await server(t, ticket);
  const doors = new Doors({ ...at, token: "t" });
  await assert.rejects(first(1, doors, [], { WebSocket: class {} }), TypeError);
  if (globalThis.WebSocket === undefined) await assert.rejects(first(1, doors, [VIN]), TypeError);
});

test("however long it is to keep away it does, for five minutes at most", async (t) => {
  const at = await server(t, problem(503, "DEPENDENCY_UNAVAILABLE", { retryable: true }, { "Retry-After": "999999999" }));
  const [pauses, leave] = [[], new AbortController()];
  const onReconnect = (_, seconds) => {
    pauses.push(seconds);
    setTimeout(() => leave.abort(new Error("left")), 200);
  };
  const { WebSocket } = sockets(() => undefined);
  const error = await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, onReconnect, signal: leave.signal }));
  assert.deepEqual([error.message, pauses, at.asked.length], ["left", [300], 1]);
});

test("a vehicle that is refused for long is asked for again within five minutes, too", async (t) => {
  const at = await server(t, ticket);
  const [pauses, leave] = [[], new AbortController()];
  const onReconnect = (_, seconds) => {
    pauses.push(seconds);
    leave.abort(new Error("left"));
  };
  const { WebSocket } = sockets((socket) => {
    socket.tell({ type: "REFUSED", vin: VIN, code: "RATE_LIMITED", retryAfterSeconds: 86_400 });
    socket.end(4403, "over");
  });
  await failure(first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, onReconnect, signal: leave.signal }));
  assert.equal(pauses.length, 1);
  assert.ok(pauses[0] > 290 && pauses[0] <= 300, `${pauses[0]}`);
});

test("where something else answers for a ticket another one is asked for", async (t) => {
  const html = (_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>hello</p>");
  const none = async (answer) => {
    const at = await server(t, answer, ticket);
    const { WebSocket } = sockets((socket) => socket.tell(update(VIN, "a1")));
    const reasons = [];
    const [event] = await first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, onReconnect: ({ code }) => reasons.push(code) });
    assert.deepEqual([event.id, reasons, at.asked.length], ["a1", ["INVALID_ANSWER"], 2]);
  };
  await Promise.all([html, json(200, null), json(200, ["once"]), json(200, {}), json(200, { ticket: 5 })].map(none));
});

test("a message that is no object breaks the connection", async (t) => {
  const at = await server(t, ticket);
  const { opened, WebSocket } = sockets((socket, number) => socket.tell(number === 1 ? null : update(VIN, "a1")));
  const reasons = [];
  await first(1, new Doors({ ...at, token: "t" }), [VIN], { WebSocket, onReconnect: ({ detail }) => reasons.push(detail) });
  assert.deepEqual([opened.length, reasons], [2, ["A message is no JSON object."]]);
});
