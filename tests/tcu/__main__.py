"""`python -m tests.tcu --vin VIN --folder FOLDER --root PEM --manifest FILE --ca PEM (--nats URL | --mqtt HOST:PORT)`.

FOLDER has sign.key, seal.key, tls.key and tls.crt, as docs/tcu.md makes them, and gets the unit's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tests.tcu.disk import Disk
from tests.tcu.links import MqttLink, NatsLink
from tests.tcu.unit import Unit
from tests.tcu.wire import Trust


async def main(words: argparse.Namespace) -> None:
    folder = words.folder
    tls = ssl.create_default_context(cafile=words.ca)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    link: MqttLink | NatsLink
    if words.mqtt:
        host, _, port = words.mqtt.rpartition(":")
        link = MqttLink(words.vin, host, int(port), tls)
    else:
        link = NatsLink(words.vin, words.nats, tls)
    root: Any = load_pem_public_key(words.root.read_bytes())
    sign_key, seal_key = (_private(folder / name) for name in ("sign.key", "seal.key"))
    factory = Trust.read(root.public_bytes_raw(), words.manifest.read_bytes())
    unit = Unit(words.vin, sign_key, seal_key, factory, Disk(folder / "memory.json"), link)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, unit.stop)
    await unit.live()


def _private(path: Path) -> Any:
    return load_pem_private_key(path.read_bytes(), password=None)


parser = argparse.ArgumentParser(prog="python -m tests.tcu")
parser.add_argument("--vin", required=True)
for name in ("folder", "root", "manifest", "ca"):
    parser.add_argument(f"--{name}", type=Path, required=True)
parser.add_argument("--nats", default="tls://127.0.0.1:8422")
parser.add_argument("--mqtt", default="")
if __name__ == "__main__":
    asyncio.run(main(parser.parse_args()))
