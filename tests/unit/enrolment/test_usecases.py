from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.enrolment import usecases
from services.enrolment.domain import NotEnrolledError, PublicKeys
from services.enrolment.usecases import BrokerSilentError, Cut, EnrolmentDependencies
from tests.messaging.broker_harness import InMemory

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
KEYS = PublicKeys(b"v" * 32, b"s" * 32)


class Broker:
    """Connections and key changes in one; `fall_silent_at` names what it does not answer, once."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.cuts: list[str] = []
        self.fall_silent_at = ""

    async def publish(self, *vins: str) -> None:
        self._answer("tell")
        self.told += vins

    async def cut(self, vin: str) -> int:
        self._answer("cut")
        self.cuts.append(vin)
        return 1

    async def keep_newest(self, vin: str, most: int) -> Cut:
        raise NotImplementedError

    def _answer(self, asked: str) -> None:
        if asked == self.fall_silent_at:
            self.fall_silent_at = ""
            raise BrokerSilentError(asked)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def deps(broker: Broker) -> EnrolmentDependencies:
    return EnrolmentDependencies(InMemory(), broker, broker, lambda: NOW)


async def test_the_first_enrolment_is_told_and_cuts_nobody(
    deps: EnrolmentDependencies, broker: Broker
) -> None:
    enrolment = await usecases.enrol(deps, VIN, "aa", KEYS)
    assert (enrolment.fingerprint, enrolment.keys) == ("aa", KEYS)
    assert (broker.told, broker.cuts) == ([VIN], [])
    assert await usecases.vehicle_keys(deps.register, [VIN]) == {VIN: KEYS}


@pytest.mark.parametrize("silent_at", ["tell", "cut"])
async def test_what_a_silent_broker_left_undone_is_done_with_the_next_try(
    deps: EnrolmentDependencies, broker: Broker, silent_at: str
) -> None:
    await usecases.enrol(deps, VIN, "aa", KEYS)
    for deed in (lambda: usecases.enrol(deps, VIN, "bb", KEYS), lambda: usecases.revoke(deps, VIN)):
        broker.told.clear()
        broker.cuts.clear()
        broker.fall_silent_at = silent_at
        with pytest.raises(BrokerSilentError):
            await deed()
        await deed()
        assert broker.told[-1:] == broker.cuts[-1:] == [VIN]


async def test_a_revoked_vehicle_has_no_keys_until_it_is_enrolled_again(
    deps: EnrolmentDependencies, broker: Broker
) -> None:
    await usecases.enrol(deps, VIN, "aa", KEYS)
    await usecases.revoke(deps, VIN)
    assert await usecases.vehicle_keys(deps.register, [VIN]) == {}
    await usecases.enrol(deps, VIN, "aa", KEYS)
    assert await usecases.vehicle_keys(deps.register, [VIN]) == {VIN: KEYS}
    assert broker.told == [VIN, VIN, VIN]


async def test_who_is_not_enrolled_cannot_be_revoked(deps: EnrolmentDependencies, broker: Broker) -> None:
    with pytest.raises(NotEnrolledError):
        await usecases.revoke(deps, VIN)
    assert broker.told == []
