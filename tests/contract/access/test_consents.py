"""Consents, as Envoy and a person's app ask for them: in person, by version, and with a history of what was said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from ecarus.remotecontrol.door.v1 import consent_pb2
from ecarus.remotecontrol.door.v1 import consent_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.consent_service_pb2_grpc import ConsentServiceStub
from google.protobuf.json_format import MessageToDict

from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.domain.consents import ConsentPurpose, ConsentText
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import (
    VIN,
    CheckEdge,
    TokenIssuer,
    acting,
    door,
    headers_of,
    problem_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/api/v1/remotecontrol/consents"
HISTORY = "ACCESS_HISTORY"
STATES = consent_pb2.ConsentState
METHODS = {"ListConsents": "GET", "GetConsent": "GET", "GiveConsent": "PUT", "WithdrawConsent": "DELETE"}


@dataclass
class People:
    """REST as Envoy does it, for whoever is signed in."""

    check: CheckEdge
    stub: ConsentServiceStub
    issuer: TokenIssuer

    async def capability(self, request: Any, who: str = "user-123", bearer: str = "", **claims: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        bearer = bearer or self.issuer.token(who, **claims)
        headers = {"authorization": f"Bearer {bearer}"}
        more: dict[str, Any] = {}
        if name == "GiveConsent":
            headers["content-type"] = "application/json"
            said = MessageToDict(request.consent, always_print_fields_with_no_presence=True)
            more["raw_body"] = json.dumps(said).encode()
        path = PATH if name == "ListConsents" else f"{PATH}/{request.purpose}"
        return await self.check(path, method=METHODS[name], headers=headers, **more)

    async def ask(self, request: Any, who: str = "user-123", **claims: Any) -> Any:
        answer = await self.capability(request, who, **claims)
        assert answer.HasField("ok_response"), problem_in(answer)
        capability = headers_of(answer.ok_response.headers)[METADATA_KEY]
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        return await method(
            request, metadata=((METADATA_KEY, capability), ("x-correlation-id", "c")), timeout=5
        )

    async def give(self, purpose: str = HISTORY, who: str = "user-123", language: str = "ko") -> Any:
        shown = (await self.ask(rpc.GetConsentRequest(purpose=purpose, language=language), who)).text
        form = consent_pb2.ConsentGiven(version=shown.version, language=language, sha256=shown.sha256)
        return await self.ask(rpc.GiveConsentRequest(purpose=purpose, consent=form), who)

    async def unrecorded(self, who: str = "user-123", on: str = VIN, **claims: Any) -> float | None:
        """What the capability for a command of theirs says."""
        headers = {"authorization": f"Bearer {self.issuer.token(who, **claims)}"}
        answer = await self.check(door("status", on), headers=headers)
        assert answer.HasField("ok_response"), problem_in(answer)
        token = headers_of(answer.ok_response.headers)[METADATA_KEY]
        said: float | None = jwt.decode(token, options={"verify_signature": False}).get("unrecorded")
        return said


@pytest.fixture
async def people(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[People]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield People(check, ConsentServiceStub(channel), token_issuer)


async def test_each_purpose_is_asked_in_the_readers_language(people: People) -> None:
    listed = await people.ask(rpc.ListConsentsRequest(language="ko"))
    assert [each.purpose for each in listed.consents] == [purpose.value for purpose in ConsentPurpose]
    for consent in listed.consents:
        assert consent.state == STATES.NOT_ASKED
        assert not consent.HasField("given_version")
        assert consent.text.language == "ko"
        assert "동의" in consent.text.text
        assert len(consent.text.sha256) == 64
    english = await people.ask(rpc.ListConsentsRequest())
    assert {each.text.language for each in english.consents} == {"en"}
    assert english.consents[0].text.sha256 != listed.consents[0].text.sha256


async def test_what_was_said_is_kept_with_the_text_and_how(people: People) -> None:
    before = datetime.now(UTC)
    given = await people.give(language="ko")
    assert given.state == STATES.GIVEN
    assert given.given_version == 1
    again = await people.give(language="ko")
    assert len(again.changes) == 1  # saying the same again is nothing new
    gone = await people.ask(rpc.WithdrawConsentRequest(purpose=HISTORY))
    assert gone.state == STATES.WITHDRAWN
    assert gone.withdrawn_at.ToDatetime(UTC) >= before.replace(microsecond=0)
    await people.ask(rpc.WithdrawConsentRequest(purpose=HISTORY))
    back = await people.give(language="en")
    assert not back.HasField("withdrawn_at")
    said = [(each.state, each.language, each.source, each.version) for each in back.changes]
    assert said == [
        (STATES.GIVEN, "en", "WEB", 1),
        (STATES.WITHDRAWN, "ko", "WEB", 1),
        (STATES.GIVEN, "ko", "WEB", 1),
    ]
    other = await people.ask(rpc.GetConsentRequest(purpose="LOCATION"))
    assert other.state == STATES.NOT_ASKED


async def test_a_token_for_one_vehicle_says_nothing_for_the_person(people: People) -> None:
    with pytest.raises(Exception, match="ACTION_NOT_GRANTED"):
        await people.ask(rpc.ListConsentsRequest(), vin=VIN)


async def test_only_the_text_that_is_asked_about_now_can_be_agreed_to(
    people: People, asked: dict[Any, Any]
) -> None:
    await people.give(who="user-456")
    assert await people.unrecorded("user-456", "KMHSH81C7LU654321") is None
    old = (await people.ask(rpc.GetConsentRequest(purpose=HISTORY))).text
    newer = ConsentText(2, datetime(2026, 11, 20, tzinfo=UTC), {"en": "Something more.", "ko": "추가 항목."})
    asked[ConsentPurpose.ACCESS_HISTORY] = newer
    stale = consent_pb2.ConsentGiven(version=old.version, language="en", sha256=old.sha256)
    for wrong in (stale, consent_pb2.ConsentGiven(version=2, language="en", sha256=old.sha256)):
        with pytest.raises(Exception, match="not the text that is asked about now"):
            await people.ask(rpc.GiveConsentRequest(purpose=HISTORY, consent=wrong))
    outdated = await people.ask(rpc.GetConsentRequest(purpose=HISTORY), "user-456")
    assert outdated.state == STATES.OUTDATED
    assert outdated.given_version == 1
    assert (await people.give(who="user-456")).state == STATES.GIVEN


async def test_the_capability_carries_whether_the_history_is_collected(people: People) -> None:
    assert await people.unrecorded() == 0.0
    await people.give()
    assert await people.unrecorded() is None
    gone = await people.ask(rpc.WithdrawConsentRequest(purpose=HISTORY))
    since = await people.unrecorded()
    assert since is not None
    assert abs(since - gone.withdrawn_at.ToDatetime(UTC).timestamp()) < 0.001


async def test_to_say_the_same_again_makes_nothing_anew(people: People) -> None:
    headers = {"authorization": f"Bearer {people.issuer.token()}"}

    async def capability() -> str:
        answer = await people.check(door("status"), headers=headers)
        return headers_of(answer.ok_response.headers)[METADATA_KEY]

    known = await capability()
    for purpose in (HISTORY, "LOCATION"):
        await people.ask(rpc.WithdrawConsentRequest(purpose=purpose))
    assert await capability() == known
    await people.give()
    assert await capability() != known


async def test_of_an_agent_and_a_key_the_persons_consent_counts(people: People) -> None:
    await people.give()
    assert await people.unrecorded(**acting("agent-7")) is None
    assert await _with_key(people) is None
    await people.ask(rpc.WithdrawConsentRequest(purpose=HISTORY))
    assert await people.unrecorded(**acting("agent-7")) is not None
    assert await _with_key(people) is not None


async def _with_key(people: People) -> Any:
    answer = await people.check(door("status"), headers={"authorization": f"Bearer {PUBLISHED_KEY}"})
    token = headers_of(answer.ok_response.headers)[METADATA_KEY]
    return jwt.decode(token, options={"verify_signature": False}).get("unrecorded")


@pytest.mark.parametrize("name", METHODS)
async def test_nobody_says_it_for_somebody_else(people: People, name: str) -> None:
    request = {
        "ListConsents": rpc.ListConsentsRequest(),
        "GetConsent": rpc.GetConsentRequest(purpose=HISTORY),
        "GiveConsent": rpc.GiveConsentRequest(
            purpose=HISTORY, consent=consent_pb2.ConsentGiven(version=1, language="en", sha256="0" * 64)
        ),
        "WithdrawConsent": rpc.WithdrawConsentRequest(purpose=HISTORY),
    }[name]
    agent = problem_in(await people.capability(request, **acting("agent-7")))
    assert (agent["status"], agent["code"]) == (403, "ACTION_NOT_GRANTED")
    key = problem_in(await people.capability(request, bearer=PUBLISHED_KEY))
    assert (key["status"], key["code"]) == (403, "ACTION_NOT_GRANTED")
    assert "sign-in" in key["detail"]
    narrow = problem_in(await people.capability(request, scope="door"))
    assert (narrow["status"], narrow["code"]) == (403, "ACTION_NOT_GRANTED")
    for scope in ("person", "person.consents.read person.consents.write"):
        answer = await people.capability(request, scope=scope)
        assert answer.HasField("ok_response")


async def test_a_capability_about_a_person_opens_no_vehicle_and_the_other_way_round(
    people: People,
) -> None:
    """The two kinds of capability are never taken for each other."""
    headers = {"authorization": f"Bearer {people.issuer.token()}"}
    answer = await people.check(door("grants"), headers=headers)
    on_vehicle = headers_of(answer.ok_response.headers)[METADATA_KEY]
    with pytest.raises(Exception, match="no such vehicle"):
        await people.stub.ListConsents(
            rpc.ListConsentsRequest(),
            metadata=((METADATA_KEY, on_vehicle), ("x-correlation-id", "c")),
            timeout=5,
        )
    answer = await people.capability(rpc.ListConsentsRequest())
    claims: dict[str, Any] = jwt.decode(
        headers_of(answer.ok_response.headers)[METADATA_KEY], options={"verify_signature": False}
    )
    assert (claims["vin"], claims["actions"]) == ("", ["person.consents.read"])


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", f"{PATH}?vin={VIN}", b"", "INVALID_REQUEST"),
        ("POST", PATH, b"", "METHOD_NOT_ALLOWED"),
        ("PUT", f"{PATH}/ACCESS_HISTORY", b"", "INVALID_REQUEST"),
        ("PUT", f"{PATH}/ACCESS_HISTORY", b'{"version": "x"}', "INVALID_REQUEST"),
        ("PUT", f"{PATH}/ACCESS_HISTORY", b'{"principal": "user-456"}', "INVALID_REQUEST"),
        ("DELETE", f"{PATH}/ACCESS_HISTORY", b"{}", "INVALID_REQUEST"),
        ("GET", f"{PATH}/ACCESS_HISTORY/x", b"", "PATH_NOT_FOUND"),
    ],
)
async def test_nonsense_is_refused(people: People, method: str, path: str, body: bytes, code: str) -> None:
    headers = {"authorization": f"Bearer {people.issuer.token()}"}
    if body:
        headers["content-type"] = "application/json"
    answer = await people.check(path, method=method, headers=headers, raw_body=body)
    assert problem_in(answer)["code"] == code
