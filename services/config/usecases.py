"""What this service does: one function per intention, and the ports it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from services.config.domain.models import check_available

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ecarus.remotecontrol.vehicle.v1.command_pb2 import ApplyConfig

    from protocol.cloud_side import ReplayGuard, SessionSlot
    from protocol.faults import MessageRefusedError
    from services.config.domain.config import ChangeRequest, ConfigRightEnded, DoorConfig, News, Push
    from services.config.domain.models import SettableModel

KEEP_NEWS = timedelta(days=8)
"""Longer than the broker keeps a vehicle's events, and so longer than one can be delivered again."""


@dataclass(frozen=True, slots=True)
class VerifiedConfigMessage:
    """What a vehicle said and signed. `admit` takes it into the vehicle's session and says what it means;
    it raises MessageRefusedError, and then has changed nothing.
    """

    vin: str
    message_id: str
    admit: Callable[[ReplayGuard], News]


@dataclass(frozen=True, slots=True)
class SignedSettings:
    """Settings that the signer signed for their slot in the vehicle's session."""

    vin: str
    order: ApplyConfig
    slot: SessionSlot
    envelope: bytes


@dataclass(frozen=True, slots=True)
class UnsignedSettings:
    """Settings that the signer does not sign, and why, told to whoever asks for the config."""

    vin: str
    version: int
    reason: str


class ConfigRecord(Protocol):
    """The durable record. Every function raises StorageUnavailableError when it cannot be relied on.

    What it tells of configs is without their proofs.
    """

    async def find(self, vin: str) -> DoorConfig | None:
        """Return the vehicle's config; None before the first sight of it."""

    async def first_sight(self, vin: str, at: datetime) -> DoorConfig:
        """Return the vehicle's config, begun now with the factory's settings if there is none."""

    async def change(self, request: ChangeRequest, at: datetime) -> DoorConfig:
        """Keep the change, its proof, its audit entry and the message to the vehicle in one commit.

        A repeat gets the first answer. Raises CorrelationIdReusedError when the repeat wants something else,
        ReadOnlyChangedError, and WeakeningNotAllowedError, of which nothing is kept.
        """

    async def ingest(
        self, received: Sequence[VerifiedConfigMessage], at: datetime
    ) -> list[MessageRefusedError | None]:
        """Keep what vehicles said, in order, each message once, and what is to be sent in return: in one
        commit with their sessions. For each, why it was refused, if it was.
        """


class OrderRecord(Protocol):
    """The same record, for orders on their way out."""

    async def reserve_slots(
        self, versions: Mapping[str, int], valid_millis: int, at: datetime
    ) -> dict[str, SessionSlot]:
        """By VIN, the next place in the session of each vehicle that still wants its version of the settings.

        A vehicle that said no hello yet has none.
        """

    async def conclude(
        self, signed: Sequence[SignedSettings], unsigned: Sequence[UnsignedSettings], at: datetime
    ) -> set[str]:
        """Record in one commit what was signed, and give up what was not. The VINs whose order may leave; the
        place of any other was taken meanwhile.
        """


async def read_config(record: ConfigRecord, now: Callable[[], datetime], vin: str) -> DoorConfig:
    """Return the vehicle's settings; asking for them makes the vehicle known."""
    return await record.find(vin) or await record.first_sight(vin, now())


async def change_config(
    record: ConfigRecord, now: Callable[[], datetime], request: ChangeRequest, model: SettableModel
) -> DoorConfig:
    """Return the settings after the change. Raises SettingNotAvailableError, CorrelationIdReusedError,
    ReadOnlyChangedError, WeakeningNotAllowedError.
    """
    check_available(request.change, model)
    return await record.change(request, now())


async def ingest_messages(
    record: ConfigRecord, now: Callable[[], datetime], received: Sequence[VerifiedConfigMessage]
) -> list[MessageRefusedError | None]:
    """Take in what vehicles said; safe to repeat. For each, why it was refused, if it was."""
    return await record.ingest(received, now()) if received else []


class SettingsCancellations(Protocol):
    """The same record, for settings whose right has ended. Every function raises StorageUnavailableError."""

    async def unapplied(self, ended: ConfigRightEnded) -> list[Push]:
        """Return the wanted settings that their vehicles do not run yet, and that this may concern."""

    async def cancel(self, pushes: Sequence[Push], at: datetime) -> None:
        """Give them up because the right to them has ended, with what tells the service that keeps vehicles' queues."""


class ConfigRightsReview(Protocol):
    """The signer, which asks the access service."""

    async def ended(self, pushes: Sequence[Push]) -> list[Push]:
        """Return those to which there is no right any more. Raises StorageUnavailableError when nobody can tell."""


async def end_rights(
    record: SettingsCancellations,
    review: ConfigRightsReview,
    now: Callable[[], datetime],
    ended: ConfigRightEnded,
) -> None:
    """Give up what was asked for under a right that has ended; safe to repeat. Raises StorageUnavailableError."""
    concerned = await record.unapplied(ended)
    gone = await review.ended(concerned) if concerned else []
    if gone:
        await record.cancel(gone, now())
