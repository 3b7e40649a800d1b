"""The vectors of what a vehicle says: answers and hellos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol import cose, seal
from protocol.domains import ANSWER_FIELDS, MAX_COUNTER, ContentType, Domain, subject_of
from tests.protocol import whole_messages
from tests.protocol.order_vectors import VEHICLE_SIGNER, Case, File, Sealer, session_info
from tests.support.protocol_harness import (
    CLOUD_SEAL,
    CLOUD_SIGNER,
    OTHER_VIN,
    VIN,
    WALL_SECONDS,
    ProtocolHarness,
    public,
    seed,
    succeeded,
)

if TYPE_CHECKING:
    from protocol.keys import KeySigner


def answers() -> File:
    """answers.json."""
    harness = ProtocolHarness()
    cloud = Sealer(seal.Direction.TO_CLOUD, public(CLOUD_SEAL))
    command, tombstone, settings = (bytes([n]) * 32 for n in (1, 2, 3))
    refused = session_pb2.OrderRefused(fault=session_pb2.PROTOCOL_FAULT_WRONG_EPOCH)
    refused.session.CopyFrom(session_info(harness, with_hello=False))
    cancelled = report_pb2.CommandResult(command_id="cmd-9", outcome=report_pb2.COMMAND_OUTCOME_CANCELLED)
    configured = whole_messages.configured(4)
    not_allowed = session_pb2.OrderRefused(fault=session_pb2.PROTOCOL_FAULT_ROLE_NOT_ALLOWED)
    withdrawal = report_pb2.CancelResult(
        cancel_id="can-1", command_id="cmd-9", outcome=report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
    )

    def answer(
        name: str,
        expect: str,
        domain: Domain = Domain.RESULT,
        what: Any = None,
        request_hash: bytes = command,
        by: KeySigner = VEHICLE_SIGNER,
        **changes: Any,
    ) -> Case:
        what = what or succeeded("cmd-9")
        signed_for = changes.pop("signed_for", domain)
        field, content_type = ANSWER_FIELDS[domain]
        if isinstance(what, session_pb2.OrderRefused):
            field, content_type = "refused", ContentType.FAULT
        content_type = changes.pop("content_type", content_type)
        values: dict[str, Any] = {"vin": VIN, "message_id": "msg-1", "epoch": harness.car.epoch, "counter": 3}
        message = session_pb2.SignedAnswer(request_hash=request_hash, **(values | changes))
        getattr(message, field).CopyFrom(what)
        envelope = cose.sign(by, content_type, subject_of(VIN, signed_for), message.SerializeToString())
        return cloud.case(name, domain, envelope, expect)

    good = answer("good", "ACCEPTED")

    return {
        "about": "What a cloud in this state says to each answer of the vehicle; every case by itself.",
        "context": {
            "vin": VIN,
            "nowMillis": WALL_SECONDS * 1000,
            "epoch": harness.car.epoch.hex(),
            "issued": [
                {"requestHash": h.hex(), "domain": d.value, "orderId": o, "commandId": c}
                for h, d, o, c in (
                    (command, Domain.COMMAND, "cmd-9", "cmd-9"),
                    (tombstone, Domain.CANCEL, "can-1", "cmd-9"),
                    (settings, Domain.CONFIG, "4", ""),
                )
            ],
            "seen": {"evt.result": [1, 2]},
        },
        "cases": [
            answer("received", "ACCEPTED", Domain.RECEIVED, report_pb2.CommandReceived(command_id="cmd-9")),
            answer("result", "ACCEPTED"),
            answer("cancelled by the tombstone", "ACCEPTED", what=cancelled, request_hash=tombstone),
            answer("cancellation", "ACCEPTED", Domain.CANCELLED, withdrawal, tombstone),
            answer("settings", "ACCEPTED", Domain.CONFIGURED, report_pb2.ConfigReport(version=4), settings),
            answer("fault", "ACCEPTED", what=refused),
            answer("result again", "COUNTER_NOT_NEW", counter=2),
            answer("result without a counter", "COUNTER_NOT_NEW", counter=0),
            answer("counter beyond the last", "COUNTER_TOO_LARGE", counter=MAX_COUNTER + 1),
            answer("result for another command", "WRONG_REQUEST", what=succeeded("cmd-8")),
            answer("success by a tombstone", "WRONG_REQUEST", request_hash=tombstone),
            answer("result for nothing", "WRONG_REQUEST", request_hash=bytes(32)),
            answer("unknown epoch", "WRONG_EPOCH", epoch=bytes(16)),
            answer("of another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
            answer("signed by the cloud", "UNKNOWN_KEY", by=CLOUD_SIGNER),
            answer(
                "received, all its members", "ACCEPTED", Domain.RECEIVED, whole_messages.received("cmd-9")
            ),
            answer("result, all its members", "ACCEPTED", what=whole_messages.partial("cmd-9")),
            answer(
                "settings, all their members",
                "ACCEPTED",
                Domain.CONFIGURED,
                configured,
                settings,
            ),
            answer("fault of a cancellation", "ACCEPTED", Domain.CANCELLED, not_allowed, tombstone),
            answer("fault of settings", "ACCEPTED", Domain.CONFIGURED, not_allowed, settings),
            answer(
                "fault of settings on evt.result", "WRONG_REQUEST", what=not_allowed, request_hash=settings
            ),
            answer("content type of a received", "WRONG_TYPE", content_type=ContentType.RECEIVED),
            answer("content type of a fault, result in it", "WRONG_TYPE", content_type=ContentType.FAULT),
            answer("signed for evt.received", "BAD_SIGNATURE", signed_for=Domain.RECEIVED),
            answer("without a message id", "MALFORMED", message_id=""),
            *_unreadable(cloud, Domain.RESULT, ContentType.RESULT, good),
        ],
    }


def hellos() -> File:
    """hellos.json."""
    harness = ProtocolHarness()
    cloud = Sealer(seal.Direction.TO_CLOUD, public(CLOUD_SEAL))
    vehicle = Sealer(seal.Direction.TO_VEHICLE, public(harness.car.seal_key))
    challenge = seed("challenge")[:16]
    request = session_pb2.SessionRequest(vin=VIN, challenge=challenge).SerializeToString()
    subject = subject_of(VIN, Domain.CHALLENGE)

    def hello(name: str, expect: str, **changes: Any) -> Case:
        info = session_info(harness)
        by = changes.pop("by", VEHICLE_SIGNER)
        content_type = changes.pop("content_type", ContentType.SESSION)
        subject = subject_of(VIN, changes.pop("signed_for", Domain.HELLO))
        for member, value in changes.items():
            if isinstance(value, bytes | str):
                setattr(info, member, value)
            else:
                info.ClearField(member)  # type: ignore[arg-type]  # the names of members
                if isinstance(value, report_pb2.Hello):
                    info.hello.CopyFrom(value)
                elif value is not None:
                    info.counters.extend(value)
        envelope = cose.sign(by, content_type, subject, info.SerializeToString())
        return cloud.case(name, Domain.HELLO, envelope, expect)

    def counted(counter: int) -> list[session_pb2.DomainCounter]:
        return [
            session_pb2.DomainCounter(domain=domain, counter=counter)
            for domain in ("cmd.door", "cmd.cancel", "cmd.config")
        ]

    return {
        "about": "A session request as the vehicle gets it, and what a cloud that sent it says to each hello.",
        "context": {
            "vin": VIN,
            "challenge": challenge.hex(),
            "endedEpochs": [seed("earlier")[:16].hex()],
        },
        "request": vehicle.case(
            "session request",
            Domain.CHALLENGE,
            cose.sign(CLOUD_SIGNER, ContentType.CHALLENGE, subject, request),
            "ACCEPTED",
        ),
        "cases": [
            hello("at boot", "ACCEPTED"),
            hello("answering the request", "ACCEPTED", challenge=challenge),
            hello("answering another", "STALE_SESSION", challenge=bytes(16)),
            hello("epoch that ended", "STALE_SESSION", epoch=seed("earlier")[:16]),
            hello("short epoch", "MALFORMED", epoch=bytes(15)),
            hello("of another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
            hello("hello, all its members", "ACCEPTED", hello=whole_messages.hello(), counters=counted(1)),
            hello("hello with counters as far as they are accepted", "ACCEPTED", counters=counted(2**20)),
            hello("hello with counters beyond", "COUNTER_TOO_LARGE", counters=counted(2**20 + 1)),
            hello("hello without a hello", "MALFORMED", hello=None),
            hello("hello without a message id", "MALFORMED", message_id=""),
            hello("hello with a report key of 31 bytes", "MALFORMED", report_public_key=bytes(31)),
            hello("hello signed by the cloud", "UNKNOWN_KEY", by=CLOUD_SIGNER),
            hello("hello signed for evt.result", "BAD_SIGNATURE", signed_for=Domain.RESULT),
            hello("hello under the content type of a result", "WRONG_TYPE", content_type=ContentType.RESULT),
            *_unreadable(cloud, Domain.HELLO, ContentType.SESSION, hello("at boot", "ACCEPTED")),
        ],
    }


def _unreadable(cloud: Sealer, domain: Domain, content_type: ContentType, good: Case) -> list[Case]:
    """What nobody can read who is meant to: damaged, not sealed, sealed the other way, too large, no message."""
    kind = domain.value
    envelope, sealed = bytes.fromhex(good["envelope"]), bytes.fromhex(good["sealed"])
    nonsense = cose.sign(VEHICLE_SIGNER, content_type, subject_of(VIN, domain), b"\xff\xff")
    outward = Sealer(seal.Direction.TO_VEHICLE, public(CLOUD_SEAL))

    def raw(name: str, data: bytes, expect: str) -> Case:
        return {"name": f"{kind} {name}", "domain": kind, "sealed": data.hex(), "expect": expect}

    damaged = envelope[:-1] + bytes((envelope[-1] ^ 1,))
    return [
        cloud.case(f"{kind} not a protobuf message", domain, nonsense, "MALFORMED"),
        cloud.case(f"{kind} signature damaged", domain, damaged, "BAD_SIGNATURE"),
        cloud.case(f"{kind} trailing byte under the seal", domain, envelope + b"\x00", "MALFORMED"),
        outward.case(f"{kind} sealed as to the vehicle", domain, envelope, "NOT_FOR_US"),
        raw("one byte more", sealed + b"\x00", "NOT_FOR_US"),
        raw("not sealed", envelope, "MALFORMED"),
        raw("too large", bytes(16 * 1024 + 1), "TOO_LARGE"),
    ]
