"""The record of this service; rows never leave this folder.

`tables` are the tables; `requests` is what requests write, `reports` what vehicles' reports write, `queries`
what is read; `commands` puts them into transactions; `orders` keeps what is issued to vehicles.
"""

from services.command.store.commands import SqlCommands
from services.command.store.orders import SqlOrders
from services.command.store.tables import HEAD, CommandModel, dead_letters, outbox

__all__ = ["HEAD", "CommandModel", "SqlCommands", "SqlOrders", "dead_letters", "outbox"]
