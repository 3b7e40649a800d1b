"""The public RPCs about a person's own consents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import consent_pb2, consent_service_pb2_grpc
from typing_extensions import override

from services.access.domain.consents import ConsentPurpose, GivenText
from services.platform.call import current_call
from services.platform.policy import policy_of
from services.platform.times import set_time

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import consent_service_pb2

    from services.access.domain.consents import ConsentChange, ConsentText, PersonConsent
    from services.access.usecases.consents import Consents

SERVICE = "ecarus.remotecontrol.door.v1.ConsentService"
POLICY = policy_of(SERVICE)
DEFAULT_LANGUAGE = "en"

Context = grpc.aio.ServicerContext[Any, Any]
_STATES = consent_pb2.ConsentState


class ConsentServicer(consent_service_pb2_grpc.ConsentServiceServicer):
    """Serves ConsentService: whose consents they are says the capability, never the request."""

    def __init__(self, consents: Consents) -> None:
        self._consents = consents

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        consent_service_pb2_grpc.add_ConsentServiceServicer_to_server(self, server)

    @override
    async def ListConsents(
        self, request: consent_service_pb2.ListConsentsRequest, context: Context
    ) -> consent_pb2.ConsentList:
        said = await self._consents.listed(current_call().granted().subject)
        language = request.language or DEFAULT_LANGUAGE
        return consent_pb2.ConsentList(consents=[self._told(each, language) for each in said])

    @override
    async def GetConsent(
        self, request: consent_service_pb2.GetConsentRequest, context: Context
    ) -> consent_pb2.Consent:
        said = await self._consents.found(current_call().granted().subject, ConsentPurpose(request.purpose))
        return self._told(said, request.language or DEFAULT_LANGUAGE)

    @override
    async def GiveConsent(
        self, request: consent_service_pb2.GiveConsentRequest, context: Context
    ) -> consent_pb2.Consent:
        granted, shown = current_call().granted(), request.consent
        said = await self._consents.give(
            granted.subject,
            ConsentPurpose(request.purpose),
            GivenText(shown.version, shown.language, shown.sha256),
            granted.source,
        )
        return self._told(said, shown.language)

    @override
    async def WithdrawConsent(
        self, request: consent_service_pb2.WithdrawConsentRequest, context: Context
    ) -> consent_pb2.Consent:
        granted = current_call().granted()
        purpose = ConsentPurpose(request.purpose)
        said = await self._consents.withdraw(granted.subject, purpose, granted.source)
        return self._told(said, DEFAULT_LANGUAGE)

    def _told(self, said: PersonConsent, language: str) -> consent_pb2.Consent:
        text = self._consents.asked[said.purpose]
        message = consent_pb2.Consent(
            purpose=said.purpose.value,
            state=_STATES.Value.Value(said.state(text).value),
            text=_text_message(text, language),
            given_version=said.given_version,
            changes=map(_change_message, said.changes),
        )
        if said.given_at is not None:
            set_time(message.given_at, said.given_at)
        if said.withdrawn_at is not None:
            set_time(message.withdrawn_at, said.withdrawn_at)
        return message


def _text_message(text: ConsentText, language: str) -> consent_pb2.ConsentText:
    message = consent_pb2.ConsentText(
        version=text.version, language=language, text=text.texts[language], sha256=text.digest(language)
    )
    set_time(message.since, text.since)
    return message


def _change_message(change: ConsentChange) -> consent_pb2.ConsentChange:
    message = consent_pb2.ConsentChange(
        state=_STATES.Value.Value(change.state.value),
        version=change.shown.version,
        language=change.shown.language,
        sha256=change.shown.sha256,
        source=change.source,
    )
    set_time(message.at, change.at)
    return message
