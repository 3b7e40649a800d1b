"""Calling a service that runs as two real processes, of which one hangs, or serves no more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.sandbox import Sandbox
from services.platform.channel import open_channel, watch_channel
from services.platform.health import Health
from services.platform.settings import ServerSettings
from services.telematics.order_signer import OrderSigningClient
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
VIN = "KMHSH81C7LU123456"
LEFT_WITHIN_SECONDS = 2.0
SLACK_SECONDS = 1.0
"""For a machine that does other things too."""


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.prepare(datetime.now(UTC))
    return sandbox


def settings_of(sandbox: Sandbox, name: str) -> ServerSettings:
    return ServerSettings(
        listen="127.0.0.1:0",
        tls_cert=sandbox.pki / f"{name}.crt",
        tls_key=sandbox.pki / f"{name}.key",
        tls_ca=sandbox.pki / "ca.crt",
        capability_jwks=sandbox.capability_jwks,
    )


@contextmanager
def a_signer(sandbox: Sandbox, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own, that ends with the test however it is then."""
    settings = {
        "LISTEN": address,
        "TLS_CERT": sandbox.pki / "signer.crt",
        "TLS_KEY": sandbox.pki / "signer.key",
        "TLS_CA": sandbox.pki / "ca.crt",
        "CAPABILITY_JWKS": sandbox.capability_jwks,
        "ACCESS_TARGET": "127.0.0.1:1",
        "SIGNING_KEY": sandbox.ceremony.signing_key,
        "ORDER_MAC_KEY": sandbox.order_mac_key,
        "KEY_MANIFESTS": sandbox.ceremony.manifests,
        "DRAIN_SECONDS": "0",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORS_")}
    environment |= {f"DOORS_{name}": str(value) for name, value in settings.items()}
    environment["PYTHONPATH"] = f"{REPOSITORY}:{REPOSITORY / 'gen'}"
    with subprocess.Popen(
        [sys.executable, "-m", "services.signer"], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.alone
@pytest.mark.timeout(90)
async def test_a_signer_that_hangs_is_left_and_found_again(sandbox: Sandbox) -> None:
    one, other = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with a_signer(sandbox, one) as hangs, a_signer(sandbox, other) as works:
        channel = open_channel(settings_of(sandbox, "command"), f"{one},{other}", "signer")
        signer = OrderSigningClient(channel)
        health = Health()
        watching = asyncio.create_task(watch_channel(channel, health.condition("signer")))

        async def sign() -> float:
            """How long it took; it must come to a signature."""
            began = time.monotonic()
            assert await signer.sign_session_requests([(VIN, os.urandom(16))]) is not None
            return time.monotonic() - began

        async with asyncio.timeout(60):
            while await signer.sign_session_requests([(VIN, os.urandom(16))]) is None:  # noqa: ASYNC110  # other processes start
                await asyncio.sleep(0.1)
            for process in (hangs, works):  # each alone does it, and the one that will hang is in use at last
                process.send_signal(signal.SIGSTOP)
                while await signer.sign_session_requests([(VIN, os.urandom(16))]) is None:  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.1)
                process.send_signal(signal.SIGCONT)
        hangs.send_signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        took = []
        while time.monotonic() - frozen_at < 3 * LEFT_WITHIN_SECONDS:
            began = time.monotonic() - frozen_at
            took.append((began, await sign()))
        assert max(seconds for _, seconds in took) < LEFT_WITHIN_SECONDS + SLACK_SECONDS
        late = [seconds for began, seconds in took if began > LEFT_WITHIN_SECONDS + SLACK_SECONDS]
        assert len(late) > 100
        assert max(late) < SLACK_SECONDS
        health.look()
        assert not health.failing
        works.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            while not health.failing:  # nobody is left
                health.look()
                await asyncio.sleep(0.05)
        for process in (hangs, works):
            process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while health.failing:
                health.look()
                await asyncio.sleep(0.05)
        await sign()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await channel.close()
