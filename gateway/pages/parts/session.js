/**
 * Who is signed in: OAuth 2.1 with PKCE (RFC 7636), pushed requests (RFC 9126), the issuer's name compared (RFC 9207), and
 * tokens bound to a key that no script can read out (DPoP, RFC 9449).
 *
 * Tokens live in this page's memory and nowhere else. What must outlive the way to the issuer and back (the verifier, what
 * was about to be done) is in sessionStorage, for that way only.
 */

import { ISSUER_AWAY, IssuerClient, SignInError, fetched } from "./issuer.js";
import { Base64Url, Proofs, randomText, sha256 } from "./proofs.js";

export { ISSUER_AWAY, SignInError, challengeOf } from "./issuer.js";

const WAITING = "sign-in";
const SIGNED_IN = "signed-in";
const EARLY_MS = 30_000;
const WAY_MS = 15 * 60_000;
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const MANDATES = { "spoken-code": "urn:ecarus:token-type:spoken-code", "approved-case": "urn:ecarus:token-type:approved-case" };

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
  #issuer;
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
    this.#issuer = new IssuerClient(config.issuer, new Proofs(skewMs));
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
    const metadata = await this.#issuer.metadata();
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
      const pushed = await this.#issuer.post(metadata.pushed_authorization_request_endpoint, parameters);
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
    if (!refresh) return;
    try {
      await this.#issuer.revoke(this.#config.clientId, refresh);
    } catch (error) {
      // Out of reach: what is left at the issuer ends by itself, and this page holds nothing of it any more.
      if (!(error instanceof SignInError)) throw error;
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
    this.#acting = this.#held(await this.#issuer.token(form));
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
    return this.#issuer.mandate("/mandates/cases", asked, await this.#fresh(this.#own));
  }

  /** Approve what a colleague asked for. `{agent, customer, vin, case}` */
  async approveCase({ case: number, ...asked }) {
    return this.#issuer.mandate(`/mandates/cases/${encodeURIComponent(number)}/approval`, asked, await this.#fresh(this.#own));
  }

  /** Return a code for the customer to read out: {code, expiresIn}. `{vin, case}` */
  async speakCode(asked) {
    return this.#issuer.mandate("/mandates/codes", asked, await this.#fresh(this.#own));
  }

  /** Return the headers with which a request of the API is authorized. Raises SignInError when nobody is signed in. */
  async headers(method, url) {
    const held = this.#acting ? this.#valid(this.#acting) : await this.#fresh(this.#own);
    return this.#issuer.authorization(held, method, url);
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
    const metadata = await this.#issuer.metadata();
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
    this.#own = this.#held(await this.#issuer.token(form));
    sessionStorage.setItem(SIGNED_IN, "in");
    this.dispatchEvent(new Event("changed"));
  }

  get #redirectUri() {
    return `${location.origin}/${this.#name}/`;
  }

  #forget() {
    this.#own = null;
    this.#acting = null;
    sessionStorage.removeItem(SIGNED_IN);
    sessionStorage.removeItem(WAITING); // of a way to the issuer that was not gone to its end
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
      const next = this.#held(await this.#issuer.token(form));
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
}

/**
 * Return the session of the page `name`, with a sign-in that came back taken.
 * @param {"app"|"console"} name
 */
export async function openSession(name) {
  const response = await fetched(`/${name}/config.json`, {});
  // Without pages, their service away, and too often asked are not the same: the first does not pass by itself.
  if (response.status >= 500 || response.status === 429) throw new SignInError(ISSUER_AWAY, "The service cannot be reached. Try again.");
  if (!response.ok) throw new SignInError("not_configured", "This page is not set up here.");
  const date = Date.parse(response.headers.get("date") ?? "");
  const session = new Session(name, await response.json(), Number.isNaN(date) ? 0 : date - Date.now());
  await session.start();
  return session;
}
