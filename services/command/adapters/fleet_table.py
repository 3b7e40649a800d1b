"""The overview of the fleet's failures as CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from services.command.adapters.failure_table import as_cells
from services.command.domain.failures import COMPONENT_OF
from services.failure_texts import failure_words

if TYPE_CHECKING:
    from services.command.domain.fleet import FleetOverview
    from services.failure_texts import Language

HEADER = ("model", "failureReason", "component", "doorId", "count", "title", "guidance")


def fleet_csv(overview: FleetOverview, language: Language) -> bytes:
    """Return a line for each model, reason and door that enough vehicles had. Requests have no door, and those that did
    not fail no reason; a line with a door counts what vehicles said of it.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    for cell, count in overview.rows:
        reason = cell.reason
        words = failure_words(reason, language) if reason is not None else None
        writer.writerow(
            as_cells(
                (
                    cell.model,
                    reason.value if reason is not None else "",
                    COMPONENT_OF[reason].value if reason is not None else "",
                    cell.door,
                    str(count),
                    words.title if words is not None else "",
                    words.guidance if words is not None else "",
                )
            )
        )
    return text.getvalue().encode()
