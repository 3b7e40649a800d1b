"""Rights given and taken away while somebody uses them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc, grant_pb2

from key_files.pem import private_pem
from mesh.issuer_seed import issuer_url
from mesh.sandbox import Sandbox
from mesh.signing_keys import key_id, load_signing_key
from mesh.tokens import AUDIENCE, TWO_FACTORS
from services.access.adapters.identity import key_hash
from services.access.domain.accounts import key_id_of
from tests.support.app import SAMPLE, App, Car, Stream, eventually
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


@contextmanager
def operator(mesh: Mesh) -> Iterator[access_service_pb2_grpc.AccessServiceStub]:
    """The access service, as an operator's workload reaches it."""
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-operator.key").read_bytes(),
        (pki / "team-operator.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.service('access')}", identity) as channel:
        yield access_service_pb2_grpc.AccessServiceStub(channel)


def test_a_key_lives_and_dies_with_its_grant(mesh: Mesh) -> None:
    guest = f"guest-{uuid.uuid4()}"
    app, car = App(mesh, bearer=mesh.token(guest)), Car(mesh)
    car.do("door-time", seconds=0)
    assert app.get("status").json()["code"] == "VEHICLE_NOT_FOUND"
    with operator(mesh) as access:
        access.CreateGrant(
            access_service_pb2.CreateGrantRequest(
                grant_id=guest, principal=guest, vin=SAMPLE, role=grant_pb2.GRANT_ROLE_DIGITAL_KEY
            ),
            timeout=30,
        )
        eventually(lambda: app.get("status").status_code == 200)
        refused = app.send("PUT", "config", {"autoLockEnabled": False})
        assert (refused.status_code, refused.json()["code"]) == (403, "ACTION_NOT_GRANTED")
        accepted = eventually(lambda: (a := app.order("lock", ["trunk"])).status_code == 202 and a)
        app.end_of(accepted.json()["commandId"])
        with app.stream() as stream:
            assert stream.status == 200
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=guest), timeout=30)
            assert stream.ended.wait(30), "the stream outlived the right"
    gone = eventually(lambda: (a := app.get("status")).status_code == 404 and a)
    assert gone.json()["code"] == "VEHICLE_NOT_FOUND"
    assert app.order("unlock").status_code == 404


LATE_SECONDS = 30
"""On a machine that does other things too; how soon it is is measured in tests/attacks/test_ended_rights.py."""


def ended_within(stream: Stream, seconds: float) -> str:
    """The last comment of a stream that ends by then."""
    assert stream.ended.wait(seconds), "the stream outlived the right"
    return stream.comments[-1]


def grant(access: Any, grant_id: str, principal: str, **changed: Any) -> None:
    form = {"vin": SAMPLE, "role": grant_pb2.GRANT_ROLE_DIGITAL_KEY, **changed}
    access.CreateGrant(
        access_service_pb2.CreateGrantRequest(grant_id=grant_id, principal=principal, **form), timeout=30
    )


def token(mesh: Mesh, user: str, key: Path | None = None, seconds: float = 600, **claims: Any) -> str:
    """A token that is good for `seconds`, signed with the issuer's key or another one."""
    signer = load_signing_key(key or mesh.data / "secrets" / "issuer.key")
    now = int(time.time())
    form = {
        "iss": issuer_url(mesh.ports),
        "aud": AUDIENCE,
        "sub": user,
        "client_id": "web",
        "iat": now,
        "jti": "1",
        "acr": TWO_FACTORS,
        "auth_time": now,
        **claims,
    }
    headers = {"typ": "at+jwt", "kid": key_id(signer.public_key())}
    return jwt.encode({**form, "exp": now + seconds}, signer, algorithm="EdDSA", headers=headers)


def acting(agent: str, vin: str = SAMPLE) -> dict[str, Any]:
    """The claims of a token with which an agent acts."""
    return {"client_id": "call-center", "act": {"sub": agent}, "vin": vin, "case": "case-1"}


def watching(mesh: Mesh, bearer: str) -> Stream:
    """A stream of this bearer, once its right is known everywhere."""
    app = App(mesh, bearer=bearer)
    eventually(lambda: app.get("status").status_code == 200)
    stream = app.stream()
    assert stream.status == 200
    return stream


def test_a_stream_ends_with_its_token(mesh: Mesh) -> None:
    bearer = token(mesh, "user-123", seconds=5)
    end = jwt.decode(bearer, options={"verify_signature": False})["exp"]
    with watching(mesh, bearer) as stream:
        assert "TOKEN_EXPIRED" in ended_within(stream, end + LATE_SECONDS - time.time())
    assert time.time() >= end
    # Ordinary requests may be a little late, because clocks differ; a stream would go on and on.
    app = App(mesh, bearer=bearer)
    assert app.get("status").status_code == 200
    assert app.get("updates/stream").json()["code"] == "TOKEN_EXPIRED"


def test_a_stream_ends_with_the_grant_and_goes_on_with_another_one(mesh: Mesh) -> None:
    guest = f"guest-{uuid.uuid4()}"
    bearer = mesh.token(guest)
    with operator(mesh) as access:
        for name in ("a", "b"):
            grant(access, f"{guest}-{name}", guest)
        with watching(mesh, bearer) as stream:
            ends_at = time.time() + 8
            grant(access, f"{guest}-c", guest, valid_seconds=8)
            for name in ("a", "b"):
                access.RevokeGrant(
                    access_service_pb2.RevokeGrantRequest(grant_id=f"{guest}-{name}"), timeout=30
                )
            assert not stream.ended.wait(2), "another grant carries it"
            assert "ACTION_NOT_GRANTED" in ended_within(stream, ends_at + LATE_SECONDS - time.time())
        assert time.time() >= ends_at
        grant(access, f"{guest}-d", guest)
        with watching(mesh, bearer) as again:
            assert not again.ended.wait(0.5)


def test_the_202_for_a_car_that_was_never_heard_of_promises_nothing(mesh: Mesh) -> None:
    vin = "KMHSH81C7LU777777"
    doorctl(mesh, "grant", "give", "user-123", vin, "--role", "owner", "--valid", "1h", "--id", "never-1")
    answer = App(mesh, vin, mesh.token("user-123")).order("unlock")
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert "not known to be reachable" in told["message"]
    assert told["estimatedDuration"] == 20


def doorctl(mesh: Mesh, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "doorctl", *words],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_locked_account_watches_and_does_nothing(mesh: Mesh) -> None:
    guest, agent = f"guest-{uuid.uuid4()}", f"agent-{uuid.uuid4()}"
    with operator(mesh) as access:
        grant(access, guest, guest)
    as_agent = token(mesh, "user-123", seconds=300, **acting(agent))
    with watching(mesh, mesh.token(guest)) as mine, watching(mesh, as_agent) as by_agent:
        doorctl(mesh, "account", "lock", guest, "--reason", "stolen phone")
        assert "ACCOUNT_LOCKED" in ended_within(mine, 1)
        doorctl(mesh, "account", "lock", agent, "--reason", "left the company")
        assert "ACCOUNT_LOCKED" in ended_within(by_agent, 1)
    assert App(mesh, bearer=as_agent).order("lock").json()["code"] == "ACCOUNT_LOCKED"
    app = App(mesh, bearer=mesh.token(guest))
    assert app.get("updates/stream").json()["code"] == "ACCOUNT_LOCKED"
    assert doorctl(mesh, "account", "unlock", guest) == f"{guest} not locked\n"
    with watching(mesh, mesh.token(guest)) as again:
        assert not again.ended.wait(0.5)


def test_a_revoked_api_key_watches_nothing(mesh: Mesh) -> None:
    key = f"sk_{uuid.uuid4().hex}"
    hashed = key_hash((mesh.data / "secrets" / "api-key-pepper").read_bytes().strip(), key)
    database = Sandbox(mesh.data).database_url("access").removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as record, record:
        record.execute(
            "INSERT INTO api_key (key_hash, principal, source, created_at) VALUES (?, 'user-123', 'WEB', 1)",
            (hashed,),
        )
    with watching(mesh, key) as stream, watching(mesh, mesh.token("user-123")) as by_token:
        listed = doorctl(mesh, "key", "list", "user-123")
        # When it was used last stands behind it once that is written.
        assert (
            f"{key_id_of(hashed)} user-123 not revoked for door.cancel door.config.write door.lock door.read"
            in listed
        )
        doorctl(mesh, "key", "revoke", key_id_of(hashed))
        assert "TOKEN_INVALID" in ended_within(stream, 1)
        assert not by_token.ended.is_set()
    assert App(mesh, bearer=key).get("status").json()["code"] == "TOKEN_INVALID"


def test_a_withdrawn_key_of_the_issuer_opens_and_watches_nothing(mesh: Mesh, tmp_path: Path) -> None:
    jwks = mesh.data / "public" / "issuer.jwks.json"
    before = jwks.read_text()
    signer, private = Ed25519PrivateKey.generate(), tmp_path / "leaked.key"
    private.write_bytes(private_pem(signer))
    public = jwt.algorithms.OKPAlgorithm.to_jwk(signer.public_key(), as_dict=True)
    added = {**public, "kid": key_id(signer.public_key()), "alg": "EdDSA", "use": "sig"}
    try:
        jwks.write_text(json.dumps({"keys": [*json.loads(before)["keys"], added]}))
        bearer = token(mesh, "user-123", private)
        with watching(mesh, bearer) as stream, watching(mesh, mesh.token("user-123")) as other:
            jwks.write_text(before)
            assert "TOKEN_INVALID" in ended_within(stream, 3)  # it is looked at every second here
            assert not other.ended.is_set()
        assert App(mesh, bearer=bearer).get("status").json()["code"] == "TOKEN_INVALID"
    finally:
        jwks.write_text(before)


def test_nobody_else_gives_rights(mesh: Mesh) -> None:
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.service('access')}", identity) as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListGrants(access_service_pb2.ListGrantsRequest(vin=SAMPLE), timeout=30)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_team_commands_over_native_grpc_for_a_user(mesh: Mesh) -> None:
    from ecarus.remotecontrol.door.v1 import (  # noqa: PLC0415  # only this test speaks native gRPC
        door_status_service_pb2,
        door_status_service_pb2_grpc,
    )

    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        metadata = [("authorization", f"Bearer {mesh.token('user-123')}")]
        request = door_status_service_pb2.GetDoorStatusRequest(vin=SAMPLE)
        assert stub.GetDoorStatus(request, metadata=metadata, timeout=30).vin == SAMPLE
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetDoorStatus(request, timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        foreign = door_status_service_pb2.GetDoorStatusRequest(vin="KMHSH81C7LU654321")
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetDoorStatus(foreign, metadata=metadata, timeout=30)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
