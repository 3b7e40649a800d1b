/** The signed envelope: COSE_Sign1 in the one shape that docs/vehicle-protocol.md gives, and in no other. */

import type { KeyObject } from "node:crypto";
import { RefusedError, wellFormed } from "./faults.js";
import { isSigned, keyId, rawPublic, sha256, signWith } from "./keys.js";

const BYTES = 0x40;
const TEXT = 0x60;

/** A CBOR string with the shortest head there is. */
function string(value: Uint8Array, major: number = BYTES): Buffer {
  const length = value.length;
  if (length < 24) return Buffer.concat([Buffer.of(major + length), value]);
  if (length < 256) return Buffer.concat([Buffer.of(major + 24, length), value]);
  return Buffer.concat([Buffer.of(major + 25, length >> 8, length & 255), value]);
}

/** The string whose head is at `at`, and where it ends. What kind it is shows when it is encoded again. */
function readString(data: Buffer, at: number): [Buffer, number] {
  const low = data.readUInt8(at) & 0x1f;
  const width = low === 24 ? 1 : low === 25 ? 2 : 0;
  const length = width > 0 ? data.readUIntBE(at + 1, width) : low;
  const start = at + 1 + width;
  if (low > 25 || start + length > data.length) throw new RefusedError("MALFORMED");
  return [data.subarray(start, start + length), start + length];
}

export class Envelope {
  private constructor(
    readonly contentType: string,
    readonly kid: Buffer,
    readonly payload: Buffer,
    readonly signature: Buffer,
  ) {}

  /** Throw RefusedError (MALFORMED) for anything that would not come out byte for byte when encoded again. */
  static read(data: Buffer): Envelope {
    const found = wellFormed(() => {
      const [protectedHeader, afterHeader] = readString(data, 2);
      const [payload, afterPayload] = readString(data, afterHeader + 1);
      const [signature] = readString(data, afterPayload);
      const [contentType, at] = readString(protectedHeader, 4);
      return new Envelope(contentType.toString("latin1"), protectedHeader.subarray(at + 2), payload, signature);
    });
    if (found.kid.length !== 8 || found.signature.length !== 64 || !found.encoded().equals(data)) {
      throw new RefusedError("MALFORMED");
    }
    return found;
  }

  /** The bytes of a signed envelope. `subject` is authenticated with it. */
  static sign(by: KeyObject, contentType: string, subject: string, payload: Uint8Array): Buffer {
    const kid = keyId(rawPublic(by));
    const unsigned = new Envelope(contentType, kid, Buffer.from(payload), Buffer.alloc(0));
    return new Envelope(contentType, kid, unsigned.payload, signWith(by, unsigned.toSign(subject))).encoded();
  }

  /** Throw RefusedError (BAD_SIGNATURE) unless this raw public key signed it for this subject. */
  verify(raw: Uint8Array, subject: string): void {
    if (!isSigned(raw, this.toSign(subject), this.signature)) throw new RefusedError("BAD_SIGNATURE");
  }

  encoded(): Buffer {
    return Buffer.concat([
      Buffer.of(0xd2, 0x84), string(this.protectedHeader()), Buffer.of(0xa0), string(this.payload), string(this.signature),
    ]);
  }

  private protectedHeader(): Buffer {
    const contentType = string(Buffer.from(this.contentType, "latin1"), TEXT);
    return Buffer.concat([Buffer.of(0xa3, 1, 0x27, 3), contentType, Buffer.of(4), string(this.kid)]);
  }

  private toSign(subject: string): Buffer {
    return Buffer.concat([
      Buffer.of(0x84), string(Buffer.from("Signature1"), TEXT), string(this.protectedHeader()),
      string(Buffer.from(subject)), string(this.payload),
    ]);
  }
}

/** The request hash of an order: over its whole envelope, before it was sealed. */
export function requestHash(envelope: Uint8Array): Buffer {
  return sha256(envelope);
}
