"""What a unit must be made with to accept the kit, as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from key_files.pem import public_pem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conformance.keys import KitCloudKeys


@dataclass(frozen=True, slots=True)
class Access:
    """How the unit reaches the broker. `user` is None where the broker is somebody else's, who knows."""

    link: str
    url: str
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Provision:
    """The files. `environment` is the reference agent's (vehicle/README.md)."""

    root: Path
    manifest: Path
    environment: Mapping[str, str]

    @classmethod
    def write(
        cls,
        folder: Path,
        vin: str,
        keys: KitCloudKeys,
        access: Access,
        private_keys: Path | None,
        control: str | None,
    ) -> Provision:
        """Into `folder`. A unit is made with the first root and manifest; what followed, it is sent.

        `private_keys` is where the reference agent has its own; it is named, and not read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        root, manifest = folder / "root.public.pem", folder / "cloud.manifest"
        first_root = keys.all("root")[0].private
        assert isinstance(first_root, Ed25519PrivateKey)  # noqa: S101  # by its use
        root.write_bytes(public_pem(first_root.public_key()))
        manifest.write_bytes(keys.endorsed(1))
        environment = {
            f"DOORS_{access.link.upper()}_URL": access.url,
            "DOORS_VEHICLE_DATA_DIR": str((folder / "data").resolve()),
        }
        if access.ca is not None:
            environment["DOORS_NATS_CA"] = str(access.ca.resolve())
        if control is not None:
            environment["DOORS_CONTROL_PORT"] = str(urlsplit(control).port or 80)
        if private_keys is not None:
            vehicles = folder / "vehicles.json"
            vehicles.write_text(
                json.dumps([_vehicle(vin, access, private_keys, root, manifest)], indent=2) + "\n"
            )
            environment["DOORS_VEHICLES_FILE"] = str(vehicles.resolve())
        return cls(root, manifest, environment)

    def described(self, access: Access) -> list[str]:
        """Return lines for the person who provisions the unit."""
        lines = [
            f"root public key   {self.root}",
            f"first manifest    {self.manifest}",
            f"broker            {access.url}",
        ]
        if access.user is not None:
            lines.append(f"user, password    {access.user}, in {access.password_file}")
        lines += [f"reference agent   {name}={value}" for name, value in self.environment.items()]
        return lines


def _vehicle(vin: str, access: Access, private_keys: Path, root: Path, manifest: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "vin": vin,
        "awake": True,
        "doorTimeSeconds": 0,
        "link": access.link,
        "keysFile": str(private_keys.resolve()),
        "rootKeyFile": str(root.resolve()),
        "manifestFile": str(manifest.resolve()),
    }
    if access.user is not None:
        entry |= {"natsUser": access.user, "natsPasswordFile": str(access.password_file)}
    return entry
