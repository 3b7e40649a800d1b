"""Who may read what a webhook would be sent: asked of the access service, over gRPC."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
from ecarus.remotecontrol.access.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    grant_pb2,
    vehicle_people_service_pb2,
    vehicle_people_service_pb2_grpc,
)

from services.notification.usecases.ports import NotKnownNowError
from services.notification.usecases.webhook_ports import ReadRight
from services.platform.channel import ask
from services.platform.times import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from services.notification.domain.webhooks import Registrant
    from services.notification.usecases.webhook_ports import ReadQuestion

CACHE_SECONDS = 1.0
"""So long an answer holds: of a right that has ended nothing is sent later than that."""
READS = "door.updates.read"
MOST_VEHICLES = 10_000
"""So many of somebody's vehicles are heard of by a webhook for all of them."""
_MOST_KNOWN = 1_000
_MOST_QUESTIONS = 512
"""So many are answered at once."""
_SECONDS = 2.0


class ReadingRightsClient:
    """usecases.webhook_ports.ReadingRights over gRPC."""

    def __init__(self, access: grpc.aio.Channel, monotonic: Callable[[], float]) -> None:
        self._access = access_service_pb2_grpc.AccessServiceStub(access)
        self._people = vehicle_people_service_pb2_grpc.VehiclePeopleServiceStub(access)
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[Registrant, str], tuple[float, datetime | None, bool]] = OrderedDict()

    async def may_read(self, asked: ReadQuestion) -> bool:
        """Return whether they may, and might when it happened. Raises NotKnownNowError."""
        since, is_owner = await self._right(asked.registrant, asked.vin)
        return since is not None and since <= asked.occurred_at and (is_owner or not asked.owners_only)

    async def _right(self, registrant: Registrant, vin: str) -> tuple[datetime | None, bool]:
        """Return since when somebody may read a vehicle's updates, None where they may not, and whether they own it."""
        asked_at = self._monotonic()
        known = self._known.get((registrant, vin))
        if known is not None and asked_at - known[0] < CACHE_SECONDS:
            return known[1], known[2]
        question = access_service_pb2.GrantQuestion(
            subject=registrant.principal, vin=vin, action=READS, credential=registrant.key_id
        )
        answer = await self._check([question])
        since = _since(answer.since_millis[0]) if answer.allowed[0] else None
        is_owner = answer.roles[0] == grant_pb2.GRANT_ROLE_OWNER
        self._known[registrant, vin] = (asked_at, since, is_owner)
        self._known.move_to_end((registrant, vin))
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return since, is_owner

    async def rights_on(self, registrant: Registrant, vins: Collection[str]) -> dict[str, ReadRight]:
        """Return what they have on those of these vehicles whose updates they may read now. Raises NotKnownNowError."""
        found: dict[str, ReadRight] = {}
        wanted = sorted(vins)
        for start in range(0, len(wanted), _MOST_QUESTIONS):
            some = wanted[start : start + _MOST_QUESTIONS]
            questions = [
                access_service_pb2.GrantQuestion(
                    subject=registrant.principal, vin=vin, action=READS, credential=registrant.key_id
                )
                for vin in some
            ]
            answer = await self._check(questions)
            told = zip(some, answer.allowed, answer.since_millis, answer.roles, strict=True)
            for vin, allowed, since, role in told:
                if allowed:
                    found[vin] = ReadRight(_since(since), role == grant_pb2.GRANT_ROLE_OWNER)
        return found

    async def _check(
        self, questions: Sequence[access_service_pb2.GrantQuestion]
    ) -> access_service_pb2.CheckGrantsResponse:
        request = access_service_pb2.CheckGrantsRequest(questions=questions)
        try:
            return await ask(self._access.CheckGrants, request, seconds=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotKnownNowError(f"access: {error.code().name}") from error

    async def vehicles_of(self, principal: str) -> list[str]:
        """Return the VINs on which somebody has a right, or may come to have one: MOST_VEHICLES at most. Raises
        NotKnownNowError.
        """
        found: list[str] = []
        while len(found) < MOST_VEHICLES:
            request = vehicle_people_service_pb2.ListVehiclesOfPersonRequest(
                principal=principal, after=found[-1] if found else ""
            )
            try:
                answer = await ask(self._people.ListVehiclesOfPerson, request, seconds=_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise NotKnownNowError(f"access: {error.code().name}") from error
            found += answer.vins
            if not answer.has_more or not answer.vins:
                break
        return found[:MOST_VEHICLES]


def _since(millis: int) -> datetime:
    """Return the time; what is not told by an older access service is since ever."""
    return datetime.fromtimestamp(millis / 1_000, UTC) if millis else EPOCH
