"""Rights on vehicles, and what is about the person who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ecarus_doors._async.vehicles import AsyncVehicles
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


class AsyncPeople(AsyncVehicles):
    """Vehicles of a person, rights, consents, devices for push notifications, preferences."""

    async def vehicles(self) -> Sequence[PersonVehicle]:
        """Return the vehicles on which the caller has a right now."""
        return (await self.raw.list_vehicles()).vehicles

    async def grants(self, vin: str) -> Sequence[DoorGrant]:
        """Return the rights on a vehicle: an owner sees all of their own time, everybody else their own."""
        return (await self.raw.list_grants(vin)).grants

    async def give_grant(
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
        return await self.raw.give_grant(vin, body, correlation_id=correlation_id)

    async def accept_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Accept a right that was offered to the caller."""
        return await self.raw.accept_grant(vin, grant_id)

    async def narrow_grant(self, vin: str, grant_id: str, narrowing: DoorGrantNarrowing) -> DoorGrant:
        """Take some of a right away."""
        return await self.raw.narrow_grant(vin, grant_id, narrowing)

    async def suspend_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Take a right away until it is resumed."""
        return await self.raw.suspend_grant(vin, grant_id)

    async def resume_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """Give a suspended right back as it was."""
        return await self.raw.resume_grant(vin, grant_id)

    async def end_grant(self, vin: str, grant_id: str) -> DoorGrant:
        """End a right, or withdraw its offer."""
        return await self.raw.end_grant(vin, grant_id)

    async def transfer_ownership(
        self, vin: str, new_owner: str, *, correlation_id: str | None = None
    ) -> OwnershipTransferred:
        """Hand the vehicle over: every other right on it ends, the caller's too."""
        return await self.raw.transfer_ownership(
            vin, OwnershipTransfer(new_owner=new_owner), correlation_id=correlation_id
        )

    async def consents(self, *, language: Literal["en", "ko"] | None = None) -> Sequence[Consent]:
        """Return the caller's consents, with the texts that are asked about."""
        return (await self.raw.list_consents(language=language)).consents

    async def give_consent(self, consent: Consent) -> Consent:
        """Agree to the text of `consent`, as it was read and shown. Raise ValueError where it has none."""
        if consent.text is None:
            raise ValueError("this consent has no text that could be agreed to")
        body = ConsentGiven(
            version=consent.text.version,
            language=consent.text.language,  # type: ignore[arg-type]  # as the service said it
            sha256=consent.text.sha256,
        )
        return await self.raw.give_consent(consent.purpose, body)

    async def withdraw_consent(self, purpose: str) -> Consent:
        """Withdraw a consent: nothing more is collected for this purpose."""
        return await self.raw.withdraw_consent(purpose)

    async def devices(self) -> Sequence[PushDevice]:
        """Return the caller's devices for push notifications."""
        return (await self.raw.list_push_devices()).devices

    async def register_device(self, device_id: str, device: NewPushDevice) -> PushDevice:
        """Register a device for push notifications, or tell its new token."""
        return await self.raw.register_push_device(device_id, device)

    async def delete_device(self, device_id: str) -> None:
        """Tell a device nothing any more."""
        await self.raw.delete_push_device(device_id)

    async def preferences(self) -> NotificationPreferences:
        """Return what the caller wants to be told."""
        return await self.raw.get_notification_preferences()

    async def update_preferences(self, preferences: NotificationPreferencesInput) -> NotificationPreferences:
        """Replace what the caller wants to be told: what is None has its default from now on."""
        return await self.raw.update_notification_preferences(preferences)
