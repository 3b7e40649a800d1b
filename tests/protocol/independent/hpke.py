"""HPKE base mode, written from RFC 9180 for one suite: 0x0020 (X25519), 0x0001 (HKDF-SHA256), 0x0002 (AES-256-GCM)."""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEM_SUITE = b"KEM\x00\x20"
HPKE_SUITE = b"HPKE\x00\x20\x00\x01\x00\x02"


def seal(plaintext: bytes, receiver: bytes, info: bytes, ephemeral: X25519PrivateKey) -> bytes:
    """enc and ciphertext, with an ephemeral key that tests may fix."""
    enc = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver))
    key, nonce = _schedule(shared, enc + receiver, info)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def unseal(sealed: bytes, receiver: X25519PrivateKey, info: bytes) -> bytes:
    """The plaintext. Raises cryptography's InvalidTag, or ValueError for an impossible enc."""
    enc, ciphertext = sealed[:32], sealed[32:]
    shared = receiver.exchange(X25519PublicKey.from_public_bytes(enc))
    key, nonce = _schedule(shared, enc + receiver.public_key().public_bytes_raw(), info)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def _schedule(exchanged: bytes, kem_context: bytes, info: bytes) -> tuple[bytes, bytes]:
    eae_prk = _extract(KEM_SUITE, b"", b"eae_prk", exchanged)
    shared_secret = _expand(KEM_SUITE, eae_prk, b"shared_secret", kem_context, 32)
    context = (
        b"\x00"
        + _extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
        + _extract(HPKE_SUITE, b"", b"info_hash", info)
    )
    secret = _extract(HPKE_SUITE, shared_secret, b"secret", b"")
    return (
        _expand(HPKE_SUITE, secret, b"key", context, 32),
        _expand(HPKE_SUITE, secret, b"base_nonce", context, 12),
    )


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, sha256)


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2) + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", sha256)[:length]  # never more than one block
