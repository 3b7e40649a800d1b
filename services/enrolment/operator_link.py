"""The operator's door: `doorctl vehicle` asks over NATS, in JSON. Only the broker's user for it may ask.

A request is {"vin": ..., "certificate": PEM, "keys": PEM}, each where it applies. The answer has `enrolments`, and
`connectionsCut` after a revocation, or `problem`, a sentence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog

from services.enrolment import translate, usecases
from services.enrolment.domain import AlreadyTaken, NotAVin, NotEnrolled, checked_vin
from services.enrolment.public_keys import NotPublicKeys, read_public_keys
from services.enrolment.translate import NotACertificate, enrolment_json
from services.enrolment.usecases import BrokerSilent
from services.runtime.database import StorageUnavailable
from services.runtime.logs import masked_vin

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from services.enrolment.usecases import Office
    from services.runtime.jetstream import Broker

REQUESTS = "operator.vehicle.*"
_QUEUE = "enrolment"
_log = structlog.get_logger()


class Desk:
    """Answers the operator."""

    def __init__(self, office: Office, broker: Broker) -> None:
        self._office = office
        self._broker = broker
        self._deeds = {"enrol": self._enrol, "revoke": self._revoke, "list": self._list}

    async def open(self) -> None:
        """Begin to answer."""
        await self._broker.client.subscribe(REQUESTS, queue=_QUEUE, cb=self._answer)
        await self._broker.client.flush()

    async def _answer(self, message: Msg) -> None:
        deed = self._deeds.get(message.subject.rpartition(".")[2])
        try:
            request = json.loads(message.data or b"{}")
            answer = (
                await deed(request) if deed and isinstance(request, dict) else _problem("no such request")
            )
        except NotEnrolled:
            answer = _problem("the vehicle is not enrolled")
        except BrokerSilent as silent:
            answer = _problem(
                f"recorded, but live connections and remembered keys may remain ({silent}): do it again"
            )
        except StorageUnavailable:
            answer = _problem("the record is away: try again")
        except (NotAVin, NotACertificate, NotPublicKeys, AlreadyTaken) as refused:
            answer = _problem(str(refused))
        except (ValueError, KeyError, TypeError, AttributeError):
            answer = _problem("the request is not understood")
        await message.respond(json.dumps(answer).encode())

    async def _enrol(self, request: dict[str, Any]) -> dict[str, Any]:
        vin, certificate = translate.vehicle_certificate(request["certificate"].encode())
        if vin != checked_vin(request["vin"]):
            return _problem("the certificate names another vehicle")
        keys = read_public_keys(request["keys"].encode())
        enrolment = await usecases.enrol(self._office, vin, translate.fingerprint_of(certificate), keys)
        _log.info("vehicle_enrolled", vin=masked_vin(vin))
        return {"enrolments": [enrolment_json(enrolment)]}

    async def _revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        vin = checked_vin(request["vin"])
        enrolment, connections = await usecases.revoke(self._office, vin)
        _log.info("vehicle_revoked", vin=masked_vin(vin), connections_cut=connections)
        return {"enrolments": [enrolment_json(enrolment)], "connectionsCut": connections}

    async def _list(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"enrolments": [enrolment_json(e) for e in await usecases.enrolments(self._office)]}


def _problem(sentence: str) -> dict[str, Any]:
    return {"problem": sentence}
