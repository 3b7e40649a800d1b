"""What of the contract stands in files that are written by hand: routes, refusals and tables, each between two marks.

Every fact is an option of the .proto files (proto/ecarus/remotecontrol/options): an RPC's action, rate class and
service, a refusal's status and title. Here they become lines of Envoy's configuration and of the API's page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

DOOR_PACKAGE = "ecarus.remotecontrol.door.v1"
FAILURE_REASON = f".{DOOR_PACKAGE}.FailureReason"
TYPE_BASE = "https://docs.ecarus.example/problems/"
BASE_PATH = "/api/v1/remotecontrol/vehicles/{vin}/door"
PERSON_PATH = "/api/v1/remotecontrol"
"""Before the paths of what is about the person who calls, and no vehicle."""
SERVICE_FIELD, METHOD_FIELD = 6, 2  # of FileDescriptorProto and ServiceDescriptorProto: the paths of comments
ENUM_FIELD, VALUE_FIELD = 5, 2
DEADLINES = {"read": ("3s", "2700m"), "write": ("5s", "4500m")}
"""How long Envoy waits, and what it tells the service: a little less, so that it can report its failure."""
WAITING = ("36s", "35500m")
"""The same for a caller who prefers to wait for the end (RFC 7240), for 30 s at most."""
PREFERS = "{name: prefer, string_match: {contains: wait, ignore_case: true}}"
RETRIES = {
    "read": '{retry_on: "unavailable,reset,connect-failure,refused-stream", num_retries: 1}',
    "write": '{retry_on: "connect-failure,refused-stream", num_retries: 2}',
}


@dataclass(frozen=True, slots=True)
class PublicRpc:
    """One RPC of the public services. `http_method` and `path` are None where it has no REST form."""

    service: str
    name: str
    action: str
    served_by: str
    streams: bool
    reaches_vehicle: bool
    may_wait: bool
    http_method: str | None
    path: str | None
    query: tuple[str, ...]
    summary: str

    @property
    def cluster(self) -> str:
        """Envoy's cluster: a service's streams, and what hands on to vehicles, have one of their own."""
        return self.served_by + ("_stream" if self.streams else "_accept" if self.reaches_vehicle else "")

    @property
    def kind(self) -> str:
        """`stream`, `read` or `write`: which deadline and which retries it has."""
        return "stream" if self.streams else "read" if self.http_method == "GET" else "write"

    @property
    def allowed(self) -> tuple[str, ...]:
        """Its HTTP methods: whatever is read can be asked for by HEAD, but a stream has no length."""
        return ("GET", "HEAD") if self.kind == "read" else (self.http_method or "",)


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """One value of ErrorReason, as its `problem` option and its comment say."""

    code: str
    http_status: int
    grpc_code: str
    title: str
    retryable: bool
    when: str
    remedy: str = ""
    guidance: str = ""
    may_have_acted: bool = False

    @property
    def slug(self) -> str:
        """Its name in its type and in addresses."""
        return self.code.lower().replace("_", "-")

    @property
    def type_uri(self) -> str:
        """The `type` of its problem document."""
        return TYPE_BASE + self.slug


class Contract:
    """The public part of the descriptor set `image`, which has its comments.

    `options` is the generated module of our options, `http` the extension of google.api, `grpc_codes` the enum.
    """

    def __init__(self, image: FileDescriptorSet, options: Any, http: Any, grpc_codes: Any) -> None:
        files = [file for file in image.file if file.package == DOOR_PACKAGE]
        self.options, self._http, self._grpc_codes = options, http, grpc_codes
        self._messages = {f".{f.package}.{m.name}": m for f in files for m in f.message_type}
        self.rpcs = [rpc for file in files for rpc in self._rpcs_of(file)]
        self.refusals = {r.code: r for file in files for r in self._refusals_of(file)}
        (reasons,) = self._messages[FAILURE_REASON].enum_type
        self.failure_texts = {v.name: v.options.Extensions[options.failure_text] for v in reasons.value}

    def _rpcs_of(self, file: Any) -> Iterator[PublicRpc]:
        comments = _comments_of(file)
        for i, service in enumerate(file.service):
            for j, method in enumerate(service.method):
                access = method.options.Extensions[self.options.access]
                rule = method.options.Extensions[self._http]
                verb = rule.WhichOneof("pattern")
                path = getattr(rule, verb) if verb else None
                yield PublicRpc(
                    service=f"{file.package}.{service.name}",
                    name=method.name,
                    action=access.action,
                    served_by=service.options.Extensions[self.options.served_by],
                    streams=method.server_streaming,
                    reaches_vehicle=access.reaches_vehicle,
                    may_wait=access.may_wait,
                    http_method=verb.upper() if verb else None,
                    path=path,
                    query=self._query_of(method, path) if path and verb == "get" else (),
                    summary=_first_sentence(comments.get((SERVICE_FIELD, i, METHOD_FIELD, j), "")),
                )

    def _query_of(self, method: Any, path: str) -> tuple[str, ...]:
        in_path = set(re.findall(r"\{(\w+)\}", path))
        fields: Sequence[FieldDescriptorProto] = self._messages[method.input_type].field
        return tuple(field.json_name for field in fields if field.name not in in_path)

    def _refusals_of(self, file: Any) -> Iterator[ProblemEntry]:
        comments = _comments_of(file)
        for i, enum in enumerate(file.enum_type):
            for j, value in enumerate(enum.value):
                problem = value.options.Extensions[self.options.problem]
                if problem.http_status:
                    yield ProblemEntry(
                        code=value.name,
                        http_status=problem.http_status,
                        grpc_code=self._grpc_codes.Name(problem.grpc_code),
                        title=problem.title,
                        retryable=problem.retryable,
                        when=comments.get((ENUM_FIELD, i, VALUE_FIELD, j), ""),
                        remedy=problem.remedy,
                        guidance=problem.guidance,
                        may_have_acted=problem.may_have_acted,
                    )


def _comments_of(file: Any) -> dict[tuple[int, ...], str]:
    return {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
        if place.leading_comments
    }


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) ", text, maxsplit=1)[0].rstrip(".")


def transcoded_services(contract: Contract) -> list[str]:
    """Return the services that Envoy transcodes, as a YAML list."""
    return [f"- {name}" for name in dict.fromkeys(rpc.service for rpc in contract.rpcs)]


def rest_routes(contract: Contract) -> list[str]:
    """Envoy's routes to the REST forms, those that are answered alike in one; behind them their 405 twins."""
    alike: dict[tuple[str, str, tuple[str, ...], str], list[str]] = {}
    allowed: dict[str, list[str]] = {}
    for rpc in contract.rpcs:
        if rpc.path is not None:
            slot = (rpc.cluster, rpc.kind, rpc.allowed, _base_of(rpc.path))
            alike.setdefault(slot, []).append(rpc.path)
            allowed.setdefault(rpc.path, []).extend(rpc.allowed)
    lines = _waiting_routes(contract)
    for (cluster, kind, methods, _), paths in alike.items():
        name = cluster if kind == "stream" else f"{cluster}_{kind}"
        by = f"exact: {methods[0]}" if len(methods) == 1 else f"safe_regex: {{regex: {'|'.join(methods)}}}"
        lines.append(f"- name: {name}")
        lines.append(
            f'  match: {{{_matching(paths)}, headers: [{{name: ":method", string_match: {{{by}}}}}]}}'
        )
        if kind == "stream":
            lines.append("  # Ended by the reader or by 60 s without even a heartbeat.")
            lines.append(f"  route: {{cluster: {cluster}, timeout: 0s, idle_timeout: 60s}}")
        else:
            timeout, told = DEADLINES[kind]
            lines.append(
                f"  route: {{cluster: {cluster}, timeout: {timeout}, retry_policy: {RETRIES[kind]}}}"
            )
            lines.append(f"  request_headers_to_add: [{_header('grpc-timeout', told)}]")
    twins: dict[tuple[str, str], list[str]] = {}
    for path, methods_of_path in allowed.items():
        twins.setdefault((", ".join(methods_of_path), _base_of(path)), []).append(path)
    for (methods_text, _), paths in twins.items():
        lines.append(f"- name: only_{methods_text.lower().replace(', ', '_')}")
        lines.append(f"  match: {{{_matching(paths)}}}")
        lines.append("  direct_response: {status: 405}")
        lines.append(f"  response_headers_to_add: [{_header('allow', methods_text)}]")
        lines.append("  typed_per_filter_config: *open")
    return lines


def _waiting_routes(contract: Contract) -> list[str]:
    """Envoy's routes for who prefers to wait for the end: the same, within another deadline. They come first."""
    lines = []
    waiting = [rpc for rpc in contract.rpcs if rpc.may_wait and rpc.path is not None]
    for cluster, method in dict.fromkeys((rpc.cluster, rpc.http_method) for rpc in waiting):
        paths = [rpc.path or "" for rpc in waiting if (rpc.cluster, rpc.http_method) == (cluster, method)]
        by = f'{{name: ":method", string_match: {{exact: {method}}}}}'
        lines += [
            f"- name: {cluster}_wait",
            f"  match: {{{_matching(paths)}, headers: [{by}, {PREFERS}]}}",
            f"  route: {{cluster: {cluster}, timeout: {WAITING[0]}, retry_policy: {RETRIES['write']}}}",
            f"  request_headers_to_add: [{_header('grpc-timeout', WAITING[1])}]",
        ]
    return lines


def native_routes(contract: Contract) -> list[str]:
    """Envoy's routes of native gRPC: streams without an end, and all else within a deadline."""
    lines = []
    for rpc in contract.rpcs:
        if rpc.streams:
            lines.append(f"- name: {_snake(rpc.name)}")
            lines.append(f"  match: {{path: /{rpc.service}/{rpc.name}, grpc: {{}}}}")
            without_end = "timeout: 0s, idle_timeout: 0s, max_stream_duration: {max_stream_duration: 0s}"
            lines.append(f"  route: {{cluster: {rpc.cluster}, {without_end}}}")
    bounded = "timeout: 0s, max_stream_duration: {max_stream_duration: 5s, grpc_timeout_header_max: 5s}"
    waits = "timeout: 0s, max_stream_duration: {max_stream_duration: 36s, grpc_timeout_header_max: 36s}"
    for rpc in contract.rpcs:
        if rpc.may_wait:
            lines.append(f"- name: {_snake(rpc.name)}_wait")
            lines.append(f"  match: {{path: /{rpc.service}/{rpc.name}, grpc: {{}}, headers: [{PREFERS}]}}")
            lines.append(f"  route: {{cluster: {rpc.cluster}, {waits}}}")
    accepting = [rpc for rpc in contract.rpcs if rpc.reaches_vehicle]
    for service in dict.fromkeys(rpc.service for rpc in accepting):
        here = [rpc for rpc in accepting if rpc.service == service]
        pattern = service.replace(".", r"\\.") + f"/({'|'.join(rpc.name for rpc in here)})"
        lines.append(f"- name: {here[0].cluster}_rpc")
        lines.append(f'  match: {{safe_regex: {{regex: "/{pattern}"}}, grpc: {{}}}}')
        lines.append(f"  route: {{cluster: {here[0].cluster}, {bounded}}}")
    for service, cluster in dict.fromkeys((rpc.service, rpc.served_by) for rpc in contract.rpcs):
        lines.append(f"- name: {cluster}_rpc")
        lines.append(f"  match: {{prefix: /{service}/, grpc: {{}}}}")
        lines.append(f"  route: {{cluster: {cluster}, {bounded}}}")
    return lines


def _base_of(path: str) -> str:
    """Return what stands before a path template's own part."""
    for base in (BASE_PATH, PERSON_PATH):
        if path.startswith(base + "/"):
            return base
    raise ValueError(f"a public path must begin with {PERSON_PATH}/: {path}")


def _matching(paths: Sequence[str]) -> str:
    """Return one regular expression for these path templates, which have one base."""
    base = _base_of(paths[0])
    ends = [re.sub(r"\{\w+\}", "[^/]+", path.removeprefix(base + "/").replace(".", "[.]")) for path in paths]
    tail = ends[0] if len(ends) == 1 else f"({'|'.join(ends)})"
    return f'safe_regex: {{regex: "{base.replace("{vin}", "[^/]+")}/{tail}"}}'


def _header(key: str, value: str) -> str:
    return f'{{header: {{key: {key}, value: "{value}"}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}'


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def endpoint_table(contract: Contract) -> list[str]:
    """Return the API page's table of endpoints."""
    lines = ["| method | path | what | needs |", "|---|---|---|---|"]
    for rpc in contract.rpcs:
        if rpc.path is not None:
            path = rpc.path.removeprefix(BASE_PATH)
            path = re.sub(r"\{(\w+)\}", lambda m: f"{{{_camel(m[1])}}}", path)
            query = f"?{'&'.join(rpc.query)}" if rpc.query else ""
            lines.append(f"| {rpc.http_method} | `{path}{query}` | {rpc.summary} | `{rpc.action}` |")
    return lines


def refusal_table(contract: Contract) -> list[str]:
    """Return the API page's table of refusals."""
    lines = ["| code | HTTP | gRPC | try again | when |", "|---|---|---|---|---|"]
    for each in contract.refusals.values():
        again = "yes" if each.retryable else "no"
        lines.append(f"| `{each.code}` | {each.http_status} | `{each.grpc_code}` | {again} | {each.when} |")
    return lines


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
