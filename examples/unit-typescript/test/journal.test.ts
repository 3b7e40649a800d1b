/** What a power cut leaves of the journal, what damage does, and that it does not grow for ever. */

import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Journal, type Answer } from "../src/journal.js";

const NOW = 1_800_000_000;

function fileOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "journal-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "journal.jsonl");
}

function open(file: string, now = NOW): Journal {
  return new Journal(file, () => now);
}

function answer(id: string, atSeconds = NOW): Answer {
  return {
    kind: "answer", order: `cmd.door/${id}`, member: "result", payload: "", hash: "00", messageId: id, atSeconds,
    isConfirmed: false,
  };
}

test("what was written is there after a power cut", (t) => {
  const file = fileOf(t);
  const before = open(file);
  before.begin({ kind: "begun", id: "one", hash: "01", lock: true, doors: [1, 2] });
  before.begin({ kind: "begun", id: "two", hash: "02", lock: false, doors: [1] });
  before.answer(answer("one"));
  before.confirm("cmd.door/one");
  before.keepSettings(4, "c2V0dGluZ3M=");
  before.keepManifest(Buffer.of(1), Buffer.of(2));

  const after = open(file);
  assert.deepEqual([...after.begun.keys()], ["two"]);
  assert.deepEqual([...after.answers.values()].map((one) => [one.order, one.isConfirmed]), [["cmd.door/one", true]]);
  assert.deepEqual([after.settings?.version, after.manifest?.endorsed], [4, "02"]);
});

test("a torn last line is dropped, and the next one is whole", (t) => {
  const file = fileOf(t);
  open(file).answer(answer("one"));
  appendFileSync(file, '0badf00d {"kind":"ans');

  const after = open(file);
  after.answer(answer("two"));
  assert.deepEqual([...open(file).answers.keys()], ["cmd.door/one", "cmd.door/two"]);
});

test("a unit whose journal is damaged does not start", (t) => {
  const file = fileOf(t);
  const journal = open(file);
  journal.keepManifest(Buffer.of(1), Buffer.of(2));
  journal.answer(answer("one"));
  writeFileSync(file, readFileSync(file, "utf8").replace('"endorsed":"02"', '"endorsed":"03"'));

  assert.throws(() => open(file), /is damaged in line 1/);
});

test("of what was confirmed the oldest is forgotten, of what was not nothing", (t) => {
  const file = fileOf(t);
  const journal = open(file);
  journal.answer(answer("waiting"));
  for (let n = 0; n < 1_500; n += 1) {
    journal.answer(answer(String(n)));
    journal.confirm(`cmd.door/${n}`);
  }
  assert.ok(journal.answers.size <= 1_002, String(journal.answers.size));
  assert.ok(journal.answers.has("cmd.door/waiting") && journal.answers.has("cmd.door/1499"));
  assert.ok(!journal.answers.has("cmd.door/0"));
});

test("after a day what was confirmed is forgotten", (t) => {
  const file = fileOf(t);
  const journal = open(file, NOW + 90_000);
  journal.answer(answer("old", NOW));
  journal.confirm("cmd.door/old");
  journal.answer(answer("new", NOW + 90_000));
  assert.deepEqual([...journal.answers.keys()], ["cmd.door/new"]);
});

test("the file is written anew before it is much longer than what it holds", (t) => {
  const file = fileOf(t);
  const journal = open(file);
  for (let version = 1; version <= 5_000; version += 1) journal.keepSettings(version, "c2V0dGluZ3M=");
  assert.ok(statSync(file).size < 2_100 * 100, String(statSync(file).size));
  assert.equal(open(file).settings?.version, 5_000);
});
