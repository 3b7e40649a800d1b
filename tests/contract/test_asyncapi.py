"""The AsyncAPI document: valid, whole, enumerated from the code's own tables, and what the code reads and writes.

That events are as it says is looked at in every test that a running mesh tells any (tests/support/described_events.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from gateway import closings, messages, readers
from protocol.domains import ContentType, Domain, subject_of
from protocol.subjects import mqtt_topic, presence_subject
from services.status.adapters import translate
from tests.support import described_answers
from tests.support.described_events import (
    STREAM,
    StreamCheck,
    document,
    fault_of_event,
    fault_of_message,
    resolved,
    validator,
)
from tests.support.npm import installed
from tools.asyncapi_vehicle import accepted_vectors
from vehicle.link import mqtt_link

if TYPE_CHECKING:
    from collections.abc import Iterator

VIN = "KMHSH81C7LU123456"
NOW_US = 1_768_228_200_000_000
ROOT = Path(__file__).resolve().parents[2]
PARSER = "@asyncapi/parser@3.6.6"
PROGRAM_SECONDS = 100
READER = """
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const { Parser } = createRequire(process.argv[2])("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[3], "utf8"));
const said = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
console.log(JSON.stringify({ channels: document?.channels().all().length ?? 0, said }));
"""


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def message_examples() -> list[Any]:
    return [
        pytest.param(message, example, id=f"{name}-{number}")
        for name, message in document()["components"]["messages"].items()
        for number, example in enumerate(message.get("examples", []))
    ]


def layer(message: dict[str, Any]) -> dict[str, Any]:
    """What of a vehicle's message is the innermost."""
    innermost: dict[str, Any] = message["x-layers"][-1]
    return innermost


VEHICLE_MESSAGES = {
    name: message for name, message in document()["components"]["messages"].items() if "x-layers" in message
}


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where npm put AsyncAPI's own parser, with its schemas."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    return installed(tmp_path_factory.mktemp("asyncapi"), PARSER)


class TestTheDocument:
    """It is one that other programs can read."""

    @pytest.mark.timeout(300)
    def test_it_is_of_the_official_schema(self, node_modules: Path) -> None:
        schema = node_modules / "@asyncapi" / "specs" / "schemas" / f"{document()['asyncapi']}.json"
        checks = Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
        assert [f"{each.json_path}: {each.message[:200]}" for each in checks.iter_errors(document())] == []

    @pytest.mark.timeout(300)
    def test_the_official_parser_has_nothing_to_say(self, node_modules: Path, tmp_path: Path) -> None:
        script = tmp_path / "read.mjs"
        script.write_text(READER)
        done = subprocess.run(
            ("node", script, node_modules.parent / "x.js", ROOT / "gen" / "asyncapi.json"),
            capture_output=True,
            text=True,
            check=True,
            timeout=PROGRAM_SECONDS,
        )
        assert json.loads(done.stdout) == {"channels": len(document()["channels"]), "said": []}

    def test_every_reference_leads_somewhere_and_stands_alone(self) -> None:
        references = [each for each in walk(document()) if isinstance(each.get("$ref"), str)]
        assert references
        for each in references:
            assert list(each) == ["$ref"]
            assert resolved(each["$ref"]) is not None

    @pytest.mark.parametrize("reader", [Draft7Validator, Draft202012Validator])
    def test_every_schema_is_one_for_old_and_new_readers(self, reader: Any) -> None:
        for schema in document()["components"]["schemas"].values():
            reader.check_schema(schema)

    def test_channels_messages_and_operations_belong_together(self) -> None:
        used = set()
        for name, channel in document()["channels"].items():
            assert channel["messages"], name
            used |= {each["$ref"].rpartition("/")[2] for each in channel["messages"].values()}
        assert used == set(document()["components"]["messages"])
        told = set()
        for name, operation in document()["operations"].items():
            for side in (operation, operation.get("reply", {})):
                for each in side.get("messages", []):
                    assert each["$ref"].startswith(f"{side['channel']['$ref']}/messages/"), name
                    told.add(resolved(each["$ref"])["$ref"].rpartition("/")[2])
        assert told == used

    def test_it_says_something_of_everything(self) -> None:
        parts = document()
        assert all(each["title"] for each in (*parts["channels"].values(), *parts["operations"].values()))
        assert all(each["summary"] and each["payload"] for each in parts["components"]["messages"].values())

    @pytest.mark.parametrize(("message", "example"), message_examples())
    def test_every_example_is_of_its_schema(self, message: dict[str, Any], example: dict[str, Any]) -> None:
        for part in ("headers", "payload"):
            if part in example:
                validator(message[part]).validate(example[part])
        assert example.get("headers", {}).keys() <= message.get("headers", {}).get("properties", {}).keys()

    def test_what_has_members_has_an_example(self) -> None:
        without = [
            name
            for name, message in document()["components"]["messages"].items()
            if "examples" not in message and "x-example" not in message
        ]
        assert without == ["CommandStatusUpdateMessage", "SystemAlertMessage"]

    def test_making_it_reads_nothing_that_was_generated_before(self) -> None:
        said = (
            "import sys, tools.generate; print([m for m in sys.modules if m.startswith(('ecarus', 'buf.'))])"
        )
        done = subprocess.run(
            (sys.executable, "-c", said),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=PROGRAM_SECONDS,
        )
        assert done.stdout == "[]\n"


class TestTheEventStream:
    """Server-Sent Events."""

    def test_it_is_where_rest_has_it(self) -> None:
        address = document()["channels"][STREAM]["address"]
        answers = described_answers.document()["paths"][address]["get"]["responses"]["200"]["content"]
        assert list(answers) == [document()["channels"][STREAM]["x-media-type"]]

    def test_what_the_service_renders_is_as_described(self) -> None:
        check = StreamCheck(resumed=False)
        said = translate.opening_body(VIN, "q4cT0m2yXyB5n8bq0Zr9Ew", NOW_US).data
        said += translate.comment_body("heartbeat").data
        said += translate.event_body(translate.reset_message(VIN, "next", NOW_US)).data
        for kind, member in (
            (
                "DOOR_STATUS_UPDATE",
                door_update_pb2.DoorStatusChange(door_id="driver", locked=True, change_type=1),
            ),
            (
                "COMMAND_STATUS_UPDATE",
                door_update_pb2.CommandStatusChange(command_id="c", action=1, status=1),
            ),
            ("SYSTEM_ALERT", door_update_pb2.SystemAlert(code="B1A01", severity=1)),
        ):
            update = door_update_pb2.DoorUpdate(id="x", type=kind, vin=VIN)
            update.timestamp.FromMicroseconds(NOW_US)
            name = kind.removesuffix("_UPDATE").lower()
            getattr(update, name).CopyFrom(member)
            said += translate.event_body(update).data
        said += translate.ending_body(translate.updates.StreamEvictedError()).data
        assert [fault for at in range(0, len(said), 7) for fault in check.feed(said[at : at + 7])] == []

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"event": "NEWS"}, "no event 'NEWS'"),
            ({"id": "with space"}, "headers.id"),
            ({"data": "{"}, "no JSON"),
            ({"data": json.dumps({"type": "SYSTEM_ALERT"})}, "'vin' is a required property"),
        ],
    )
    def test_an_event_that_is_not_as_described_is_found(self, changed: dict[str, str], said: str) -> None:
        example = document()["components"]["messages"]["SystemAlertEvent"]["examples"][0]
        fields = {"id": "x", "event": "SYSTEM_ALERT", "data": json.dumps(example["payload"])}
        assert fault_of_event(fields) is None
        assert said in str(fault_of_event({**fields, **changed}))

    def test_a_member_that_nothing_describes_is_found(self) -> None:
        example = document()["components"]["messages"]["DoorStatusUpdateEvent"]["examples"][0]
        payload = {**example["payload"], "data": {**example["payload"]["data"], "colour": "red"}}
        fields = {"id": "x", "event": "DOOR_STATUS_UPDATE", "data": json.dumps(payload)}
        assert "'colour' was unexpected" in str(fault_of_event(fields))

    @pytest.mark.parametrize("resumed", [True, False])
    def test_a_stream_that_begins_otherwise_is_found(self, *, resumed: bool) -> None:
        opening = translate.opening_body(VIN, "x", NOW_US).data
        other = translate.event_body(translate.reset_message(VIN, "next", NOW_US)).data
        faults = StreamCheck(resumed=resumed).feed(opening if resumed else other)
        assert "is the first event" in faults[0]

    def test_an_end_without_its_reason_is_found(self) -> None:
        check = StreamCheck(resumed=True)
        assert check.feed(b": the stream ends: TOKEN_EXPIRED: Get a new one.\n") == []
        assert len(check.feed(b": the stream ends: BECAUSE: so.\n: the stream ends\nnews: x\n")) == 3


class TestTheSocket:
    """The WebSocket."""

    def test_what_the_gateway_writes_is_as_described(self) -> None:
        told = [
            messages.subscribed("r-1", VIN, "q4cT"),
            messages.subscribed("", VIN, ""),
            messages.unsubscribed("r-1", VIN),
            messages.refused("r-1", VIN, "RATE_LIMITED", "Later.", 10),
            messages.ended(VIN, "ACTION_NOT_GRANTED", "Ended.", 0),
            messages.not_understood(messages.MessageError("no", "r-1")),
            messages.event("x", translate.document_text(translate.reset_message(VIN, "x", NOW_US))),
        ]
        assert [fault_of_message(each) for each in told] == [None] * len(told)
        kinds = {json.loads(each)["type"] for each in told}
        described = {message["name"] for message in document()["components"]["messages"].values()}
        assert kinds <= described

    @pytest.mark.parametrize("text", ["[]", "{", '{"type": "HELLO"}', '{"type": "SUBSCRIBED", "vin": "x"}'])
    def test_a_message_that_is_not_as_described_is_found(self, text: str) -> None:
        assert fault_of_message(text) is not None

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "action": st.sampled_from(["subscribe", "unsubscribe", "Subscribe", 1]),
                "requestId": st.sampled_from(["r-1", "", "a b", "x" * 64, "x" * 65, 7, None]),
                "vehicles": st.lists(
                    st.one_of(
                        st.fixed_dictionaries(
                            {"vin": st.sampled_from([VIN, VIN.lower(), "IOQ", 5])},
                            optional={
                                "lastEventId": st.sampled_from(["x", "", "a b", 4]),
                                "more": st.just(1),
                            },
                        ),
                        st.just(VIN),
                    ),
                    max_size=1,
                ),
                "vins": st.lists(st.sampled_from([VIN, VIN.lower(), "x", None]), max_size=2),
                "types": st.one_of(
                    st.lists(st.sampled_from([*sorted(messages.TYPES), "STREAM_OPENED"]), max_size=3),
                    st.just("SYSTEM_ALERT"),
                ),
                "more": st.just(1),
            },
        )
    )
    def test_the_gateway_takes_what_the_schemas_allow_and_nothing_else(self, message: dict[str, Any]) -> None:
        parts = document()["components"]["messages"]
        # An empty requestId is none, which the schema does not say.
        said = {name: value for name, value in message.items() if (name, value) != ("requestId", "")}
        allowed = any(
            validator(parts[name]["payload"]).is_valid(said) for name in ("Subscribe", "Unsubscribe")
        )
        try:
            messages.read(json.dumps(message))
        except messages.MessageError:
            taken = False
        else:
            taken = True
        assert taken == allowed

    def test_as_many_vehicles_as_the_gateway_takes(self) -> None:
        schema = document()["components"]["messages"]["Subscribe"]["payload"]["properties"]["vehicles"]
        assert schema["maxItems"] == messages.MOST_VEHICLES

    def test_every_code_that_the_gateway_closes_with_is_there(self) -> None:
        codes = {int(code) for code in document()["channels"]["eventSocket"]["x-close-codes"]}
        ours = {value for name, value in vars(closings).items() if name.startswith("CLOSE_")}
        assert ours | {1001, 1002, 1003, 1007, 1009, 1011} == codes
        assert {value for name, value in vars(readers).items() if name.startswith("CLOSE_")} <= codes


class TestTheVehicle:
    """What cloud and vehicles say to each other."""

    def test_every_domain_is_a_channel_of_each_link(self) -> None:
        found = {(each.get("x-domain"), each["address"]) for each in document()["channels"].values()}
        for domain in Domain:
            subject = subject_of("{vin}", domain).decode()
            assert {(domain.value, subject), (domain.value, mqtt_topic(subject))} <= found
        assert (None, mqtt_topic(presence_subject("{vin}"))) in found

    def test_every_content_type_is_in_a_message(self) -> None:
        found = {
            each["coseContentType"]
            for message in VEHICLE_MESSAGES.values()
            for each in message["x-layers"]
            if each["is"] == "envelope"
        }
        assert found == set(ContentType)

    def test_who_sends_is_who_the_domain_says(self) -> None:
        for operation in document()["operations"].values():
            tags = {each["name"] for each in operation["tags"]}
            domain = resolved(operation["channel"]["$ref"]).get("x-domain")
            if "vehicle" in tags and domain is not None:
                by_cloud = domain.startswith("cmd.")
                assert (operation["action"] == "send") == (by_cloud == ("cloud" in tags))

    def test_presence_is_what_the_reference_unit_says(self) -> None:
        words = document()["components"]["messages"]["Presence"]["payload"]["enum"]
        assert words == [each.decode() for each in (mqtt_link.ONLINE, mqtt_link.ASLEEP, mqtt_link.LOST)]

    @pytest.mark.parametrize("name", VEHICLE_MESSAGES)
    def test_the_example_is_such_a_message(self, name: str) -> None:
        message = VEHICLE_MESSAGES[name]
        inner = layer(message)
        made = inner["message"].rpartition(".")[2]
        validator(inner["schema"]).validate(message["x-example"])
        pool = getattr(session_pb2, made, None) or getattr(report_pb2, made)
        parsed = json_format.ParseDict(message["x-example"], pool())
        if "member" in inner:
            assert parsed.WhichOneof(pool.DESCRIPTOR.oneofs[0].name) == inner["member"]

    def test_every_vector_that_is_accepted_is_as_described(self) -> None:
        seen = set()
        for domain, content_types, payload in accepted_vectors():
            channel = next(each for each in document()["channels"].values() if each.get("x-domain") == domain)
            (inner,) = (
                layer(message)
                for name in channel["messages"]
                if (message := VEHICLE_MESSAGES[name])
                and tuple(e["coseContentType"] for e in message["x-layers"] if e["is"] == "envelope")
                == content_types
            )
            made = inner["message"].rpartition(".")[2]
            pool = getattr(session_pb2, made, None) or getattr(report_pb2, made)
            said = json_format.MessageToDict(pool.FromString(payload))
            # Of a report the vectors show that it opens; one of them lacks what its rules ask for.
            if content_types or "observedAt" in said:
                validator(inner["schema"]).validate(said)
                seen.add(domain)
        assert seen == {each.value for each in Domain}
