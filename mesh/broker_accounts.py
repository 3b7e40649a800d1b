"""Who may reach what at the broker: an account for each, and the passages between them.

The broker checks a client's rights on the subject that it publishes to. It does not check the reply subject that the
client names, nor the subject to which a consumer delivers: both are published by the broker itself. So rights on
subjects alone keep nobody out of an account in which he may ask for anything. Here nobody shares an account with
anybody: streams lie in accounts without users, each service and the vehicles of each link have an account of their
own, and what one may ask of another is an import of exactly that. An answer comes back into the account of who asked,
and nowhere else.

Vehicles share an account, and two things follow. The broker forgets the way back of everybody's requests when one of
them names a reply subject with wildcards; so what they say goes one way, as messages, and its confirmation comes back
one way, too. And it is confirmed within the store's account, to any subject that the vehicle names: all that listens
there has a secret prefix, or takes no confirmation for a request. Pulls and acknowledgements are requests: who names
wildcards there is shut out (services.enrolment.adapters.reply_guard), and who sends too many
(services.enrolment.adapters.flood_watch).

What is not stored goes from account to account at once: the broker passes nothing on to a third.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.consumers import CONSUMERS, consumers_of
from protocol.streams import (
    CARS_ACCOUNT,
    DOOR_UPDATES,
    MQTT_CARS_ACCOUNT,
    MQTT_MESSAGES,
    MQTT_OWN_STREAMS,
    MQTT_SESSION_CHANGES,
    OVER_MQTT,
    ROOM_EVENTS,
    STREAMS,
    VEHICLE_COMMANDS,
)
from protocol.subjects import (
    COMMAND_AWAITED_SUBJECT,
    COMMAND_ENDED_SUBJECT,
    GRANT_REVOKED_SUBJECT,
    PROOFS_SEEN_SUBJECT,
    SHOWN_RESULTS_SUBJECT,
    VEHICLE_ADMITTED_SUBJECT,
    VEHICLE_KEYS_CHANGED_SUBJECT,
    CommandKind,
    EventKind,
    advisory_subject,
    command_subject,
    event_subject,
    kept_update_subject,
    mqtt_queue_subject,
    presence_subject,
    refused_subject,
    update_subject,
)

VEHICLE_STORE = "STORE_VEHICLES"
"""What vehicles say."""
COMMAND_STORE = "STORE_COMMANDS"
"""What vehicles are told."""
UPDATE_STORE = "STORE_UPDATES"
"""Live updates."""
SERVICE_STORE = "STORE_SERVICES"
"""What services tell each other."""
AUTH_QUESTIONS = "$SYS.REQ.USER.AUTH"
STORE_API = "store.api"
"""What services put before JetStream's questions in place of `$JS.API`."""
SYSTEM = "SYS"

PULLS = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*"
ACKNOWLEDGEMENTS = f"$JS.ACK.{VEHICLE_COMMANDS}.>"

STORES = (VEHICLE_STORE, COMMAND_STORE, UPDATE_STORE, SERVICE_STORE, MQTT_CARS_ACCOUNT)
"""The accounts with JetStream. MQTT sessions are streams of the account in which their clients are."""

_STORE_OF = {
    VEHICLE_COMMANDS: COMMAND_STORE,
    DOOR_UPDATES: UPDATE_STORE,
    ROOM_EVENTS: SERVICE_STORE,
}


class PassageKind(StrEnum):
    """What passes: requests with their answers, or messages one way."""

    SERVICE = "service"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Passage:
    """`user` may publish `subject` to `owner` (SERVICE), or hear what is published there (STREAM).

    `many`: one request has more than one answer. `local` is how the user calls it, where that differs.
    """

    owner: str
    user: str
    kind: PassageKind
    subject: str
    many: bool = False
    local: str = ""

    @property
    def called(self) -> str:
        """The subject as the user calls it."""
        return self.local or self.subject

    @property
    def mapped(self) -> str:
        """`local` in the broker's configuration, which numbers the wildcards of messages one way."""
        if self.kind is PassageKind.SERVICE:
            return self.local
        words, count = [], 0
        for word in self.local.split("."):
            count += word == "*"
            words.append(f"${count}" if word == "*" else word)
        return ".".join(words)


def account_of(service: str) -> str:
    """Return the account of a service."""
    return f"SERVICE_{service.upper()}"


def store_of(stream: str) -> str:
    """Return the account in which a stream lies."""
    return MQTT_CARS_ACCOUNT if stream.startswith("$MQTT_") else _STORE_OF.get(stream, VEHICLE_STORE)


OWN = {
    "access": (GRANT_REVOKED_SUBJECT, PROOFS_SEEN_SUBJECT),
    "command": (COMMAND_AWAITED_SUBJECT, COMMAND_ENDED_SUBJECT),
    "enrolment": (AUTH_QUESTIONS, VEHICLE_ADMITTED_SUBJECT),
}
"""What a service hears within its own account: from its other replicas, and from the broker."""
SAYS_WITHIN = {
    "access": (PROOFS_SEEN_SUBJECT,),
    "command": (COMMAND_AWAITED_SUBJECT, COMMAND_ENDED_SUBJECT),
    "enrolment": (VEHICLE_ADMITTED_SUBJECT,),
}
"""What a service says to its other replicas, and nobody else hears."""


def passages(services: tuple[str, ...], prefix: str) -> list[Passage]:
    """Return all of them. `prefix` is the secret one of what listens where vehicles' messages are confirmed."""
    found = [*_nats_vehicles(prefix), *_mqtt_vehicles(prefix)]
    for service in services:
        found += _consuming(service, prefix)
        if service in _PARTICULAR:
            found += _PARTICULAR[service](account_of(service))
    return found


def _ask(user: str, owner: str, *subjects: str, many: bool = False) -> list[Passage]:
    return [Passage(owner, user, PassageKind.SERVICE, subject, many) for subject in subjects]


def _subscribe(user: str, owner: str, *subjects: str) -> list[Passage]:
    return [Passage(owner, user, PassageKind.STREAM, subject) for subject in subjects]


def _api(user: str, verb: str, stream: str, rest: str = "", *, many: bool = False) -> list[Passage]:
    """Of JetStream's interface. An account without streams answers itself below `$JS.API`, that it has none."""
    question = f"{verb}.{stream}{rest}"
    return [
        Passage(
            store_of(stream),
            user,
            PassageKind.SERVICE,
            f"$JS.API.{question}",
            many,
            local=f"{STORE_API}.{question}",
        )
    ]


def _erase(user: str, stream: str) -> list[Passage]:
    """Return what erasing a person takes: reading what is kept, and having messages written over that all services
    have heard.
    """
    found = [*_api(user, "DIRECT.GET", stream, many=True), *_api(user, "STREAM.MSG.DELETE", stream)]
    for consumer in CONSUMERS.values():
        if consumer.stream == stream:
            found += _api(user, "CONSUMER.INFO", stream, f".{consumer.name}")
    return found


def _tell(user: str, service: str) -> Passage:
    """Live updates. The broker writes into the subject whose they are: readers are told of each kind by one service."""
    return Passage(
        UPDATE_STORE,
        user,
        PassageKind.SERVICE,
        kept_update_subject(service, "*"),
        local=update_subject("*"),
    )


def _pull(user: str) -> list[Passage]:
    """Vehicles' consumers are pulled from by the name that they have everywhere; nobody else answers to it."""
    return [*_ask(user, COMMAND_STORE, PULLS, many=True), *_ask(user, COMMAND_STORE, ACKNOWLEDGEMENTS)]


def _nats_vehicles(prefix: str) -> list[Passage]:
    # A status report is mapped to its partition before it leaves the account.
    said = [event_subject("*", event) for event in EventKind if event is not EventKind.STATUS]
    return [
        *_enter(CARS_ACCOUNT, prefix, *said, "vehicle_status.*.*"),
        *_subscribe(CARS_ACCOUNT, VEHICLE_STORE, "_INBOX.*.>"),
        *_pull(CARS_ACCOUNT),
        # Who asks how, for reply_guard.
        *_subscribe(account_of("enrolment"), CARS_ACCOUNT, PULLS, ACKNOWLEDGEMENTS),
    ]


def _mqtt_vehicles(prefix: str) -> list[Passage]:
    """Return a vehicle on MQTT names no reply subject: the broker itself waits for the answer."""
    said = [event_subject("*", event) for event in EventKind if event is not EventKind.STATUS]
    commands = f"{mqtt_queue_subject(command_subject('*', CommandKind.DOOR)).removesuffix('door')}*"
    return [
        *(
            Passage(
                VEHICLE_STORE,
                MQTT_CARS_ACCOUNT,
                PassageKind.SERVICE,
                f"{prefix}.{OVER_MQTT}.{subject}",
                local=mqtt_queue_subject(subject),
            )
            for subject in said
        ),
        *_enter(MQTT_CARS_ACCOUNT, prefix, "vehicle_status.*.*"),
        # Who subscribes how often, for reply_guard.
        *_subscribe(account_of("enrolment"), MQTT_CARS_ACCOUNT, MQTT_SESSION_CHANGES),
        # The copy of each command that the broker makes for sessions.
        *_ask(COMMAND_STORE, MQTT_CARS_ACCOUNT, commands),
    ]


def _enter(account: str, prefix: str, *subjects: str) -> list[Passage]:
    """Return what is published in this account goes into the vehicles' store."""
    return [
        Passage(account, VEHICLE_STORE, PassageKind.STREAM, subject, local=f"{prefix}.{subject}")
        for subject in subjects
    ]


def _consuming(service: str, prefix: str) -> list[Passage]:
    """Return what a service needs for its durable consumers, and to see that the streams are there."""
    user = account_of(service)
    found = []
    for consumer in consumers_of(service):
        store = store_of(consumer.stream)
        here = f"deliver.{consumer.name}"
        found.append(Passage(store, user, PassageKind.STREAM, f"{prefix}.{here}", local=here))
        found += _ask(user, store, f"$JS.ACK.{consumer.stream}.{consumer.name}.>")
        found += _api(user, "CONSUMER.INFO", consumer.stream, f".{consumer.name}")
    for stream in STREAMS:
        found += _api(user, "STREAM.INFO", stream)
    return found


def _access(user: str) -> list[Passage]:
    # Owners who watch a vehicle are told of changes in who may do what with it.
    return [*_ask(user, SERVICE_STORE, "room.access.>"), _tell(user, "access"), *_erase(user, ROOM_EVENTS)]


def _command(user: str) -> list[Passage]:
    commands = f"{command_subject('*', CommandKind.DOOR).removesuffix('door')}*"
    return [
        *_ask(user, COMMAND_STORE, commands),
        *_api(user, "CONSUMER.CREATE", VEHICLE_COMMANDS, ".>"),
        *_pull(user),
        # What was revoked is taken out of the queue, and out of sessions.
        *_api(user, "STREAM.PURGE", VEHICLE_COMMANDS),
        *_api(user, "STREAM.PURGE", MQTT_MESSAGES),
        *_ask(user, MQTT_CARS_ACCOUNT, mqtt_queue_subject(commands)),
        _tell(user, "command"),
        *_erase(user, DOOR_UPDATES),
        *_ask(user, SERVICE_STORE, "room.command.>"),
        *_subscribe(
            user, account_of("status"), advisory_subject("*"), refused_subject("*"), SHOWN_RESULTS_SUBJECT
        ),
        *_subscribe(user, account_of("diagnostics"), refused_subject("*")),
        *_subscribe(user, account_of("enrolment"), VEHICLE_KEYS_CHANGED_SUBJECT),
    ]


def _status(user: str) -> list[Passage]:
    return [
        _tell(user, "status"),
        *_ask(user, SERVICE_STORE, "room.status.>"),
        *_subscribe(user, account_of("enrolment"), VEHICLE_KEYS_CHANGED_SUBJECT),
        *_subscribe(user, MQTT_CARS_ACCOUNT, presence_subject("*")),
        # Replicas follow these two with consumers that live as long as they do, and deliver to their inboxes.
        *_api(user, "CONSUMER.CREATE", DOOR_UPDATES),
        *_api(user, "CONSUMER.CREATE", ROOM_EVENTS),
        *_subscribe(user, UPDATE_STORE, "_INBOX.status.>"),
        *_subscribe(user, SERVICE_STORE, "_INBOX.status.>"),
        *_api(user, "DIRECT.GET", DOOR_UPDATES, many=True),
    ]


def _config(user: str) -> list[Passage]:
    return [
        *_ask(user, COMMAND_STORE, command_subject("*", CommandKind.CONFIG)),
        *_ask(user, SERVICE_STORE, "room.config.>"),
        *_subscribe(user, account_of("enrolment"), VEHICLE_KEYS_CHANGED_SUBJECT),
    ]


def _diagnostics(user: str) -> list[Passage]:
    return [
        _tell(user, "diagnostics"),
        *_ask(user, SERVICE_STORE, "room.diagnostics.>"),
        *_subscribe(user, account_of("enrolment"), VEHICLE_KEYS_CHANGED_SUBJECT),
    ]


def _enrolment(user: str) -> list[Passage]:
    """Return what enrolment may do: say who a vehicle is, end vehicles' connections, make streams and consumers."""
    found = _ask(user, SERVICE_STORE, "room.enrolment.probe")
    for stream in STREAMS:
        found += [*_api(user, "STREAM.CREATE", stream), *_api(user, "STREAM.UPDATE", stream)]
    for stream in MQTT_OWN_STREAMS:  # to spread them over more nodes
        found += [*_api(user, "STREAM.INFO", stream), *_api(user, "STREAM.UPDATE", stream)]
    for consumer in CONSUMERS.values():
        found += _api(user, "CONSUMER.DURABLE.CREATE", consumer.stream, f".{consumer.name}")
        found += _api(user, "CONSUMER.INFO", consumer.stream, f".{consumer.name}")
    found += _ask(user, SYSTEM, "$SYS.REQ.SERVER.PING.CONNZ", many=True)
    found += _ask(user, SYSTEM, "$SYS.REQ.SERVER.*.KICK")
    return found


_PARTICULAR = {
    "access": _access,
    "command": _command,
    "status": _status,
    "config": _config,
    "diagnostics": _diagnostics,
    "enrolment": _enrolment,
}
"""What a service may publish and hear besides what its consumers deliver; one without a line here, nothing."""
