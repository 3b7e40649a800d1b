"""The analysis of a vehicle's failures as CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING

from services.command.domain.failures import COMPONENT_OF, begin_of
from services.failure_texts import failure_words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from services.command.domain.commands import CommandAction, FailureReason
    from services.command.domain.failures import FailureAnalysis
    from services.failure_texts import Language

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
HEADER = (
    "vin",
    "model",
    "start",
    "end",
    "action",
    "failureReason",
    "component",
    "doorId",
    "count",
    "title",
    "guidance",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the begin of a formula."""


def failures_csv(analysis: FailureAnalysis, language: Language) -> bytes:
    """Return a line for each part of the period, action, reason and door. Requests have no door, and those that did not
    fail no reason; a line with a door counts what the vehicle said of it.
    """
    span = analysis.query.span
    counts: Counter[tuple[datetime, CommandAction, FailureReason | None, str]] = Counter()
    for key, count in analysis.rows:
        counts[begin_of(key.hour, span), key.action, key.reason, key.door] += count
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    for (start, action, reason, door), count in counts.items():
        words = failure_words(reason, language) if reason is not None else None
        writer.writerow(
            as_cells(
                (
                    analysis.query.vin,
                    analysis.model,
                    _text(start),
                    _text(start + span),
                    action.value,
                    reason.value if reason is not None else "",
                    COMPONENT_OF[reason].value if reason is not None else "",
                    door,
                    str(count),
                    words.title if words is not None else "",
                    words.guidance if words is not None else "",
                )
            )
        )
    return text.getvalue().encode()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_cells(cells: Iterable[str]) -> list[str]:
    """Return the cells as a spreadsheet shows them and does not run them."""
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]
