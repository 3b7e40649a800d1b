"""Makes phones, with the token that their push service would have given them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from phones.directory import Phone, PhoneKind
from phones.web_push_keys import new_subscription_secrets, public_keys

if TYPE_CHECKING:
    from collections.abc import Callable


class PhoneMaker:
    """`endpoint` makes the URL of a Web Push subscription, which is for the holder of `application_server_key`."""

    def __init__(self, endpoint: Callable[[str], str], application_server_key: str) -> None:
        self._endpoint = endpoint
        self._application_server_key = application_server_key

    def make(self, name: str, kind: PhoneKind, application_server_key: str = "") -> Phone:
        """Return a phone that nobody knows yet."""
        if kind is PhoneKind.FCM:
            return Phone(name, kind, f"{secrets.token_urlsafe(16)}:APA91b{secrets.token_urlsafe(99)}")
        if kind is PhoneKind.APNS:
            return Phone(name, kind, secrets.token_hex(32))
        kept = new_subscription_secrets(application_server_key or self._application_server_key)
        return Phone(name, kind, self._endpoint(secrets.token_urlsafe(32)), kept)


def registration_of(phone: Phone) -> dict[str, Any]:
    """Return what the phone's app hands in, as the product's registration of push devices takes it."""
    keys = {"keys": public_keys(phone.secrets)} if phone.kind is PhoneKind.WEB_PUSH else {}
    return {"kind": phone.kind, "token": phone.token, **keys}
