/** What signing in is made of: random texts, hashes, and proofs that a request is of who holds a key (RFC 9449). */

const RANDOM_BYTES = 32;
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
/** A clock that is off by less needs no correction: it may be the time that the answer took. */
const TOLERATED_SKEW_MS = 5_000;

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function encoded(value) {
  return base64url(new TextEncoder().encode(JSON.stringify(value)));
}

/** base64url as it is written in tokens and headers. */
export const Base64Url = {
  /** Return the bytes that a text stands for. */
  bytes(text) {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (character) => character.charCodeAt(0));
  },
};

/** Return a text that nobody can guess: 256 bits. */
export function randomText() {
  return base64url(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));
}

/** Return the SHA-256 of a text, in base64url. */
export async function sha256(text) {
  return base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/** Makes proofs with a key of its own, whose private half cannot be read out by any script. */
export class Proofs {
  #skewMs;
  #key = null;

  /** @param {number} skewMs how far the server's clock is ahead of this one */
  constructor(skewMs) {
    this.#skewMs = Math.abs(skewMs) > TOLERATED_SKEW_MS ? skewMs : 0;
  }

  /** Return a proof for one request; `token` is the access token that goes with it, if one does. */
  async make(method, url, token = null) {
    this.#key ??= this.#generate();
    const { pair, jwk } = await this.#key;
    const to = new URL(url);
    const claims = {
      jti: randomText(),
      htm: method,
      htu: to.origin + to.pathname,
      iat: Math.floor((Date.now() + this.#skewMs) / 1000),
      ...(token ? { ath: await sha256(token) } : {}),
    };
    const signed = `${encoded({ typ: "dpop+jwt", alg: "ES256", jwk })}.${encoded(claims)}`;
    const signature = await crypto.subtle.sign(SIGNING, pair.privateKey, new TextEncoder().encode(signed));
    return `${signed}.${base64url(signature)}`;
  }

  async #generate() {
    const pair = await crypto.subtle.generateKey(CURVE, false, ["sign"]);
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
    return { pair, jwk: { kty, crv, x, y } };
  }
}
