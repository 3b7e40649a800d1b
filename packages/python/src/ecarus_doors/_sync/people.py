"""Rights on vehicles, and what is about the person who asks."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ecarus_doors._sync.vehicles import SyncVehicles
from ecarus_doors.models import ConsentGiven, DoorGrantNarrowing, DoorGrantOffer, OwnershipTransfer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ecarus_doors.models import (
        Consent,
        DoorGrant,
        GrantScheduleInput,
        NewPushDevice,
        NotificationPreferences,
        NotificationPreferencesInput,
        OwnershipTransferred,
        PersonVehicle,
        PushDevice,
    )


class SyncPeople(SyncVehicles):
    """Vehicles of a person, rights, consents, devices for push notifications, preferences."""

    def vehicles(self) -> Sequence[PersonVehicle]:
        """Return the vehicles on which the caller has a right now."""
        return (self.raw.list_vehicles()).vehicles

    def grants(self, vin: str) -> Sequence[DoorGrant]:
        """Return the rights on a vehicle: an owner sees all of their own time, everybody else their own."""
        return (self.raw.list_grants(vin)).grants

    def give_grant(
        self,
        vin: str,
        principal: str,
        kind: Literal["SHARED_USER", "DIGITAL_KEY", "VALET", "SERVICE"],
        *,
        label: str | None = None,
        actions: Sequence[str] | None = None,
        valid_seconds: int | None = None,
        expires_at: datetime | None = None,
        schedule: GrantScheduleInput | None = None,
        correlation_id: str | None = None,
    ) -> DoorGrant:
        """Offer somebody a right, which begins when they accept it."""
        body = DoorGrantOffer(
            principal=principal,
            kind=kind,
            label=label,
            actions=actions,
            valid_seconds=valid_seconds,
            expires_at=expires_at,
            schedule=schedule,
        )
        return self.raw.give_grant(vin, body, correlation_id=correlation_id)

    def accept_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Accept a right that was offered to the caller."""
        return self.raw.accept_grant(vin, grant_id)

    def narrow_grant(self, vin: str, grant_id: str, narrowing: DoorGrantNarrowing) -> DoorGrant:
        """Take some of a right away."""
        return self.raw.narrow_grant(vin, grant_id, narrowing)

    def suspend_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Take a right away until it is resumed."""
        return self.raw.suspend_grant(vin, grant_id)

    def resume_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Give a suspended right back as it was."""
        return self.raw.resume_grant(vin, grant_id)

    def end_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """End a right, or withdraw its offer."""
        return self.raw.end_grant(vin, grant_id)

    def transfer_ownership(
        self, vin: str, new_owner: str, *, correlation_id: str | None = None
    ) -> OwnershipTransferred:
        """Hand the vehicle over: every other right on it ends, the caller's too."""
        return self.raw.transfer_ownership(
            vin, OwnershipTransfer(new_owner=new_owner), correlation_id=correlation_id
        )

    def consents(self, *, language: Literal["en", "ko"] | None = None) -> Sequence[Consent]:
        """Return the caller's consents, with the texts that are asked about."""
        return (self.raw.list_consents(language=language)).consents

    def give_consent(self, consent: Consent) -> Consent:
        """Agree to the text of `consent`, as it was read and shown. Raise ValueError where it has none."""
        if consent.text is None:
            raise ValueError("this consent has no text that could be agreed to")
        body = ConsentGiven(
            version=consent.text.version,
            language=consent.text.language,  # type: ignore[arg-type]  # as the service said it
            sha256=consent.text.sha256,
        )
        return self.raw.give_consent(consent.purpose, body)

    def withdraw_consent(self, purpose: str) -> Consent:
        """Withdraw a consent: nothing more is collected for this purpose."""
        return self.raw.withdraw_consent(purpose)

    def devices(self) -> Sequence[PushDevice]:
        """Return the caller's devices for push notifications."""
        return (self.raw.list_push_devices()).devices

    def register_device(self, device_id: str, device: NewPushDevice) -> PushDevice:
        """Register a device for push notifications, or tell its new token."""
        return self.raw.register_push_device(device_id, device)

    def delete_device(self, device_id: str) -> None:
        """Tell a device nothing any more."""
        self.raw.delete_push_device(device_id)

    def preferences(self) -> NotificationPreferences:
        """Return what the caller wants to be told."""
        return self.raw.get_notification_preferences()

    def update_preferences(self, preferences: NotificationPreferencesInput) -> NotificationPreferences:
        """Replace what the caller wants to be told: what is None has its default from now on."""
        return self.raw.update_notification_preferences(preferences)
