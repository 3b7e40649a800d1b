"""A right that one replica ends is forgotten by the others as soon as the broker tells them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

import services.access
from protocol.streams import ROOM_EVENTS, STREAMS
from protocol.subjects import PROOFS_SEEN_SUBJECT
from services.access.adapters import store, translate
from services.access.adapters.dpop import PROOF_ID_BYTES, ProofOfRequest, ProofVerifier
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.revocations import follow_revocations
from services.access.adapters.shared_proofs import SharedProofs
from services.access.domain.grants import GrantRole, NewGrant
from services.platform.database import open_database
from services.platform.errors import Refusal
from services.platform.outbox import OutboxRelay
from services.telematics.broker import connect_broker
from tests.support.databases import migrated
from tests.support.dpop import DpopKey

VIN = "KMHSH81C7LU123456"
URL, TOKEN = "https://api.example/api/v1/x", "a.b.c"


def utc_now() -> datetime:
    return datetime.now(UTC)


async def test_a_revocation_reaches_the_other_replicas(nats_server: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/access.sqlite3"
    await asyncio.to_thread(migrated, url, Path(services.access.__file__).with_name("migrations"), store.HEAD)
    database = await open_database(url)
    mine, theirs = [await connect_broker(nats_server.settings(), name=n) for n in ("mine", "theirs")]
    await mine.ensure_streams(STREAMS[ROOM_EVENTS])
    forgotten = asyncio.Event()
    concerned: list[tuple[str, str]] = []
    cases: list[str] = []

    def invalidate(*, principal: str = "", credential: str = "") -> None:
        concerned.append((principal, credential))
        forgotten.set()

    await follow_revocations(theirs.client, invalidate, lambda: cases.append("all"))
    await theirs.client.flush()
    relay = OutboxRelay(database, store.outbox, translate.OUTBOX_QUEUE, mine.publish_all, utc_now)
    running = asyncio.create_task(relay.run())
    try:
        record = store.SqlGrantRecord(database, AccessMessages(), relay.hand_over)
        await record.create(NewGrant("g-1", "user-123", VIN, GrantRole.OWNER), by="operator", at=utc_now())
        assert not forgotten.is_set()
        ended = store.SqlCustomerCases(database, AccessMessages(), relay.hand_over, time.time)
        await ended.close("case-1", by="call-center", at=utc_now())  # names nobody, and ends nobody's rights
        await record.revoke("g-1", by="operator", at=utc_now())
        await asyncio.wait_for(forgotten.wait(), 30)
        assert concerned == [("user-123", "")]
        assert cases == ["all"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for broker in (mine, theirs):
            await broker.close()
        await database.close()


async def test_a_proof_that_one_replica_has_seen_is_good_at_no_other(nats_server: Any) -> None:
    mine, theirs = [await connect_broker(nats_server.settings(), name=n) for n in ("mine", "theirs")]
    here, there = ProofVerifier(time.time), ProofVerifier(time.time)
    told, hearing = SharedProofs(mine.client, here), SharedProofs(theirs.client, there)
    key = DpopKey()
    proofs = [ProofOfRequest(key.proof("GET", URL, TOKEN, time.time()), "GET", URL) for _ in range(3)]
    try:
        await hearing.start()
        await theirs.client.flush()
        for proof in proofs[:2]:
            here.check(proof, TOKEN, key.thumbprint)
        await told.tell()
        await told.tell()  # nothing
        await mine.client.publish(PROOFS_SEEN_SUBJECT, b"x" * 17)  # what is none is ignored
        await mine.client.flush()
        await theirs.client.flush()
        for proof in proofs[:2]:
            await eventually_refused(there, proof, key.thumbprint)
        there.check(proofs[2], TOKEN, key.thumbprint)
    finally:
        for broker in (mine, theirs):
            await broker.close()


async def eventually_refused(verifier: ProofVerifier, proof: ProofOfRequest, thumbprint: str) -> None:
    """Wait until it knows the proof: to ask would use it up."""
    deadline = asyncio.get_running_loop().time() + 30
    known = hashlib.sha256(f"{thumbprint} {jti_of(proof)}".encode()).digest()[:PROOF_ID_BYTES]
    while verifier._seen.get(known, time.time()) is None:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    with pytest.raises(Refusal, match="it was used before"):
        verifier.check(proof, TOKEN, thumbprint)


def jti_of(proof: ProofOfRequest) -> str:
    jti: str = jwt.decode(proof.header or "", options={"verify_signature": False})["jti"]
    return jti
