"""The sandbox's own issuer: people sign in at it, access follows its keys and goes on while it is away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from issuer.command_line import CommandLineClient
from mesh.sandbox import Sandbox
from tests.support.app import SAMPLE, SECOND, App, eventually
from tests.support.dpop import DpopKey
from tests.support.running_mesh import ROOT
from tests.system.documents import blocks, paste

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs, pytest.mark.timeout(300)]
RESTART_SECONDS = 60.0


def issuer(mesh: Mesh, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "issuer", "--data", str(mesh.data), *words],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def key_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_the_readmes_lines_challenge_and_satisfy(mesh: Mesh) -> None:
    preamble = blocks("README.md", "## Try it")[0].split("\n\n", 1)[0] + "\n"
    (signing_in,) = blocks("README.md", "## Sign in")
    preamble = preamble.replace("127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}")
    App(mesh).order("lock")
    done = paste(preamble + signing_in, ROOT, DOORS_DATA_DIR=str(mesh.data))
    assert done.returncode == 0, done.stderr
    assert "401 Unauthorized" in done.stdout
    assert 'error="insufficient_user_authentication"' in done.stdout
    assert '"commandId"' in done.stdout
    assert '"doors"' in done.stdout.partition('"commandId"')[2]


def test_the_readmes_lines_share_the_car_for_a_while(mesh: Mesh) -> None:
    preamble = blocks("README.md", "## Try it")[0].split("\n\n", 1)[0] + "\n"
    (sharing,) = blocks("README.md", "## Share it")
    owner = f'TOKEN="{mesh.token("user-123")}"\n'
    curl = "curl() { command curl -sS -w '\\n[%{http_code}]\\n' \"$@\"; }\n"
    lines = curl + owner + preamble.replace("127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}") + sharing
    done = paste(lines, ROOT, DOORS_DATA_DIR=str(mesh.data))
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\[(\d{3})\]$", done.stdout, re.MULTILINE) == ["200", "200", "200", "200", "404"]


def test_a_person_signs_in_and_opens_their_car(mesh: Mesh) -> None:
    assert len(issuer(mesh, "code", "user-123")) == 6
    token = issuer(mesh, "sign-in", "user-123")
    assert issuer(mesh, "sign-in", "user-123") != token  # a code is good once: it waits for the next one
    app = App(mesh, SAMPLE, token)
    assert eventually(lambda: app.get("status").status_code == 200)
    assert eventually(lambda: app.order("lock").status_code == 202)
    # Only their own.
    assert App(mesh, "KMHSH81C7LU654321", token).get("status").status_code == 404


def test_a_token_that_is_bound_to_a_key_opens_nothing_without_it(mesh: Mesh) -> None:
    key, sandbox = DpopKey(), Sandbox(mesh.data)

    def proof(method: str, url: str) -> str:
        return key.proof(method, url, "", time.time(), ath=None)

    password = json.loads(sandbox.issuer_seed.read_text())["accounts"]["user-123"]["password"]
    with httpx.Client() as http:
        client = CommandLineClient(sandbox.issuer, http=http, proof=proof)
        given = client.sign_in("user-123", password)
        assert given["token_type"] == "DPoP"
        token, url = given["access_token"], App(mesh).door + "/status"
        headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", url, token, time.time())}
        assert http.get(url, headers=headers).status_code == 200
        assert http.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_an_agent_acts_by_a_spoken_code(mesh: Mesh) -> None:
    code = issuer(mesh, "spoken-code", "user-123", "--vin", SAMPLE, "--case", "C-4711")
    token = issuer(mesh, "act", "agent-7", "--spoken-code", code)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["act"], claims["vin"]) == ("user-123", {"sub": "agent-7"}, SAMPLE)
    app = App(mesh, SAMPLE, token)
    assert eventually(lambda: app.get("status").status_code == 200)
    assert App(mesh, SECOND, token).get("status").status_code == 404


def test_a_replaced_key_is_followed_and_an_issuer_that_is_away_is_borne(mesh: Mesh) -> None:
    old = App(mesh, SAMPLE, mesh.token("user-123"))
    assert eventually(lambda: old.get("config").status_code == 200)
    subprocess.run(
        [sys.executable, "-m", "mesh", "rotate-issuer-key"],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    new = App(mesh, SAMPLE, mesh.token("user-123"))
    assert key_of(new.bearer) != key_of(old.bearer)
    # The first token of the new key is taken, and those of the old one until it is withdrawn.
    assert eventually(lambda: new.get("config").status_code == 200)
    assert old.get("config").status_code == 200

    pid = mesh.pid_of("issuer")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert App(mesh, SAMPLE, mesh.token("user-123")).get("config").status_code == 200
        assert new.get("config").status_code == 200
    finally:
        os.kill(pid, signal.SIGKILL)
    mesh.wait_for_line("mesh: issuer ready", RESTART_SECONDS)

    jwks = Sandbox(mesh.data).issuer_jwks
    keys = json.loads(jwks.read_text())["keys"]
    jwks.write_text(json.dumps({"keys": [key for key in keys if key["kid"] != key_of(old.bearer)]}))
    assert eventually(lambda: old.get("config").status_code == 401)
    assert new.get("config").status_code == 200
