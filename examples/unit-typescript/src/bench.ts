/**
 * Hands on the car, for the conformance kit: the control interface of docs/conformance.md, around a unit in a process of its own.
 * `node dist/src/bench.js`, with DOORS_CONTROL_PORT. A reboot kills that process as a power cut would, and starts it
 * again. A real unit has none of this.
 */

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Deed } from "./main.js";

const MAIN = fileURLToPath(new URL("main.js", import.meta.url));
const DEEDS = new Set(["sleep", "wake", "door-time", "battery", "ignition", "remote-access"]);
const MOST_BODY_BYTES = 4_096;

let unit = start();
let last = 0;

function start(): ChildProcess {
  const child = fork(MAIN, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  child.once("exit", (code, signal) => {
    if (signal !== "SIGKILL") process.exit(code ?? 1);
  });
  return child;
}

async function reboot(): Promise<void> {
  const gone = once(unit, "exit");
  unit.kill("SIGKILL");
  await gone;
  unit = start();
}

function obey(deed: string, value: Record<string, unknown>): Promise<void> {
  const id = (last += 1);
  return new Promise((resolve, reject) => {
    const done = (answer: unknown): void => {
      if (answer !== id) return;
      unit.off("message", done);
      resolve();
    };
    unit.on("message", done);
    unit.send({ id, deed, value } satisfies Deed, (error) => error && reject(error));
  });
}

/** The ground truth: a list with an object for each line. */
function actuations(vin: string): string {
  const file = join(String(process.env["DOORS_VEHICLE_DATA_DIR"]), vin, "actuations.jsonl");
  return `[${existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").join(",") : ""}]`;
}

async function body(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const part of request) {
    text += String(part);
    if (text.length > MOST_BODY_BYTES) throw new Error("too long");
  }
  const value: unknown = text === "" || text === "null" ? {} : JSON.parse(text);
  return value as Record<string, unknown>;
}

/** Whether a website may have caused it, in a browser on this machine: that names an origin, or a host of its own. */
function isOfWebsite(request: IncomingMessage): boolean {
  const host = (request.headers.host ?? "").replace(/:\d+$/, "");
  return request.headers.origin !== undefined || !["127.0.0.1", "localhost"].includes(host);
}

async function answer(request: IncomingMessage): Promise<{ status: number; text: string }> {
  if (isOfWebsite(request)) return { status: 403, text: "" };
  const [, , vin = "", deed = ""] = (request.url ?? "").split("/");
  if (request.method === "GET" && deed === "actuations") return { status: 200, text: actuations(vin) };
  if (request.method !== "POST") return { status: 404, text: "" };
  const value = await body(request);
  if (deed === "reboot") await reboot();
  else if (DEEDS.has(deed)) await obey(deed, value);
  else return { status: 404, text: "" };
  return { status: 200, text: "{}" };
}

const server = createServer((request, response) => {
  answer(request).then(
    ({ status, text }) => response.writeHead(status, { "content-type": "application/json" }).end(text),
    (error: unknown) => response.writeHead(422).end(String(error)),
  );
});
server.listen(Number(process.env["DOORS_CONTROL_PORT"]), "127.0.0.1");

process.once("SIGTERM", () => unit.kill("SIGTERM"));
