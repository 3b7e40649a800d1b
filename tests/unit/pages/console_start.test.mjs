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
  const answers = [503];
  await import("../../../gateway/pages/console/console.js");
  assert.match(main.textContent, /This page is not set up here/);
  assert.ok(main.querySelector("button"));
  await import("../../../gateway/pages/console/console.js?away");
  assert.ok(main.querySelector('[data-code="OFFLINE"]'), main.textContent);
});
