"""The simulator as a process: its settings, its one line, its control port, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from protocol.subjects import CommandKind, EventKind
from tests.messaging.vehicle_cloud import Broker, Cloud, door_command
from tests.support.plain_http import NO_TLS
from tests.support.protocol_harness import ROOT, Car, Clock, seed
from tests.support.signed_cloud import VIN, endorsed, manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    one = Broker(tmp_path)
    await one.start()
    yield one
    one.kill()


def credentials(vin: str, folder: Path) -> dict[str, str]:
    """The files that a car is made with, as vehicles.json names them."""
    car = Car(vin, Clock())
    private = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    root = Ed25519PublicKey.from_public_bytes(ROOT.public_bytes)
    files = {
        "keysFile": Ed25519PrivateKey.from_private_bytes(seed(f"{vin} signer")).private_bytes(*private)
        + car.seal_key.private_bytes(*private),
        "rootKeyFile": root.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "manifestFile": endorsed(manifest()),
    }
    paths = {name: folder / f"{vin}.{name}" for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    return {name: str(path) for name, path in paths.items()}


def environment(broker_url: str, folder: Path, user: str = "car") -> dict[str, str]:
    password_file = folder / "car.password"
    password_file.write_text("car\n")
    cars = [
        {
            "vin": VIN,
            "awake": True,
            "doorTimeSeconds": 0,
            "natsUser": user,
            "natsPasswordFile": str(password_file),
            **credentials(VIN, folder),
        },
        {
            "vin": "KMHSH81C7LU123457",
            "awake": False,
            "doorTimeSeconds": 0.2,
            **credentials("KMHSH81C7LU123457", folder),
        },
    ]
    vehicles_file = folder / "vehicles.json"
    vehicles_file.write_text(json.dumps(cars))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ".:gen",
        "DOORS_VEHICLES_FILE": str(vehicles_file),
        "DOORS_VEHICLE_DATA_DIR": str(folder / "data"),
        "DOORS_NATS_URL": broker_url,
        "DOORS_CONTROL_PORT": "0",
    }


async def start(env: dict[str, str], *words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vehicle", *words, env=env, stdout=pipe, stderr=pipe
    )


async def test_it_starts_says_so_once_and_drains(broker: Broker, tmp_path: Path) -> None:
    cloud = Cloud(broker)
    await cloud.start()
    process = await start(environment(broker.url, tmp_path))
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 15))
    assert (ready["event"], ready["cars"], ready["connected"]) == ("ready", 2, 1)
    async with httpx.AsyncClient(base_url=ready["control"], verify=NO_TLS) as http:
        assert (await http.get("/healthz")).status_code == 200
        cars = (await http.get("/vehicles")).json()
        assert [car["asleep"] for car in cars] == [False, True]
        await http.post(f"/vehicles/{VIN}/door-time", json={"seconds": 0.2})
        await cloud.order(CommandKind.DOOR, door_command())
        await cloud.subscribes(EventKind.RECEIVED)
    process.send_signal(signal.SIGTERM)
    rest, _log = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, rest) == (0, b"")
    # The command that had begun was finished, and its result was sent, before the process ended.
    assert len((await cloud.subscribes(EventKind.RESULT)).doors) == 5
    await cloud.until(lambda: cloud.received(EventKind.STATUS)[-1].going_to_sleep)
    await cloud.stop()


async def test_one_flag_takes_the_same_cars_over_mqtt(broker: Broker, tmp_path: Path) -> None:
    cloud = Cloud(broker, "mqtt")
    await cloud.start()
    env = environment(broker.url, tmp_path, "car-mqtt")
    env["DOORS_MQTT_URL"] = f"mqtt://127.0.0.1:{broker.mqtt_port}"
    del env["DOORS_NATS_URL"]
    process = await start(env, "--link", "mqtt")
    assert process.stdout is not None
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 15))["connected"] == 1
    await cloud.order(CommandKind.DOOR, door_command())
    assert len((await cloud.subscribes(EventKind.RESULT)).doors) == 5
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0
    await cloud.stop()


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1", "mqtts://127.0.0.1:1"])
async def test_a_wrong_mqtt_address_is_one_clear_line(tmp_path: Path, url: str) -> None:
    env = environment("nats://127.0.0.1:1", tmp_path) | {"DOORS_MQTT_URL": url}
    process = await start(env, "--link", "mqtt")
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out) == (1, b"")
    assert err.decode().count("\n") == 1
    assert "DOORS_MQTT_URL" in err.decode()


async def test_a_killed_process_interrupts_its_command_for_good(broker: Broker, tmp_path: Path) -> None:
    cloud = Cloud(broker)
    await cloud.start()
    env = environment(broker.url, tmp_path)
    process = await start(env)
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 15))
    async with httpx.AsyncClient(base_url=ready["control"], verify=NO_TLS) as http:
        await http.post(f"/vehicles/{VIN}/door-time", json={"seconds": 0.5})
    await cloud.order(CommandKind.DOOR, door_command())
    await cloud.subscribes(EventKind.RECEIVED)
    process.kill()
    await process.communicate()
    again = await start(env)
    result = await cloud.subscribes(EventKind.RESULT)
    await cloud.queue_is_empty()
    assert result.guidance.startswith("The car's unit restarted")
    again.send_signal(signal.SIGTERM)
    await asyncio.wait_for(again.communicate(), 15)
    log = (tmp_path / "data" / VIN / "actuations.jsonl").read_text().splitlines()
    assert len(log) <= 2
    await cloud.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOORS_NATS_URL", ""),
        ("DOORS_CONTROL_PORT", "http"),
        ("DOORS_VEHICLES_FILE", "/nowhere"),
        ("DOORS_LOG_LEVEL", "LOUD"),
    ],
)
async def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, name: str, value: str) -> None:
    process = await start({**environment("nats://127.0.0.1:1", tmp_path), name: value})
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 1
    assert out == b""
    assert err.decode().count("\n") == 1
    assert name in err.decode()


async def test_what_is_wrong_with_the_file_and_what_is_not_read_are_said_in_words(tmp_path: Path) -> None:
    env = environment("nats://127.0.0.1:1", tmp_path)
    missing = tmp_path / "none.json"
    for changed, said in (
        ({"DOORS_VEHICLES_FILE": str(missing)}, f"{missing}: No such file or directory"),
        ({"DOORS_CONTROL_PROT": "1", "DOORS_CONTROL_PORT": ""}, "DOORS_CONTROL_PROT is not read here"),
    ):
        process = await start({**env, **changed})
        _, err = await asyncio.wait_for(process.communicate(), 15)
        assert process.returncode == 1
        assert said in err.decode()
        assert "Error(" not in err.decode()


async def test_a_car_has_the_doors_that_the_file_says(broker: Broker, tmp_path: Path) -> None:
    cloud = Cloud(broker)
    await cloud.start()
    env = environment(broker.url, tmp_path)
    cars = json.loads((tmp_path / "vehicles.json").read_text())
    cars[0]["equipment"] = {"doors": ["driver", "passenger", "trunk"], "lockSwitches": ["driver"]}
    (tmp_path / "vehicles.json").write_text(json.dumps(cars))
    process = await start(env)
    first = await cloud.subscribes(EventKind.STATUS)
    assert [(door.door, door.HasField("locked"), door.open) for door in first.doors] == [
        (1, True, False),
        (2, False, False),
        (5, False, False),
    ]
    await cloud.order(CommandKind.DOOR, door_command())
    assert [door.door for door in (await cloud.subscribes(EventKind.RESULT)).doors] == [1, 2, 5]
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 15)
    await cloud.stop()


async def test_equipment_that_makes_no_car_is_one_clear_line(tmp_path: Path) -> None:
    env = environment("nats://127.0.0.1:1", tmp_path)
    cars = json.loads((tmp_path / "vehicles.json").read_text())
    cars[0]["equipment"] = {"doors": ["boot"]}
    (tmp_path / "vehicles.json").write_text(json.dumps(cars))
    process = await start(env)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out) == (1, b"")
    assert err.decode().count("\n") == 1
    assert "equipment: doors is a list of" in err.decode()


@pytest.mark.parametrize("missing", ["keysFile", "rootKeyFile", "manifestFile"])
async def test_a_car_without_its_keys_is_one_clear_line(tmp_path: Path, missing: str) -> None:
    env = environment("nats://127.0.0.1:1", tmp_path)
    cars = json.loads((tmp_path / "vehicles.json").read_text())
    del cars[0][missing]
    (tmp_path / "vehicles.json").write_text(json.dumps(cars))
    process = await start(env)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out) == (1, b"")
    assert err.decode().count("\n") == 1
    assert missing in err.decode()


async def test_a_damaged_manifest_stops_the_start_with_one_clear_line(tmp_path: Path) -> None:
    env = environment("nats://127.0.0.1:1", tmp_path)
    (tmp_path / "data" / VIN).mkdir(parents=True)
    (tmp_path / "data" / VIN / "adopted.manifest").write_bytes(b"damaged")
    process = await start(env)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out) == (1, b"")
    assert err.decode().count("\n") == 1
    assert "adopted.manifest is damaged" in err.decode()
    assert VIN not in err.decode()


async def test_a_tcu_makes_its_keys(tmp_path: Path) -> None:
    words = ("keys", "--out", str(tmp_path / "keys.pem"), "--public", str(tmp_path / "public.pem"))
    process = await start({"PATH": os.environ["PATH"], "PYTHONPATH": ".:gen"}, *words)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out, err) == (0, b"", b"")
    made = (tmp_path / "keys.pem").read_bytes()
    assert made.count(b"BEGIN PRIVATE KEY") == (tmp_path / "public.pem").read_bytes().count(
        b"BEGIN PUBLIC KEY"
    )
    again = await start({"PATH": os.environ["PATH"], "PYTHONPATH": ".:gen"}, *words)
    _out, err = await asyncio.wait_for(again.communicate(), 15)
    assert again.returncode == 1
    assert err.decode().count("\n") == 1
    assert (tmp_path / "keys.pem").read_bytes() == made
