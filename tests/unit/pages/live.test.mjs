// Live updates over a WebSocket that is played, without a browser: node --test.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { ApiError } from "../../../gateway/pages/parts/api.js";
import { LiveUpdates, endsVehicle } from "../../../gateway/pages/parts/live.js";
import { SignInError } from "../../../gateway/pages/parts/session.js";

const [ONE, TWO] = ["KMHSH81C7LU123456", "KMHSH81C7LU123457"];
let sockets;
let refusal;
let ended;
let renewals;
let renewal;

class PlayedSocket {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 3;

  constructor(url) {
    this.url = url;
    this.readyState = PlayedSocket.CONNECTING;
    this.sent = [];
    sockets.push(this);
  }

  open() {
    this.readyState = PlayedSocket.OPEN;
    this.onopen();
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  tell(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  end(code, reason = "") {
    this.readyState = PlayedSocket.CLOSED;
    this.onclose({ code, reason });
  }

  close() {
    this.readyState = PlayedSocket.CLOSED;
  }
}

const api = {
  session: {
    case: null,
    end: (code) => ended.push(code),
    renew: async () => {
      renewals += 1;
      if (renewal) throw renewal;
    },
  },
  socketUrl: (ticket) => `ws://edge/ws?ticket=${ticket}`,
  send: async () => {
    if (refusal) throw refusal;
    return { data: { ticket: `t${sockets.length}` } };
  },
};

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  globalThis.WebSocket = PlayedSocket;
  globalThis.addEventListener = () => {};
  globalThis.removeEventListener = () => {};
  [sockets, refusal, ended, renewals, renewal] = [[], null, [], 0, null];
  api.session.case = null;
});

async function settled() {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

async function opened(...vins) {
  const live = new LiveUpdates(api);
  const seen = [];
  for (const type of ["update", "refused", "ended-vehicle", "reset"]) live.addEventListener(type, ({ detail }) => seen.push([type, detail.id ?? detail.code ?? detail.vin]));
  for (const vin of vins) live.subscribe(vin);
  await settled();
  sockets[0].open();
  for (const vin of vins) sockets[0].tell({ type: "SUBSCRIBED", vin, eventId: `begin-${vin}` });
  return { live, seen };
}

async function next() {
  mock.timers.tick(40_000);
  await settled();
  const socket = sockets.at(-1);
  socket.open();
  return socket;
}

test("each vehicle is resumed with its own last id", async () => {
  const { live, seen } = await opened(ONE, TWO);
  assert.equal(live.state, "live");
  sockets[0].tell({ id: "e7", type: "DOOR_STATUS_UPDATE", vin: ONE, data: {} });
  sockets[0].end(1006);
  assert.equal(live.state, "reconnecting");
  const socket = await next();
  assert.deepEqual(socket.sent, [{ action: "subscribe", vehicles: [{ vin: ONE, lastEventId: "e7" }, { vin: TWO, lastEventId: `begin-${TWO}` }] }]);
  socket.tell({ type: "SUBSCRIBED", vin: ONE, eventId: "e7" });
  assert.equal(live.state, "live");
  socket.tell({ id: "e8", type: "DOOR_STATUS_UPDATE", vin: ONE, data: {} });
  assert.deepEqual(seen, [["update", "e7"], ["update", "e8"]]);
});

test("what an old connection still says is not heard", async () => {
  const { seen } = await opened(ONE);
  const old = sockets[0];
  old.end(1001);
  await next();
  old.tell({ id: "late", type: "DOOR_STATUS_UPDATE", vin: ONE, data: {} });
  assert.deepEqual(seen, []);
});

test("a token that expired is renewed, and each vehicle resumed: nobody is signed out", async () => {
  const { live } = await opened(ONE);
  for (const turn of [1, 2]) {
    sockets.at(-1).end(4401, "TOKEN_EXPIRED");
    assert.equal(live.state, "reconnecting");
    await settled();
    assert.deepEqual([renewals, ended, sockets.length], [turn, [], turn + 1]);
    sockets.at(-1).open();
    assert.deepEqual(sockets.at(-1).sent[0].vehicles, [{ vin: ONE, lastEventId: `begin-${ONE}` }]);
    sockets.at(-1).tell({ type: "SUBSCRIBED", vin: ONE, eventId: `begin-${ONE}` });
    assert.equal(live.state, "live");
  }
  live.dispose();
});

for (const [what, prepare, reason] of [
  ["cannot be renewed", () => { renewal = new SignInError("TOKEN_INVALID", "over"); }, "TOKEN_EXPIRED"],
  ["is a case's", () => { api.session.case = { vin: ONE }; }, "TOKEN_EXPIRED"],
  ["is no longer good", () => {}, "TOKEN_INVALID"],
  ["is of an account that was locked", () => {}, "ACCOUNT_LOCKED"],
]) {
  test(`who comes back with a token that ${what} is told that it is over, and does not try again`, async () => {
    prepare();
    const { live } = await opened(ONE);
    sockets[0].end(4401, reason);
    await settled();
    assert.deepEqual([live.state, ended], ["ended", [reason]]);
    mock.timers.tick(120_000);
    await settled();
    assert.equal(sockets.length, 1);
  });
}

test("a new token that is expired, too, is not renewed again and again", async () => {
  const { live } = await opened(ONE);
  sockets[0].end(4401, "TOKEN_EXPIRED");
  await settled();
  sockets[1].open();
  sockets[1].end(4401, "TOKEN_EXPIRED");
  await settled();
  assert.deepEqual([live.state, ended, renewals, sockets.length], ["ended", ["TOKEN_EXPIRED"], 1, 2]);
});

test("an issuer that is away ends no sign-in: it is tried again", async () => {
  renewal = new SignInError("issuer_away", "no answer");
  const { live } = await opened(ONE);
  sockets[0].end(4401, "TOKEN_EXPIRED");
  await settled();
  assert.deepEqual([live.state, ended], ["reconnecting", []]);
  const socket = await next();
  assert.deepEqual(socket.sent[0].vehicles, [{ vin: ONE, lastEventId: `begin-${ONE}` }]);
  live.dispose();
});

test("the end of the last right ends it", async () => {
  const { live, seen } = await opened(ONE);
  sockets[0].tell({ type: "ENDED", vin: ONE, code: "ACTION_NOT_GRANTED", detail: "over" });
  sockets[0].end(4403);
  assert.equal(live.state, "ended");
  assert.deepEqual(seen, [["ended-vehicle", "ACTION_NOT_GRANTED"]]);
});

test("a vehicle that was refused is not asked for again, unless it was said when", async () => {
  const { live } = await opened(ONE, TWO);
  sockets[0].tell({ type: "REFUSED", vin: TWO, code: "VEHICLE_NOT_FOUND", detail: "none" });
  sockets[0].end(1013);
  const socket = await next();
  assert.deepEqual(socket.sent[0].vehicles.map(({ vin }) => vin), [ONE]);
  socket.tell({ type: "REFUSED", vin: ONE, code: "RATE_LIMITED", detail: "many", retryAfterSeconds: 5 });
  mock.timers.tick(5_000);
  assert.deepEqual(socket.sent.at(-1).vehicles.map(({ vin }) => vin), [ONE]);
  live.dispose();
});

const LATER = { type: "REFUSED", vin: ONE, code: "RATE_LIMITED", detail: "many" };

for (const [what, message, close, seconds] of [
  ["ended for a moment, and the instance goes away", { ...LATER, type: "ENDED", code: "INTERNAL_ERROR", retryAfterSeconds: 5 }, 1001, 5],
  ["was refused for a moment, and the instance goes away", { ...LATER, retryAfterSeconds: 10 }, 1001, 10],
  ["was refused for longer than a connection without a vehicle lasts", { ...LATER, retryAfterSeconds: 90 }, 4408, 90],
  ["was refused for a moment, and another's right is over", { ...LATER, retryAfterSeconds: 10 }, 4403, 10],
]) {
  test(`a vehicle that ${what}: it is asked for again when it may be, and not before`, async () => {
    const { live } = await opened(ONE);
    const told = [];
    live.addEventListener("state", ({ detail }) => told.push([detail.state, detail.code]));
    sockets[0].tell(message);
    assert.deepEqual([live.state, told.at(-1)], ["reconnecting", ["reconnecting", message.code]], "it is told of nothing now");
    sockets[0].end(close);
    assert.equal(live.state, "reconnecting");
    for (let turn = 0; turn < seconds - 1; turn += 1) {
      mock.timers.tick(1000);
      await settled();
    }
    assert.equal(sockets.length, 1);
    mock.timers.tick(1000);
    await settled();
    assert.equal(sockets.length, 2);
    sockets[1].open();
    assert.deepEqual(sockets[1].sent, [{ action: "subscribe", vehicles: [{ vin: ONE, lastEventId: `begin-${ONE}` }] }]);
    sockets[1].tell({ type: "SUBSCRIBED", vin: ONE, eventId: `begin-${ONE}` });
    assert.equal(live.state, "live");
    sockets[1].end(1006);
    assert.equal((await next()).sent[0].vehicles.length, 1, "the refusal is over");
    live.dispose();
  });
}

test("while one vehicle waits, the others are followed, and it joins them when it may", async () => {
  const { live } = await opened(ONE, TWO);
  sockets[0].tell({ ...LATER, retryAfterSeconds: 60 });
  assert.equal(live.state, "live");
  sockets[0].end(1001);
  const socket = await next();
  assert.deepEqual(socket.sent[0].vehicles.map(({ vin }) => vin), [TWO]);
  socket.tell({ type: "SUBSCRIBED", vin: TWO, eventId: "e" });
  mock.timers.tick(20_000);
  const asked = socket.sent.filter(({ action }) => action === "subscribe");
  assert.deepEqual(asked.at(-1).vehicles, [{ vin: ONE, lastEventId: `begin-${ONE}` }]);
  live.dispose();
});

test("a refusal for longer than a timer can count is one for a day", async () => {
  const { live } = await opened(ONE);
  sockets[0].tell({ ...LATER, retryAfterSeconds: 5_000_000 });
  sockets[0].end(4408);
  mock.timers.tick(86_399_000);
  await settled();
  assert.equal(sockets.length, 1);
  mock.timers.tick(1_000);
  await settled();
  assert.equal(sockets.length, 2);
  live.dispose();
});

test("a page that closes when it hears of a refusal is left alone", async () => {
  const { live } = await opened(ONE);
  live.addEventListener("refused", () => live.close());
  sockets[0].tell({ ...LATER, retryAfterSeconds: 5 });
  assert.equal(live.state, "idle");
});

test("while all wait, who wants another vehicle does not", async () => {
  const { live } = await opened(ONE);
  sockets[0].tell({ ...LATER, retryAfterSeconds: 90 });
  sockets[0].end(4408);
  live.subscribe(TWO);
  await settled();
  sockets[1].open();
  assert.deepEqual(sockets[1].sent[0].vehicles, [{ vin: TWO }]);
  live.dispose();
});

for (const close of [1001, 4408]) {
  test(`where every vehicle was refused for good, that is how it ends (${close})`, async () => {
    const { live } = await opened(ONE);
    const told = [];
    live.addEventListener("state", ({ detail }) => told.push([detail.state, detail.code]));
    sockets[0].tell({ type: "REFUSED", vin: ONE, code: "VEHICLE_NOT_FOUND", detail: "none" });
    sockets[0].end(close);
    mock.timers.tick(40_000);
    await settled();
    assert.deepEqual([told.at(-1), sockets.length], [["ended", "VEHICLE_NOT_FOUND"], 1]);
  });
}

test("a vehicle ends for good where it is said of that one, and not until when", async () => {
  const { live } = await opened(ONE, TWO);
  const over = [];
  for (const name of ["refused", "ended-vehicle"]) live.addEventListener(name, ({ detail }) => endsVehicle(detail, ONE) && over.push(detail.code));
  sockets[0].tell({ type: "ERROR", requestId: "r", code: "INVALID_REQUEST", detail: "what?" });
  sockets[0].tell({ type: "REFUSED", vin: TWO, code: "VEHICLE_NOT_FOUND", detail: "none" });
  sockets[0].tell({ ...LATER, retryAfterSeconds: 5 });
  assert.deepEqual(over, []);
  sockets[0].tell({ type: "ENDED", vin: ONE, code: "ACTION_NOT_GRANTED", detail: "over" });
  assert.deepEqual(over, ["ACTION_NOT_GRANTED"]);
  live.dispose();
});

test("without a ticket it waits longer each time, and not for ever", async () => {
  refusal = new ApiError("OFFLINE", { status: 503 });
  const live = new LiveUpdates(api);
  const pauses = [];
  live.addEventListener("state", ({ detail }) => detail.retryInSeconds && pauses.push(detail.retryInSeconds));
  live.subscribe(ONE);
  await settled();
  for (let turn = 0; turn < 10; turn += 1) {
    mock.timers.tick(31_000);
    await settled();
  }
  assert.ok(pauses.length >= 10, String(pauses));
  assert.ok(Math.max(...pauses) <= 31, String(pauses));
  refusal = null;
  mock.timers.tick(31_000);
  await settled();
  assert.equal(sockets.length, 1);
  live.dispose();
});

test("a right that is missing is no reason to try again", async () => {
  refusal = new ApiError("ACTION_NOT_GRANTED", { status: 403 });
  const live = new LiveUpdates(api);
  live.subscribe(ONE);
  await settled();
  assert.equal(live.state, "ended");
});

test("a connection over which nothing comes is asked, and cut where it says nothing", async () => {
  const { live } = await opened(ONE);
  mock.timers.tick(25_000);
  const asked = sockets[0].sent.at(-1);
  assert.deepEqual([asked.action, asked.requestId], ["unsubscribe", "ping"]);
  assert.match(asked.vins[0], /^[A-HJ-NPR-Z0-9]{17}$/);
  sockets[0].tell({ type: "UNSUBSCRIBED", requestId: "ping", vin: asked.vins[0] });
  mock.timers.tick(10_000);
  assert.equal(live.state, "live");
  mock.timers.tick(25_000);
  mock.timers.tick(10_000);
  assert.equal(live.state, "reconnecting");
  live.dispose();
});

test("what was told may miss something: the status is read anew", async () => {
  const { seen } = await opened(ONE);
  sockets[0].tell({ id: "r1", type: "SYSTEM_ALERT", vin: ONE, timestamp: "2026-01-12T14:30:00.000Z", data: { code: "UPDATES_RESET", severity: "INFO" } });
  sockets[0].tell({ id: "a1", type: "SYSTEM_ALERT", vin: ONE, timestamp: "2026-01-12T14:30:01.000Z", data: { code: "DOOR_AJAR", severity: "WARNING" } });
  assert.deepEqual(seen, [["reset", ONE], ["update", "a1"]]);
});

test("who is subscribed to nothing has no connection", async () => {
  const { live } = await opened(ONE, TWO);
  live.unsubscribe(TWO);
  assert.deepEqual(sockets[0].sent.at(-1), { action: "unsubscribe", vins: [TWO] });
  live.unsubscribe(ONE);
  assert.deepEqual([live.state, sockets[0].readyState], ["idle", PlayedSocket.CLOSED]);
});
