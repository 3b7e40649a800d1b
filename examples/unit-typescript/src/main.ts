/**
 * The unit as a process: `node dist/src/main.js`, with the variables of docs/conformance.md, "How a unit is started".
 * SIGTERM puts it to sleep and ends it. On a bench (bench.ts) its parent's messages are people's hands on the car.
 */

import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ignition, RemoteAccess } from "../gen/ecarus/remotecontrol/vehicle/v1/body_pb.js";
import { Car } from "./car.js";
import { Journal } from "./journal.js";
import { privateKeys, rawPublic } from "./keys.js";
import type { Link } from "./link.js";
import { MqttLink } from "./mqtt_link.js";
import { NatsLink } from "./nats_link.js";
import { Trust } from "./trust.js";
import { Unit, wallSeconds } from "./unit.js";

/** An entry of DOORS_VEHICLES_FILE, as far as this unit knows it. */
interface Made {
  vin: string;
  link?: "nats" | "mqtt";
  keysFile: string;
  rootKeyFile: string;
  manifestFile: string;
  certFile?: string;
  keyFile?: string;
  natsUser?: string;
  natsPasswordFile?: string;
}

/** What hands do to the car on a bench. */
export interface Deed { id: number; deed: string; value: Record<string, unknown> }

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is missing`);
  return value;
}

function trustOf(made: Made, journal: Journal): Trust {
  const kept = journal.manifest;
  if (kept) return Trust.read(Buffer.from(kept.endorsedBy, "hex"), Buffer.from(kept.endorsed, "hex"));
  const root = rawPublic(createPublicKey(readFileSync(made.rootKeyFile)));
  return Trust.read(root, readFileSync(made.manifestFile));
}

function linkOf(made: Made): () => Promise<Link> {
  const file = made.natsPasswordFile;
  const ca = process.env["DOORS_NATS_CA"];
  const access = {
    ...(ca ? { ca } : {}),
    ...(made.certFile ? { cert: made.certFile } : {}),
    ...(made.keyFile ? { key: made.keyFile } : {}),
    ...(made.natsUser ? { user: made.natsUser } : {}),
    ...(file ? { password: readFileSync(file, "utf8").trim() } : {}),
  };
  if (made.link === "mqtt") {
    const url = setting("DOORS_MQTT_URL");
    return () => MqttLink.open(made.vin, { url, ...access });
  }
  const url = setting("DOORS_NATS_URL");
  return () => NatsLink.open(made.vin, { url, ...access });
}

const made = (JSON.parse(readFileSync(setting("DOORS_VEHICLES_FILE"), "utf8")) as Made[])[0];
if (made === undefined) throw new Error("DOORS_VEHICLES_FILE names no vehicle");
const folder = join(setting("DOORS_VEHICLE_DATA_DIR"), made.vin);
const keys = privateKeys(readFileSync(made.keysFile, "utf8"));
const [signKey, sealKey] = [keys.get("Ed25519"), keys.get("X25519")];
if (signKey === undefined || sealKey === undefined) throw new Error("keysFile must have an Ed25519 and an X25519 key");

const car = new Car(folder);
const journal = new Journal(join(folder, "journal.jsonl"), wallSeconds);
const answerMillis = Number(process.env["UNIT_ANSWER_MILLIS"] ?? 1_000);
if (!(answerMillis >= 10 && answerMillis <= 60_000)) throw new Error("UNIT_ANSWER_MILLIS must be 10 to 60000");
const unit = new Unit(
  { vin: made.vin, signKey, sealKey }, trustOf(made, journal), journal, car, linkOf(made), answerMillis,
);

async function goodbye(): Promise<never> {
  await unit.sleep();
  process.exit(0);
}

async function obey({ id, deed, value }: Deed): Promise<void> {
  if (deed === "sleep") await unit.sleep();
  else if (deed === "wake") await unit.wake();
  else if (deed === "door-time") car.set({ doorSeconds: Number(value["seconds"]) });
  else if (deed === "battery") car.set({ batteryPercent: Number(value["percent"]) });
  else if (deed === "ignition") car.set({ ignition: value["ignition"] === "ON" ? Ignition.ON : Ignition.OFF });
  else if (deed === "remote-access") {
    car.set({ remoteAccess: RemoteAccess[String(value["remoteAccess"]) as keyof typeof RemoteAccess] });
  }
  unit.changed();
  process.send?.(id);
}

process.once("SIGTERM", () => void goodbye());
process.once("SIGINT", () => void goodbye());
process.on("message", (deed: Deed) => void obey(deed));
process.on("disconnect", () => process.exit(1)); // the bench is gone
await unit.live();
