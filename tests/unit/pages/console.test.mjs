// What the console's panels ask of the API when their buttons are pressed, without a browser: node --test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { settled, useDocument } from "./document.mjs";

const document = useDocument();
const { SignInError } = await import("../../../gateway/pages/parts/session.js");
const { ApiError } = await import("../../../gateway/pages/parts/api.js");
const { useWords } = await import("../../../gateway/pages/parts/words.js");
const { CommandPanel } = await import("../../../gateway/pages/console/commands.js");
const { DiagnosticsPanel } = await import("../../../gateway/pages/console/diagnostics.js");
const { SecurityPanel } = await import("../../../gateway/pages/console/security.js");
const { SettingsPanel } = await import("../../../gateway/pages/console/settings.js");
const { Workplace } = await import("../../../gateway/pages/console/workplace.js");
const { areaOf } = await import("../../../gateway/pages/console/interrupted.js");

const json = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url)));
const BASE = "/api/v1/remotecontrol";
const CONTRACT = json("gen/openapi.json");
useWords("en", { ...json("gateway/pages/words/en.json"), ...json("gateway/pages/words/console/en.json") });

const VIN = "KMHSH81C7LU123456";
const CASE = { vin: VIN, case: "C-1", customer: "user-1", expiresAt: Number.MAX_SAFE_INTEGER };
const ANSWERS = {
  diagnostics: { systemStatus: "NORMAL", components: [] },
  "diagnostics/trend": { components: [] },
  status: { vin: VIN, doors: {} },
  capabilities: {},
  "C-1": { vehicles: [] },
  history: { history: [] },
  cases: { cases: [{ caseId: "abnormal-1", kind: "MANY_REFUSALS", evidence: "7 in a minute" }] },
  config: { autoLockDelay: 30, updatedTime: "2026-01-12T14:30:00Z" },
};

/** Who answers as the services do; `refusals` are thrown first, one for each request that changes something. */
class FakeApi {
  sent = [];
  read = [];
  refusals = [];
  /** What every answer of a reading waits for. */
  held = null;

  door(vin) {
    return `/vehicles/${vin}/door`;
  }

  async get(path) {
    this.read.push(path);
    await this.held;
    return { data: ANSWERS[path.split("/door/")[1] ?? path.split("/").at(-1)] };
  }

  async send(method, path, body, { correlationId } = {}) {
    if (path.startsWith("/events/")) throw new ApiError("OFFLINE");
    this.sent.push({ method, path, body, correlationId });
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
    return { data: { commandId: "cmd-1", status: "PENDING", ...body } };
  }
}

/** The operation of the contract that a request is. */
function operationOf({ method, path }) {
  const [, item] = Object.entries(CONTRACT.paths).find(([template]) => new RegExp(`^${template.replace(/\{[^}]+\}/g, "[^/]+")}$`).test(BASE + path)) ?? [];
  assert.ok(item?.[method.toLowerCase()], `${method} ${path} is no operation`);
  return item[method.toLowerCase()];
}

const api = new FakeApi();
/** With what the page left for the issuer. */
const left = [];
const session = { case: CASE, person: "agent-7", stepUp: async (...asked) => {
  left.push(asked);
  await session.way;
} };
const options = { api, session, vin: VIN, capabilities: () => null, current: () => null, onAccepted: () => {}, onShow: () => {} };

/** A panel in the page, with what it reads read. */
async function shown(Panel) {
  const root = document.createElement("div");
  document.body.replaceChildren(root);
  const panel = new Panel(root, options);
  await panel.refresh?.();
  return { root, panel };
}

function buttonOf(root, text) {
  return root.querySelectorAll("button").find((each) => each.textContent === text);
}

function submitted(form) {
  const event = new Event("submit");
  Object.defineProperty(event, "target", { value: form });
  form.dispatchEvent(event);
  return settled();
}

async function approve(root) {
  root.querySelector("#approve-agent").value = "agent-8";
  await submitted(root.querySelector("form"));
}

async function restrict(root) {
  root.querySelector("#restrict-reason").value = "The customer asks for it";
  await submitted(root.querySelector("form"));
}

async function change(root) {
  root.querySelector("#setting-autoLockDelay").value = "45";
  await submitted(root.querySelector("form"));
}

async function press(root, text) {
  buttonOf(root, text).click();
  await settled();
}

const ACTS = {
  "an unlock": [CommandPanel, (root) => press(root, "Unlock")],
  "an approval": [CommandPanel, approve],
  "a check": [DiagnosticsPanel, (root) => press(root, "Ask for a check")],
  "an acknowledgement": [SecurityPanel, (root) => press(root, "Acknowledge")],
  "a restriction": [SecurityPanel, restrict],
  "a change of settings": [SettingsPanel, change],
};

beforeEach(() => {
  api.sent = [];
  api.refusals = [];
  api.held = null;
  left.length = 0;
  session.way = null;
});

for (const [what, [Panel, act]] of Object.entries(ACTS)) {
  test(`${what} has a body exactly where the contract has one`, async () => {
    const { root, panel } = await shown(Panel);
    await act(root);
    assert.equal(api.sent.length, 1);
    const [request] = api.sent;
    assert.equal(request.body !== undefined, "requestBody" in operationOf(request), JSON.stringify(request));
    panel.close();
  });
}

const CHALLENGE = new ApiError("STEP_UP_REQUIRED", { status: 401, challenge: { acrValues: "urn:x:2fa" } });
const CONFIRM = "Confirm that it is you";

for (const [what, [Panel, act]] of Object.entries(ACTS)) {
  test(`${what} that a step-up interrupted is offered when the case is open again, and sent as it was by a button`, async (context) => {
    api.refusals = [CHALLENGE];
    const first = await shown(Panel);
    await act(first.root);
    await press(first.root, CONFIRM);
    const [[, pending, kept]] = left;
    assert.deepEqual(kept, { case: "C-1", customer: "user-1", vin: VIN });
    first.panel.close();

    const root = document.createElement("div");
    document.body.replaceChildren(root);
    const workplace = new Workplace(root, { api, session, onLive: () => {}, onEnded: () => {}, onLeave: () => {} });
    context.after(() => workplace.close());
    await settled();
    let answer;
    api.held = new Promise((resolve) => { answer = resolve; });
    workplace.offer(JSON.parse(JSON.stringify(pending)));
    await settled();
    assert.equal(api.sent.length, 1, "nothing is sent by itself");
    await press(root, "Send it now");
    const isOfArea = Panel !== CommandPanel;
    if (isOfArea) assert.equal(api.sent.length, 1, "not beside what its area is still reading");
    answer();
    for (let turns = 0; turns < 5; turns += 1) await settled();
    assert.deepEqual(api.sent[1], api.sent[0]);
    assert.equal(api.sent.length, 2);
    assert.equal(root.querySelector("[data-part=interrupted]").textContent, "");
    if (isOfArea) assert.equal(root.querySelectorAll("[role=tabpanel] [role=alert]").filter((each) => each.is(".good")).length, 1);
  });
}

test("what a step-up interrupted is offered for its own vehicle and customer only", () => {
  const door = api.door(VIN);
  assert.equal(areaOf({ path: `${door}/unlock` }, door, "user-1"), "commands");
  assert.equal(areaOf({ path: `${api.door("OTHER")}/unlock` }, door, "user-1"), null);
  assert.equal(areaOf({ path: "/security/accounts/restrict", customer: "user-1" }, door, "user-1"), "security");
  assert.equal(areaOf({ path: "/security/accounts/restrict", customer: "user-2" }, door, "user-1"), null);
  assert.equal(areaOf({ path: "/security/accounts/restrict" }, door, undefined), null);
});

for (const [what, [Panel, act]] of Object.entries(ACTS)) {
  test(`where the issuer is away, who confirms that it is them for ${what} reads so beside the button, which can be pressed again`, async () => {
    api.refusals = [CHALLENGE];
    const { root, panel } = await shown(Panel);
    await act(root);
    let fail;
    session.way = new Promise((_resolve, reject) => { fail = reject; });
    await press(root, CONFIRM);
    const pressed = buttonOf(root, CONFIRM);
    assert.deepEqual([pressed.disabled, pressed.getAttribute("aria-busy")], [true, "true"]);
    fail(new SignInError("issuer_away", "The sign-in service cannot be reached. Try again."));
    await settled();
    assert.ok(root.querySelector('[data-code="OFFLINE"]'), root.textContent);
    assert.deepEqual([pressed.disabled, pressed.getAttribute("aria-busy")], [false, null]);
    session.way = Promise.reject(new SignInError("invalid_request", "Not so."));
    await press(root, CONFIRM);
    assert.match(root.querySelector('[data-code="invalid_request"]').textContent, /Not so/);
    assert.equal(root.querySelector('[data-code="OFFLINE"]'), null);
    panel.close();
  });
}
