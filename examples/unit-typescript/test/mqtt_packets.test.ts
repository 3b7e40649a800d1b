/** Packets that come in pieces, and such as no broker sends. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketReader, connect, puback, publish } from "../src/mqtt_packets.js";

test("a packet is read wherever it is cut", () => {
  const whole = Buffer.concat([publish(7, "vehicle/X/cmd/door", Buffer.alloc(300, 1)), puback(9)]);
  for (const at of [1, 2, 3, 10, 200, whole.length - 1]) {
    const reader = new PacketReader();
    const found = [...reader.read(whole.subarray(0, at)), ...reader.read(whole.subarray(at))];
    assert.deepEqual(found, [
      { kind: "publish", topic: "vehicle/X/cmd/door", id: 7, data: Buffer.alloc(300, 1) },
      { kind: "confirmed", id: 9 },
    ]);
  }
});

test("what is too large, or no length at all, ends the connection", () => {
  assert.throws(() => new PacketReader().read(Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f)), /too large/);
  assert.throws(() => new PacketReader().read(Buffer.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01)), /too large/);
});

test("a refused subscription is not taken for a confirmation", () => {
  assert.throws(() => new PacketReader().read(Buffer.of(0x90, 3, 0, 1, 0x80)), /refused/);
});

test("a connection keeps its session, has a will that is not retained, and says who it is", () => {
  const packet = connect("VIN", 10, "vehicle/VIN/presence", "lost", "unit", "secret");
  assert.equal(packet.readUInt8(9), 0b1100_1100); // user, password; will with QoS 1; neither retained nor clean
  assert.equal(connect("VIN", 10, "vehicle/VIN/presence", "lost").readUInt8(9), 0b0000_1100);
});
