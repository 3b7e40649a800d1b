/** Raw 32-byte keys, PEM files, and the bare primitives of node:crypto. */

import {
  createHash, createPrivateKey, createPublicKey, diffieHellman, randomBytes, sign, verify, type KeyObject,
} from "node:crypto";

export type Curve = "Ed25519" | "X25519";

/** Of 32 raw bytes. */
export function publicKey(curve: Curve, raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: curve, x }, format: "jwk" });
}

/** The 32 raw bytes of the public half. */
export function rawPublic(key: KeyObject): Buffer {
  return Buffer.from(String(key.export({ format: "jwk" }).x), "base64url");
}

/** The private keys of a PEM file, by their curve. */
export function privateKeys(pem: string): Map<Curve, KeyObject> {
  const blocks = pem.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
  return new Map(
    blocks.map((block) => {
      const key = createPrivateKey(block);
      return [key.asymmetricKeyType === "ed25519" ? "Ed25519" : "X25519", key];
    }),
  );
}

/** Of 32 raw bytes, as PKCS #8 (RFC 8410) wraps them. */
export function privateKey(curve: Curve, raw: Uint8Array): KeyObject {
  const prefix = Buffer.from(`302e020100300506032b65${curve === "Ed25519" ? "70" : "6e"}04220420`, "hex");
  return createPrivateKey({ key: Buffer.concat([prefix, raw]), format: "der", type: "pkcs8" });
}

/**
 * Any 32 random bytes are an X25519 key (RFC 7748). Not by generateKeyPairSync: in Node 20 a collection of garbage while
 * a key that it made is exported as JWK waits for a lock that the export holds, and the process stands still for ever.
 */
export function newAgreementKey(): KeyObject {
  return privateKey("X25519", randomBytes(32));
}

/** The first 8 bytes of SHA-256 over the public bytes. */
export function keyId(raw: Uint8Array): Buffer {
  return sha256(raw).subarray(0, 8);
}

export function sha256(data: Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

/** Throw where the other key is of small order: OpenSSL gives no shared secret of zeros away. */
export function agree(own: KeyObject, other: Uint8Array): Buffer {
  return diffieHellman({ privateKey: own, publicKey: publicKey("X25519", other) });
}

export function signWith(key: KeyObject, data: Uint8Array): Buffer {
  return sign(null, data, key);
}

export function isSigned(raw: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
  return verify(null, data, publicKey("Ed25519", raw), signature);
}
