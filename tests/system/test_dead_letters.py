"""`doorctl deadletter` on the running product: what a car's garbage becomes, and a letter that is taken after all."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import ssl
import subprocess
import sys
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import nats
import pytest
from ecarus.remotecontrol.door.v1.room_event_pb2 import CommandVerdicts, StatusChecks

from protocol.subjects import STATUS_CHECKS_SUBJECT, VERDICTS_SUBJECT, EventKind, event_subject
from tests.support.app import SAMPLE, App, Car, eventually
from tests.support.plain_http import NO_TLS
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
TOLD = {"evt.result", "evt.diagnostics", "evt.status", "evt.config"}
SERVICES = {
    EventKind.RESULT: "command",
    EventKind.STATUS: "status",
    EventKind.CONFIG: "config",
    EventKind.DIAGNOSTICS: "diagnostics",
}


def doorctl(mesh: Mesh, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doorctl", "deadletter", *words],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def say_as_the_car(mesh: Mesh, words: dict[EventKind, bytes]) -> None:
    """With the car's own certificate, and so with its rights, but not by its software."""
    pair = mesh.data / "pki" / f"vehicle-{SAMPLE}"
    tls = ssl.create_default_context(cafile=str(mesh.ca))
    tls.load_cert_chain(pair.with_suffix(".crt"), pair.with_suffix(".key"))
    client = await nats.connect(
        f"tls://127.0.0.1:{mesh.ports.nats}", tls=tls, inbox_prefix=f"_INBOX.{SAMPLE}"
    )
    for event, data in words.items():
        await client.publish(event_subject(SAMPLE, event), data)
    await client.drain()


def letters(mesh: Mesh) -> dict[tuple[str, int], str]:
    """The line about the newest letter of each service and size in bytes."""
    done = doorctl(mesh, "list", "--limit", "200")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[tuple[str, int], str] = {}
    for line in done.stdout.splitlines():
        size = re.search(r" (\d+) bytes: ", line)
        assert size is not None, line
        found.setdefault((line.split()[0], int(size[1])), line)
    return found


def test_garbage_of_a_car_is_listed_in_its_room_and_stays_when_it_is_replayed(mesh: Mesh) -> None:
    sizes = {service: 1_001 + n for n, service in enumerate(SERVICES.values())}
    garbage = {event: b"\xff" * sizes[service] for event, service in SERVICES.items()}
    asyncio.run(say_as_the_car(mesh, garbage))
    wanted = set(sizes.items())
    listed = eventually(lambda: (found := letters(mesh)).keys() >= wanted and found, 60)
    for service, size in wanted:
        line = listed[service, size]
        assert SAMPLE in line
        letter_id = line.split()[1]
        done = doorctl(mesh, "replay", letter_id, "--service", service)
        assert (done.returncode, done.stdout) == (1, "")
        reason = line.partition(" bytes: ")[2]
        assert done.stderr == f"doorctl: {service} {letter_id} stays: {reason}\n"
    after = letters(mesh)
    assert {each: after[each] for each in wanted} == {each: listed[each] for each in wanted}
    assert {service for service, _size in after} == set(SERVICES.values())


def test_a_car_is_told_what_was_not_taken_and_its_second_connection_is_logged(mesh: Mesh) -> None:
    app, car = App(mesh), Car(mesh)
    # Connected anew: an enrolment service that was restarted in between does not know of earlier connections.
    car.do("leave-coverage")
    car.do("enter-coverage")
    car.meet()
    asyncio.run(say_as_the_car(mesh, {EventKind.RESULT: b"\xff" * 999, EventKind.DIAGNOSTICS: b"\xff" * 999}))

    def told() -> list[dict[str, object]]:
        answer = httpx.get(f"{mesh.control_url}/vehicles/{SAMPLE}", verify=NO_TLS)
        return [each for each in answer.json()["refusedReports"] if each["domain"] in TOLD]

    first = eventually(told)[0]
    assert str(first["reason"]).startswith("MALFORMED")
    assert first["accepted"] is False
    log = mesh.data / "logs" / "enrolment.log"
    lines = eventually(
        lambda: [line for line in log.read_text().splitlines() if "vehicle_connected_twice" in line]
    )
    assert SAMPLE not in "".join(lines)
    eventually(lambda: app.get("status").json()["connectivity"] == "ONLINE")


def test_a_letter_that_an_older_version_buried_is_taken_and_has_its_effect(mesh: Mesh) -> None:
    check_id = f"check-{uuid.uuid4()}"
    checks = StatusChecks()
    check = checks.checks.add(
        check_id=check_id, vin=SAMPLE, user_id="user-123", actor_id="user-123", source=1, correlation_id="old"
    )
    check.time.GetCurrentTime()
    letter = (STATUS_CHECKS_SUBJECT, checks.SerializeToString(), "unknown field", time.time_ns() // 1_000)
    with closing(sqlite3.connect(mesh.data / "data" / "command.db", timeout=10)) as database, database:
        letter_id = database.execute(
            "INSERT INTO dead_letter (subject, payload, reason, received_at) VALUES (?, ?, ?, ?)", letter
        ).lastrowid
    app = App(mesh)

    def looks() -> int:
        return [e["commandId"] for e in app.history(action="STATUS_CHECK", limit=200)["history"]].count(
            check_id
        )

    assert looks() == 0
    done = doorctl(mesh, "replay", str(letter_id), "--service", "command")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"replayed command {letter_id} {STATUS_CHECKS_SUBJECT} at ")
    assert looks() == 1

    again = doorctl(mesh, "replay", str(letter_id), "--service", "command")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    every = doorctl(mesh, "replay", "--all", "--service", "command")
    assert f" {letter_id} " not in every.stdout + every.stderr
    assert looks() == 1
    listed = doorctl(mesh, "list", "--service", "command").stdout.splitlines()
    assert [line for line in listed if "unknown field (replayed " in line]


def test_verdicts_that_an_older_version_buried_are_taken(mesh: Mesh) -> None:
    letter = (VERDICTS_SUBJECT, CommandVerdicts().SerializeToString(), "unknown", time.time_ns() // 1_000)
    with closing(sqlite3.connect(mesh.data / "data" / "command.db", timeout=10)) as database, database:
        letter_id = database.execute(
            "INSERT INTO dead_letter (subject, payload, reason, received_at) VALUES (?, ?, ?, ?)", letter
        ).lastrowid
    done = doorctl(mesh, "replay", str(letter_id), "--service", "command")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_wrong_is_one_line(mesh: Mesh) -> None:
    for words in (("replay", "2000000000", "--service", "config"), ("replay", "--service", "config")):
        done = doorctl(mesh, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("doorctl: ")
        assert len(done.stderr.splitlines()) == 1
