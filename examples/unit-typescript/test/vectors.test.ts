/** The unit's own code agrees with every case of protocol/vectors/: what it reads, and what it writes. */

import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Envelope } from "../src/envelope.js";
import { Epoch } from "../src/epoch.js";
import { RefusedError } from "../src/faults.js";
import { Gate, isOrderDomain } from "../src/gate.js";
import { agree, keyId, privateKey, publicKey, rawPublic, type Curve } from "../src/keys.js";
import { ReportSealer, TO_CLOUD, TO_VEHICLE, seal, unseal } from "../src/seal.js";
import { Trust } from "../src/trust.js";

interface Key { private: string; public: string; keyId: string }
interface Case {
  name: string; domain: string; expect: string; envelope?: string; ephemeralPrivate?: string; sealed: string;
  endorsed: string; report: string; payload?: string; wallSeconds?: number;
}
interface Context {
  vin: string; epoch?: string; clockMillis?: number; wallSeconds: number; manifest: string; challenge: string;
  root: string; acceptedCounters?: Record<string, number>; known?: [string, string][]; sharedSecret: string;
  vehiclePublicKey: string;
}
interface Vectors { context: Context; cases: Case[]; request: Case }

const FOLDER = process.env["VECTORS"] ?? fileURLToPath(new URL("../../../../protocol/vectors", import.meta.url));
const read = <T>(file: string): T => JSON.parse(readFileSync(`${FOLDER}/${file}`, "utf8")) as T;
const hex = (text: string): Buffer => Buffer.from(text, "hex");
const KEYS = read<{ ed25519: Record<string, Key>; x25519: Record<string, Key> }>("keys.json");
const ORDERS = read<Vectors>("orders.json");
const REQUESTS = read<Vectors>("requests.json");
const HELLOS = read<Vectors>("hellos.json");
const ANSWERS = read<Vectors>("answers.json");
const MANIFESTS = read<Vectors>("manifests.json");
const SEALED_MANIFESTS = read<Vectors>("sealed_manifests.json");
const REPORTS = read<Vectors>("reports.json");

function keyOf(name: string): Key {
  const found = KEYS.ed25519[name] ?? KEYS.x25519[name];
  assert.ok(found, name);
  return found;
}

function privateOf(curve: Curve, name: string): KeyObject {
  const key = privateKey(curve, hex(keyOf(name).private));
  assert.equal(rawPublic(key).toString("hex"), keyOf(name).public);
  return key;
}

function said(what: () => string): string {
  try {
    return what();
  } catch (error) {
    if (error instanceof RefusedError) return error.fault;
    throw error;
  }
}

function harness(context: Context, one: Case): { gate: Gate; trust: Trust; epoch: Epoch } {
  const wall = one.wallSeconds ?? context.wallSeconds;
  const trust = Trust.read(hex(keyOf("root").public), hex(context.manifest));
  const counters = Object.entries(context.acceptedCounters ?? {});
  const accepted = new Map(counters.map(([domain, counter]) => [domain, BigInt(counter)]));
  const id = hex(context.epoch ?? "00".repeat(16));
  const epoch = new Epoch(context.vin, trust, wall, () => context.clockMillis ?? 0, id, accepted);
  const known = new Set((context.known ?? []).map((pair) => pair.join("/")));
  const gate = new Gate(
    context.vin, privateOf("X25519", "vehicleSeal"), () => wall, (domain, order) => known.has(`${domain}/${order}`),
  );
  return { gate, trust, epoch };
}

for (const one of ORDERS.cases) {
  test(`order: ${one.name}`, () => {
    const { gate, trust, epoch } = harness(ORDERS.context, one);
    const domain = one.domain;
    assert.ok(isOrderDomain(domain));
    const answer = said(() => (gate.order(domain, hex(one.sealed), trust, epoch).isKnown ? "KNOWN" : "ACCEPTED"));
    assert.equal(answer, one.expect);
  });
}

for (const one of REQUESTS.cases) {
  test(`session request: ${one.name}`, () => {
    const { gate, trust } = harness(REQUESTS.context, one);
    const answer = said(() => {
      const { challenge } = gate.sessionRequest(hex(one.sealed), trust);
      assert.equal(Buffer.from(challenge).toString("hex"), REQUESTS.context.challenge);
      return "ACCEPTED";
    });
    assert.equal(answer, one.expect);
  });
}

for (const one of MANIFESTS.cases) {
  test(`manifest: ${one.name}`, () => {
    const trust = Trust.read(hex(MANIFESTS.context.root), hex(MANIFESTS.context.manifest));
    const wall = one.wallSeconds ?? MANIFESTS.context.wallSeconds;
    assert.equal(said(() => (trust.adopt(hex(one.endorsed), wall) ? "ACCEPTED" : "")), one.expect);
  });
}

for (const one of SEALED_MANIFESTS.cases) {
  test(one.name, () => {
    const { gate, trust } = harness(SEALED_MANIFESTS.context, one);
    const wall = SEALED_MANIFESTS.context.wallSeconds;
    assert.equal(said(() => (trust.adopt(gate.endorsed(hex(one.sealed)), wall) ? "ACCEPTED" : "")), one.expect);
  });
}

// What the cloud accepts comes out of this unit's code byte for byte: the envelope signed again, and sealed again.
for (const one of [...ANSWERS.cases, ...HELLOS.cases].filter((each) => each.expect === "ACCEPTED")) {
  test(`said: ${one.name}`, () => {
    const { vin } = ANSWERS.context;
    const opened = unseal(hex(one.sealed), privateOf("X25519", "cloudSeal"), vin, TO_CLOUD);
    assert.equal(opened.toString("hex"), one.envelope);
    const envelope = Envelope.read(opened);
    const subject = `vehicle.${vin}.${one.domain}`;
    envelope.verify(hex(keyOf("vehicleSigner").public), subject);
    const signer = privateOf("Ed25519", "vehicleSigner");
    assert.equal(Envelope.sign(signer, envelope.contentType, subject, envelope.payload).toString("hex"), one.envelope);
    const ephemeral = privateKey("X25519", hex(one.ephemeralPrivate ?? ""));
    const sealed = seal(opened, hex(keyOf("cloudSeal").public), vin, TO_CLOUD, ephemeral);
    assert.equal(sealed.toString("hex"), one.sealed);
  });
}

test("an order is sealed as the first vector is", () => {
  const one = ORDERS.cases[0];
  assert.ok(one?.envelope && one.ephemeralPrivate);
  const ephemeral = privateKey("X25519", hex(one.ephemeralPrivate));
  const receiver = hex(keyOf("vehicleSeal").public);
  const sealed = seal(hex(one.envelope), receiver, ORDERS.context.vin, TO_VEHICLE, ephemeral);
  assert.equal(sealed.toString("hex"), one.sealed);
});

for (const one of REPORTS.cases.filter((each) => each.expect === "ACCEPTED")) {
  test(`report: ${one.name}`, () => {
    const { vin, epoch, sharedSecret } = REPORTS.context;
    const shared = agree(privateOf("X25519", "vehicleReport"), hex(keyOf("cloudReport").public));
    assert.equal(shared.toString("hex"), sharedSecret);
    const counter = hex(one.report).readBigUInt64BE(18);
    const sealed = new ReportSealer(vin, hex(epoch ?? ""), shared).seal(one.domain, hex(one.payload ?? ""), counter);
    assert.equal(sealed.toString("hex"), one.report);
  });
}

for (const [curve, keys] of Object.entries({ Ed25519: KEYS.ed25519, X25519: KEYS.x25519 } as const)) {
  for (const [name, key] of Object.entries(keys)) {
    test(`key id: ${name}`, () => {
      assert.equal(rawPublic(publicKey(curve as Curve, hex(key.public))).toString("hex"), key.public);
      assert.equal(keyId(hex(key.public)).toString("hex"), key.keyId);
    });
  }
}
