// What Swagger UI is given, and how long it listens, without a browser: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fetchToShow, forSwagger, headerOf } from "../../../gateway/pages/portal/try_it_out.js";

test("the ways that Swagger UI cannot go are left out, everywhere, and of what is given to it alone", () => {
  const document = {
    components: { securitySchemes: { bearer: {}, ticket: {}, signIn: {}, dpop: {}, dpopProof: {} } },
    security: [{ bearer: [] }, { dpop: [], dpopProof: [] }, { signIn: [] }],
    paths: { "/a": { parameters: [], get: { security: [{ ticket: [] }, { signIn: ["x"] }, { bearer: ["x"] }] }, post: {} } },
  };
  const before = structuredClone(document);
  const spec = forSwagger(document);
  assert.deepEqual(Object.keys(spec.components.securitySchemes), ["bearer", "ticket"]);
  assert.deepEqual(spec.security, [{ bearer: [] }]);
  assert.deepEqual(spec.paths["/a"].get.security, [{ ticket: [] }, { bearer: ["x"] }]);
  assert.deepEqual(spec.paths["/a"].post, {});
  assert.deepEqual(document, before);
});

test("a header is whole again", () => {
  const response = { headers: { "www-authenticate": ['DPoP error="a"', 'acr_values="b"'], allow: "GET" } };
  assert.equal(headerOf(response, "www-authenticate"), 'DPoP error="a", acr_values="b"');
  assert.equal(headerOf(response, "allow"), "GET");
  assert.equal(headerOf(response, "none"), "");
});

test("of a stream that has no end what came is shown, and it is heard no more", async () => {
  let left = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("event: STREAM_OPENED\n\n")),
    cancel: () => {
      left = true;
    },
  });
  globalThis.fetch = async () => new Response(body, { status: 200, headers: { "content-type": "text/event-stream", "x-correlation-id": "c-1" } });
  const answer = await fetchToShow("https://x/stream", {}, 0.01);
  assert.equal(left, true);
  assert.equal(answer.headers.get("x-correlation-id"), "c-1");
  assert.match(await answer.text(), /^event: STREAM_OPENED\n\n: .*curl -N/);
});

test("a stream that says much is not waited for", async () => {
  const full = new TextEncoder().encode("x".repeat(60_000));
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(full) });
  globalThis.fetch = async () => new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  const answer = await fetchToShow("https://x/stream", {}, 1000);
  assert.ok((await answer.text()).length < 200_000);
});

test("every other answer is as it came", async () => {
  const answer = new Response("{}", { headers: { "content-type": "application/json" } });
  globalThis.fetch = async () => answer;
  assert.equal(await fetchToShow("https://x/", {}), answer);
});
