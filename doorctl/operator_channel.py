"""One question to a service, as the operator: gRPC under the operator's certificate."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.registry import descriptor_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANSWER_SECONDS = 10
_DETAILS = "grpc-status-details-bin"
"""A service that refuses says why in a status of its own; gRPC itself does not."""

Answer = TypeVar("Answer", bound=Message)


_ROOT = Path(__file__).resolve().parents[1]


class OperationError(Exception):
    """It did not happen; the text says why, and what to do. With `may_have_happened` nobody knows."""

    def __init__(self, sentence: str, *, may_have_happened: bool = False) -> None:
        super().__init__(sentence)
        self.may_have_happened = may_have_happened


@dataclass(frozen=True, slots=True)
class Person:
    """The files of a person's own certificate."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Operator:
    """Where the services are (host:port by name), and the files that say who asks.

    `person` is who gives rights: those are given under a person's name (spiffe://ecarus/team/operator/NAME).
    """

    ca: Path
    cert: Path
    key: Path
    services: Mapping[str, str]
    person: Person | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Operator:
        """Read the file of DOORS_OPERATOR_FILE; without it, the sandbox's. Raises Failed."""
        folder = Path(environment.get("DOORS_DATA_DIR") or _ROOT / ".doors")
        path = Path(environment.get("DOORS_OPERATOR_FILE") or folder / "operator.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {name: Path(found[name]) for name in ("ca", "cert", "key")}
            named = found.get("person")
            person = None if named is None else Person(Path(named["cert"]), Path(named["key"]))
            services = {str(name): str(target) for name, target in found["services"].items()}
            return cls(services=services, person=person, **files)
        except OSError as error:
            raise OperationError(
                f"{path}: {error.strerror}; set DOORS_OPERATOR_FILE, or start the sandbox: make run"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OperationError(
                f"{path} is not an operator's file: a JSON object with ca, cert, key and services"
                " (docs/deployment.md)"
            ) from error

    def as_person(self) -> Operator:
        """Return the same under the person's own certificate. Raises Failed."""
        if self.person is None:
            raise OperationError(
                "rights are given under a person's own certificate, and the operator's file names none:"
                " add person, with cert and key (docs/deployment.md)"
            )
        return replace(self, cert=self.person.cert, key=self.person.key)

    def ask(self, service: str, rpc: str, request: Message, answer: type[Answer]) -> Answer:
        """Return the answer of `service` to the RPC (its full name). Raises Failed."""
        with self._channel(service) as channel:
            call = channel.unary_unary(
                f"/{rpc}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            try:
                return call(request, timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                sentence = _sentence(error, f"the service {service} at {self.services[service]}")
                uncertain = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                raise OperationError(sentence, may_have_happened=uncertain) from error

    def stream(
        self, service: str, rpc: str, request: Message, answer: type[Answer], seconds: float
    ) -> Iterator[Answer]:
        """Yield the answers of `service` to an RPC that streams, within so many seconds. Raises Failed."""
        with self._channel(service) as channel:
            call = channel.unary_stream(
                f"/{rpc}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            try:
                yield from call(request, timeout=seconds)
            except grpc.RpcError as error:
                sentence = _sentence(error, f"the service {service} at {self.services[service]}")
                raise OperationError(sentence) from error

    @contextmanager
    def _channel(self, service: str) -> Iterator[grpc.Channel]:
        try:
            target = self.services[service]
        except KeyError as error:
            raise OperationError(f"the operator's file has no address of the service {service}") from error
        # Set before gRPC starts: what it would print about a connection is said by the call.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        name = ("grpc.ssl_target_name_override", descriptor_of(service).tls_name)
        with grpc.secure_channel(target, self._credentials(), options=(name,)) as channel:
            yield channel

    def _credentials(self) -> grpc.ChannelCredentials:
        try:
            ca, key, cert = (path.read_bytes() for path in (self.ca, self.key, self.cert))
        except OSError as error:
            raise OperationError(f"{error.filename}: {error.strerror}") from error
        return grpc.ssl_channel_credentials(ca, key, cert)


def _sentence(error: grpc.RpcError, who: str) -> str:
    code, detail = error.code(), error.details()
    packed: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]  # pairs
    if _DETAILS in packed:
        return _refusal(status_pb2.Status.FromString(packed[_DETAILS]))
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"{who} does not run, or does not take this certificate"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{who} does not answer; it may have been done: look, and repeat it"
    return f"{who} cannot be asked: {code.name} {detail}"


def _refusal(status: status_pb2.Status) -> str:
    """Return what the service says, and of each field that is wrong, what."""
    bad = error_details_pb2.BadRequest()
    found = [bad.field_violations for detail in status.details if detail.Unpack(bad)]
    wrong = [f"{each.field} {each.description}" for fields in found for each in fields]
    told = [each for each in wrong if not each.endswith(status.message)]
    return f"{status.message} ({'; '.join(told)})" if told else status.message
