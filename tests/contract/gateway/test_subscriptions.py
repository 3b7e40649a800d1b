"""What a client of the WebSocket asks for and is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.messages import MOST_VEHICLES
from services.access.adapters.token_claims import MAX_NAME
from services.status.usecases.streams import Streams
from tests.contract.gateway.conftest import FOREIGN, SECOND, VIN, GatewayHarness, until
from tests.contract.gateway.test_rfc6455 import TEXT, connected, frame
from tests.contract.status.conftest import IDS

OTHER = "KMHSH81C7LU999999"


async def test_a_client_is_told_of_the_vehicles_that_it_subscribed_to(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    answers = await client.subscribe(VIN, SECOND, requestId="r-1")
    assert [(each["type"], each["requestId"], each["vin"]) for each in answers] == [
        ("SUBSCRIBED", "r-1", VIN),
        ("SUBSCRIBED", "r-1", SECOND),
    ]
    gateway.move(OTHER)
    gateway.move(SECOND)
    gateway.move(VIN, "trunk")
    told = [await client.next() for _ in range(2)]
    assert [(each["vin"], each["type"], each["data"]["doorId"]) for each in told] == [
        (SECOND, "DOOR_STATUS_UPDATE", "driver"),
        (VIN, "DOOR_STATUS_UPDATE", "trunk"),
    ]
    assert next(iter(told[0])) == "id"
    assert told[0]["timestamp"] == "2026-01-12T14:30:00.000Z"
    assert [IDS.position_of(each["id"]).sequence for each in told] == [2, 3]


async def test_an_update_is_the_same_as_on_the_event_stream(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN)
    gateway.move()
    told = await client.next()
    assert told.keys() == {"id", "type", "vin", "timestamp", "data"}
    assert told["data"] == {"doorId": "driver", "changeType": "UNLOCKED"}


async def test_types_are_what_is_told_and_can_be_changed(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, types=["SYSTEM_ALERT"])
    gateway.move()
    gateway.alert("B1A01")
    assert (await client.next())["data"]["code"] == "B1A01"
    (again,) = await client.subscribe(VIN, types=["DOOR_STATUS_UPDATE"])
    assert again["type"] == "SUBSCRIBED"
    gateway.alert("B1A02")
    gateway.move(door="hood")
    assert (await client.next())["data"]["doorId"] == "hood"
    assert len(gateway.access.asked) == 1


async def test_what_is_ended_is_told_no_more(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, SECOND)
    await client.send(action="unsubscribe", vins=[VIN, OTHER], requestId="r-2")
    assert [await client.next() for _ in range(2)] == [
        {"type": "UNSUBSCRIBED", "requestId": "r-2", "vin": VIN},
        {"type": "UNSUBSCRIBED", "requestId": "r-2", "vin": OTHER},
    ]
    gateway.move(VIN)
    gateway.move(SECOND)
    assert (await client.next())["vin"] == SECOND
    await until(lambda: gateway.hub.watcher_count == 1)


async def test_a_foreign_vehicle_and_one_that_there_is_not_are_the_same(gateway: GatewayHarness) -> None:
    gateway.access.refusals[OTHER] = gateway.access.refusals[FOREIGN]
    client = await gateway.open()
    foreign, mine, unknown = await client.subscribe(FOREIGN, VIN, OTHER, requestId="r")
    if foreign["type"] == "SUBSCRIBED":  # what is refused is told first
        foreign, mine = mine, foreign
    answers = {each["vin"]: each for each in (foreign, mine, unknown)}
    assert answers[VIN]["type"] == "SUBSCRIBED"
    alike = [
        {name: value for name, value in answers[vin].items() if name != "vin"} for vin in (FOREIGN, OTHER)
    ]
    assert alike[0] == alike[1]
    assert (alike[0]["type"], alike[0]["code"]) == ("REFUSED", "VEHICLE_NOT_FOUND")


async def test_a_client_comes_back_to_where_it_was_without_a_gap(gateway: GatewayHarness) -> None:
    first = await gateway.open()
    (begun,) = await first.subscribe(VIN)
    gateway.move(door="driver")
    seen = await first.next()
    await first.connection.close()
    for door in ("passenger", "trunk"):
        gateway.move(door=door)
    gateway.move(SECOND)
    second = await gateway.open()
    (answer,) = await second.subscribe(VIN, last=seen["id"])
    assert (answer["type"], answer["eventId"]) == ("SUBSCRIBED", seen["id"])
    gateway.move(door="hood")
    told = [await second.next() for _ in range(3)]
    assert [each["data"]["doorId"] for each in told] == ["passenger", "trunk", "hood"]
    third = await gateway.open()  # from before the first update: the place that SUBSCRIBED named
    await third.subscribe(VIN, last=begun["eventId"])
    told = [await third.next() for _ in range(4)]
    assert [each["data"]["doorId"] for each in told] == ["driver", "passenger", "trunk", "hood"]


async def test_a_connection_that_drops_within_an_event_comes_back_to_that_event(
    gateway: GatewayHarness,
) -> None:
    client, _, _ = await connected(gateway)
    wanted = {"action": "subscribe", "vehicles": [{"vin": VIN}]}
    await client.send(frame(TEXT, json.dumps(wanted).encode()))
    _, begun = await client.next()
    other = await gateway.open(gateway.session("user-456"))
    await other.subscribe(VIN)
    for door in ("driver", "trunk"):
        gateway.move(door=door)
    assert len(await client.reader.readexactly(10)) == 10  # of the first event's frame
    client.writer.transport.abort()
    await until(lambda: gateway.hub.watcher_count == 1)
    gateway.move(door="hood")
    seen = [await other.next() for _ in range(3)]
    again = await gateway.open()
    await again.subscribe(VIN, last=json.loads(begun)["eventId"])
    assert [await again.next() for _ in range(3)] == seen


@pytest.mark.parametrize("last", ["nonsense", "A" * 22, "../../x"])
async def test_an_id_that_is_no_place_begins_with_a_reset(gateway: GatewayHarness, last: str) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, last=last, types=["DOOR_STATUS_UPDATE"])
    reset = await client.next()
    assert (reset["type"], reset["data"]["code"]) == ("SYSTEM_ALERT", "UPDATES_RESET")
    gateway.move()
    assert (await client.next())["type"] == "DOOR_STATUS_UPDATE"


async def test_an_id_of_another_vehicle_is_a_place_like_any_other(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(SECOND)
    gateway.move(SECOND)
    seen = await client.next()
    gateway.move(VIN, "hood")
    await client.subscribe(VIN, last=seen["id"])
    assert (await client.next())["data"]["doorId"] == "hood"


async def test_an_id_that_is_too_old_begins_with_a_reset(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    (begun,) = await client.subscribe(SECOND)
    for _ in range(3):
        gateway.move()
    gateway.log.invalidate(3)
    await client.subscribe(VIN, last=begun["eventId"])
    assert (await client.next())["data"]["code"] == "UPDATES_RESET"


async def test_what_is_for_owners_is_told_to_owners_alone(gateway: GatewayHarness) -> None:
    owner = await gateway.open(gateway.session("user-1"))
    gateway.access.claims = {"role": "OWNER"}
    await owner.subscribe(VIN)
    gateway.access.claims = {"role": "DIGITAL_KEY"}
    friend = await gateway.open(gateway.session("user-2"))
    await friend.subscribe(VIN)
    gateway.alert("ACCESS_BEGUN", told_by="access")
    gateway.move()
    assert (await owner.next())["data"]["code"] == "ACCESS_BEGUN"
    assert (await owner.next())["type"] == "DOOR_STATUS_UPDATE"
    assert (await friend.next())["type"] == "DOOR_STATUS_UPDATE"


async def test_the_status_service_goes_and_comes_back_and_nobody_misses_anything(
    gateway: GatewayHarness,
) -> None:
    clients = [await gateway.open(gateway.session(f"user-{n}")) for n in range(3)]
    for client in clients:
        await client.subscribe(VIN, SECOND)
    gateway.move(door="driver")
    assert [(await client.next())["data"]["doorId"] for client in clients] == ["driver"] * 3
    await gateway.status.stop()
    for door in ("trunk", "hood"):
        gateway.move(door=door)
    await gateway.start_status()
    await until(lambda: gateway.hub.watcher_count == 6)
    gateway.move(door="passenger")
    for client in clients:
        told = [await client.next() for _ in range(3)]
        assert [each["data"]["doorId"] for each in told] == ["trunk", "hood", "passenger"]


async def test_a_watch_that_fails_while_it_catches_up_is_said_to_and_no_other_ends(
    gateway: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, client = await gateway.open(gateway.session("user-456")), await gateway.open()
    (begun,) = await other.subscribe(VIN)
    gateway.move()
    assert (await other.next())["vin"] == VIN

    async def fail(*_asked: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(type(gateway.log), "next_after", fail)
    await client.subscribe(VIN, last=begun["eventId"])
    ended = await client.next()
    assert (ended["type"], ended["vin"], ended["code"]) == ("ENDED", VIN, "INTERNAL_ERROR")
    monkeypatch.undo()
    (answer,) = await client.subscribe(VIN, last=begun["eventId"])
    assert answer["type"] == "SUBSCRIBED"
    gateway.move(door="hood")
    assert [(await client.next())["data"]["doorId"] for _ in range(2)] == ["driver", "hood"]
    assert (await other.next())["data"]["doorId"] == "hood"


async def test_the_longest_name_that_there_may_be_is_told_and_so_is_everybody_else(
    gateway: GatewayHarness,
) -> None:
    longest = await gateway.open(gateway.session("\N{AUTOMOBILE}" * MAX_NAME))
    other = await gateway.open(gateway.session("user-456"))
    for client in (other, longest):
        (answer,) = await client.subscribe(VIN)
        assert answer["type"] == "SUBSCRIBED"
    gateway.move()
    assert [(await client.next())["vin"] for client in (longest, other)] == [VIN] * 2


async def test_a_vehicle_that_status_does_not_begin_is_refused_and_one_that_it_ends_has_ended(
    gateway: GatewayHarness,
) -> None:
    gateway.hub._shared = Streams(most=1, per_user=1, per_vehicle=1)
    first, second = await gateway.open(), await gateway.open(gateway.session("user-456"))
    await first.subscribe(VIN)
    (refused,) = await second.subscribe(VIN, requestId="r-1")
    assert refused.pop("detail")
    assert refused == {
        "type": "REFUSED",
        "requestId": "r-1",
        "vin": VIN,
        "code": "RATE_LIMITED",
        "retryAfterSeconds": 5,
    }
    ended, begun = await first.subscribe(SECOND), await first.next()
    assert ended[0].pop("detail")
    assert ended == [{"type": "ENDED", "vin": VIN, "code": "RATE_LIMITED", "retryAfterSeconds": 30}]
    assert (begun["type"], begun["vin"]) == ("SUBSCRIBED", SECOND)


async def test_where_access_is_away_a_subscription_is_refused_for_now(gateway: GatewayHarness) -> None:
    gateway.access.away = True
    client = await gateway.open()
    (answer,) = await client.subscribe(VIN)
    assert answer == {
        "type": "REFUSED",
        "vin": VIN,
        "code": "DEPENDENCY_UNAVAILABLE",
        "detail": "A part of the service is away; try again shortly.",
        "retryAfterSeconds": 2,
    }
    gateway.access.away = False
    (answer,) = await client.subscribe(VIN)
    assert answer["type"] == "SUBSCRIBED"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "1",
        '"subscribe"',
        "null",
        "{}",
        '{"action":"fly"}',
        '{"action":["subscribe"]}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","vehicles":[]}',
        '{"action":"subscribe","vehicles":{}}',
        '{"action":"subscribe","vehicles":["KMHSH81C7LU123456"]}',
        '{"action":"subscribe","vehicles":[{}]}',
        '{"action":"subscribe","vehicles":[{"vin":1}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU12345I"}]}',
        '{"action":"subscribe","vehicles":[{"vin":"\u212aMHSH81C7LU123456"}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456","more":1}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456","lastEventId":7}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456","lastEventId":"a b"}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456"},{"vin":"kmhsh81c7lu123456"}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456"}],"types":[]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456"}],"types":["ALL"]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456"}],"types":[{}]}',
        '{"action":"subscribe","vehicles":[{"vin":"KMHSH81C7LU123456"}],"capability":"x"}',
        '{"action":"subscribe","action":"unsubscribe","vins":["KMHSH81C7LU123456"]}',
        '{"action":"unsubscribe","vins":[1]}',
        '{"action":"unsubscribe"}',
        '{"requestId":7,"action":"unsubscribe","vins":["KMHSH81C7LU123456"]}',
        '{"requestId":"a b","action":"unsubscribe","vins":["KMHSH81C7LU123456"]}',
        '{"action":NaN}',
        '{"action":1e999}',
        '{"action":"\\ud800"}',
        '{"action":"subscribe","vehicles":[[[[[[[[[[]]]]]]]]]]}',
        "[" * 10_000,
        '{"a":' * 3_000,
    ],
)
async def test_what_is_no_message_is_said_to_be_none_and_the_connection_goes_on(
    gateway: GatewayHarness, text: str
) -> None:
    client = await gateway.open()
    await client.connection.send(text)
    answer = await client.next()
    assert (answer["type"], answer["code"]) == ("ERROR", "INVALID_REQUEST")
    (subscribed,) = await client.subscribe(VIN)
    assert subscribed["type"] == "SUBSCRIBED"


async def test_a_message_names_a_bounded_number_of_vehicles(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    vins = [f"KMHSH81C7LU{n:06}" for n in range(MOST_VEHICLES + 1)]
    await client.send(action="subscribe", requestId="r-9", vehicles=[{"vin": vin} for vin in vins])
    answer = await client.next()
    assert (answer["type"], answer["requestId"]) == ("ERROR", "r-9")
    assert not gateway.access.asked


async def test_of_ten_thousand_subscriptions_some_begin_and_each_of_the_others_is_refused(
    gateway: GatewayHarness,
) -> None:
    gateway.hub._shared = Streams(20_000, 20_000, 20_000)
    client, other = await gateway.open(max_queue=None), await gateway.open(gateway.session("user-456"))
    vins = [f"KMHSH81C7LU{n:06}" for n in range(10_000)]
    for first in range(0, len(vins), MOST_VEHICLES):
        wanted = [{"vin": vin} for vin in vins[first : first + MOST_VEHICLES]]
        await client.send(action="subscribe", vehicles=wanted)
    answers = [await client.next() for _ in vins]
    assert sorted(each["vin"] for each in answers) == vins
    begun = [each for each in answers if each["type"] == "SUBSCRIBED"]
    assert len(begun) == 200
    refused = [each for each in answers if each["type"] == "REFUSED"]
    assert {each["code"] for each in refused} == {"RATE_LIMITED"}
    assert len(begun) + len(refused) == len(vins)
    assert sum(len(asked) for asked in gateway.access.asked) == 200  # and access was asked about no more
    (answer,) = await other.subscribe(VIN)
    assert answer["type"] == "SUBSCRIBED"
    await other.connection.close()
    await client.connection.close()


async def test_a_vin_is_read_in_either_case(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    (answer,) = await client.subscribe(VIN.lower())
    assert (answer["type"], answer["vin"]) == ("SUBSCRIBED", VIN)


async def test_an_update_for_many_is_one_message_of_the_status_service(
    gateway: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await gateway.open(gateway.session(f"user-{n}")) for n in range(10)]
    for client in clients:
        await client.subscribe(VIN)
    told: list[Any] = []
    take = gateway.feed._take
    monkeypatch.setattr(gateway.feed, "_take", lambda event: (told.append(event), take(event))[1])
    gateway.move()
    messages = [json.dumps(await client.next()) for client in clients]
    assert len(set(messages)) == 1
    assert [len(event.update.watches) for event in told] == [10]
