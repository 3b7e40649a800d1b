"""A token that is bound to a key, through Envoy: REST in plain and over TLS, and native gRPC."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc

from mesh.tokens import ONE_FACTOR
from tests.support.app import SAMPLE
from tests.support.dpop import DpopKey

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def bound(mesh: Mesh, key: DpopKey) -> str:
    """A token as `make token USER=user-123 JKT=...` prints it."""
    return mesh.token("user-123", jkt=key.thumbprint)


@pytest.mark.parametrize("tls", [False, True])
def test_a_stolen_token_opens_nothing_without_its_key(mesh: Mesh, tls: bool) -> None:
    key = DpopKey()
    token = bound(mesh, key)
    url = f"{mesh.https_url if tls else mesh.base_url}/vehicles/{SAMPLE}/door/status"
    proof = key.proof("GET", url, token, time.time())
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    with httpx.Client(verify=ssl.create_default_context(cafile=mesh.ca)) as client:
        opened = client.get(url, headers=headers)
        assert opened.status_code == 200
        assert opened.headers["ratelimit-policy"].startswith('"read";q=')  # also of what goes through
        assert opened.headers["ratelimit"].startswith('"read";r=')
        replayed = client.get(url, headers=headers)
        assert (replayed.status_code, replayed.json()["code"]) == (401, "PROOF_INVALID")
        assert replayed.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')
        stolen = client.get(url, headers={"Authorization": f"Bearer {token}"})
        assert (stolen.status_code, stolen.json()["code"]) == (401, "TOKEN_INVALID")
        assert stolen.headers["www-authenticate"].startswith('DPoP error="invalid_token"')
        thief = {**headers, "DPoP": DpopKey().proof("GET", url, token, time.time())}
        assert client.get(url, headers=thief).json()["code"] == "PROOF_INVALID"


def test_every_challenge_names_the_scheme_that_the_token_came_by(mesh: Mesh) -> None:
    """Also the one of the config service, which judges by itself what weakens a setting."""
    key = DpopKey()
    token = mesh.token("user-123", jkt=key.thumbprint, acr=ONE_FACTOR)
    for method, path, body in (
        ("POST", "unlock", {"targetDoors": ["trunk"]}),
        ("PUT", "config", {"autoLockEnabled": False}),
    ):
        url = f"{mesh.base_url}/vehicles/{SAMPLE}/door/{path}"
        proof = key.proof(method, url, token, time.time())
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        refused = httpx.request(method, url, headers=headers, json=body)
        assert (refused.status_code, refused.json()["code"]) == (401, "STEP_UP_REQUIRED"), path
        challenge = refused.headers["www-authenticate"]
        assert challenge.startswith('DPoP error="insufficient_user_authentication"'), path
        assert challenge.endswith(', algs="ES256 EdDSA"'), path


def test_over_grpc_the_proof_is_metadata(mesh: Mesh) -> None:
    key = DpopKey()
    token = bound(mesh, key)
    host = f"localhost:{mesh.ports.mtls}"
    url = f"https://{host}/ecarus.remotecontrol.door.v1.DoorStatusService/GetDoorStatus"
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    request = door_status_service_pb2.GetDoorStatusRequest(vin=SAMPLE)
    metadata = (
        ("authorization", f"DPoP {token}"),
        ("dpop", key.proof("POST", url, token, time.time())),
    )
    with grpc.secure_channel(host, identity) as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        assert stub.GetDoorStatus(request, metadata=metadata, timeout=10).vin == SAMPLE
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetDoorStatus(request, metadata=metadata, timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
