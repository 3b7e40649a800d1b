// The rules of the pages' parts, without a browser: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { doorsOf, heardAt, stateOf, withAnswer, withUpdate as doorsAfter } from "../../../gateway/pages/parts/car.js";
import { isFinal, newer, stagesOf, withUpdate } from "../../../gateway/pages/parts/command.js";
import { problemText, t, useWords, word } from "../../../gateway/pages/parts/words.js";
import { standingAlerts } from "../../../gateway/pages/console/alerts.js";
import { bucketSeries, trendSeries } from "../../../gateway/pages/console/series.js";
import { changedSettings } from "../../../gateway/pages/console/settings_values.js";

const VIN = "KMHSH81C7LU123456";
const at = (seconds) => new Date(Date.UTC(2026, 0, 12, 14, 30, seconds)).toISOString();
const told = (seconds, data) => ({ type: "COMMAND_STATUS_UPDATE", vin: VIN, timestamp: at(seconds), data: { commandId: "cmd-1", ...data } });
const moved = (seconds, data) => ({ type: "DOOR_STATUS_UPDATE", vin: VIN, timestamp: at(seconds), data });
const accepted = { commandId: "cmd-1", status: "PENDING", timestamp: at(0) };

test("a command comes through its stages, and what it did not say is passed over", () => {
  assert.deepEqual(stagesOf(accepted).map((stage) => stage.state), ["done", "now", "ahead", "ahead", "ahead"]);
  const received = withUpdate(accepted, told(2, { status: "IN_PROGRESS" }));
  assert.deepEqual(stagesOf(received).map((stage) => `${stage.name} ${stage.state}`), ["ACCEPTED done", "QUEUED skipped", "SENT skipped", "RECEIVED done", "FINISHED now"]);
  const waking = { ...accepted, stages: [{ name: "ACCEPTED", time: at(0) }, { name: "WAKING", time: at(1) }] };
  assert.equal(stagesOf(waking).find((stage) => stage.name === "WAKING").state, "done");
});

test("a final status never changes, and a late result is kept beside it", () => {
  const timedOut = withUpdate(accepted, told(30, { status: "TIMEOUT", failureReason: "TTL_EXPIRED", mayHaveSucceeded: true }));
  assert.ok(isFinal(timedOut.status));
  assert.equal(withUpdate(timedOut, told(31, { status: "IN_PROGRESS" })), timedOut);
  const late = withUpdate(timedOut, told(40, { status: "SUCCESS", late: true }));
  assert.deepEqual([late.status, late.lateResult.status], ["TIMEOUT", "SUCCESS"]);
});

test("another command's update changes nothing, and an older answer takes nothing back", () => {
  assert.equal(withUpdate(accepted, told(1, { commandId: "cmd-2", status: "FAILED" })), accepted);
  const ended = withUpdate(accepted, told(3, { status: "FAILED", failureReason: "DOOR_OPEN" }));
  const after = newer(ended, { ...accepted, status: "IN_PROGRESS", correlationId: "web-1" });
  assert.deepEqual([after.status, after.failureReason, after.correlationId], ["FAILED", "DOOR_OPEN", "web-1"]);
  assert.equal(newer(ended, { ...accepted, commandId: "cmd-2" }).status, "PENDING");
});

test("doors move with updates, what is not told is unknown, and what is older than the status changes nothing", () => {
  const status = { vin: VIN, timestamp: at(5), doors: { driver: { locked: true, open: false, windowOpen: false, childLock: false } } };
  const after = doorsAfter(status, moved(6, { doorId: "driver", locked: false, open: false }));
  assert.deepEqual(after.doors.driver, { locked: false, open: false, childLock: false });
  assert.equal(stateOf(after.doors.driver, "windowOpen").key, "state.unknown");
  assert.equal(doorsAfter(status, moved(4, { doorId: "driver", locked: false })), status);
  assert.equal(doorsAfter(status, told(9, { status: "SUCCESS" })), status);
  assert.deepEqual(doorsAfter(null, moved(6, { doorId: "trunk", open: true })).doors, { trunk: { open: true } });
});

test("an answer that was on its way takes back no door that moved meanwhile, and tells of all others", () => {
  const asked = { vin: VIN, timestamp: at(5), receivedAt: at(5), doors: { driver: { locked: true }, trunk: { locked: true } } };
  const shown = doorsAfter(asked, moved(9, { doorId: "driver", locked: false }));
  const late = { vin: VIN, timestamp: at(7), receivedAt: at(7), stale: false, connectivity: "ONLINE", doors: { driver: { locked: true }, trunk: { locked: false } } };
  const after = withAnswer(shown, late);
  assert.deepEqual(after.doors, { driver: { locked: false }, trunk: { locked: false } });
  assert.deepEqual([after.timestamp, after.receivedAt, after.connectivity], [at(9), at(9), "ONLINE"]);
  // Of two answers the later one, whichever comes first; and an update between them counts from its own time.
  assert.deepEqual(withAnswer(late, asked).doors, late.doors);
  assert.deepEqual(doorsAfter(after, moved(8, { doorId: "trunk", locked: true })), after);
  const newest = { ...late, timestamp: at(9), doors: { driver: { locked: true }, trunk: { locked: true } } };
  assert.equal(withAnswer(after, newest), newest);
  assert.equal(withAnswer(after, { ...asked, vin: "KMHSH81C7LU123457" }).doors.driver.locked, true);
  assert.equal(withAnswer(null, asked), asked);
  assert.equal(withAnswer(after, null), null);
});

test("doors are as old as the report that named them, whatever the car has said since", () => {
  const status = { timestamp: at(50), receivedAt: at(50), doors: { driver: { locked: true, receivedAt: at(3) }, trunk: { receivedAt: at(5) } } };
  assert.equal(heardAt(status), at(5));
  assert.equal(heardAt({ ...status, doors: { ...status.doors, hood: { open: false } } }), at(50));
  assert.equal(heardAt({ timestamp: at(1), doors: {} }), at(1));
  assert.equal(heardAt(null), undefined);
  assert.equal(heardAt(doorsAfter(status, moved(59, { doorId: "driver", locked: false }))), at(59));
});

test("only the doors that the car has are shown", () => {
  const two = { doors: [{ doorId: "driver" }, { doorId: "passenger" }] };
  assert.deepEqual(doorsOf({ doors: { driver: {}, rearLeft: {} } }, two), ["driver", "passenger"]);
  assert.deepEqual(doorsOf({ doors: { trunk: {}, driver: {} } }, null), ["driver", "trunk"]);
  assert.equal(doorsOf(null, null).length, 6);
});

test("words are found, filled in, and missing ones are a mistake of the page", () => {
  useWords("en", { "a.b": "{who} asked {what}", "problem.DOOR_OPEN": "A door stands open", "problem.DOOR_OPEN.next": "Close it." });
  assert.equal(t("a.b", { who: "<b>" }), "<b> asked {what}");
  assert.throws(() => t("a.c"), RangeError);
  assert.equal(word("failure", "NEWER_THAN_THIS"), "NEWER_THAN_THIS");
  assert.deepEqual(problemText({ code: "DOOR_OPEN", detail: "driver" }), { title: "A door stands open", detail: "driver", next: "Close it." });
  const field = problemText({ problem: { code: "NEW", title: "New", errors: [{ field: "vin", reason: "too long" }] } });
  assert.deepEqual([field.title, field.detail], ["New", "vin: too long"]);
});

test("an alert stands until it is cleared", () => {
  const alert = (code, cleared) => ({ timestamp: at(0), data: { code, componentId: "c", ...(cleared && { cleared }) } });
  const two = standingAlerts(standingAlerts([], alert("A")), alert("B"));
  assert.deepEqual(two.map((each) => each.code), ["B", "A"]);
  assert.deepEqual(standingAlerts(two, alert("A", true)).map((each) => each.code), ["B"]);
  assert.deepEqual(standingAlerts(two, { timestamp: at(1), data: { code: "C", severity: "INFO" } }), two);
});

test("series of charts: times rise, gaps stay gaps, stacks say what is their own", () => {
  const trend = { components: [{ id: "x", points: [{ time: at(2), health: 90 }, { time: at(4) }] }, { id: "y", name: "Y", points: [{ time: at(0), health: 80 }] }] };
  const { times, series } = trendSeries(trend);
  assert.deepEqual(times, [...times].sort());
  assert.deepEqual(series, [{ label: "x", values: [null, 90, null] }, { label: "Y", values: [80, null, null] }]);
  const report = {
    causes: [{ failureReason: "A" }, { failureReason: "B" }],
    buckets: [{ start: at(0), failures: 3, reasons: [{ failureReason: "A", failures: 1 }, { failureReason: "B", failures: 2 }] }, { start: at(9), failures: 0 }],
  };
  assert.deepEqual(bucketSeries(report).series.map((each) => [each.label, each.values, each.own]), [["A", [3, 0], [1, 0]], ["B", [2, 0], [2, 0]]]);
  assert.deepEqual(bucketSeries({ ...report, causes: [] }).series[0].values, [3, 0]);
});

test("only what was changed is sent", () => {
  assert.deepEqual(changedSettings({ autoLockDelay: 30, unlockMode: "ALL" }, { autoLockDelay: 30, unlockMode: "SEQUENCE" }), { unlockMode: "SEQUENCE" });
});
