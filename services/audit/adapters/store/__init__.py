"""The record of this service; rows never leave this folder.

`tables` are the tables; `persons` keeps people's keys, `ledger` what is in the tree.
"""

from services.audit.adapters.store.ledger import SqlLedger
from services.audit.adapters.store.tables import HEAD, AuditModel

__all__ = ["HEAD", "AuditModel", "SqlLedger"]
