"""What the protocol asks the car about its past: which orders are known, and which manifest to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.domains import Domain

if TYPE_CHECKING:
    from vehicle.doors.car import Car
    from vehicle.messages.journal import Journal
    from vehicle.messages.manifest_file import ManifestStore
    from vehicle.messages.pending import PendingCommands


class Memory:
    """protocol's VehicleMemory."""

    def __init__(
        self, car: Car, journal: Journal, pending: PendingCommands, manifests: ManifestStore
    ) -> None:
        self._car = car
        self._journal = journal
        self._pending = pending
        self._manifests = manifests

    def is_known(self, domain: Domain, order_id: str) -> bool:
        """Return whether this order was taken before: it waits, runs, or has its answer. For settings: whether
        these or newer ones were applied.

        A command that was cancelled before it came is known: it has its result.
        """
        match domain:
            case Domain.COMMAND:
                return (
                    self._pending.find(order_id) is not None
                    or self._journal.has_begun(order_id)
                    or self._journal.result_of(order_id) is not None
                )
            case Domain.CANCEL:
                return (
                    self._pending.find_stop(order_id) is not None
                    or self._journal.cancel_answer(order_id) is not None
                )
            case _:
                return int(order_id) <= self._car.config_version

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        """Remember this for Trust.restore. On the disk when it returns."""
        self._manifests.save(endorsed_by, endorsed)
