"""Faults of which keys are accepted, and of which are used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose, manifest
from protocol.domains import ContentType
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KEY_BYTES, SealKey, key_id
from protocol.manifest import SUBJECT, Trust
from tests.mutants.mutant import Swap, mutant, to
from vehicle.clock import SystemClock
from vehicle.messages.channel import Channel
from vehicle.messages.manifest_file import ManifestStore


@mutant("adopted-manifest-is-kept")
def adopted_manifest_not_kept(swap: Swap) -> None:
    """A revoked signer is accepted again after a power cut."""
    swap(ManifestStore, "save", to(lambda _self, _endorsed_by, _endorsed: None))


@mutant("rotated-root-is-kept", besides=("root-is-rotated",))
def rotated_root_not_kept(swap: Swap) -> None:
    """What the root of the factory did not endorse is not accepted after a power cut."""

    def load(self: ManifestStore) -> Trust:
        if not self._path.exists():
            return self._factory
        try:
            return Trust.restore(self._factory.root_public_key, self._path.read_bytes()[KEY_BYTES:])
        except MessageRefusedError:
            return self._factory

    swap(ManifestStore, "load", to(load))


def adopted(swap: Swap, check: Any) -> None:
    def adopt(self: Trust, endorsed: bytes, wall_seconds: int) -> Trust:
        if endorsed and endorsed == self.endorsed:
            return self
        trust = manifest._following(self.root_public_key, endorsed)
        check(self, trust, wall_seconds)
        return trust

    swap(Trust, "adopt", to(adopt))


def _rising(old: Trust, new: Trust) -> None:
    if new.version <= old.version:
        raise MessageRefusedError(Fault.MANIFEST_ROLLBACK, "")


def _in_time(old: Trust, new: Trust, wall_seconds: int) -> None:
    if new.expires_at_seconds <= max(wall_seconds, old.issued_at_seconds, new.issued_at_seconds):
        raise MessageRefusedError(Fault.EXPIRED_KEY, "")


@mutant("rollback-is-refused", stays_good=False)
def older_manifests_adopted(swap: Swap) -> None:
    """A stolen manifest brings revoked keys back."""
    adopted(swap, _in_time)


@mutant("rollback-is-refused")
def same_version_adopted(swap: Swap) -> None:
    """Two manifests of one version replace each other."""

    def check(old: Trust, new: Trust, wall_seconds: int) -> None:
        _in_time(old, new, wall_seconds)
        if new.version < old.version:
            raise MessageRefusedError(Fault.MANIFEST_ROLLBACK, "")

    adopted(swap, check)


@mutant("versions-may-be-left-out")
def next_version_only(swap: Swap) -> None:
    """A unit that missed a manifest takes no later one."""

    def check(old: Trust, new: Trust, wall_seconds: int) -> None:
        _rising(old, new)
        _in_time(old, new, wall_seconds)
        if new.version != old.version + 1:
            raise MessageRefusedError(Fault.MALFORMED, "")

    adopted(swap, check)


@mutant("forged-manifest-is-refused", stays_good=False)
def manifests_without_end(swap: Swap) -> None:
    """A manifest whose time is over is adopted."""
    adopted(swap, lambda old, new, _wall_seconds: _rising(old, new))


@mutant("root-is-rotated", stays_good=False)
def old_root_believed(swap: Swap) -> None:
    """The root before may still endorse."""

    def adopt(was: Any) -> Any:
        def by_either(self: Trust, endorsed: bytes, wall_seconds: int) -> Trust:
            try:
                trust: Trust = was(self, endorsed, wall_seconds)
            except MessageRefusedError:
                trust = manifest._following(self.endorsed_by, endorsed)
                _rising(self, trust)
            return trust

        return by_either

    swap(Trust, "adopt", adopt)


@mutant("forged-manifest-is-refused", stays_good=False)
def endorser_unchecked(swap: Swap) -> None:
    """Anybody may wrap a manifest that the root signed."""
    swap(manifest, "_verified", to(lambda data, _content_type, _public_bytes: cose.decode(data).payload))


@mutant("forged-manifest-is-refused", stays_good=False)
def named_root_unchecked(swap: Swap) -> None:
    """The root that a manifest names need not have signed it."""

    def check(was: Any) -> Any:
        def outer_only(signed: Any, content_type: ContentType, public_bytes: bytes) -> None:
            if content_type is not ContentType.MANIFEST:
                was(signed, content_type, public_bytes)

        return outer_only

    swap(manifest, "_check", check)


def verified(swap: Swap, *subjects: bytes, types: bool) -> None:
    def check(signed: Any, content_type: ContentType, public_bytes: bytes) -> None:
        if signed.key_id != key_id(public_bytes):
            raise MessageRefusedError(Fault.UNKNOWN_KEY, "")
        key = Ed25519PublicKey.from_public_bytes(public_bytes)
        for nth, subject in enumerate(subjects, start=1):
            try:
                cose.verify(signed, key, subject)
                break
            except MessageRefusedError:
                if nth == len(subjects):
                    raise
        if types and signed.content_type != content_type:
            raise MessageRefusedError(Fault.WRONG_TYPE, "")

    swap(manifest, "_check", to(check))


@mutant("forged-manifest-is-refused", stays_good=False)
def manifests_of_any_type(swap: Swap) -> None:
    """What the root signed is a manifest, whatever it says it was."""
    verified(swap, SUBJECT, types=False)


@mutant("forged-manifest-is-refused", stays_good=False)
def manifests_of_any_subject(swap: Swap) -> None:
    """What the root signed for something else is a manifest."""
    verified(swap, SUBJECT, b"vehicle.keys", types=True)


@mutant("revoked-key-is-ignored", "signer-is-rotated")
def revoked_keys_believed(swap: Swap) -> None:
    """Nobody looks at revocations."""

    def check(self: Trust, key: Any, wall_seconds: int) -> None:
        if self._is_expired(key, wall_seconds):
            raise MessageRefusedError(Fault.EXPIRED_KEY, "")

    swap(Trust, "_check_usable", to(check))


@mutant("expired-key-is-refused", "manifest-that-ran-out-is-said")
def expired_keys_believed(swap: Swap) -> None:
    """Keys are good for ever."""
    swap(Trust, "_is_expired", to(lambda _self, _key, _wall_seconds: False))


@mutant("manifest-that-ran-out-is-said")
def keys_outlive_their_manifest(swap: Swap) -> None:
    """A manifest whose time is over is accepted."""
    swap(
        Trust,
        "_is_expired",
        to(lambda self, key, wall_seconds: key.expires_at_seconds <= self._now(wall_seconds)),
    )


@mutant("expired-key-is-refused")
def keys_by_the_wall_clock_alone(swap: Swap) -> None:
    """Whoever sets the wall clock back brings expired keys back; and it was set back."""
    swap(SystemClock, "now", to(lambda _self: datetime(2001, 1, 1, tzinfo=UTC)))
    swap(Trust, "_now", to(lambda _self, wall_seconds: wall_seconds))


@mutant("manifest-that-ran-out-is-said")
def silent_without_a_key_in_time(swap: Swap) -> None:
    """A unit whose manifest ran out cannot say so."""

    def choose(was: Any) -> Any:
        def in_time(self: Trust, keys: Any, wall_seconds: int) -> SealKey:
            usable = tuple(key for key in keys if not self._is_expired(key, wall_seconds))
            chosen: SealKey = was(self, usable, wall_seconds)
            return chosen

        return in_time

    swap(Trust, "_to_encrypt_to", choose)


@mutant("signer-is-rotated")
def one_signer_at_a_time(swap: Swap) -> None:
    """Of two signers of a manifest only the first is accepted."""

    def verify_key(was: Any) -> Any:
        def first(self: Trust, kid: bytes, wall_seconds: int) -> Any:
            good = [key for key in self.sign_keys if not key.is_revoked]
            good = [key for key in good if not self._is_expired(key, wall_seconds)]
            if kid in {key_id(key.public_bytes) for key in good[1:]}:
                raise MessageRefusedError(Fault.UNKNOWN_KEY, "")
            return was(self, kid, wall_seconds)

        return first

    swap(Trust, "verify_key", verify_key)


@mutant("first-seal-key-is-used")
def newest_seal_key_used(swap: Swap) -> None:
    """The last key of a manifest is sealed to, which no service may have yet."""
    swap(Trust, "seal_key", to(lambda self, _wall_seconds: SealKey.of(self.seal_keys[-1].public_bytes)))


@mutant("first-seal-key-is-used")
def revoked_seal_key_used(swap: Swap) -> None:
    """A key that was revoked is sealed to."""
    swap(Trust, "seal_key", to(lambda self, _wall_seconds: SealKey.of(self.seal_keys[0].public_bytes)))


@mutant("revoked-report-key-ends-the-epoch")
def epoch_outlives_its_report_key(swap: Swap) -> None:
    """Reports go on under a key that was revoked."""
    swap(Channel, "is_report_key_gone", to(property(lambda _self: False)))


@mutant("hello-follows-a-manifest")
def every_manifest_ends_the_epoch(swap: Swap) -> None:
    """A rotation throws away what waits."""
    swap(Channel, "is_report_key_gone", to(property(lambda _self: True)))


@mutant("manifest-again-changes-nothing")
def its_own_manifest_ends_the_epoch(swap: Swap) -> None:
    """A manifest that comes again makes the unit begin anew."""

    def adopt(was: Any) -> Any:
        def eagerly(self: Channel, data: bytes) -> bool:
            if not was(self, data):
                self.begin_epoch()
            return True

        return eagerly

    swap(Channel, "adopt", adopt)


@mutant("keys-of-another-use-sign-nothing")
def keys_of_any_use_sign(swap: Swap) -> None:
    """Whatever key the manifest names may sign orders."""

    def keys(was: Any) -> Any:
        def of_any_use(one: session_pb2.KeyManifest, use: session_pb2.KeyUse.ValueType) -> Any:
            if use != session_pb2.KEY_USE_SIGN:
                return was(one, use)
            return tuple(key for each in {key.use for key in one.keys} for key in was(one, each))

        return of_any_use

    swap(manifest, "_keys", keys)


@mutant("keys-of-another-use-sign-nothing")
def unknown_uses_are_an_error(swap: Swap) -> None:
    """A manifest with a key of a use that a later version adds is not adopted."""

    def parse(was: Any) -> Any:
        def strictly(payload: bytes) -> session_pb2.KeyManifest:
            found: session_pb2.KeyManifest = was(payload)
            if any(key.use not in session_pb2.KeyUse.values() for key in found.keys):
                raise MessageRefusedError(Fault.MALFORMED, "an unknown use")
            return found

        return strictly

    swap(manifest, "_parse", parse)


@mutant("forged-manifest-is-refused", stays_good=False)
def keys_of_small_order(swap: Swap) -> None:
    """A manifest may name keys with which nothing can be kept safe."""
    swap(SealKey, "checked", to(SealKey.of))
