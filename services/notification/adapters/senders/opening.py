"""Opens the senders that the settings describe."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from services.notification.adapters.senders.apns import ApnsSender, ProviderToken
from services.notification.adapters.senders.credentials import (
    CredentialError,
    read_p256_key,
    read_service_account,
)
from services.notification.adapters.senders.fcm import FcmSender
from services.notification.adapters.senders.google_tokens import GoogleAccessToken
from services.notification.adapters.senders.peer import PushPeer
from services.notification.adapters.senders.public_network import PublicNetwork
from services.notification.adapters.senders.settings import topics_in
from services.notification.adapters.senders.vapid import VapidHeaders, application_server_key
from services.notification.adapters.senders.web_push import WebPushSender
from services.notification.domain.messages import PushKind
from services.platform.settings import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from services.notification.adapters.senders.settings import PushSettings
    from services.notification.usecases.ports import PushSender
    from services.platform.clock import Clock


def opened(settings: PushSettings, clock: Clock) -> dict[PushKind, PushSender]:
    """Return a sender for each push service that is set up. Raises SettingsError."""
    # Only TLS 1.2 and newer, with the peer's certificate and name looked at: Python's defaults.
    trust = ssl.create_default_context(cafile=str(settings.push_ca) if settings.push_ca else None)
    senders: dict[PushKind, PushSender] = {}
    if settings.fcm_service_account is not None:
        senders[PushKind.FCM] = _fcm(settings, trust, clock)
    if settings.apns_key is not None:
        senders[PushKind.APNS] = _apns(settings, trust, clock)
    if settings.web_push_key is not None:
        senders[PushKind.WEB_PUSH] = _web_push(settings, trust, clock)
    return senders


def server_key(settings: PushSettings) -> str | None:
    """Return the public half of the application server's key, base64url. Raises SettingsError."""
    return application_server_key(_web_push_key(settings)) if settings.web_push_key is not None else None


def _web_push_key(settings: PushSettings) -> EllipticCurvePrivateKey:
    assert settings.web_push_key is not None  # noqa: S101  # the caller looked
    try:
        return read_p256_key(settings.web_push_key)
    except CredentialError as error:
        raise SettingsError(f"DOORS_WEB_PUSH_KEY: {error}") from error


def _peer(settings: PushSettings, trust: ssl.SSLContext) -> PushPeer:
    return PushPeer(trust, seconds=settings.push_seconds, concurrency=settings.push_concurrency)


def _fcm(settings: PushSettings, trust: ssl.SSLContext, clock: Clock) -> FcmSender:
    assert settings.fcm_service_account is not None  # noqa: S101  # the caller looked
    try:
        account = read_service_account(settings.fcm_service_account)
    except CredentialError as error:
        raise SettingsError(f"DOORS_FCM_SERVICE_ACCOUNT: {error}") from error
    return FcmSender(
        # A token endpoint that hangs takes no turn from messages.
        GoogleAccessToken(account, PushPeer(trust, seconds=settings.push_seconds, concurrency=1), clock),
        _peer(settings, trust),
        f"{settings.fcm_url}/v1/projects/{settings.fcm_project or account.project}/messages:send",
        clock,
    )


def _apns(settings: PushSettings, trust: ssl.SSLContext, clock: Clock) -> ApnsSender:
    assert settings.apns_key is not None  # noqa: S101  # the caller looked
    try:
        key = read_p256_key(settings.apns_key)
    except CredentialError as error:
        raise SettingsError(f"DOORS_APNS_KEY: {error}") from error
    token = ProviderToken(key, settings.apns_key_id, settings.apns_team_id, clock)
    return ApnsSender(
        token, _peer(settings, trust), settings.apns_url, topics_in(settings.apns_topics), clock
    )


def _web_push(settings: PushSettings, trust: ssl.SSLContext, clock: Clock) -> WebPushSender:
    key = _web_push_key(settings)
    peer = PushPeer(
        trust,
        seconds=settings.push_seconds,
        concurrency=settings.push_concurrency,
        per_host=settings.push_per_host,
        network=None if settings.web_push_private_addresses else PublicNetwork(),
    )
    return WebPushSender(
        VapidHeaders(key, settings.web_push_contact, clock), peer, settings.web_push_endpoints, clock
    )
