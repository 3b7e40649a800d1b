"""The ledger as its `__main__` wires it: what is brought is signed, published and cosigned, and a rollback is said."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.audit.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from doorctl.__main__ import app
from key_files.pem import private_pem
from services.audit.__main__ import AuditSettings, main
from services.audit.adapters.server import SERVICE
from services.platform.settings import SettingsError, load
from tests.contract.audit.test_audit_intake_rpc import bring, message
from tests.contract.conftest import RunningService
from tests.support.audit_log import KEYS, LOG_KEY, ORIGIN, VKEY
from tests.support.ports import free_port
from tests.support.tlog_witness import TrueWitness, serving
from tlog.checkpoints import CheckpointError, open_checkpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.capabilities import Signer
    from tests.support.certificates import Certificates

PATIENCE_SECONDS = 60.0


async def until(what: Callable[[], Any]) -> Any:
    """The first true answer of `what`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := what()):  # noqa: ASYNC110  # files tell nobody of themselves
            await asyncio.sleep(0.02)
        return found


class Deployment:
    """The files of a ledger, and its settings."""

    def __init__(self, folder: Path, pki: Certificates, signer: Signer) -> None:
        self.folder, self.pki = folder, pki
        for name in ("log", "second"):
            (folder / name).mkdir()
        (folder / "house.key").write_text("h" * 43)
        (folder / "log.key").write_bytes(private_pem(LOG_KEY))
        pair = pki.of("room/audit")
        self.environment = {
            "DOORS_TLS_CERT": str(pair.cert),
            "DOORS_TLS_KEY": str(pair.key),
            "DOORS_TLS_CA": str(pki.authority.ca),
            "DOORS_CAPABILITY_JWKS": str(signer.jwks),
            "DOORS_DATABASE_URL": f"sqlite:///{folder}/audit.sqlite3",
            "DOORS_AUDIT_HOUSE_KEY": str(folder / "house.key"),
            "DOORS_AUDIT_LOG_KEYS": str(folder / "log.key"),
            "DOORS_AUDIT_ORIGIN": ORIGIN,
            "DOORS_AUDIT_FOLDER": str(folder / "log"),
            "DOORS_AUDIT_SECOND_PLACE": str(folder / "second"),
            "DOORS_DRAIN_SECONDS": "0",
        }

    def settings(self, **more: str) -> AuditSettings:
        return load(AuditSettings, {**self.environment, "DOORS_LISTEN": f"127.0.0.1:{free_port()}", **more})

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[RunningService]:
        settings, stop = self.settings(**more), asyncio.Event()
        running = asyncio.create_task(main(settings, stop))
        service: Any = None  # its server is inside
        try:
            yield RunningService("audit", settings.listen, self.pki, service)
        finally:
            stop.set()
            await running

    def published(self, witness: TrueWitness | None = None) -> tuple[int, list[str]]:
        """How many leaves the published checkpoint has, and who cosigned it."""
        try:
            data = (self.folder / "log" / "checkpoint").read_bytes()
            found = open_checkpoint(data, ORIGIN, KEYS.public, [witness.key] if witness else [])
        except (OSError, CheckpointError):
            return 0, []
        return found.checkpoint.size, found.cosigned_by()


@pytest.fixture
def deployment(tmp_path: Path, pki: Certificates, signer: Signer) -> Deployment:
    return Deployment(tmp_path, pki, signer)


async def bring_all(service: RunningService, *numbers: int) -> None:
    """Bring entries until they are taken: the service has just been started."""
    async with service.channel("room/command") as channel, asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                assert await bring(AuditIntakeServiceStub(channel), *map(message, numbers)) == {}
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # anything else is no start
                await asyncio.sleep(0.05)
            else:
                return


async def test_what_is_brought_is_signed_published_and_cosigned(deployment: Deployment) -> None:
    with serving(TrueWitness(ORIGIN, KEYS.public)) as witness:
        async with deployment.running(DOORS_AUDIT_WITNESSES=witness.setting) as service:
            await bring_all(service, 1, 2, 3)
            await until(lambda: deployment.published(witness) == (3, [witness.name]))
    saved = open_checkpoint((deployment.folder / "second" / "checkpoint").read_bytes(), ORIGIN, KEYS.public)
    assert saved.checkpoint.size == 3


async def test_a_database_of_yesterday_is_told_in_health_and_takes_nothing(deployment: Deployment) -> None:
    file = deployment.folder / "audit.sqlite3"
    async with deployment.running() as service:
        await bring_all(service, 1)
        await until(lambda: deployment.published()[0] == 1)
    shutil.copy(file, deployment.folder / "yesterday")
    async with deployment.running() as service:
        await bring_all(service, 2)
        await until(lambda: deployment.published()[0] == 2)
    shutil.copy(deployment.folder / "yesterday", file)
    async with deployment.running() as service, service.channel("room/command") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for answer in health.Watch(request, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                    break
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bring(AuditIntakeServiceStub(channel), message(2))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "rolled back" in str(refused.value.details())
    assert deployment.published()[0] == 2
    # The operator has it restored from what was published.
    async with deployment.running(DOORS_AUDIT_RESTORE_FROM=str(deployment.folder / "log")) as service:
        await bring_all(service, 3)
        await until(lambda: deployment.published()[0] == 3)


async def test_where_nothing_can_be_restored_the_service_starts_and_says_why(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    async with deployment.running() as service:
        await bring_all(service, 1)
        await until(lambda: deployment.published()[0] == 1)
    (deployment.folder / "empty").mkdir()
    async with deployment.running(DOORS_AUDIT_RESTORE_FROM=str(deployment.folder / "empty")) as service:
        await bring_all(service, 2)
    assert "ledger_not_restored" in capsys.readouterr().out


async def test_doorctl_copies_and_verifies_what_the_service_signed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pair = deployment.folder, deployment.pki.of("operator")

    async def doorctl(*words: object) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *map(str, words)])
        return done.exit_code, done.output

    async with deployment.running() as service:
        operator = {
            "ca": str(deployment.pki.authority.ca),
            "cert": str(pair.cert),
            "key": str(pair.key),
            "services": {"audit": service.target},
        }
        (folder / "operator.json").write_text(json.dumps(operator))
        monkeypatch.setenv("DOORS_OPERATOR_FILE", str(folder / "operator.json"))
        await bring_all(service, *range(1, 6))
        await until(lambda: deployment.published()[0] == 5)
        status, said = await doorctl("checkpoint", "--out", folder / "saved")
        assert (status, "5 of 5 leaves" in said) == (0, True)
        assert (await doorctl("checkpoint", "--out", folder / "saved"))[0] == 1  # it is not overwritten
        assert (await doorctl("checkpoint"))[1].encode() == (folder / "saved").read_bytes()
        assert (await doorctl("export", folder / "copy"))[0] == 0
        assert (await doorctl("export", folder / "copy"))[0] == 1  # nor is a folder with something in it
    known = ("--key", VKEY, "--checkpoint", folder / "saved")
    assert (await doorctl("verify", folder / "copy", *known, "--tables"))[0] == 0
    assert (await doorctl("verify", folder / "log", *known))[0] == 0
    status, said = await doorctl("export", folder / "late")
    assert (status, "does not run" in said) == (1, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOORS_AUDIT_WITNESSES", "nobody"),
        ("DOORS_AUDIT_ORIGIN", "a b"),
        ("DOORS_AUDIT_SECOND_PLACE", "relative"),
        ("DOORS_AUDIT_FOLDER", "/nowhere/at/all"),
        ("DOORS_AUDIT_RESTORE_FROM", "/nowhere/at/all"),
        ("DOORS_AUDIT_HOUSE_KEY", "/nowhere"),
        ("DOORS_AUDIT_LOG_KEYS", ""),
    ],
)
def test_a_setting_that_is_none_stops_the_start(deployment: Deployment, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        deployment.settings(**{name: value})


async def test_a_house_key_that_is_short_stops_the_start(deployment: Deployment) -> None:
    (deployment.folder / "house.key").write_text("short")
    with pytest.raises(ValueError, match="32 bytes"):
        await main(deployment.settings(), asyncio.Event())
