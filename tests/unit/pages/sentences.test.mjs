// What the service says in English, as the console shows it in another language: node --test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { useDocument } from "./document.mjs";

useDocument();
const { useWords } = await import("../../../gateway/pages/parts/words.js");
const { alertLine, alertText, auditText } = await import("../../../gateway/pages/console/sentences.js");

const book = (tag) => JSON.parse(readFileSync(new URL(`../../../gateway/pages/words/console/${tag}.json`, import.meta.url)));
const ALERT = { code: "B1A01", message: "The driver's lock does not answer." };
const REFUSED = { kind: "ACCESS_REFUSED", decision: "REFUSED", action: "door.unlock", rule: "ACCOUNT_LOCKED", sentence: "You asked to unlock the doors and was refused: the account is locked." };

const shown = (parts) => parts.map((each) => [each.getAttribute("lang") ?? "", each.textContent]);

beforeEach(() => useWords("ko", book("ko")));

test("an alert is told in the language that is shown, and below it as the service says it", () => {
  assert.equal(alertLine(ALERT), book("ko")["alert.B1A01"]);
  assert.deepEqual(shown(alertText(ALERT)), [["", book("ko")["alert.B1A01"]], ["en", ALERT.message]]);
  // A code that is newer than the page, or a maker's own, as it came.
  assert.deepEqual(shown(alertText({ code: "U0140", message: "A fault." })), [["en", "A fault."]]);
  assert.equal(alertLine({ code: "U0140" }), "U0140");
});

test("the audit is told by its codes", () => {
  const [first, second] = shown(auditText(REFUSED));
  assert.match(first[1], /문 잠금 해제.*계정이 잠겨 있음/);
  assert.deepEqual(second, ["en", REFUSED.sentence]);
  const looked = { kind: "ACCESS_ALLOWED", decision: "ALLOWED", action: "door.status.read", sentence: "You looked at the doors (2 more times)." };
  assert.match(shown(auditText(looked))[0][1], /문 상태 조회/);
  const ended = { kind: "COMMAND_TIMEOUT", decision: "NONE", action: "door.unlock", sentence: "The vehicle did not answer in time; it may have acted." };
  assert.equal(shown(auditText(ended))[0][1], book("ko")["happened.COMMAND_TIMEOUT"]);
  for (const unknown of [{ kind: "SOMETHING_NEW" }, { ...REFUSED, rule: "NEWER" }, { kind: "ACCESS_ALLOWED", action: "door.new" }]) {
    assert.deepEqual(shown(auditText({ ...unknown, sentence: "It is so." })), [["en", "It is so."]]);
  }
});

test("in English the service's own sentence is enough", () => {
  useWords("en", book("en"));
  assert.equal(alertLine(ALERT), ALERT.message);
  assert.deepEqual(shown(alertText(ALERT)), [["en", ALERT.message]]);
  assert.deepEqual(shown(auditText(REFUSED)), [["en", REFUSED.sentence]]);
});
