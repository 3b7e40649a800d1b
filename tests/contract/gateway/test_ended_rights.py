"""What ends a right ends what its holder is told, at once: of one vehicle, or the connection."""

from __future__ import annotations

import time

import pytest
import websockets

from services.platform.workload import certificate_name, workload_of
from services.status.domain.rights import EndingCause
from tests.contract.gateway.conftest import SECOND, VIN, GatewayHarness, until


async def test_the_end_of_one_right_ends_that_vehicle_and_the_last_one_closes(
    gateway: GatewayHarness,
) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, SECOND)
    gateway.end_right(EndingCause.GRANT, vin=VIN)
    ended = await client.next()
    assert (ended["type"], ended["vin"], ended["code"]) == ("ENDED", VIN, "ACTION_NOT_GRANTED")
    gateway.move(VIN)
    gateway.move(SECOND)
    assert (await client.next())["vin"] == SECOND
    gateway.end_right(EndingCause.GRANT, vin=SECOND)
    assert await client.closed() == (4403, "ACTION_NOT_GRANTED")
    assert gateway.hub.watcher_count == 0


@pytest.mark.parametrize(
    ("cause", "code"),
    [(EndingCause.ACCOUNT, "ACCOUNT_LOCKED"), (EndingCause.CREDENTIAL, "TOKEN_INVALID")],
)
async def test_the_end_of_an_account_or_a_key_closes_all_that_ran_on_it_and_nothing_else(
    gateway: GatewayHarness, cause: EndingCause, code: str
) -> None:
    client = await gateway.open()
    gateway.access.claims = {"cred": "key_1"}
    await client.subscribe(VIN, SECOND)
    gateway.access.claims = {"cred": "key_2"}
    other = await gateway.open(gateway.session("user-456"))
    await other.subscribe(VIN)
    gateway.end_right(cause, credential="key_1")
    assert await client.closed() == (4401, code)
    gateway.move(VIN)
    assert (await other.next())["vin"] == VIN
    await until(lambda: gateway.hub.watcher_count == 1)


async def test_a_case_that_is_closed_closes_what_its_agent_watched_because_of_it(
    gateway: GatewayHarness,
) -> None:
    gateway.access.claims = {"case": "case-1"}
    agent = await gateway.open(gateway.session("user-123", act="agent-7"))
    await agent.subscribe(VIN, SECOND)
    gateway.access.claims = {"case": "case-2"}
    other = await gateway.open(gateway.session("user-123", act="agent-8"))
    await other.subscribe(VIN)
    gateway.end_right(EndingCause.CASE, case="case-1")
    assert await agent.closed() == (4401, "TOKEN_INVALID")
    gateway.move(VIN)
    assert (await other.next())["vin"] == VIN


async def test_a_token_that_expires_closes_the_connection(gateway: GatewayHarness) -> None:
    gateway.access.claims = {"ends": time.time() + 1.5, "ends_with": "TOKEN"}
    client = await gateway.open()
    (answer,) = await client.subscribe(VIN)
    assert answer["type"] == "SUBSCRIBED"
    assert await client.closed() == (4401, "TOKEN_EXPIRED")


async def test_a_session_that_ends_closes_the_connection_without_any_subscription(
    gateway: GatewayHarness,
) -> None:
    client = await gateway.open(gateway.session(seconds=2))
    assert await client.closed() == (4401, "TOKEN_EXPIRED")


async def test_a_session_that_access_takes_no_more_closes_the_connection(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN)
    gateway.access.session_over = True
    await client.send(action="subscribe", vehicles=[{"vin": SECOND}])
    assert (await client.closed())[0] == 4401
    await until(lambda: gateway.hub.watcher_count == 0)


async def test_a_right_that_ended_while_the_feed_was_away_is_not_begun_again(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, SECOND)
    await gateway.status.stop()
    gateway.access.refusals[VIN] = "VEHICLE_NOT_FOUND"
    for watch in list(gateway.feed._watches):
        watch.capability_at = -1e9  # as after a longer absence
    await gateway.start_status()
    ended = await client.next()
    assert (ended["type"], ended["vin"], ended["code"]) == ("ENDED", VIN, "VEHICLE_NOT_FOUND")
    await until(lambda: gateway.hub.watcher_count == 1)
    gateway.move(VIN)
    gateway.move(SECOND)
    assert (await client.next())["vin"] == SECOND


async def test_a_team_s_certificate_that_is_revoked_ends_what_its_ticket_opened(
    gateway: GatewayHarness,
) -> None:
    revoked = workload_of(gateway.certificates.of("team/revoked").cert.read_bytes())
    assert revoked is not None
    session = gateway.session(cert=certificate_name(revoked.certificate))
    client, other = await gateway.open(session), await gateway.open(gateway.session("user-456"))
    await client.subscribe(VIN)
    await other.subscribe(VIN)
    gateway.server._revoke(frozenset({revoked.certificate}))
    assert await client.closed() == (4401, "TOKEN_INVALID")
    with pytest.raises(websockets.InvalidStatus):
        await gateway.open(session)
    gateway.move()
    assert (await other.next())["vin"] == VIN


async def test_the_key_of_access_that_is_withdrawn_ends_what_it_signed(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN)
    gateway.hub.trust(frozenset({"another"}))
    assert (await client.closed())[0] == 4401
