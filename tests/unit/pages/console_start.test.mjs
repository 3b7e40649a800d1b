// The console where its own service cannot tell it who signs people in, without a browser: node --test.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { useDocument } from "./document.mjs";

test("a console that is not set up, or whose service is away, says so instead of staying empty", async () => {
  const document = useDocument();
  globalThis.navigator ??= { languages: ["en"] };
  const main = document.createElement("main");
  main.setAttribute("id", "main");
  document.body.append(main);
  globalThis.fetch = async (url) => {
    if (String(url).startsWith("file:")) return new Response(await readFile(new URL(url)));
    if (answers.length) return new Response("", { status: answers.shift() });
    throw new TypeError("no network");
  };
  const answers = [404, 503];
  await import("../../../gateway/pages/console/console.js");
  assert.match(main.textContent, /This page is not set up here/);
  assert.ok(main.querySelector("button"));
  // Its service is away, or too much was asked of it, which is no word about how it is set up: it is tried again.
  await import("../../../gateway/pages/console/console.js?starting");
  assert.ok(main.querySelector('[data-code="OFFLINE"]'), main.textContent);
  assert.doesNotMatch(main.textContent, /not set up/);
  await import("../../../gateway/pages/console/console.js?away");
  assert.ok(main.querySelector('[data-code="OFFLINE"]'), main.textContent);
});
