// The page of the AsyncAPI document, without a browser: node --test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { useDocument } from "./document.mjs";

const SPEC = JSON.parse(readFileSync(new URL("../../../gen/asyncapi.json", import.meta.url), "utf8"));

async function opened(answer) {
  const document = useDocument();
  for (const id of ["title", "about", "fault", "contents", "channels", "messages"]) {
    const part = document.createElement("div");
    part.setAttribute("id", id);
    document.body.append(part);
  }
  globalThis.location.hash = "";
  globalThis.fetch = async () => answer;
  const page = await import(`../../../gateway/pages/portal/asyncapi.js?${Math.random()}`);
  return { document, page };
}

function all(node, tag) {
  return (node.children ?? []).flatMap((each) => [...(each.tagName === tag ? [each] : []), ...all(each, tag)]);
}

/** Articles by their ids: this document's own search walks all of it each time. */
function articles(document) {
  return new Map(all(document.body, "article").map((each) => [each.getAttribute("id"), each]));
}

test("every channel, operation, message and member of the document is shown", async () => {
  const { document } = await opened(new Response(JSON.stringify(SPEC)));
  const text = document.body.textContent;
  const found = articles(document);
  for (const [name, channel] of Object.entries(SPEC.channels)) {
    assert.ok(found.get(`channel-${name}`).textContent.includes(channel.address), name);
  }
  for (const operation of Object.values(SPEC.operations)) assert.ok(text.includes(operation.title), operation.title);
  for (const [name, message] of Object.entries(SPEC.components.messages)) {
    const shown = found.get(`message-${name}`);
    assert.ok(shown.textContent.includes(message.name), name);
    if (message.examples ?? message["x-example"]) assert.ok(all(shown, "pre").length > 0, name);
  }
  const update = found.get("message-CommandStatusUpdateEvent");
  const members = all(update, "th").map((each) => each.textContent);
  for (const member of ["data.doorResults[].doorId required", "data.mayHaveSucceeded", "event required"]) assert.ok(members.includes(member), members.join());
  const order = found.get("message-DoorCommand").textContent;
  for (const said of ["rdc-command+v1", "SignedOrder.door", "door.commandId", "at most 16384 bytes"]) assert.ok(order.includes(said), said);
  assert.ok(found.get("channel-eventSocket").textContent.includes("4403"));
});

test("what refers to itself ends", async () => {
  const { document, page } = await opened(new Response(JSON.stringify(SPEC)));
  const loop = structuredClone(SPEC);
  loop.components.schemas.Vin = { type: "object", properties: { again: { $ref: "#/components/schemas/Vin" } } };
  page.show(loop, document);
  const members = all(articles(document).get("message-Subscribed"), "th").map((each) => each.textContent);
  assert.deepEqual(members.filter((each) => each.startsWith("vin")), ["vin required", "vin.again"]);
});

test("where there is no document the page says so", async () => {
  const { document } = await opened(new Response("", { status: 404 }));
  assert.match(document.getElementById("fault").textContent, /no AsyncAPI document/);
});
