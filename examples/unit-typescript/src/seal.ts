/** The seal: HPKE (RFC 9180) base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, single shot. */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, type KeyObject } from "node:crypto";
import { RefusedError } from "./faults.js";
import { agree, keyId, newAgreementKey, rawPublic } from "./keys.js";

export const MOST_BYTES = 16_384;
export type Direction = 1 | 2;
export const TO_VEHICLE: Direction = 1;
export const TO_CLOUD: Direction = 2;

const KEM = Buffer.concat([Buffer.from("KEM"), Buffer.of(0x00, 0x20)]);
const SUITE = Buffer.concat([Buffer.from("HPKE"), Buffer.of(0x00, 0x20, 0x00, 0x01, 0x00, 0x02)]);
const VERSION = Buffer.from("HPKE-v1");
const EMPTY = Buffer.alloc(0);
const HEAD_BYTES = 10;
const ENC_BYTES = 32;
const TAG_BYTES = 16;

function hmac(key: Uint8Array, ...parts: Uint8Array[]): Buffer {
  return createHmac("sha256", key).update(Buffer.concat(parts)).digest();
}

function extract(suite: Buffer, salt: Buffer, label: string, ikm: Buffer): Buffer {
  return hmac(salt.length > 0 ? salt : Buffer.alloc(32), VERSION, suite, Buffer.from(label), ikm);
}

/** At most 32 bytes, so one block of HKDF-Expand. */
function expand(suite: Buffer, secret: Buffer, label: string, info: Buffer, length: number): Buffer {
  const labelled = [Buffer.of(0, length), VERSION, suite, Buffer.from(label), info, Buffer.of(1)];
  return hmac(secret, ...labelled).subarray(0, length);
}

/** Key and nonce of the one message. */
function schedule(exchanged: Buffer, enc: Buffer, receiver: Buffer, info: Buffer): { key: Buffer; nonce: Buffer } {
  const kemContext = Buffer.concat([enc, receiver]);
  const shared = expand(KEM, extract(KEM, EMPTY, "eae_prk", exchanged), "shared_secret", kemContext, 32);
  const context = Buffer.concat([
    Buffer.of(0), extract(SUITE, EMPTY, "psk_id_hash", EMPTY), extract(SUITE, EMPTY, "info_hash", info),
  ]);
  const secret = extract(SUITE, shared, "secret", EMPTY);
  return { key: expand(SUITE, secret, "key", context, 32), nonce: expand(SUITE, secret, "base_nonce", context, 12) };
}

function infoOf(direction: Direction, vin: string, receiverId: Buffer): Buffer {
  return Buffer.concat([Buffer.from("rdc-seal"), Buffer.of(1, direction), Buffer.from(vin), receiverId]);
}

/** AES-256-GCM, the tag behind the ciphertext. */
export function encrypt(key: Buffer, nonce: Buffer, plaintext: Uint8Array, aad: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(aad);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Throw RefusedError (NOT_FOR_US) where the tag is another's. */
export function decrypt(key: Buffer, nonce: Buffer, data: Buffer, aad: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(aad);
  decipher.setAuthTag(data.subarray(data.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(data.subarray(0, data.length - TAG_BYTES)), decipher.final()]);
  } catch {
    throw new RefusedError("NOT_FOR_US");
  }
}

export function seal(
  plaintext: Buffer, receiver: Uint8Array, vin: string, direction: Direction = TO_CLOUD, ephemeral = newAgreementKey(),
): Buffer {
  const receiverId = keyId(receiver);
  const enc = rawPublic(ephemeral);
  const { key, nonce } = schedule(
    agree(ephemeral, receiver), enc, Buffer.from(receiver), infoOf(direction, vin, receiverId),
  );
  return Buffer.concat([Buffer.of(1, 1), receiverId, enc, encrypt(key, nonce, plaintext, EMPTY)]);
}

/** Throw RefusedError: TOO_LARGE, MALFORMED, NOT_FOR_US. */
export function unseal(data: Buffer, own: KeyObject, vin: string, direction: Direction = TO_VEHICLE): Buffer {
  if (data.length > MOST_BYTES) throw new RefusedError("TOO_LARGE");
  if (data.length < HEAD_BYTES + ENC_BYTES + TAG_BYTES || data[0] !== 1 || data[1] !== 1) {
    throw new RefusedError("MALFORMED");
  }
  const receiver = rawPublic(own);
  const receiverId = data.subarray(2, HEAD_BYTES);
  if (!receiverId.equals(keyId(receiver))) throw new RefusedError("NOT_FOR_US");
  const enc = data.subarray(HEAD_BYTES, HEAD_BYTES + ENC_BYTES);
  let exchanged: Buffer;
  try {
    exchanged = agree(own, enc);
  } catch {
    throw new RefusedError("NOT_FOR_US"); // of small order: nobody honest sealed with it
  }
  const { key, nonce } = schedule(exchanged, enc, receiver, infoOf(direction, vin, receiverId));
  return decrypt(key, nonce, data.subarray(HEAD_BYTES + ENC_BYTES), EMPTY);
}

/** Seals the reports of one epoch; counts for each domain from 1, so that no nonce is used twice. */
export class ReportSealer {
  private readonly counters = new Map<string, bigint>();

  constructor(private readonly vin: string, private readonly epoch: Buffer, private readonly shared: Buffer) {}

  /** `counter` is the next one unless a test says otherwise. */
  seal(domain: string, report: Uint8Array, counter = (this.counters.get(domain) ?? 0n) + 1n): Buffer {
    this.counters.set(domain, counter);
    const subject = Buffer.from(`vehicle.${this.vin}.${domain}`);
    const info = Buffer.concat([Buffer.from("rdc-report"), Buffer.of(1), subject]);
    const key = Buffer.from(hkdfSync("sha256", this.shared, this.epoch, info, 32));
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(counter);
    const head = Buffer.concat([Buffer.of(1, 2), this.epoch, count]);
    const nonce = Buffer.concat([Buffer.alloc(4), count]);
    return Buffer.concat([head, encrypt(key, nonce, report, Buffer.concat([head, subject]))]);
  }
}
