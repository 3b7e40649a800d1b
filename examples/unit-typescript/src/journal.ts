/**
 * What must not be forgotten, in one file that is only appended to: begun commands, answers, settings, the manifest.
 * Nothing of an epoch is here.
 *
 * A line is the first 8 hex digits of SHA-256 over its JSON, a space, and the JSON. A power cut can leave the last
 * line torn: it was not promised to anybody yet, and is dropped. A wrong line anywhere else is damage, and the unit does not
 * start: the factory's manifest may accept keys that were revoked since.
 *
 * Flash wear: two synced appends of about 1 KiB for a command, one for settings or a manifest, none for a report. The
 * file is written anew when it has MOST_LINES more than it needs.
 */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, truncateSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { sha256 } from "./keys.js";

export interface Begun { kind: "begun"; id: string; hash: string; lock: boolean; doors: number[] }
export interface Answer {
  kind: "answer";
  /** Of the order: `cmd.door/<command id>` or `cmd.cancel/<cancel id>`. */
  order: string;
  member: "result" | "cancel";
  payload: string;
  hash: string;
  messageId: string;
  atSeconds: number;
  isConfirmed: boolean;
}
interface Confirmed { kind: "confirmed"; order: string }
export interface Settings { kind: "settings"; version: number; payload: string }
export interface Manifest { kind: "manifest"; endorsedBy: string; endorsed: string }
type Entry = Begun | Answer | Confirmed | Settings | Manifest;

const MOST_LINES = 2_000;
const KEPT_SECONDS = 24 * 3_600;
/** Of answers that were confirmed; older ones are forgotten first. */
const MOST_KEPT = 1_000;

export class Journal {
  readonly begun = new Map<string, Begun>();
  readonly answers = new Map<string, Answer>();
  settings: Settings | undefined;
  manifest: Manifest | undefined;
  private file: number;
  private lines = 0;

  constructor(private readonly path: string, private readonly wallSeconds: () => number) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (existsSync(path)) this.load();
    this.file = openSync(path, "a", 0o600);
    this.syncFolder();
  }

  /** The command has begun: on the disk when this returns. */
  begin(begun: Begun): void {
    this.write(begun, true);
  }

  /** The answer to an order: on the disk when this returns. */
  answer(answer: Answer): void {
    this.write(answer, true);
  }

  /** The broker has it. Not synced: where it is lost, the answer is sent once more. */
  confirm(order: string): void {
    if (this.answers.get(order)?.isConfirmed === false) this.write({ kind: "confirmed", order }, false);
  }

  keepSettings(version: number, payload: string): void {
    this.write({ kind: "settings", version, payload }, true);
  }

  keepManifest(endorsedBy: Buffer, endorsed: Buffer): void {
    this.write({ kind: "manifest", endorsedBy: hex(endorsedBy), endorsed: hex(endorsed) }, true);
  }

  private write(entry: Entry, isSynced: boolean): void {
    writeSync(this.file, line(entry));
    if (isSynced) fsyncSync(this.file);
    this.apply(entry);
    this.lines += 1;
    if (this.lines > MOST_LINES + this.needed()) this.compact();
  }

  private apply(entry: Entry): void {
    switch (entry.kind) {
      case "begun":
        this.begun.set(entry.id, entry);
        break;
      case "answer":
        if (entry.member === "result") this.begun.delete(entry.order.slice("cmd.door/".length));
        this.answers.delete(entry.order); // so that it is the newest
        this.answers.set(entry.order, entry);
        this.forget();
        break;
      case "confirmed": {
        const answer = this.answers.get(entry.order);
        if (answer) answer.isConfirmed = true;
        break;
      }
      case "settings":
        this.settings = entry;
        break;
      case "manifest":
        this.manifest = entry;
        break;
    }
  }

  /** No more in memory and on the disk than is of use. By a wall clock that was set wrong nothing more is forgotten than by
   * the number: an order that is older than its epoch never acts, whether it is known or not. */
  private forget(): void {
    const before = this.wallSeconds() - KEPT_SECONDS;
    for (const [order, answer] of this.answers) {
      const isOld = answer.atSeconds < before || this.answers.size > MOST_KEPT;
      if (!isOld) return;
      if (answer.isConfirmed) this.answers.delete(order);
    }
  }

  private needed(): number {
    return this.begun.size + this.answers.size + 2;
  }

  private load(): void {
    const text = readFileSync(this.path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const lines = whole.split("\n").slice(0, -1);
    lines.forEach((one, number) => {
      const json = one.slice(9);
      if (one.slice(0, 9) !== `${digest(json)} `) throw new Error(`${this.path} is damaged in line ${number + 1}`);
      this.apply(JSON.parse(json) as Entry);
    });
    this.lines = lines.length;
    truncateSync(this.path, Buffer.byteLength(whole)); // the torn line, if there is one
  }

  /** Written beside, synced, renamed, and the folder synced: a power cut leaves the old file or the new one. */
  private compact(): void {
    const entries: Entry[] = [...this.begun.values(), ...this.answers.values()];
    if (this.settings) entries.push(this.settings);
    if (this.manifest) entries.push(this.manifest);
    const beside = `${this.path}.new`;
    const file = openSync(beside, "w", 0o600);
    writeSync(file, entries.map(line).join(""));
    fsyncSync(file);
    closeSync(file);
    renameSync(beside, this.path);
    closeSync(this.file);
    this.file = openSync(this.path, "a", 0o600);
    this.syncFolder();
    this.lines = entries.length;
  }

  private syncFolder(): void {
    const folder = openSync(dirname(this.path), "r");
    fsyncSync(folder);
    closeSync(folder);
  }
}

function line(entry: Entry): string {
  const json = JSON.stringify(entry);
  return `${digest(json)} ${json}\n`;
}

function digest(json: string): string {
  return hex(sha256(Buffer.from(json))).slice(0, 8);
}

function hex(bytes: Buffer): string {
  return bytes.toString("hex");
}
