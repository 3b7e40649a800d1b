"""Wires the signer and runs it: `python -m services.signer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from pydantic import DirectoryPath, FilePath  # noqa: TC002  # pydantic reads the annotations

from key_files.pem import KeyFileError, read_signer
from services.platform import boot
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel, watch_channel
from services.platform.clock import CLOCK
from services.platform.health import Health
from services.platform.server import GrpcServer
from services.platform.settings import ServerSettings, Target
from services.signer.adapters.rights import GrpcRights
from services.signer.adapters.server import POLICY, SERVICE, OrderSigningServicer
from services.signer.adapters.translate import Ed25519OrderSigner, refusal_of
from services.telematics.manifest_files import read_manifests
from services.telematics.order_mac import OrderMac

if TYPE_CHECKING:
    import asyncio

NAME = "signer"


class SignerSettings(ServerSettings):
    """What this service needs besides."""

    access_target: Target
    signing_key: FilePath
    order_mac_key: FilePath
    key_manifests: DirectoryPath


async def main(settings: SignerSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    signer = read_signer(settings.signing_key)
    newest = read_manifests(settings.key_manifests)[-1]
    if not newest.lists_signer(signer.public_bytes):
        raise KeyFileError(f"manifest {newest.version} does not list the key in {settings.signing_key}")
    channel = open_channel(settings, settings.access_target, "access")
    health = Health()
    access_answers = health.condition("access", patience_seconds=settings.health_patience_seconds)
    verifier = CapabilityVerifier(settings.capability_jwks)
    mac = OrderMac.read(settings.order_mac_key)
    order_signer = Ed25519OrderSigner(signer, newest.version)
    servicer = OrderSigningServicer(GrpcRights(channel), order_signer, signer, verifier, mac, CLOCK.now)
    rpc = GrpcServer(
        settings,
        [SERVICE],
        servicer.register,
        POLICY,
        verifier,
        refusal_of,
        health=health,
    )
    await rpc.start()
    structlog.get_logger().info("started", listen=settings.listen, manifest=newest.version)
    try:
        await boot.run_until(stop, rpc.keep_health(), watch_channel(channel, access_answers))
    finally:
        await rpc.stop()
        await channel.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, SignerSettings, main)


if __name__ == "__main__":
    cli()
