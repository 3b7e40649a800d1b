// Signing in at an issuer that is played, without a browser: node --test.

import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { beforeEach, test } from "node:test";

import { Api } from "../../../gateway/pages/parts/api.js";
import { Session, SignInError } from "../../../gateway/pages/parts/session.js";

const ISSUER = "https://login.example.com";
const CONFIG = { issuer: ISSUER, clientId: "web", scope: "door person", acrValues: "", apiBase: "/api/v1/remotecontrol" };
const METADATA = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  revocation_endpoint: `${ISSUER}/revoke`,
  pushed_authorization_request_endpoint: `${ISSUER}/par`,
  dpop_signing_alg_values_supported: ["ES256"],
  authorization_response_iss_parameter_supported: true,
};
let metadata;
let answers;
let asked;

class Store {
  constructor() {
    this.kept = new Map();
  }
  getItem(key) {
    return this.kept.get(key) ?? null;
  }
  setItem(key, value) {
    this.kept.set(key, String(value));
  }
  removeItem(key) {
    this.kept.delete(key);
  }
}

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (claims) => `${encoded({ typ: "at+jwt" })}.${encoded(claims)}.x`;
const decoded = (part) => JSON.parse(Buffer.from(part, "base64url").toString());

beforeEach(() => {
  [metadata, answers, asked] = [{ ...METADATA }, {}, []];
  globalThis.sessionStorage = new Store();
  globalThis.history = { replaceState: (_state, _title, path) => { globalThis.location.search = ""; globalThis.location.pathname = path; } };
  globalThis.location = { origin: "https://edge.example.com", pathname: "/app/", search: "", assign: (to) => { globalThis.location.went = to; } };
  globalThis.fetch = async (url, options = {}) => {
    const to = new URL(url);
    asked.push({ path: to.pathname, body: options.body && Object.fromEntries(new URLSearchParams(options.body)), headers: options.headers ?? {}, credentials: options.credentials });
    if (to.pathname.startsWith("/.well-known")) return new Response(JSON.stringify(metadata));
    const answer = (answers[to.pathname] ?? []).shift() ?? { status: 404, body: {} };
    return new Response(JSON.stringify(answer.body ?? {}), { status: answer.status ?? 200, headers: { "content-type": "application/json", ...answer.headers } });
  };
});

const granted = (name, more = {}) => ({ body: { access_token: token({ sub: name }), token_type: "DPoP", expires_in: 600, refresh_token: `refresh-${name}`, ...more } });

/** A session that left for the issuer and came back with this in the URL. */
async function returned(change = () => {}, pending = null) {
  answers["/par"] = [{ body: { request_uri: "urn:x:1" } }];
  const before = new Session("app", CONFIG);
  await before.signIn({ pending });
  const { state } = JSON.parse(sessionStorage.getItem("sign-in"));
  const answer = new URLSearchParams({ code: "c-1", state, iss: ISSUER });
  change(answer);
  location.search = `?${answer}`;
  const session = new Session("app", CONFIG);
  await session.start();
  return session;
}

test("a sign-in is pushed with PKCE, and its code is redeemed with the verifier and a proof of the key", async () => {
  answers["/token"] = [granted("user-1")];
  const pending = { method: "POST", path: "/x", body: {}, correlationId: "web-1", at: 1, label: "Unlock" };
  const session = await returned(undefined, pending);
  assert.deepEqual([session.isSignedIn, session.subject, session.problem], [true, "user-1", null]);
  const [pushed, redeemed] = [asked.find(({ path }) => path === "/par"), asked.find(({ path }) => path === "/token")];
  assert.equal(location.went, `${ISSUER}/authorize?client_id=web&request_uri=urn%3Ax%3A1`);
  assert.deepEqual([pushed.body.redirect_uri, pushed.body.code_challenge_method], ["https://edge.example.com/app/", "S256"]);
  assert.equal(createHash("sha256").update(redeemed.body.code_verifier).digest("base64url"), pushed.body.code_challenge);
  const [head, claims, signature] = redeemed.headers.DPoP.split(".");
  const { jwk } = decoded(head);
  assert.equal(jwk.d, undefined);
  const key = createPublicKey({ key: jwk, format: "jwk" });
  assert.ok(verify("sha256", Buffer.from(`${head}.${claims}`), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url")));
  assert.deepEqual([decoded(claims).htm, decoded(claims).htu], ["POST", `${ISSUER}/token`]);
  assert.ok(asked.every(({ credentials }) => credentials === "omit"));
  assert.deepEqual(session.takeReturned(), pending);
  assert.equal(session.takeReturned(), null);
  assert.equal(location.search, "");
  assert.equal(sessionStorage.getItem("sign-in"), null);
  assert.ok(![...sessionStorage.kept.values()].some((value) => value.includes("eyJ") || value.includes("refresh")));
});

for (const [what, change, code] of [
  ["another state", (answer) => answer.set("state", "guessed"), "unknown_answer"],
  ["another issuer", (answer) => answer.set("iss", "https://evil.example.com"), "wrong_issuer"],
  ["no issuer, where it says who it is", (answer) => answer.delete("iss"), "wrong_issuer"],
  ["an error", (answer) => { answer.delete("code"); answer.set("error", "access_denied"); }, "access_denied"],
]) {
  test(`an answer with ${what} signs nobody in`, async () => {
    answers["/token"] = [granted("user-1")];
    const session = await returned(change);
    assert.deepEqual([session.isSignedIn, session.problem.code], [false, code]);
    assert.ok(!asked.some(({ path }) => path === "/token"));
    assert.equal(session.returned, null);
  });
}

test("an answer is good once", async () => {
  answers["/token"] = [granted("user-1"), granted("user-1")];
  await returned();
  location.search = "?code=c-1&state=again";
  const again = new Session("app", CONFIG);
  await again.start();
  assert.equal(again.isSignedIn, false);
});

test("metadata of another issuer are none", async () => {
  metadata.issuer = "https://evil.example.com";
  await assert.rejects(new Session("app", CONFIG).signIn({}), (error) => error instanceof SignInError && error.code === "wrong_issuer");
});

test("of many requests at once one renews the token, and the new refresh token takes the old one's place", async () => {
  answers["/token"] = [granted("user-1", { expires_in: 10 }), granted("user-1", { refresh_token: "refresh-2", expires_in: 10 }), granted("user-1")];
  const session = await returned();
  const url = "https://edge.example.com/api/v1/remotecontrol/vehicles?x=1";
  const made = await Promise.all([1, 2, 3].map(() => session.headers("GET", url)));
  const sent = () => asked.filter(({ body }) => body?.grant_type === "refresh_token").map(({ body }) => body.refresh_token);
  assert.deepEqual(sent(), ["refresh-user-1"]);
  const claims = decoded(made[0].DPoP.split(".")[1]);
  assert.equal(claims.htu, "https://edge.example.com/api/v1/remotecontrol/vehicles");
  assert.equal(claims.ath, createHash("sha256").update(made[0].Authorization.slice("DPoP ".length)).digest("base64url"));
  assert.equal(new Set(made.map(({ DPoP }) => decoded(DPoP.split(".")[1]).jti)).size, 3);
  await session.headers("GET", url);
  assert.deepEqual(sent(), ["refresh-user-1", "refresh-2"]);
});

test("a refresh token that is refused ends the sign-in, and says so", async () => {
  answers["/token"] = [granted("user-1", { expires_in: 1 }), { status: 400, body: { error: "invalid_grant" } }];
  const session = await returned();
  const ended = [];
  session.addEventListener("ended", ({ detail }) => ended.push(detail.code));
  await assert.rejects(session.headers("GET", "https://edge.example.com/x"), SignInError);
  assert.deepEqual([session.isSignedIn, ended], [false, ["TOKEN_INVALID"]]);
});

test("a sign-out revokes at the issuer, and the next one asks who it is", async () => {
  answers["/token"] = [granted("user-1")];
  answers["/revoke"] = [{}];
  const session = await returned();
  await session.signOut();
  assert.equal(asked.at(-1).body.token, "refresh-user-1");
  assert.deepEqual([session.isSignedIn, session.wasSignedOut, session.subject], [false, true, ""]);
});

for (const [what, leave] of [["a sign-out", (session) => session.signOut()], ["the end of a sign-in", (session) => session.end("TOKEN_INVALID", "Gone.")]]) {
  test(`${what} leaves nothing of a stronger sign-in that was begun and not finished`, async () => {
    answers["/token"] = [granted("user-1")];
    answers["/revoke"] = [{}];
    const session = await returned();
    answers["/par"] = [{ body: { request_uri: "urn:x:2" } }];
    await session.stepUp({ challenge: { acrValues: "urn:x:2fa", maxAge: "300" } }, { method: "POST", path: "/x", body: {}, correlationId: "web-1", at: 1, label: "Unlock" });
    assert.notEqual(sessionStorage.getItem("sign-in"), null);
    await leave(session);
    assert.equal(sessionStorage.getItem("sign-in"), null);
  });
}

test("the API's challenge is told as such, and the end of a token ends the session", async () => {
  answers["/token"] = [granted("user-1")];
  const session = await returned();
  const api = new Api(session);
  const challenge = 'DPoP error="insufficient_user_authentication", acr_values="urn:x:2fa urn:x:3fa", max_age="300"';
  answers["/api/v1/remotecontrol/x"] = [
    { status: 401, body: { code: "STEP_UP_REQUIRED", status: 401 }, headers: { "www-authenticate": challenge } },
    { status: 401, body: { code: "TOKEN_INVALID", detail: "Gone." }, headers: { "www-authenticate": 'DPoP error="invalid_token"' } },
  ];
  await assert.rejects(api.get("/x"), ({ code, challenge: told }) => code === "STEP_UP_REQUIRED" && told.acrValues === "urn:x:2fa urn:x:3fa" && told.maxAge === "300");
  assert.equal(session.isSignedIn, true);
  await assert.rejects(api.get("/x"), { code: "TOKEN_INVALID" });
  assert.equal(session.isSignedIn, false);
  await assert.rejects(api.get("/x"), { code: "SIGNED_OUT" });
});

test("a token that the API calls expired is renewed once, and the request goes again under its id", async () => {
  answers["/token"] = [granted("user-1"), granted("user-1")];
  const session = await returned();
  const expired = { status: 401, body: { code: "TOKEN_EXPIRED" } };
  answers["/api/v1/remotecontrol/x"] = [expired, { body: { done: true } }, expired, expired];
  const api = new Api(session);
  const { data, correlationId } = await api.send("POST", "/x", {});
  assert.equal(data.done, true);
  const ids = asked.filter(({ path }) => path.endsWith("/x")).map(({ headers }) => headers["X-Correlation-ID"]);
  assert.deepEqual(ids, [correlationId, correlationId]);
  answers["/token"] = [granted("user-1")];
  await assert.rejects(api.send("POST", "/x", {}), { code: "TOKEN_EXPIRED" });
  assert.equal(session.isSignedIn, false);
});

test("an agent acts for a customer until the token ends, and stays signed in", async () => {
  answers["/token"] = [granted("agent-7"), { body: { access_token: token({ sub: "user-1", act: { sub: "agent-7" }, vin: "V", case: "C-1" }), token_type: "DPoP", expires_in: 0 } }];
  const session = await returned();
  const begun = await session.actFor({ kind: "spoken-code", mandate: "12345678" });
  assert.deepEqual([begun.vin, begun.case, begun.customer, session.person], ["V", "C-1", "user-1", "agent-7"]);
  assert.equal(asked.at(-1).body.subject_token_type, "urn:ecarus:token-type:spoken-code");
  const ended = [];
  session.addEventListener("ended", ({ detail }) => ended.push(detail.code));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await assert.rejects(session.headers("GET", "https://edge.example.com/x"), SignInError);
  assert.deepEqual([session.isSignedIn, session.case, ended], [true, null, ["TOKEN_EXPIRED"]]);
});
