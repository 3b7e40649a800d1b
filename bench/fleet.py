"""The vehicles of a run and their owner, beside what the sandbox has.

`cars` are simulated and act at once. `sleepers` speak before they go to sleep (see bench.speakers): a command
to one is signed, published and waits at the broker. `strangers` are enrolled but never said a word: nothing can be
signed for them, so a command to one is accepted and parked. `watched` speaks, too.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.speakers import SpeakerKeys, write_keys
from key_files.pem import public_pem
from mesh.files import private_folder, write_private, write_private_json
from mesh.nats_config import render_nats
from mesh.pki import Pair
from mesh.sandbox_fleet import SAMPLE_KEY_SCOPES

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

OWNER = "bench"
EVERY_VEHICLE = "*"
"""The broker's user for the whole fleet: its rights are a vehicle's, for any VIN."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many of each kind. `key` is the owner's API key, made anew for each run."""

    key: str
    cars: tuple[str, ...]
    sleepers: tuple[str, ...]
    strangers: tuple[str, ...]
    watched: str = "BENCHWATCHED00001"

    @classmethod
    def of(cls, *, cars: int, sleepers: int, strangers: int) -> Fleet:
        """Return a fleet of these sizes."""
        return cls(
            f"sk_{secrets.token_urlsafe(32)}",
            tuple(f"BENCHCAR{number:09}" for number in range(cars)),
            tuple(f"BENCHSLEEP{number:07}" for number in range(sleepers)),
            tuple(f"BENCHNEW{number:09}" for number in range(strangers)),
        )

    def join(self, sandbox: Sandbox) -> None:
        """Add the owner, the grants and the cars to a sandbox that is prepared; its own cars stay parked."""
        owned = [*self.cars, *self.sleepers, *self.strangers, self.watched]
        seed: dict[str, list[Any]] = json.loads(sandbox.seed.read_text(encoding="utf-8"))
        seed["vehicles"] += owned
        seed["grants"] += [
            {"grantId": f"bench-{vin}", "principal": OWNER, "vin": vin, "role": "OWNER"} for vin in owned
        ]
        seed["consents"].append({"principal": OWNER, "purpose": "ACCESS_HISTORY"})
        seed["apiKeys"].append(
            {"key": self.key, "principal": OWNER, "source": "MOBILE_APP", "scopes": list(SAMPLE_KEY_SCOPES)}
        )
        write_private_json(sandbox.seed, seed)
        password = sandbox.nats_password(EVERY_VEHICLE)
        write_private(password, secrets.token_urlsafe(32).encode())
        cars = [
            {
                "vin": vin,
                "awake": True,
                "doorTimeSeconds": 0,
                "natsUser": EVERY_VEHICLE,
                "natsPasswordFile": str(password.resolve()),
                **sandbox.ceremony.car_settings(vin),
            }
            for vin in self.cars
        ]
        write_private_json(sandbox.vehicles, cars)
        self._enrol(sandbox)

    def _enrol(self, sandbox: Sandbox) -> None:
        """Under their keys only: they show the broker no certificate."""
        enrolled: list[dict[str, str]] = json.loads(sandbox.enrolment_seed.read_text(encoding="utf-8"))
        files = {vin: sandbox.ceremony.make_car(vin).public for vin in self.cars}
        speakers = {vin: SpeakerKeys.generate() for vin in (*self.sleepers, self.watched)}
        write_keys(speaker_keys(sandbox), speakers)
        strangers = {
            vin: SpeakerKeys.generate() for vin in self.strangers
        }  # nobody needs their private halves
        folder = private_folder(sandbox.folder / "public" / "vehicles")
        for vin, keys in {**speakers, **strangers}.items():
            files[vin] = folder / f"{vin}.pem"
            files[vin].write_bytes(public_pem(*keys.public))
        enrolled += [{"vin": vin, "keysFile": str(path.resolve())} for vin, path in files.items()]
        write_private_json(sandbox.enrolment_seed, enrolled)

    def allow_on_broker(self, ports: Ports, sandbox: Sandbox) -> None:
        """Write the broker's configuration anew with the fleet's user."""
        pair = Pair(sandbox.pki / "nats.crt", sandbox.pki / "nats.key")
        text = render_nats(ports, sandbox, pair, [EVERY_VEHICLE], monitored=True)
        write_private(sandbox.folder / "nats" / "nats.conf", text.encode())


def speaker_keys(sandbox: Sandbox) -> Path:
    """Return the private keys of those that only speak."""
    return sandbox.folder / "secrets" / "speakers.json"
