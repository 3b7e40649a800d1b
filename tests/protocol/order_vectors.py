"""The vectors of orders and answers, and what all sealed vectors are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2, session_pb2

from protocol import cose, seal
from protocol.domains import MAX_COUNTER, ORDER_TYPES, ContentType, Domain, subject_of
from protocol.keys import key_id
from protocol.manifest import endorse
from tests.protocol import whole_messages
from tests.protocol.independent import hpke
from tests.support.protocol_harness import (
    CLOUD_REPORT,
    CLOUD_SIGNER,
    OTHER_VIN,
    ROOT,
    VIN,
    WALL_SECONDS,
    YEAR_SECONDS,
    ProtocolHarness,
    cancellation,
    exchange_key,
    manifest,
    public,
    seed,
    signer,
    unlock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

REVOKED, EXPIRED, STRANGER = signer("revoked signer"), signer("expired signer"), signer("stranger")
LONG_EXPIRED = signer("long expired signer")
FOR_REPORTS, FOR_THE_FUTURE = signer("key for reports"), signer("key for the future")
UNKNOWN_USE = 99
VEHICLE_SIGNER = signer(f"{VIN} signer")
CLOCK_MILLIS = 100_000

Case = dict[str, Any]
File = dict[str, Any]


class Sealer:
    """Seals with ephemeral keys that follow from the case's name."""

    def __init__(self, direction: seal.Direction, receiver: bytes) -> None:
        self._direction = direction
        self._receiver = receiver

    def case(self, name: str, domain: Domain, envelope: bytes, expect: str, vin: str = VIN) -> Case:
        """A case of something well sealed."""
        ephemeral = exchange_key(f"ephemeral {name}")
        of_id = key_id(self._receiver)
        info = seal.info(self._direction, vin, of_id)
        return {
            "name": name,
            "domain": domain.value,
            "envelope": envelope.hex(),
            "ephemeralPrivate": seed(f"ephemeral {name}").hex(),
            "sealed": (seal.HEAD + of_id + hpke.seal(envelope, self._receiver, info, ephemeral)).hex(),
            "expect": expect,
        }


def session_info(harness: ProtocolHarness, *, with_hello: bool = True) -> session_pb2.SessionInfo:
    """Session information of the first car."""
    info = session_pb2.SessionInfo(
        vin=VIN,
        message_id="hello-1",
        epoch=harness.car.epoch,
        clock_millis=CLOCK_MILLIS,
        manifest_version=1,
        report_public_key=public(exchange_key(f"{VIN} report 1")),
        report_key_id=key_id(public(CLOUD_REPORT)),
    )
    info.counters.add(domain="cmd.door", counter=7)
    if with_hello:
        info.hello.CopyFrom(report_pb2.Hello(boot_id="boot-1", agent_version="1"))
    return info


def order_manifest() -> session_pb2.KeyManifest:
    """What the vehicle of orders.json and requests.json accepts."""
    late = WALL_SECONDS + YEAR_SECONDS
    return manifest(
        sign_keys={
            CLOUD_SIGNER.public_bytes: (late, False),
            REVOKED.public_bytes: (late, True),
            EXPIRED.public_bytes: (WALL_SECONDS - 1, False),
            LONG_EXPIRED.public_bytes: (WALL_SECONDS - 200, False),
        },
        other_keys=[(session_pb2.KEY_USE_REPORT, FOR_REPORTS), (UNKNOWN_USE, FOR_THE_FUTURE)],
    )


class Forge:
    """Orders to the first car, right in everything but what is named."""

    def __init__(self, receiver: bytes, epoch: bytes) -> None:
        self._sealer = Sealer(seal.Direction.TO_VEHICLE, receiver)
        self._usual = {"epoch": epoch, "counter": 8, "expires_at_millis": CLOCK_MILLIS + 30_000}

    def payload(self, name: str, expect: str, payload: bytes, domain: Domain = Domain.COMMAND) -> Case:
        """A case of these bytes, well signed as an order of `domain`."""
        envelope = cose.sign(CLOUD_SIGNER, ORDER_TYPES[domain], subject_of(VIN, domain), payload)
        return self._sealer.case(name, domain, envelope, expect)

    def members(self, name: str, expect: str, domain: Domain = Domain.COMMAND, **members: Any) -> Case:
        """A case of a SignedOrder with these members of its `oneof`, whatever its content type says."""
        message = session_pb2.SignedOrder(vin=VIN, manifest_version=1, role=1, **self._usual, **members)
        return self.payload(name, expect, message.SerializeToString(), domain)


def _oneof_cases(forge: Forge) -> list[Case]:
    command, withdrawal = unlock("cmd-9"), cancellation("cmd-9")
    return [
        forge.members("content type of a command, cancellation in it", "WRONG_TYPE", cancel=withdrawal),
        forge.members("content type of a cancellation, command in it", "WRONG_TYPE", Domain.CANCEL, door=command),
        forge.members("content type of settings, command in it", "WRONG_TYPE", Domain.CONFIG, door=command),
        forge.members("no order in it", "WRONG_TYPE"),
        forge.payload("not a protobuf message", "MALFORMED", b"\xff\xff"),
    ]  # fmt: skip


def orders() -> File:
    """orders.json."""
    car = ProtocolHarness().car
    vehicle = Sealer(seal.Direction.TO_VEHICLE, public(car.seal_key))
    usual: dict[str, Any] = {"epoch": car.epoch, "counter": 8, "expires_at_millis": CLOCK_MILLIS + 30_000}
    door = unlock("cmd-9")
    door.doors.extend([body_pb2.DOOR_ID_DRIVER, body_pb2.DOOR_ID_TRUNK])
    door.all_doors = False
    door.issued_at.FromSeconds(WALL_SECONDS)
    door.expires_at.FromSeconds(WALL_SECONDS + 30)

    def order(
        name: str, expect: str, what: Any = door, domain: Domain = Domain.COMMAND, **changes: Any
    ) -> Case:
        signed_for = changes.pop("signed_for", domain)
        envelope = car.envelope_of(
            car.forge(what, domain=domain, subject=subject_of(VIN, signed_for), **(usual | changes))
        )
        return vehicle.case(name, domain, envelope, expect)

    settings = command_pb2.ApplyConfig(version=4)
    settings.settings.auto_lock_enabled = True
    settings.settings.unlock_mode = body_pb2.UNLOCK_MODE_ALL
    cases = [
        order("command", "ACCEPTED"),
        order("tombstone", "ACCEPTED", cancellation("cmd-9"), Domain.CANCEL, counter=1),
        order("settings", "ACCEPTED", settings, Domain.CONFIG, counter=1),
        order("command at the last moment", "ACCEPTED", expires_at_millis=CLOCK_MILLIS + 1),
        order("command with the last counter", "ACCEPTED", counter=MAX_COUNTER),
        order("known command, all else wrong", "KNOWN", unlock("cmd-7"), epoch=bytes(16), counter=0, role=0),
        order("signed by a key not in the manifest", "UNKNOWN_KEY", by=STRANGER),
        order("signed by a revoked key", "REVOKED_KEY", by=REVOKED),
        order("signed by an expired key", "EXPIRED_KEY", by=EXPIRED),
        order("signed for another domain", "BAD_SIGNATURE", signed_for=Domain.CANCEL),
        order("unknown content type", "WRONG_TYPE", content_type="rdc-command+v2"),
        order("content type of another domain", "WRONG_DOMAIN", content_type=ContentType.TOMBSTONE),
        order("names another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
        order("without a command id", "MALFORMED", unlock("")),
        order("epoch of an earlier boot", "WRONG_EPOCH", epoch=seed("earlier")[:16]),
        order("expires now", "EXPIRED", expires_at_millis=CLOCK_MILLIS),
        order("valid 30.001 s", "VALID_TOO_LONG", expires_at_millis=CLOCK_MILLIS + 30_001),
        order("counter used", "COUNTER_NOT_NEW", counter=7),
        order("counter beyond the last", "COUNTER_TOO_LARGE", counter=MAX_COUNTER + 1),
        order("no role", "ROLE_NOT_ALLOWED", role=0),
        order("unknown role", "ROLE_NOT_ALLOWED", role=99),
        order("signed by a key for reports", "UNKNOWN_KEY", by=FOR_REPORTS),
        order("signed by a key of an unknown use", "UNKNOWN_KEY", by=FOR_THE_FUTURE),
        order("manifest ran out", "EXPIRED_KEY") | {"wallSeconds": WALL_SECONDS + YEAR_SECONDS},
        order("manifest still in time", "ACCEPTED") | {"wallSeconds": WALL_SECONDS + YEAR_SECONDS - 1},
        order("clock set back, key over when the manifest was made", "EXPIRED_KEY", by=LONG_EXPIRED)
        | {"wallSeconds": 0},
        order("clock set back", "ACCEPTED") | {"wallSeconds": 0},
        order("epoch of 15 bytes", "WRONG_EPOCH", epoch=car.epoch[:15]),
        order("epoch of 17 bytes", "WRONG_EPOCH", epoch=car.epoch + b"\x00"),
        order("without an epoch", "WRONG_EPOCH", epoch=b""),
        order("command id of 128 characters", "ACCEPTED", unlock("c" * 128)),
        order("command id of 129 characters", "MALFORMED", unlock("c" * 129)),
        order(
            "tombstone without a cancel id", "MALFORMED", cancellation("cmd-9", ""), Domain.CANCEL, counter=1
        ),
        order("tombstone without a command id", "MALFORMED", cancellation(""), Domain.CANCEL, counter=1),
        *_oneof_cases(Forge(public(car.seal_key), car.epoch)),
        order("settings by a shared user", "ROLE_NOT_ALLOWED", settings, Domain.CONFIG, counter=1, role=2),
        *_damaged(vehicle, bytes.fromhex(order("command", "")["envelope"])),
        *_of_other_domains(order),
    ]
    foreign = vehicle.case(
        "sealed for another vehicle", Domain.COMMAND, bytes.fromhex(cases[0]["envelope"]), "", OTHER_VIN
    )
    cases.append(foreign | {"expect": "NOT_FOR_US"})
    cases += [
        _raw("empty", b"", "MALFORMED"),
        _raw("too large", bytes(16 * 1024 + 1), "TOO_LARGE"),
        _raw("one byte more", bytes.fromhex(cases[0]["sealed"]) + b"\x00", "NOT_FOR_US"),
        _raw("one byte less", bytes.fromhex(cases[0]["sealed"])[:-1], "NOT_FOR_US"),
        _raw("another version", b"\x02" + bytes.fromhex(cases[0]["sealed"])[1:], "MALFORMED"),
        _raw("plain command", door.SerializeToString(), "MALFORMED"),
    ]
    return {
        "about": "What a vehicle in this state answers to each; every case by itself.",
        "context": {
            "vin": VIN,
            "epoch": car.epoch.hex(),
            "clockMillis": CLOCK_MILLIS,
            "wallSeconds": WALL_SECONDS,
            "acceptedCounters": {"cmd.door": 7},
            "known": [["cmd.door", "cmd-7"]],
            "manifest": endorse(order_manifest(), ROOT, ROOT).hex(),
        },
        "cases": cases,
    }


def _of_other_domains(order: Callable[..., Case]) -> list[Case]:
    """Cancellations and settings: what they hold, and that each check is made of them as well."""
    late = CLOCK_MILLIS + 60_000
    withdrawal = cancellation("cmd-9")
    forced = cancellation("cmd-9")
    forced.force = True
    whole = whole_messages.settings(4)

    def cancel(name: str, expect: str, what: Any = withdrawal, **changes: Any) -> Case:
        return order(f"tombstone {name}", expect, what, Domain.CANCEL, **({"counter": 1} | changes))

    def config(name: str, expect: str, **changes: Any) -> Case:
        return order(f"settings {name}", expect, whole, Domain.CONFIG, **({"counter": 1} | changes))

    return [
        order("command by a shared user", "ACCEPTED", role=2),
        order("command by a digital key", "ACCEPTED", role=3),
        cancel("with force", "ACCEPTED", forced),
        cancel("by a digital key, valid 60 s", "ACCEPTED", role=3, expires_at_millis=late),
        cancel("valid 60.001 s", "VALID_TOO_LONG", expires_at_millis=late + 1),
        cancel("that expires now", "EXPIRED", expires_at_millis=CLOCK_MILLIS),
        cancel("of an earlier epoch", "WRONG_EPOCH", epoch=seed("earlier")[:16]),
        cancel("without a counter", "COUNTER_NOT_NEW", counter=0),
        cancel("beyond the last counter", "COUNTER_TOO_LARGE", counter=MAX_COUNTER + 1),
        cancel("without a role", "ROLE_NOT_ALLOWED", role=0),
        cancel("for another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
        cancel("under the content type of a command", "WRONG_DOMAIN", content_type=ContentType.COMMAND),
        config("with all their members, valid 60 s", "ACCEPTED", expires_at_millis=late),
        config("valid 60.001 s", "VALID_TOO_LONG", expires_at_millis=late + 1),
        config("that expire now", "EXPIRED", expires_at_millis=CLOCK_MILLIS),
        config("of an earlier epoch", "WRONG_EPOCH", epoch=seed("earlier")[:16]),
        config("without a counter", "COUNTER_NOT_NEW", counter=0),
        config("beyond the last counter", "COUNTER_TOO_LARGE", counter=MAX_COUNTER + 1),
        config("by a digital key", "ROLE_NOT_ALLOWED", role=3),
        config("for another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
        config("under the content type of a command", "WRONG_DOMAIN", content_type=ContentType.COMMAND),
    ]


def _raw(name: str, data: bytes, expect: str) -> Case:
    return {"name": name, "domain": Domain.COMMAND.value, "sealed": data.hex(), "expect": expect}


def _damaged(vehicle: Sealer, envelope: bytes) -> list[Case]:
    protected = envelope[4 : 4 + envelope[3]]
    rest = envelope[4 + envelope[3] :]
    twice = b"\xa4\x01\x27" + protected[1:]
    damages: list[tuple[str, bytes, str]] = [
        ("signature damaged", envelope[:-1] + bytes((envelope[-1] ^ 1,)), "BAD_SIGNATURE"),
        ("trailing byte under the seal", envelope + b"\x00", "MALFORMED"),
        ("truncated under the seal", envelope[:-1], "MALFORMED"),
        ("algorithm ES256", envelope[:6] + b"\x26" + envelope[7:], "MALFORMED"),
        ("algorithm twice", envelope[:2] + bytes((0x58, len(twice))) + twice + rest, "MALFORMED"),
        ("unprotected header", envelope[: 4 + len(protected)] + b"\xa1\x04\x40" + rest[1:], "MALFORMED"),
        ("length in two bytes", envelope[:2] + b"\x59\x00" + envelope[3:], "MALFORMED"),
        ("without the tag", envelope[1:], "MALFORMED"),
        ("tag 98", b"\xd8\x62" + envelope[1:], "MALFORMED"),
    ]  # fmt: skip
    return [vehicle.case(name, Domain.COMMAND, data, expect) for name, data, expect in damages]
