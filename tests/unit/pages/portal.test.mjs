// The developers' page where the issuer is away, without a browser: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settled, useDocument } from "./document.mjs";

test("who cannot be signed in reads why, and can press again", async () => {
  const document = useDocument();
  for (const id of ["fault", "who", "sample", "sandbox", "step-up", "step-up-sign-in"]) {
    const part = document.createElement("p");
    part.setAttribute("id", id);
    document.body.append(part);
  }
  const signIn = document.createElement("button");
  signIn.setAttribute("id", "sign-in");
  document.body.append(signIn);
  globalThis.window = { SwaggerUIBundle: () => ({}) };
  globalThis.sessionStorage = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  globalThis.location.search = "";
  globalThis.fetch = async (url) => {
    if (url === "/portal/config.json") return new Response(JSON.stringify({ issuer: "https://login.example.com", clientId: "web", scope: "door" }));
    if (url === "/openapi.json") return new Response(JSON.stringify({ components: { schemas: { Problem: { "x-problems": [] } } } }));
    throw new TypeError("no network");
  };
  await import("../../../gateway/pages/portal/portal.js");
  signIn.click();
  assert.equal(signIn.disabled, true);
  for (let turns = 0; turns < 5; turns += 1) await settled();
  assert.match(document.getElementById("fault").textContent, /cannot be reached/);
  assert.equal(signIn.disabled, false);
});
