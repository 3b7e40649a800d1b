/**
 * Who is signed in: OAuth 2.1 with PKCE (RFC 7636), pushed requests (RFC 9126), the issuer's name compared (RFC 9207), and
 * tokens bound to a key that no script can read out (DPoP, RFC 9449).
 *
 * Tokens live in this page's memory and nowhere else. What must outlive the way to the issuer and back (the verifier, what
 * was about to be done) is in sessionStorage, for that way only.
 */

import { Base64Url, Proofs, randomText, sha256 } from "./proofs.js";

const WAITING = "sign-in";
const SIGNED_IN = "signed-in";
const EARLY_MS = 30_000;
const WAY_MS = 15 * 60_000;
const TOKEN_MS = 15_000;
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const MANDATES = { "spoken-code": "urn:ecarus:token-type:spoken-code", "approved-case": "urn:ecarus:token-type:approved-case" };

/** The sign-in did not come about, or has ended. `code` is OAuth's or the API's word, `detail` a sentence. */
export class SignInError extends Error {
  constructor(code, detail = "") {
    super(detail || code);
    this.name = "SignInError";
    this.code = code;
    this.detail = detail;
  }
}

/**
 * What was about to be done when a stronger sign-in was asked for. JSON only.
 * @typedef {{method: string, path: string, body: object, correlationId: string, at: number, label: string}} PendingAction
 */

/**
 * The session of a page. Events: "changed" (signed in or out, a case begun or left), "ended" with detail {code, detail}.
 */
export class Session extends EventTarget {
  #name;
  #config;
  #metadata = null;
  #proofs = null;
  #own = null;
  #acting = null;
  #refreshing = null;

  /** Where a sign-in that came back led to nothing: {code, detail}. */
  problem = null;
  /** What a step-up interrupted: a PendingAction, until takeReturned(). */
  returned = null;
  /** What the page gave to signIn() as `keep`. */
  kept = null;

  /** @param {string} name "app" or "console" @param {object} config as config.json has it @param {number} skewMs */
  constructor(name, config, skewMs = 0) {
    super();
    this.#name = name;
    this.#config = config;
    this.#proofs = new Proofs(skewMs);
  }

  /** config.json. */
  get config() {
    return this.#config;
  }

  get isSignedIn() {
    return this.#own !== null;
  }

  /** The payload of the token that requests carry, for showing; {} when signed out. */
  get claims() {
    return (this.#acting ?? this.#own)?.claims ?? {};
  }

  /** Whom requests are about. */
  get subject() {
    return this.claims.sub ?? "";
  }

  /** Who signed in: an agent also while acting for a customer. */
  get person() {
    return this.#own?.claims.sub ?? "";
  }

  /** The case in which an agent acts: {vin, case, customer, expiresAt} in ms since 1970, or null. */
  get case() {
    const claims = this.#acting?.claims;
    return claims ? { vin: claims.vin, case: claims.case, customer: claims.sub, expiresAt: this.#acting.until } : null;
  }

  /** Return the PendingAction that came back, once. */
  takeReturned() {
    const action = this.returned;
    this.returned = null;
    return action;
  }

  /**
   * Leave for the issuer. The page comes back with what was given as `pending` and `keep`.
   * @param {{acrValues?: string, maxAge?: number|string, prompt?: string, pending?: PendingAction, keep?: object}} asked
   */
  async signIn({ acrValues, maxAge, prompt, pending = null, keep = null } = {}) {
    const metadata = await this.#discover();
    const waiting = { state: randomText(), verifier: randomText(), at: Date.now(), pending, keep };
    const parameters = new URLSearchParams({
      response_type: "code",
      client_id: this.#config.clientId,
      redirect_uri: this.#redirectUri,
      scope: this.#config.scope,
      state: waiting.state,
      code_challenge: await sha256(waiting.verifier),
      code_challenge_method: "S256",
    });
    const asked = { acr_values: acrValues ?? this.#config.acrValues, max_age: maxAge, prompt };
    for (const [name, value] of Object.entries(asked)) {
      if (value !== undefined && value !== null && value !== "") {
        parameters.set(name, String(value));
      }
    }
    let query = parameters;
    if (metadata.pushed_authorization_request_endpoint) {
      const pushed = await this.#post(metadata.pushed_authorization_request_endpoint, parameters);
      query = new URLSearchParams({ client_id: this.#config.clientId, request_uri: pushed.request_uri });
    }
    sessionStorage.setItem(WAITING, JSON.stringify(waiting));
    const to = new URL(metadata.authorization_endpoint);
    to.search = query.toString();
    location.assign(to.href);
  }

  /** Leave for the issuer with what a challenge asks for (RFC 9470). */
  async stepUp(problem, pending, keep = null) {
    const { acrValues, maxAge } = problem.challenge ?? {};
    await this.signIn({ acrValues, maxAge, pending, keep });
  }

  /** Forget the tokens, here and at the issuer. */
  async signOut() {
    const refresh = this.#own?.refresh ?? this.#own?.token;
    this.#forget();
    sessionStorage.setItem(SIGNED_IN, "out");
    const endpoint = this.#metadata?.revocation_endpoint;
    if (refresh && endpoint) {
      try {
        await this.#post(endpoint, new URLSearchParams({ client_id: this.#config.clientId, token: refresh }));
      } catch (error) {
        // Out of reach: what is left at the issuer ends by itself, and this page holds nothing of it any more.
        if (!(error instanceof SignInError)) throw error;
      }
    }
  }

  /** Whether the last thing that this tab did was to sign out: then the next sign-in asks who it is. */
  get wasSignedOut() {
    return sessionStorage.getItem(SIGNED_IN) === "out";
  }

  /** Say that the sign-in has ended, as an answer of the API said. The tokens are forgotten. */
  end(code, detail) {
    if (!this.isSignedIn) return;
    if (this.#acting) {
      this.#acting = null;
    } else {
      this.#forget();
    }
    this.dispatchEvent(new CustomEvent("ended", { detail: { code, detail } }));
    this.dispatchEvent(new Event("changed"));
  }

  /**
   * Act for a customer from now on, by a code that they read out or a case that a colleague approved.
   * @param {{kind: "spoken-code"|"approved-case", mandate: string, scope?: string}} asked Raises SignInError.
   */
  async actFor({ kind, mandate, scope = "door" }) {
    const own = await this.#fresh(this.#own);
    const form = new URLSearchParams({
      grant_type: TOKEN_EXCHANGE,
      client_id: this.#config.clientId,
      subject_token: mandate,
      subject_token_type: MANDATES[kind],
      actor_token: own.token,
      actor_token_type: ACCESS_TOKEN,
      scope,
    });
    this.#acting = this.#held(await this.#tokenPost(form));
    this.dispatchEvent(new Event("changed"));
    return this.case;
  }

  /** Go back to the agent's own token. */
  leaveCase() {
    if (!this.#acting) return;
    this.#acting = null;
    this.dispatchEvent(new Event("changed"));
  }

  /** Ask for a colleague's approval. `{customer, vin, case}` */
  async openCase(asked) {
    return this.#mandate("/mandates/cases", asked);
  }

  /** Approve what a colleague asked for. `{agent, customer, vin, case}` */
  async approveCase({ case: number, ...asked }) {
    return this.#mandate(`/mandates/cases/${encodeURIComponent(number)}/approval`, asked);
  }

  /** Return a code for the customer to read out: {code, expiresIn}. `{vin, case}` */
  async speakCode(asked) {
    return this.#mandate("/mandates/codes", asked);
  }

  /** Return the headers with which a request of the API is authorized. Raises SignInError when nobody is signed in. */
  async headers(method, url) {
    const held = this.#acting ? this.#valid(this.#acting) : await this.#fresh(this.#own);
    if (!held.isBound) return { Authorization: `Bearer ${held.token}` };
    return { Authorization: `DPoP ${held.token}`, DPoP: await this.#proofs.make(method, url, held.token) };
  }

  /** Get a new token for one that the API called expired. Raises SignInError. */
  async renew() {
    if (this.#acting) {
      this.end("TOKEN_EXPIRED", "The time for which you may act for this customer is over.");
      throw new SignInError("TOKEN_EXPIRED");
    }
    if (this.#own) this.#own = { ...this.#own, until: 0 };
    await this.#fresh(this.#own);
  }

  /** Take the answer in the URL, if there is one; else sign in again silently where this tab was signed in. */
  async start() {
    const answer = new URLSearchParams(location.search);
    const isAnswer = answer.has("state") && (answer.has("code") || answer.has("error"));
    const waiting = JSON.parse(sessionStorage.getItem(WAITING) ?? "null");
    sessionStorage.removeItem(WAITING);
    if (!isAnswer) {
      if (sessionStorage.getItem(SIGNED_IN) === "in") {
        sessionStorage.removeItem(SIGNED_IN);
        await this.#quietly(() => this.signIn({ prompt: "none", acrValues: "" }));
      }
      return;
    }
    history.replaceState(null, "", location.pathname);
    this.kept = waiting?.keep ?? null;
    await this.#quietly(() => this.#redeem(answer, waiting));
    if (this.isSignedIn) this.returned = waiting?.pending ?? null;
  }

  async #quietly(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      this.problem = error.code === "login_required" ? null : { code: error.code, detail: error.detail };
    }
  }

  async #redeem(answer, waiting) {
    if (!waiting || waiting.state !== answer.get("state") || Date.now() - waiting.at > WAY_MS) {
      throw new SignInError("unknown_answer", "This sign-in was not begun here, or too long ago. Begin again.");
    }
    const metadata = await this.#discover();
    const named = answer.get("iss");
    if (named === null ? metadata.authorization_response_iss_parameter_supported : named !== this.#config.issuer) {
      throw new SignInError("wrong_issuer", "The answer is of another issuer than the one that was asked.");
    }
    if (answer.has("error")) {
      throw new SignInError(answer.get("error"), answer.get("error_description") ?? "");
    }
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      client_id: this.#config.clientId,
      redirect_uri: this.#redirectUri,
      code: answer.get("code"),
      code_verifier: waiting.verifier,
    });
    this.#own = this.#held(await this.#tokenPost(form));
    sessionStorage.setItem(SIGNED_IN, "in");
    this.dispatchEvent(new Event("changed"));
  }

  get #redirectUri() {
    return `${location.origin}/${this.#name}/`;
  }

  async #discover() {
    if (this.#metadata) return this.#metadata;
    const { issuer } = this.#config;
    const metadata = await this.#fetch(`${issuer}/.well-known/openid-configuration`, {});
    if (metadata.issuer !== issuer) {
      throw new SignInError("wrong_issuer", "The issuer's metadata is of another issuer.");
    }
    this.#metadata = metadata;
    return metadata;
  }

  #forget() {
    this.#own = null;
    this.#acting = null;
    sessionStorage.removeItem(SIGNED_IN);
    this.dispatchEvent(new Event("changed"));
  }

  #held(answer) {
    const payload = answer.access_token.split(".")[1] ?? "";
    let claims = {};
    try {
      claims = JSON.parse(new TextDecoder().decode(Base64Url.bytes(payload)));
    } catch {
      claims = {}; // a maker's tokens may be opaque: then there is nothing to show of them
    }
    return {
      token: answer.access_token,
      refresh: answer.refresh_token ?? null,
      until: Date.now() + (answer.expires_in ?? 300) * 1000,
      isBound: (answer.token_type ?? "").toLowerCase() === "dpop",
      claims,
    };
  }

  #valid(held) {
    if (held.until > Date.now()) return held;
    const detail = "The time for which you may act for this customer is over.";
    this.end("TOKEN_EXPIRED", detail);
    throw new SignInError("TOKEN_EXPIRED", detail);
  }

  /** The token, renewed where it is about to end; of many that ask at once one renews it. */
  async #fresh(held) {
    if (!held) throw new SignInError("SIGNED_OUT", "Sign in first.");
    if (held.until - EARLY_MS > Date.now()) return held;
    this.#refreshing ??= this.#refresh(held).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh(held) {
    if (!held.refresh) {
      if (held.until > Date.now()) return held;
      this.end("TOKEN_EXPIRED", "Your sign-in has ended. Sign in again.");
      throw new SignInError("TOKEN_EXPIRED");
    }
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: this.#config.clientId,
      refresh_token: held.refresh,
    });
    try {
      const next = this.#held(await this.#tokenPost(form));
      if (this.#own !== null) this.#own = { ...next, refresh: next.refresh ?? held.refresh };
      return next;
    } catch (error) {
      if (error instanceof SignInError && error.code === "invalid_grant") {
        this.#acting = null;
        this.end("TOKEN_INVALID", "Your sign-in has ended. Sign in again.");
      }
      throw error;
    }
  }

  async #tokenPost(form) {
    const metadata = await this.#discover();
    const endpoint = metadata.token_endpoint;
    const isProven = (metadata.dpop_signing_alg_values_supported ?? []).includes("ES256");
    return this.#post(endpoint, form, isProven ? { DPoP: await this.#proofs.make("POST", endpoint) } : {});
  }

  async #mandate(path, asked) {
    const url = this.#config.issuer + path;
    const own = await this.#fresh(this.#own);
    const headers = own.isBound
      ? { Authorization: `DPoP ${own.token}`, DPoP: await this.#proofs.make("POST", url, own.token) }
      : { Authorization: `Bearer ${own.token}` };
    return this.#post(url, new URLSearchParams(asked), headers);
  }

  async #post(url, form, headers = {}) {
    return this.#fetch(url, { method: "POST", body: form, headers });
  }

  async #fetch(url, options) {
    let response;
    try {
      response = await fetch(url, {
        ...options,
        credentials: "omit",
        redirect: "error",
        cache: "no-store",
        signal: AbortSignal.timeout(TOKEN_MS),
      });
    } catch {
      throw new SignInError("issuer_away", "The sign-in service cannot be reached. Try again.");
    }
    let document = {};
    try {
      document = await response.json();
    } catch {
      document = {}; // revocation answers nothing, and what an error without a document is, its status says
    }
    if (!response.ok) {
      const code = document.error ?? `http_${response.status}`;
      throw new SignInError(code, document.error_description ?? "The sign-in service refused.");
    }
    return document;
  }
}

/**
 * Return the session of the page `name`, with a sign-in that came back taken.
 * @param {"app"|"console"} name
 */
export async function openSession(name) {
  const response = await fetch(`/${name}/config.json`, { credentials: "omit", signal: AbortSignal.timeout(TOKEN_MS) });
  if (!response.ok) throw new SignInError("not_configured", "This page is not set up here.");
  const date = Date.parse(response.headers.get("date") ?? "");
  const session = new Session(name, await response.json(), Number.isNaN(date) ? 0 : date - Date.now());
  await session.start();
  return session;
}
