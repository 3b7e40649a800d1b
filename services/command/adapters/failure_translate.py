"""Between the contract's messages about failures and this service's own words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2 as door_pb2
from ecarus.remotecontrol.door.v1 import door_failure_pb2 as failure_pb2

from services.command.domain.commands import FailureReason, PersonRole
from services.command.domain.failures import COMPONENT_OF, FailureQuery, share
from services.failure_texts import Language, failure_words
from services.platform.times import set_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import door_failure_service_pb2 as service_pb2

    from services.command.domain.commands import Viewer
    from services.command.domain.failures import (
        Bucket,
        Cause,
        DoorFailureTotals,
        FailureAnalysis,
        FailureComponent,
        FleetCounts,
    )

    FailuresRequest = service_pb2.GetDoorFailuresRequest | service_pb2.GetDoorFailuresTableRequest

_PERIODS = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
DEFAULT_PERIOD = "24h"
_MOST = 2**31 - 1


def failure_query(request: FailuresRequest, viewer: Viewer, now: datetime) -> FailureQuery:
    """Return whose failures of which time this reader is shown."""
    return FailureQuery(
        request.vin,
        now,
        _PERIODS[period_of(request)],
        viewer.since,
        None if viewer.role is PersonRole.OWNER else viewer.subject,
    )


def period_of(request: FailuresRequest) -> str:
    """Return the period by its name."""
    return request.period if request.HasField("period") else DEFAULT_PERIOD


def language_of(request: FailuresRequest) -> Language:
    """Return the language that is asked for."""
    return Language(request.language) if request.HasField("language") else Language.ENGLISH


def door_failures(analysis: FailureAnalysis, period: str, language: Language) -> failure_pb2.DoorFailures:
    """Return the public resource."""
    fleet = analysis.fleet
    message = failure_pb2.DoorFailures(
        vin=analysis.query.vin,
        period=period,
        model=analysis.model,
        language=language.value,
        commands=analysis.commands,
        failures=analysis.failures,
        failure_rate=share(analysis.failures, analysis.commands),
        causes=[_cause(each, analysis, language) for each in analysis.causes],
        buckets=map(_bucket, analysis.buckets),
        doors=map(_door, analysis.doors),
        components=_components(analysis),
    )
    set_time(getattr(message, "from"), analysis.query.since)
    set_time(message.to, analysis.query.now)
    set_time(message.counted_until, analysis.counted_until)
    if fleet is not None:
        message.fleet.CopyFrom(_fleet(fleet, analysis.model))
    _add_likely(message, analysis, language)
    return message


def _cause(cause: Cause, analysis: FailureAnalysis, language: Language) -> failure_pb2.DoorFailureCause:
    words = failure_words(cause.reason, language)
    message = failure_pb2.DoorFailureCause(
        failure_reason=_reason(cause.reason),
        failures=cause.failures,
        share=share(cause.failures, analysis.failures),
        fleet_share=analysis.fleet.share(cause.reason) if analysis.fleet is not None else None,
        component=_component(COMPONENT_OF[cause.reason]),
        doors=[failure_pb2.DoorFailureCount(door_id=door, failures=count) for door, count in cause.doors],
        title=words.title,
        cause=words.cause,
        guidance=words.guidance,
    )
    set_time(message.last_seen, cause.last_seen)
    return message


def _reason(reason: FailureReason) -> door_pb2.FailureReason.Value.ValueType:
    return door_pb2.FailureReason.Value.Value(reason.value)


def _component(component: FailureComponent) -> failure_pb2.FailureComponent.Value.ValueType:
    return failure_pb2.FailureComponent.Value.Value(component.value)


def _reasons(reasons: Iterable[tuple[FailureReason, int]]) -> list[failure_pb2.ReasonCount]:
    return [
        failure_pb2.ReasonCount(failure_reason=_reason(reason), failures=count) for reason, count in reasons
    ]


def _bucket(bucket: Bucket) -> failure_pb2.FailureBucket:
    message = failure_pb2.FailureBucket(
        commands=bucket.commands, failures=bucket.failures, reasons=_reasons(bucket.reasons)
    )
    set_time(message.start, bucket.start)
    set_time(message.end, bucket.end)
    return message


def _door(door: DoorFailureTotals) -> failure_pb2.DoorFailureCount:
    return failure_pb2.DoorFailureCount(
        door_id=door.door, failures=door.failures, reasons=_reasons(door.reasons)
    )


def _components(analysis: FailureAnalysis) -> list[failure_pb2.ComponentFailureCount]:
    fleet: dict[FailureComponent, float] = {}
    if analysis.fleet is not None:
        for reason in analysis.fleet.failures:
            part = analysis.fleet.share(reason) or 0.0
            fleet[COMPONENT_OF[reason]] = round(fleet.get(COMPONENT_OF[reason], 0.0) + part, 4)
    return [
        failure_pb2.ComponentFailureCount(
            component=_component(component),
            failures=count,
            share=share(count, analysis.failures),
            fleet_share=fleet.get(component),
        )
        for component, count in analysis.components()
    ]


def _fleet(fleet: FleetCounts, model: str) -> failure_pb2.FleetComparison:
    return failure_pb2.FleetComparison(
        model=model,
        commands=min(fleet.commands, _MOST),
        failures=min(fleet.total_failures, _MOST),
        failure_rate=share(fleet.total_failures, fleet.commands),
        minimum_vehicles=fleet.minimum_vehicles,
    )


def _add_likely(message: failure_pb2.DoorFailures, analysis: FailureAnalysis, language: Language) -> None:
    likely = analysis.likely
    if likely is None:
        return
    words = failure_words(likely.reason, language)
    certainty = failure_pb2.FailureCertainty
    message.likely_cause.CopyFrom(
        failure_pb2.LikelyCause(
            failure_reason=_reason(likely.reason),
            component=_component(COMPONENT_OF[likely.reason]),
            door_id=likely.door,
            certainty=certainty.LIKELY if likely.is_likely else certainty.POSSIBLE,
            above_fleet=likely.above_fleet,
            title=words.title,
            cause=words.cause,
            guidance=words.guidance,
        )
    )
