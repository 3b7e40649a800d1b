/** The issuer of tokens, as a page speaks with it: its metadata, its endpoints, and what their refusals say. */

const ANSWER_MS = 15_000;

/** Return what a challenge in WWW-Authenticate asks of the sign-in (RFC 9470), or null. */
export function challengeOf(header) {
  if (!header?.includes("insufficient_user_authentication")) return null;
  const value = (name) => header.match(new RegExp(`${name}="([^"]*)"`))?.[1];
  return { acrValues: value("acr_values"), maxAge: value("max_age") };
}

/** The code of a SignInError where nothing answers, which passes. */
export const ISSUER_AWAY = "issuer_away";

/**
 * The sign-in did not come about, or has ended. `code` is OAuth's or the API's word, `detail` a sentence, `challenge` what a
 * stronger sign-in needs ({acrValues, maxAge}), or null.
 */
export class SignInError extends Error {
  constructor(code, detail = "", challenge = null) {
    super(detail || code);
    this.challenge = challenge;
    this.name = "SignInError";
    this.code = code;
    this.detail = detail;
  }
}

/** Return the answer to a request that carries no cookies. Raises SignInError where nothing answers in time. */
export async function fetched(url, options) {
  try {
    return await fetch(url, {
      ...options,
      credentials: "omit",
      redirect: "error",
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch {
    throw new SignInError(ISSUER_AWAY, "The sign-in service cannot be reached. Try again.");
  }
}

/** Calls one issuer. Every method raises SignInError. */
export class IssuerClient {
  #url;
  #proofs;
  #metadata = null;

  /** @param {string} url as its metadata name it @param {Proofs} proofs made with the page's key */
  constructor(url, proofs) {
    this.#url = url;
    this.#proofs = proofs;
  }

  /** Return its metadata (RFC 8414), read once. */
  async metadata() {
    if (this.#metadata) return this.#metadata;
    const metadata = await this.#answer(`${this.#url}/.well-known/openid-configuration`, {});
    if (metadata.issuer !== this.#url) {
      throw new SignInError("wrong_issuer", "The issuer's metadata is of another issuer.");
    }
    this.#metadata = metadata;
    return metadata;
  }

  /** Return the token endpoint's answer, with a proof of the key where the issuer takes such. */
  async token(form) {
    const { token_endpoint: endpoint, dpop_signing_alg_values_supported: algorithms } = await this.metadata();
    const isProven = (algorithms ?? []).includes("ES256");
    return this.post(endpoint, form, isProven ? { DPoP: await this.#proofs.make("POST", endpoint) } : {});
  }

  /** End all that came of the sign-in of a token (RFC 7009), where the issuer offers that. */
  async revoke(clientId, token) {
    const { revocation_endpoint: endpoint } = await this.metadata();
    if (endpoint) await this.post(endpoint, new URLSearchParams({ client_id: clientId, token }));
  }

  /** Ask for a mandate, or approve one, with a token: {token, isBound}. */
  async mandate(path, asked, held) {
    const url = this.#url + path;
    return this.post(url, new URLSearchParams(asked), await this.authorization(held, "POST", url));
  }

  /** Return the headers that authorize one request with a token. */
  async authorization({ token, isBound }, method, url) {
    if (!isBound) return { Authorization: `Bearer ${token}` };
    return { Authorization: `DPoP ${token}`, DPoP: await this.#proofs.make(method, url, token) };
  }

  /** Return the answer to a form. */
  async post(url, form, headers = {}) {
    return this.#answer(url, { method: "POST", body: form, headers });
  }

  async #answer(url, options) {
    const response = await fetched(url, options);
    let document = {};
    try {
      document = await response.json();
    } catch {
      document = {}; // revocation answers nothing, and what an error without a document is, its status says
    }
    if (!response.ok) {
      const code = document.error ?? `http_${response.status}`;
      const challenge = challengeOf(response.headers.get("www-authenticate"));
      throw new SignInError(code, document.error_description ?? "The sign-in service refused.", challenge);
    }
    return document;
  }
}
