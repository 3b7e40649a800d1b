"""A CloudSession as text, for the one column a service keeps it in."""

from __future__ import annotations

import json
from typing import Any

from protocol.domains import Domain
from protocol.session import CloudSession, EpochRecord
from protocol.window import Window


def dump(session: CloudSession) -> str:
    """Return the session as compact JSON, a few hundred bytes."""
    return json.dumps(
        {
            "current": _record(session.current),
            "ended": [_record(record) for record in session.ended],
            "clockLeadMillis": session.clock_lead_millis,
            "manifestVersion": session.manifest_version,
            "reportPublicKey": session.report_public_key.hex(),
            "reportKeyId": session.report_key_id.hex(),
            "challenge": session.challenge.hex(),
            "challengedAtMillis": session.challenged_at_millis,
        },
        separators=(",", ":"),
    )


def load(text: str) -> CloudSession:
    """Return what `dump` made. Raises ValueError, KeyError or TypeError when it is something else."""
    stored = json.loads(text)
    return CloudSession(
        current=_loaded(stored["current"]),
        ended=tuple(_loaded(record) for record in stored["ended"]),
        clock_lead_millis=stored["clockLeadMillis"],
        manifest_version=stored["manifestVersion"],
        report_public_key=bytes.fromhex(stored["reportPublicKey"]),
        report_key_id=bytes.fromhex(stored["reportKeyId"]),
        challenge=bytes.fromhex(stored["challenge"]),
        challenged_at_millis=stored["challengedAtMillis"],
    )


def _record(record: EpochRecord) -> dict[str, Any]:
    return {
        "epoch": record.epoch.hex(),
        "order": record.order,
        "bootId": record.boot_id,
        "issued": {domain.value: counter for domain, counter in record.issued.items()},
        "seen": {domain.value: [window.highest, window.seen] for domain, window in record.seen.items()},
    }


def _loaded(stored: dict[str, Any]) -> EpochRecord:
    return EpochRecord(
        bytes.fromhex(stored["epoch"]),
        stored.get("order", 0),
        stored.get("bootId", ""),
        {Domain(domain): counter for domain, counter in stored["issued"].items()},
        {Domain(domain): Window(highest, seen) for domain, (highest, seen) in stored["seen"].items()},
    )
