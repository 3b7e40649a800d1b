"""The broker's door: it asks for each vehicle that connects, over NATS or MQTT, and is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.enrolment import usecases
from services.enrolment.adapters import translate
from services.enrolment.adapters.nats_jwt import Issuer, TokenError, claims_of
from services.enrolment.domain import Connection, NotAdmittedError
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from services.enrolment.adapters.connection_bound import ConnectionBound
    from services.enrolment.adapters.takeovers import NewestConnection
    from services.enrolment.usecases import EnrolmentDependencies
    from services.platform.jetstream import Broker

QUESTIONS = "$SYS.REQ.USER.AUTH"
_QUEUE = "enrolment"
_REFUSED = "not admitted"
_log = structlog.get_logger()


class AuthCalloutResponder:
    """Answers the broker. `vehicle_cas`: see translate.caller_of. `bound` is told of each that is let in.

    `newest` ends the connection before; None leaves it.

    Nobody is let in before the streams are there that keep what vehicles say: over MQTT the broker would
    confirm what nothing keeps.
    """

    def __init__(
        self,
        deps: EnrolmentDependencies,
        issuer: Issuer,
        broker: Broker,
        vehicle_cas: frozenset[bytes],
        bound: ConnectionBound,
        newest: NewestConnection | None,
    ) -> None:
        self._newest = newest
        self._deps = deps
        self._bound = bound
        self._issuer = issuer
        self._broker = broker
        self._vehicle_cas = vehicle_cas
        self._prepared_connect = -1

    async def start(self) -> None:
        """Begin to answer, now that the streams are there; call it after they are ensured."""
        await self._broker.at_every_connect(self._prepared)
        await self._broker.client.subscribe(QUESTIONS, queue=_QUEUE, cb=self._answer)
        await self._broker.client.flush()

    async def _prepared(self) -> None:
        self._prepared_connect = self._connect_number()

    def _check_prepared(self) -> None:
        if self._prepared_connect != self._connect_number():
            raise NotAdmittedError("the broker's streams are not ready")

    def _connect_number(self) -> int:
        return self._broker.client.stats["reconnects"]

    async def _answer(self, message: Msg) -> None:
        try:
            claims = claims_of(message.data)
            question = translate.question_of(claims)
        except (TokenError, NotAdmittedError) as refused:
            _log.warning("question_not_understood", reason=str(refused))
            return
        vin = ""
        try:
            self._check_prepared()
            caller = translate.caller_of(claims, self._vehicle_cas)
            vin = caller.vin
            admission = await usecases.admit(self._deps, caller)
        except (NotAdmittedError, StorageUnavailableError) as refused:
            _log.warning("vehicle_not_admitted", vin=masked_id(vin), reason=str(refused))
            answer = translate.answer_claims(question, error=_REFUSED)
        else:
            _log.info("vehicle_admitted", vin=masked_id(vin), link=admission.link.value)
            now = self._deps.now()
            token = self._issuer.sign(translate.user_claims(admission, question), now)
            answer = translate.answer_claims(question, user_token=token)
            self._bound.admitted(vin)
            connection = Connection(question.server_id, question.number, admission.link)
            if self._newest is not None:
                await self._newest.admitted(vin, connection)
        await message.respond(self._issuer.sign(answer, self._deps.now()).encode())
