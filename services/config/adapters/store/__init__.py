"""The record of this service; rows never leave this folder.

`tables` are the tables; `record` is what changes and vehicles' words do to configs, `orders` what becomes of
settings on their way out, `settings_cancellations` gives up those whose right has ended; `rows` is what all use.
"""

from services.config.adapters.store.cancellations import SettingsCancellationStore
from services.config.adapters.store.erasure import erase_proofs, in_the_way_of_erasure
from services.config.adapters.store.orders import OrderStore
from services.config.adapters.store.record import ConfigStore
from services.config.adapters.store.tables import (
    HEAD,
    ConfigModel,
    audit_outbox,
    dead_letters,
    holds,
    outbox,
    sessions,
)

__all__ = [
    "HEAD",
    "ConfigModel",
    "ConfigStore",
    "OrderStore",
    "SettingsCancellationStore",
    "audit_outbox",
    "dead_letters",
    "erase_proofs",
    "holds",
    "in_the_way_of_erasure",
    "outbox",
    "sessions",
]
