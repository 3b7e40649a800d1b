"""The record of this service; rows never leave this folder.

`tables` are the tables; `grants` and `accounts` are what is written and asked of them; `record` puts that into
transactions.
"""

from services.access.adapters.store.abnormal import SqlAbnormalAccess
from services.access.adapters.store.accounts import (
    add_key,
    find_key,
    has_key_id,
    issue_key,
    key_by_id,
    name_scope,
    note_key_uses,
    words_in,
)
from services.access.adapters.store.agents import SqlAgentRecord
from services.access.adapters.store.consents import SqlConsents, give_consent
from services.access.adapters.store.customer_cases import SqlCustomerCases
from services.access.adapters.store.grants import add_vehicles, create_grant, give_grant, load_permissions
from services.access.adapters.store.holds import SqlHolds
from services.access.adapters.store.notices import ChangeMessages, lock_new_vehicle
from services.access.adapters.store.person_vehicles import SqlPersonGrants
from services.access.adapters.store.personal_data import SqlPersonalData, erased
from services.access.adapters.store.record import SqlGrantRecord
from services.access.adapters.store.severances import SqlSeverances
from services.access.adapters.store.sharing import SqlSharedGrants
from services.access.adapters.store.tables import (
    HEAD,
    AccessModel,
    audit_outbox,
    holds,
    outbox,
    write_audit,
)
from services.access.adapters.store.tickets import SqlSessions

__all__ = [
    "HEAD",
    "AccessModel",
    "ChangeMessages",
    "SqlAbnormalAccess",
    "SqlAgentRecord",
    "SqlConsents",
    "SqlCustomerCases",
    "SqlGrantRecord",
    "SqlHolds",
    "SqlPersonGrants",
    "SqlPersonalData",
    "SqlSessions",
    "SqlSeverances",
    "SqlSharedGrants",
    "add_key",
    "add_vehicles",
    "audit_outbox",
    "create_grant",
    "erased",
    "find_key",
    "give_consent",
    "give_grant",
    "has_key_id",
    "holds",
    "issue_key",
    "key_by_id",
    "load_permissions",
    "lock_new_vehicle",
    "name_scope",
    "note_key_uses",
    "outbox",
    "words_in",
    "write_audit",
]
