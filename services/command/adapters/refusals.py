"""How the refusals of this service are told."""

from __future__ import annotations

from services.command.domain.commands import FailureReason
from services.command.domain.refusals import (
    CannotDeliverError,
    CommandAlreadyFinishedError,
    CommandForbiddenError,
    CommandInProgressError,
    CommandNotFoundError,
    CorrelationIdReusedError,
    DoorNotFittedError,
    FunctionNotAvailableError,
    NotYoursToCancelError,
)
from services.platform import errors
from services.platform.errors import REASONS, Refusal, Violation

COMMAND_NOT_FOUND = REASONS["COMMAND_NOT_FOUND"]
COMMAND_IN_PROGRESS = REASONS["COMMAND_IN_PROGRESS"]
COMMAND_ALREADY_FINISHED = REASONS["COMMAND_ALREADY_FINISHED"]
DOOR_OPEN = REASONS["DOOR_OPEN"]
ENGINE_ON = REASONS["ENGINE_ON"]
VEHICLE_MOVING = REASONS["VEHICLE_MOVING"]
REMOTE_ACCESS_DISABLED = REASONS["REMOTE_ACCESS_DISABLED"]
FUNCTION_NOT_AVAILABLE = REASONS["FUNCTION_NOT_AVAILABLE"]


def refusal_of(error: Exception) -> Refusal | None:
    """Return how a refusal of this service is told; None for what is not one."""
    match error:
        case CommandNotFoundError() | NotYoursToCancelError():
            return _out_of_reach(error)
        case CorrelationIdReusedError():
            return Refusal(
                errors.CORRELATION_ID_REUSED,
                "This correlation id was used before with another body; use a new one for a new request.",
                may_have_succeeded=False,
            )
        case CommandInProgressError(command_id):
            return Refusal(
                COMMAND_IN_PROGRESS,
                "Another command is in flight on this vehicle; wait for its end or cancel it.",
                may_have_succeeded=False,
                retry_after_seconds=5,
                facts={"commandId": command_id},
            )
        case CommandAlreadyFinishedError(command_id, status):
            return Refusal(
                COMMAND_ALREADY_FINISHED,
                f"The command has ended as {status.value}; there is nothing to cancel.",
                facts={"commandId": command_id, "commandStatus": status.value},
            )
        case CommandForbiddenError() | DoorNotFittedError() | FunctionNotAvailableError():
            return _impossible(error)
    return _cannot_deliver() if isinstance(error, CannotDeliverError) else None


def _impossible(error: CommandForbiddenError | DoorNotFittedError | FunctionNotAvailableError) -> Refusal:
    if isinstance(error, CommandForbiddenError):
        return _forbidden(error.reason, error.open_doors)
    if isinstance(error, DoorNotFittedError):
        there_are = ", ".join(error.there_are) or "none that can be moved from afar"
        return Refusal(
            errors.INVALID_REQUEST,
            f"This vehicle's model has no such door. It takes orders for {there_are}; name these, or all. "
            "Nothing was sent.",
            may_have_succeeded=False,
            violations=[
                Violation(f"targetDoors[{n}]", f"this vehicle has no {door}") for n, door in error.missing
            ],
        )
    which = f" ({', '.join(error.doors)})" if error.doors else ""
    return Refusal(
        FUNCTION_NOT_AVAILABLE,
        f"Vehicles of this model cannot do that from afar: {error.function}{which}. Nothing was sent; GET "
        ".../door/capabilities says what this vehicle can do.",
        may_have_succeeded=False,
        facts={"function": error.function},
    )


def _cannot_deliver() -> Refusal:
    return Refusal(
        errors.DEPENDENCY_UNAVAILABLE,
        "No vehicle can be reached at this moment. Nothing was accepted; try again in some seconds.",
        may_have_succeeded=False,
        retry_after_seconds=5,
    )


def _out_of_reach(error: CommandNotFoundError | NotYoursToCancelError) -> Refusal:
    if isinstance(error, CommandNotFoundError):
        return Refusal(COMMAND_NOT_FOUND, "This vehicle has no such command; check the id.")
    return Refusal(
        errors.ACTION_NOT_GRANTED,
        "Who gave this command and the vehicle's owner can cancel it; your access does not reach that far.",
        may_have_succeeded=False,
        facts={"action": "door.cancel"},
    )


def _forbidden(reason: FailureReason, doors: tuple[str, ...]) -> Refusal:
    told = {
        FailureReason.DOOR_OPEN: (
            DOOR_OPEN,
            f"Open: {', '.join(doors)}. Close it, then lock again; nothing was sent to the vehicle.",
        ),
        FailureReason.ENGINE_ON: (
            ENGINE_ON,
            "The ignition is on: an unlock needs unlockMode EMERGENCY, a SECURE lock must wait. Nothing was sent.",
        ),
        FailureReason.REMOTE_ACCESS_DISABLED: (
            REMOTE_ACCESS_DISABLED,
            "Remote access is switched off in the vehicle, or it is in privacy mode. Whoever is at the vehicle can "
            "switch that; nothing was sent.",
        ),
        FailureReason.VEHICLE_MOVING: (
            VEHICLE_MOVING,
            "The vehicle is moving. Wait until it stands still, then try again; nothing was sent.",
        ),
    }
    kind, detail = told[reason]
    facts = {"openDoors": list(doors)} if doors else {}
    return Refusal(kind, detail, may_have_succeeded=False, facts=facts)
