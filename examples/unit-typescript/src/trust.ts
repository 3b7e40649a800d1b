/** The key manifest in use: whom the unit accepts, and whom it seals to. */

import { fromBinary } from "@bufbuild/protobuf";
import {
  KeyManifestSchema, KeyUse, type CloudKey, type KeyManifest,
} from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";
import { Envelope } from "./envelope.js";
import { RefusedError, wellFormed } from "./faults.js";
import { agree, keyId, newAgreementKey } from "./keys.js";

const SUBJECT = "cloud.keys";
const KNOWN_USES = new Set([KeyUse.SIGN, KeyUse.SEAL, KeyUse.REPORT]);

function isPossible(key: CloudKey): boolean {
  if (!KNOWN_USES.has(key.use)) return true; // left out, whatever it holds
  if (key.publicKey.length !== 32) return false;
  if (key.use === KeyUse.SIGN) return true;
  try {
    agree(newAgreementKey(), key.publicKey);
    return true;
  } catch {
    return false; // of small order
  }
}

export class Trust {
  private constructor(
    readonly endorsed: Buffer,
    readonly endorsedBy: Buffer,
    readonly manifest: KeyManifest,
  ) {}

  /** Whether or not its time is up: a unit whose manifest ran out must still be able to say so. */
  static read(root: Buffer, endorsed: Buffer): Trust {
    const outer = Envelope.read(endorsed);
    if (!outer.kid.equals(keyId(root))) throw new RefusedError("UNKNOWN_KEY");
    outer.verify(root, SUBJECT);
    if (outer.contentType !== "rdc-endorsement+v1") throw new RefusedError("WRONG_TYPE");
    const inner = Envelope.read(outer.payload);
    const manifest = wellFormed(() => fromBinary(KeyManifestSchema, inner.payload));
    if (manifest.version < 1 || manifest.rootPublicKey.length !== 32 || !manifest.keys.every(isPossible)) {
      throw new RefusedError("MALFORMED");
    }
    if (!inner.kid.equals(keyId(manifest.rootPublicKey))) throw new RefusedError("UNKNOWN_KEY");
    inner.verify(manifest.rootPublicKey, SUBJECT);
    if (inner.contentType !== "rdc-manifest+v1") throw new RefusedError("WRONG_TYPE");
    return new Trust(endorsed, root, manifest);
  }

  /** The next manifest in force: this one again where the bytes are the same. */
  adopt(endorsed: Buffer, wallSeconds: number): Trust {
    if (endorsed.equals(this.endorsed)) return this;
    const next = Trust.read(Buffer.from(this.manifest.rootPublicKey), endorsed);
    if (next.manifest.version <= this.manifest.version) throw new RefusedError("MANIFEST_ROLLBACK");
    const now = this.now(wallSeconds);
    const issued = next.manifest.issuedAtSeconds;
    if (next.manifest.expiresAtSeconds <= (issued > now ? issued : now)) throw new RefusedError("EXPIRED_KEY");
    return next;
  }

  /** The public key that an order may be signed with. */
  signer(kid: Buffer, wallSeconds: number): Uint8Array {
    const key = this.keys(KeyUse.SIGN).find((one) => keyId(one.publicKey).equals(kid));
    if (key === undefined) throw new RefusedError("UNKNOWN_KEY");
    if (key.revoked) throw new RefusedError("REVOKED_KEY");
    if (this.isOver(key, wallSeconds)) throw new RefusedError("EXPIRED_KEY");
    return key.publicKey;
  }

  /** To seal to, or to agree reports with: the first in its time; if all are over, the first not revoked. */
  first(use: KeyUse, wallSeconds: number): Uint8Array {
    const left = this.keys(use).filter((key) => !key.revoked);
    const key = left.find((one) => !this.isOver(one, wallSeconds)) ?? left[0];
    if (key === undefined) throw new RefusedError("UNKNOWN_KEY");
    return key.publicKey;
  }

  /** Whether it names this key for this use, and does not revoke it. */
  names(use: KeyUse, raw: Uint8Array): boolean {
    return this.keys(use).some((key) => !key.revoked && Buffer.from(key.publicKey).equals(raw));
  }

  private keys(use: KeyUse): CloudKey[] {
    return this.manifest.keys.filter((key) => key.use === use);
  }

  private isOver(key: CloudKey, wallSeconds: number): boolean {
    const now = this.now(wallSeconds);
    return key.expiresAtSeconds <= now || this.manifest.expiresAtSeconds <= now;
  }

  /** A wall clock that was set back opens nothing: it is never before the manifest was made. */
  private now(wallSeconds: number): bigint {
    const wall = BigInt(Math.floor(wallSeconds));
    return wall > this.manifest.issuedAtSeconds ? wall : this.manifest.issuedAtSeconds;
  }
}
