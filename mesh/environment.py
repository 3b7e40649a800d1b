"""What of the user's environment each component is given: what it needs, and nothing of another's.

The user's shell may hold anything: tokens, passwords, another service's settings. A component that is taken over
must find none of them.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

_MACHINE = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_SERVER = frozenset({"LOG_LEVEL", "DRAIN_SECONDS", "REVOCATION_CHECK_SECONDS", "HEALTH_PATIENCE_SECONDS"})
_BROKER = {"BROKER_LOOK_SECONDS", "BROKER_SILENCE_SECONDS", "BROKER_PATIENCE_SECONDS"}
_SERVICE = _SERVER | {"NATS_REPLICAS", "NATS_TLS_NAME", "LOW_SPACE_BYTES"} | _BROKER
_INTAKE = _SERVICE | {
    "VEHICLE_QUOTAS",
    "VEHICLE_MUTE_SECONDS",
    "DEAD_LETTER_BYTES",
    "DEAD_LETTERS_PER_VEHICLE",
    "DEAD_LETTER_DAYS",
}
_REPORTS = _INTAKE | {"REPORT_KEYS_KEPT"}
_OWN: Mapping[str, frozenset[str]] = {
    "audit": _SERVER | {"LOW_SPACE_BYTES", "AUDIT_WITNESSES", "AUDIT_RESTORE_FROM"},
    "access": _SERVICE
    | {
        "TOKEN_CLIENTS",
        "TOKEN_DISCOVERY_URL",
        "TOKEN_ISSUER",
        "TOKEN_ISSUER_CA",
        "TOKEN_AUDIENCE",
        "TOKEN_LONGEST_SECONDS",
        "TOKEN_LEEWAY_SECONDS",
        "TOKEN_ALGORITHMS",
        "TOKEN_KEYS_FETCH_SECONDS",
        "TOKEN_KEYS_STALE_SECONDS",
        "KEYS_REREAD_SECONDS",
        "COMMANDS_PER_MINUTE",
        "COMMANDS_PER_USER_PER_MINUTE",
        "COMMANDS_PER_AGENT_PER_MINUTE",
        "COMMANDS_PER_CLIENT_PER_MINUTE",
        "COMMANDS_PER_ADDRESS_PER_MINUTE",
        "RATE_SHARES",
        "CANCELLATIONS_PER_MINUTE",
        "READS_PER_MINUTE",
        "SESSIONS_PER_MINUTE",
        "REFUSALS_PER_MINUTE",
        "STEP_UP",
        "DPOP_CLIENTS",
        "EMPLOYEE_CLIENTS",
        "CASES",
        "PUBLIC_ORIGINS",
        "UNKNOWN_VEHICLES_PER_MINUTE",
        "FAILED_SIGN_INS_PER_MINUTE",
        "ABNORMAL_ACCESS",
        "COUNTRY_HEADER",
        "GRANTS_PER_GIVER",
        "GRANTS_PER_VEHICLE",
        "RIGHTS_RETENTION_DAYS",
        "AUDIT_RETENTION_DAYS",
        "ERASURE_WAITING_SECONDS",
        "VEHICLE_MODELS",
    },
    "command": _INTAKE
    | {
        "COMMAND_TTL_SECONDS",
        "ESTIMATED_DURATION_SECONDS",
        "HISTORY_RETENTION_DAYS",
        "STATUS_CHECK_RETENTION_DAYS",
        "STATUS_CHECKS_LISTED",
        "SHOWN_DOORS_PATIENCE_SECONDS",
        "COMMAND_WAITS",
        "COMMAND_WAITS_PER_USER",
        "VEHICLE_MODELS",
        "FLEET_MINIMUM_VEHICLES",
    },
    "config": _INTAKE | {"AUDIT_RETENTION_DAYS", "VEHICLE_MODELS"},
    "diagnostics": _REPORTS
    | {"ALERT_DAMPING_SECONDS", "HEALTH_TREND_DAYS", "SELF_CHECK_DAYS", "SELF_CHECKS_PER_MINUTE"},
    "notification": _SERVICE
    | {
        *("DEVICES_PER_PERSON", "REMINDER_MINUTES", "PUSH_DEVICE_DAYS", "PUSH_SECONDS", "PUSH_CONCURRENCY"),
        *("WEBHOOKS_PER_REGISTRANT", "WEBHOOK_SECONDS", "WEBHOOK_CONCURRENCY", "WEBHOOK_RETRY_HOURS"),
        *("WEBHOOK_EVENT_DAYS", "WEBHOOK_HEARTBEAT_SECONDS", "WEBHOOK_BACKLOG"),
        *("WEBHOOK_DISABLE_FAILURES", "WEBHOOK_DISABLE_HOURS"),
        *("DEAD_LETTER_BYTES", "DEAD_LETTERS_PER_VEHICLE", "DEAD_LETTER_DAYS"),
    },
    "enrolment": _SERVICE | {"VEHICLE_MESSAGES_PER_SECOND", "VEHICLE_BYTES_PER_SECOND"},
    "status": _REPORTS
    | {
        "STATUS_PARTITIONS",
        "STATUS_BATCH",
        "STATUS_MAX_PENDING",
        "HEARTBEAT_SECONDS",
        "STREAM_MAX_BEHIND_SECONDS",
        "STREAM_MAX_WAITING_BYTES",
        "MAX_STREAMS",
        "MAX_STREAMS_PER_USER",
        "MAX_STREAMS_PER_VEHICLE",
        "MAX_WATCHES",
        "MAX_WATCHES_PER_USER",
        "MAX_WATCHES_PER_VEHICLE",
        "CHECKS_GATHER_SECONDS",
        "CHECKS_BATCH",
        "CHECKS_WAITING",
        "HINT_AGAIN_SECONDS",
        "HINT_VEHICLES",
        "DOUBT_SECONDS",
        "VEHICLE_MODELS",
    },
}
"""Of the services that have settings of their own."""

MAY_SET: Mapping[str, frozenset[str]] = {
    **{service.name: _SERVICE if service.needs_broker else _SERVER for service in SERVICES},
    **_OWN,
    "gateway": _SERVER
    | {
        f"WEBSOCKET_{name}"
        for name in (
            *("ORIGINS", "CONNECTIONS", "CONNECTIONS_PER_USER", "CONNECTIONS_PER_ADDRESS"),
            *("SUBSCRIPTIONS", "SUBSCRIPTIONS_PER_USER", "SUBSCRIPTIONS_PER_ADDRESS"),
            *("MESSAGE_BYTES", "MESSAGES_PER_MINUTE", "VEHICLES_PER_MINUTE", "FRAMES_PER_MINUTE"),
            *("WAITING_BYTES", "BEHIND_SECONDS", "PING_SECONDS", "PONG_SECONDS", "IDLE_SECONDS"),
        )
    }
    | {
        f"PAGES_{name}"
        for name in (
            *("ISSUER", "APP_CLIENT", "APP_SCOPE", "PUSH_KEY"),
            *("CONSOLE_CLIENT", "CONSOLE_SCOPE", "CONSOLE_ACR_VALUES"),
        )
    },
    "vehicles": frozenset({"LOG_LEVEL"}),
    "phones": frozenset({"LOG_LEVEL"}),
    "issuer": frozenset({"LOG_LEVEL", "ISSUER_TOKEN_SECONDS"}),
}
"""The settings of each component that the user may set, without DOORS_; all others are the mesh's to say."""

_THE_MESHS = frozenset(
    {
        "PORT_BASE",
        "DATA_DIR",
        "PROFILE",
        "OPERATOR_FILE",
        "LOW_SPACE_BYTES",
        "EDGE_CONNECTIONS",
        "EDGE_REQUESTS_PER_SECOND",
        "CORS_ORIGINS",
        "PROBLEM_TYPE_BASE",
        "HUNG_SECONDS",
    }
)
"""What `make run` and doorctl themselves read."""
_ALIKE = 0.8
"""A name that is no setting is taken for a mistyped one where so much of both is the same."""


def ignored(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each DOORS_ variable that nothing of the sandbox heeds, by name."""
    heeded = sorted({f"DOORS_{name}" for name in _THE_MESHS.union(*MAY_SET.values())})
    sentences = []
    for name in sorted(environment):
        if name.startswith("DOORS_") and name not in heeded:
            # Without what all have in common, which makes any two of them look alike.
            like = difflib.get_close_matches(
                name.removeprefix("DOORS_"), (each.removeprefix("DOORS_") for each in heeded), 1, _ALIKE
            )
            hint = f"; did you mean DOORS_{like[0]}?" if like else "; see docs/deployment.md"
            sentences.append(f"{name} is no setting of the sandbox and is ignored{hint}")
    return sentences


def of_the_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every program needs: where programs are, language, time zone, temporary files, trusted public CAs."""
    return {name: value for name, value in environment.items() if name in _MACHINE or name.startswith("LC_")}


def of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what Python reads besides; compiled code is always kept, or every start would compile for seconds."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PYTHON") and name != "PYTHONDONTWRITEBYTECODE"
    }


def of_the_user(environment: Mapping[str, str], component: str) -> dict[str, str]:
    """Return the component's own settings, as far as the user has set them."""
    names = {f"DOORS_{name}" for name in MAY_SET[component]}
    return {name: value for name, value in environment.items() if name in names}
