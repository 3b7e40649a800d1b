"""Between the contract's messages about the fleet's failures and this service's own words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2 as door_pb2
from ecarus.remotecontrol.door.v1 import door_failure_pb2 as failure_pb2
from ecarus.remotecontrol.door.v1 import fleet_failure_pb2 as fleet_pb2

from services.command.domain.failures import COMPONENT_OF, share
from services.command.domain.fleet import FleetQuery
from services.failure_texts import Language, failure_words
from services.platform.times import set_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2 as review_pb2
    from ecarus.remotecontrol.door.v1 import fleet_failure_service_pb2 as service_pb2

    from services.command.domain.commands import FailureReason
    from services.command.domain.fleet import FleetCause, FleetGroup, FleetOverview, FleetPart, FleetRate

    FleetRequest = (
        service_pb2.GetFleetFailuresRequest
        | service_pb2.GetFleetFailuresTableRequest
        | review_pb2.ReviewFleetFailuresRequest
    )

_PERIODS = {"7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}
DEFAULT_PERIOD = "30d"
_MOST = 2**31 - 1


def fleet_query(request: FleetRequest, now: datetime) -> FleetQuery:
    """Return which time and model are asked about."""
    return FleetQuery(now, _PERIODS[period_of(request)], request.model if request.HasField("model") else None)


def period_of(request: FleetRequest) -> str:
    """Return the period by its name."""
    return request.period if request.HasField("period") else DEFAULT_PERIOD


def language_of(request: FleetRequest) -> Language:
    """Return the language that is asked for."""
    return Language(request.language) if request.HasField("language") else Language.ENGLISH


def fleet_failures(overview: FleetOverview, period: str, language: Language) -> fleet_pb2.FleetFailures:
    """Return the public resource."""
    query, totals = overview.query, overview.totals
    message = fleet_pb2.FleetFailures(
        period=period,
        language=language.value,
        model=query.model,
        minimum_vehicles=overview.minimum_vehicles,
        other_failures=_bounded(overview.other_failures),
        doors=map(_door, overview.doors),
        buckets=map(_bucket, overview.parts),
    )
    set_time(getattr(message, "from"), query.since)
    set_time(message.to, query.now)
    set_time(message.counted_until, overview.counted_until)
    if totals is None:
        return message
    message.totals.CopyFrom(
        fleet_pb2.FleetTotals(
            commands=_bounded(totals.commands),
            failures=_bounded(totals.failures),
            failure_rate=totals.rate,
            previous_failure_rate=totals.before,
        )
    )
    message.causes.extend(_cause(each, totals, language) for each in overview.causes)
    message.components.extend(
        fleet_pb2.FleetComponentFailures(
            component=failure_pb2.FailureComponent.Value.Value(component.value),
            failures=_bounded(count),
            share=share(count, totals.failures),
        )
        for component, count in overview.components
    )
    message.models.extend(_model(each, totals) for each in overview.models)
    return message


def _cause(cause: FleetCause, totals: FleetRate, language: Language) -> fleet_pb2.FleetFailureCause:
    words = failure_words(cause.reason, language)
    return fleet_pb2.FleetFailureCause(
        failure_reason=_reason(cause.reason),
        component=failure_pb2.FailureComponent.Value.Value(COMPONENT_OF[cause.reason].value),
        failures=_bounded(cause.failures),
        share=share(cause.failures, totals.failures),
        failure_rate=share(cause.failures, totals.commands),
        fleet_failure_rate=cause.fleet,
        previous_failure_rate=cause.before,
        title=words.title,
        cause=words.cause,
        guidance=words.guidance,
    )


def _door(door: FleetGroup) -> fleet_pb2.FleetDoorFailures:
    return fleet_pb2.FleetDoorFailures(
        door_id=door.name, failures=_bounded(door.failures), reasons=_reasons(door.reasons)
    )


def _model(model: FleetGroup, totals: FleetRate) -> fleet_pb2.FleetModelFailures:
    return fleet_pb2.FleetModelFailures(
        model=model.name,
        commands=_bounded(model.commands),
        failures=_bounded(model.failures),
        failure_rate=model.rate,
        times_fleet=round(model.rate / totals.rate, 2) if totals.rate else None,
        reasons=_reasons(model.reasons),
    )


def _bucket(part: FleetPart) -> fleet_pb2.FleetFailureBucket:
    message = fleet_pb2.FleetFailureBucket(commands=_bounded(part.commands), failures=_bounded(part.failures))
    set_time(message.start, part.start)
    set_time(message.end, part.end)
    return message


def _reasons(reasons: Iterable[tuple[FailureReason, int]]) -> list[failure_pb2.ReasonCount]:
    return [
        failure_pb2.ReasonCount(failure_reason=_reason(reason), failures=_bounded(count))
        for reason, count in reasons
    ]


def _reason(reason: FailureReason) -> door_pb2.FailureReason.Value.ValueType:
    return door_pb2.FailureReason.Value.Value(reason.value)


def _bounded(count: int) -> int:
    return min(count, _MOST)
