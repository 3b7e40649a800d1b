"""The settings, their versions, and what the vehicle's words make of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from services.config.domain.settings import DoorSettings, LeftOutSettings, SettingsChange

if TYPE_CHECKING:
    from datetime import datetime

FACTORY_VERSION = 0
"""Of the settings that a vehicle leaves the factory with; a vehicle that runs them reports it."""
HIGHEST_VERSION = 1_000_000_000
"""A vehicle that claims to run a later one is not accepted."""

KEEP_ANSWERS = timedelta(hours=24)
"""How long a repeat of a request gets the first answer."""

MOST_RESENDS = 5
"""So often settings are sent again because the vehicle was out of step; then they wait for its next hello."""

RIGHT_ENDED = (
    "Not sent: whoever asked for these settings no longer has the right to change this vehicle's settings. "
    "Ask for them again to send them."
)
NOT_PROVEN = (
    "Not sent: nobody is proven to have asked for these settings for this vehicle. "
    "Ask for them again to send them."
)


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """That somebody asked, and when: the capability that the request came with, and when it was accepted.

    `mac` is this service's stamp under the order that follows from it.
    """

    capability: str = field(repr=False)
    asked_at: datetime
    mac: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a request says of what is not its to change, as it was read before; None where it says nothing."""

    updated_at: datetime | None = None
    desired_version: int | None = None
    state: ApplicationState | None = None
    applied_version: int | None = None
    reason: str | None = None
    left_out: LeftOutSettings | None = None

    def differing(self, config: DoorConfig) -> str | None:
        """Return the member that is another than the config's; None when all is as it was read.

        What the vehicle said meanwhile of the same settings is no difference: nobody can read faster than it speaks.
        """
        if self.updated_at is not None and _millis(self.updated_at) != _millis(config.updated_at):
            return "updatedTime"
        if self.desired_version is None and self.state is None:
            return None
        if self.desired_version != config.desired_version:
            return "application"
        if self.state is ApplicationState.PENDING:
            return None
        shown = config.rejection if config.state is ApplicationState.REJECTED else None
        same = (self.state, self.applied_version, self.reason) == (
            config.state,
            config.applied_version,
            shown,
        )
        # Those who made the request may not know this member: without it nothing is said of it.
        same = same and self.left_out in {None, config.left_out}
        return None if same else "application"


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A change, who wants it and on whose behalf. The correlation id makes a repeat recognisable.

    `capability` is the token that proves it.
    """

    vin: str
    change: SettingsChange
    subject: str
    actor: str
    source: str
    correlation_id: str
    capability: str = field(repr=False)
    read_back: ReadBack = ReadBack()
    may_weaken: bool = False
    """Whether whoever asks has signed in well enough to weaken security (RFC 9470)."""


class ApplicationState(StrEnum):
    """What the vehicle has made of the wanted settings."""

    PENDING = "PENDING"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class DoorConfig:
    """A vehicle's settings. `applied_*` are the vehicle's last report of what it runs with, by its clock.

    `proof` is of the desired version; without one it is not sent. `resends` is how often it was sent again,
    since the vehicle's last hello, because the vehicle was out of step.
    """

    vin: str
    settings: DoorSettings
    updated_at: datetime
    desired_version: int = FACTORY_VERSION
    applied_version: int | None = None
    applied_at: datetime | None = None
    rejected_version: int | None = None
    rejection: str | None = None
    proof: RequestEvidence | None = None
    resends: int = 0
    running: DoorSettings | None = None
    """What the vehicle runs with, where it is known and others are wanted."""
    left_out: LeftOutSettings | None = None
    """Of the desired version."""

    @property
    def state(self) -> ApplicationState:
        """Of the desired version."""
        if self.applied_version == self.desired_version:
            return ApplicationState.APPLIED
        if self.rejected_version == self.desired_version:
            return ApplicationState.REJECTED
        return ApplicationState.PENDING


@dataclass(frozen=True, slots=True)
class Hello:
    """The vehicle connected; it runs with this version."""

    vin: str
    message_id: str
    sent_at: datetime
    running_version: int


@dataclass(frozen=True, slots=True)
class ConfigAnswer:
    """The vehicle's answer to settings it was sent. `reason` says why it did not apply them, or left some out."""

    vin: str
    message_id: str
    answered_at: datetime
    version: int
    applied: bool
    reason: str
    running: DoorSettings | None = None
    """What it runs with after it, by its own word."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """The vehicle's protocol refused the order with this version; its settings were not looked at.

    `out_of_step`: signed again, it may be accepted.
    """

    vin: str
    message_id: str
    version: int
    name: str
    out_of_step: bool


News = Hello | ConfigAnswer | ConfigFault


@dataclass(frozen=True, slots=True)
class Push:
    """Settings to send to the vehicle. `message_id` is unique to this sending."""

    vin: str
    message_id: str
    version: int
    settings: DoorSettings
    proof: RequestEvidence


@dataclass(frozen=True, slots=True)
class ConfigRightEnded:
    """Something that allowed changes has ended: of `principal`, as subject or actor, on `vin` or, where that is None,
    on every vehicle. Without a principal: a credential is no longer accepted.
    """

    principal: str | None
    vin: str | None


class ReadOnlyChangedError(Exception):
    """A request wants what is not its to change, or was made of settings that have been changed since."""

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.member = member


class WeakeningNotAllowedError(Exception):
    """The change weakens security in these settings, and whoever asked has not signed in well enough for that."""

    def __init__(self, settings: list[str]) -> None:
        super().__init__(", ".join(settings))
        self.settings = settings


class ConfigCorrelationIdReusedError(Exception):
    """This correlation id came before, with another change."""


def changed(config: DoorConfig, change: SettingsChange, proof: RequestEvidence) -> DoorConfig:
    """Return the config after the change: a new version, unless nothing is different and nothing was rejected."""
    settings = change.applied_to(config.settings)
    if settings == config.settings and config.state is not ApplicationState.REJECTED:
        return config
    return replace(
        config,
        running=config.settings if config.state is ApplicationState.APPLIED else config.running,
        settings=settings,
        updated_at=proof.asked_at,
        desired_version=config.desired_version + 1,
        proof=proof,
        resends=0,
        left_out=None,
    )


def after_message(config: DoorConfig, news: News) -> tuple[DoorConfig, Push | None]:
    """Return what the vehicle's signed response makes of the config, and what to send it in return."""
    match news:
        case Hello():
            return greeted(config, news)
        case ConfigAnswer():
            return answered(config, news), None
        case ConfigFault():
            return faulted(config, news)


def answered(config: DoorConfig, answer: ConfigAnswer) -> DoorConfig:
    """Return an answer about a version older than one the vehicle has since answered for changes nothing.

    A hello may have confirmed the wanted version already; the answer says besides what was left out of it.
    """
    confirmed = config.applied_version or FACTORY_VERSION
    of_the_wanted = answer.version == config.desired_version
    if answer.version > config.desired_version or answer.version < confirmed:
        return config
    tells_more = of_the_wanted and answer.applied and confirmed != FACTORY_VERSION and config.left_out is None
    if answer.version == confirmed and not tells_more:
        return config
    running = answer.running or config.running
    if answer.applied:
        wanted, left_out = config.settings, config.left_out
        if of_the_wanted:
            # It may have left out what it does not have: then that is not so, whatever was wanted.
            wanted = running = answer.running or wanted
            left_out = _left_out(config.settings, wanted, answer.reason)
        return replace(
            config,
            settings=wanted,
            running=running,
            applied_version=answer.version,
            applied_at=answer.answered_at,
            left_out=left_out,
        )
    if answer.version < config.desired_version:
        return config
    return _given_up(replace(config, running=running), answer.reason)


def _left_out(wanted: DoorSettings, running: DoorSettings, reason: str) -> LeftOutSettings | None:
    told = asdict(running)
    names = tuple(name for name, value in asdict(wanted).items() if told[name] != value)
    return LeftOutSettings(names, reason) if names else None


def _given_up(config: DoorConfig, reason: str) -> DoorConfig:
    """Return the config after the desired version came to nothing: its settings are those that run.

    So a later change carries nothing of it along. They stay as wanted where nobody knows what runs: of a vehicle
    whose settings were applied before this was kept.
    """
    running = config.running
    if running is None and not config.applied_version:
        running = DoorSettings()
    return replace(
        config,
        settings=running or config.settings,
        rejected_version=config.desired_version,
        rejection=reason,
    )


def greeted(config: DoorConfig, hello: Hello) -> tuple[DoorConfig, Push | None]:
    """Return what a vehicle says it runs with when it connects holds; what it lacks is sent again, if it may be.

    A vehicle that is ahead ignores our versions until they pass its own (it outlived a store that was
    restored or begun anew), so the wanted settings get a version beyond it.
    """
    confirmed = config.applied_at is None or hello.sent_at >= config.applied_at
    if confirmed and hello.running_version != config.applied_version:
        config = replace(config, applied_version=hello.running_version, applied_at=hello.sent_at)
    if hello.running_version > config.desired_version:
        config = replace(config, desired_version=hello.running_version + 1)
    config = replace(config, resends=0)
    if hello.running_version == config.desired_version:
        return config, None
    return _sent(config, cause=f"hello:{hello.message_id}")


def faulted(config: DoorConfig, fault: ConfigFault) -> tuple[DoorConfig, Push | None]:
    """Return a vehicle that was out of step is sent the settings again, if they are still wanted; any other fault is
    its rejection.
    """
    if not is_wanted(config, fault.version) or config.state is ApplicationState.APPLIED:
        return config, None
    if not fault.out_of_step:
        reason = f"The vehicle did not accept the order: {fault.name}."
        return _given_up(config, reason), None
    if config.resends >= MOST_RESENDS:
        return config, None
    return _sent(replace(config, resends=config.resends + 1), cause=f"fault:{fault.message_id}")


def is_wanted(config: DoorConfig, version: int) -> bool:
    """Return whether this version may be sent: it is the desired one, with its proof.

    Also when it was applied: a vehicle whose clock went back may have lost it, and its hello seems to be older.
    """
    return version == config.desired_version and config.proof is not None


def unsent(config: DoorConfig, version: int, reason: str) -> DoorConfig:
    """Return the config after nobody would sign this version: it is given up, and not tried again."""
    if not is_wanted(config, version):
        return config
    return replace(_given_up(config, reason), proof=None)


def push(config: DoorConfig, proof: RequestEvidence, cause: str) -> Push:
    """Return the wanted settings on their way, because of `cause`: the same cause gives the same message id."""
    digest = hashlib.sha256(f"{config.vin}/{config.desired_version}/{cause}".encode()).hexdigest()
    return Push(config.vin, f"config-{digest[:40]}", config.desired_version, config.settings, proof)


def _sent(config: DoorConfig, cause: str) -> tuple[DoorConfig, Push | None]:
    """With the wanted settings on their way, or with why they are not."""
    if config.proof is not None:
        return config, push(config, config.proof, cause)
    if config.rejected_version != config.desired_version:
        config = replace(config, rejected_version=config.desired_version, rejection=NOT_PROVEN)
    return config, None
