"""The record of this service; rows never leave this folder.

`tables` are the tables; `requests` writes new commands and cancellations, `changes` what happened to them, `queries`
is what is read; `transaction` is the record while it is changed, `commands` runs the use cases' work in one; `orders`
keeps what is issued to vehicles; `failure_counts` what failed and how often, of which `fleet_counts` reads the whole.
"""

from services.command.adapters.store.commands import SqlCommands
from services.command.adapters.store.erasure import erase_messages, in_the_way_of_erasure, words_of
from services.command.adapters.store.failure_counts import FLEET_KEPT, SqlFailureCounts
from services.command.adapters.store.fleet_counts import SqlFleetCounts
from services.command.adapters.store.orders import SqlOrders
from services.command.adapters.store.tables import (
    HEAD,
    CommandModel,
    audit_outbox,
    audit_rows,
    dead_letters,
    holds,
    outbox,
)

__all__ = [
    "FLEET_KEPT",
    "HEAD",
    "CommandModel",
    "SqlCommands",
    "SqlFailureCounts",
    "SqlFleetCounts",
    "SqlOrders",
    "audit_outbox",
    "audit_rows",
    "dead_letters",
    "erase_messages",
    "holds",
    "in_the_way_of_erasure",
    "outbox",
    "words_of",
]
