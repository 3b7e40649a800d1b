"""The command `doorctl` (bin/doorctl)."""

from __future__ import annotations

import difflib
import logging
import os

import typer

from doorctl import (
    account,
    api_key,
    audit,
    audit_reading,
    customer_case,
    deadletter,
    fleet,
    grant,
    hold,
    keys,
    receipt,
    retention,
    security,
    vehicle,
    webhook,
)
from doorctl.text import complain

SETTINGS = ("DOORS_OPERATOR_FILE", "DOORS_DATA_DIR")
_ALIKE = 0.85
STATUSES = (
    "Exit status: 0 done; 1 not done, or not wholly (why is said on standard error);"
    " 2 the command line is wrong, and nobody was asked. `vehicle conformance`, `audit verify` and `receipt verify`"
    " have their own."
)
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, epilog=STATUSES)
app.add_typer(vehicle.commands, name="vehicle")
app.add_typer(grant.commands, name="grant")
app.add_typer(account.commands, name="account")
app.add_typer(api_key.commands, name="key")
app.add_typer(security.commands, name="access")
app.add_typer(customer_case.commands, name="case")
app.add_typer(keys.commands, name="keys")
audit.commands.command("list")(audit_reading.list_entries)
app.add_typer(audit.commands, name="audit")
app.add_typer(deadletter.commands, name="deadletter")
app.add_typer(fleet.commands, name="fleet")
app.add_typer(retention.commands, name="retention")
app.add_typer(hold.commands, name="hold")
app.add_typer(webhook.commands, name="webhook")
app.add_typer(receipt.commands, name="receipt")


@app.callback()
def main() -> None:
    """Operate Remote Door Control."""
    for name in os.environ:
        # The rest may be for `make run` from the same shell; a mistyped one of these would operate another deployment.
        like = difflib.get_close_matches(name, SETTINGS, 1, _ALIKE)
        if like and name not in SETTINGS:
            complain(f"{name} is not read; did you mean {like[0]}?")
    # What a library warns of while it hangs up is nothing an operator could act on.
    logging.basicConfig(level=logging.ERROR)


if __name__ == "__main__":
    app(prog_name="doorctl")
