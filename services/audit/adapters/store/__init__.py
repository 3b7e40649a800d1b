"""The record of this service; rows never leave this folder.

`tables` are the tables; `persons` keeps people's keys, `ledger` the entries, `pages` finds them, `reading` is what is
shown of them, `tree` the hashes above them and what was signed of it; `inspection` looks whether the rows agree with
the leaves.
"""

from services.audit.adapters.store.inspection import LedgerInspection
from services.audit.adapters.store.ledger import SqlLedger
from services.audit.adapters.store.reading import SqlLedgerReading
from services.audit.adapters.store.tables import HEAD, AuditModel
from services.audit.adapters.store.tree import SqlTree

__all__ = ["HEAD", "AuditModel", "LedgerInspection", "SqlLedger", "SqlLedgerReading", "SqlTree"]
