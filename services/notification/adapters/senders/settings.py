"""Which push services there are, and under which credentials: a service's settings take these in beside its own.

A push service of which nothing is set is not used. Each field is read from DOORS_ and its name in capitals.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, FilePath, model_validator

from services.notification.adapters.senders.endpoints import KNOWN_HOSTS, EndpointRules

if TYPE_CHECKING:
    from typing import Self

FCM_URL = "https://fcm.googleapis.com"
APNS_URL = "https://api.push.apple.com"
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,128}")
_MAX_TOPICS = 16


def checked_origin(text: str) -> str:
    """Return `https://host` or `https://host:port`. Raises ValueError."""
    parts = urlsplit(text)
    if not text.isascii() or not text.isprintable() or parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be https://host or https://host:port")
    if text != f"https://{parts.netloc}" or "@" in parts.netloc or parts.port == 0:
        raise ValueError("must be https://host or https://host:port, and nothing more")
    return text


def topics_in(text: str) -> tuple[str, ...]:
    """Return the topics (an app's bundle id each) that stand there with commas between. Raises ValueError."""
    topics = tuple(filter(None, (each.strip() for each in text.split(","))))
    if len(topics) > _MAX_TOPICS or not all(_TOPIC.fullmatch(each) for each in topics):
        raise ValueError(f"must be up to {_MAX_TOPICS} bundle ids with commas between")
    return topics


def _checked_topics(text: str) -> str:
    topics_in(text)
    return text


def _checked_hosts(text: str) -> str:
    EndpointRules.read(text)
    return text


class PushSettings(BaseModel):
    """The push services."""

    fcm_service_account: FilePath | None = None
    """The service account's key file, as Google hands it out (JSON)."""
    fcm_project: str = Field(default="", pattern=r"^([a-z0-9-]{1,64})?$")
    """Empty for the one in the key file."""
    fcm_url: Annotated[str, AfterValidator(checked_origin)] = FCM_URL
    apns_key: FilePath | None = None
    """The authentication token's signing key, as Apple hands it out (.p8, PEM)."""
    apns_key_id: str = Field(default="", pattern=r"^([A-Z0-9]{10})?$")
    apns_team_id: str = Field(default="", pattern=r"^([A-Z0-9]{10})?$")
    apns_topics: Annotated[str, AfterValidator(_checked_topics)] = Field(default="", max_length=2_048)
    """The bundle ids of the apps that may be told, the default first."""
    apns_url: Annotated[str, AfterValidator(checked_origin)] = APNS_URL
    web_push_key: FilePath | None = None
    """The application server's key (RFC 8292): a private key of P-256 (PEM)."""
    web_push_contact: str = Field(default="", pattern=r"^((mailto:|https://)[!-~]{3,256})?$")
    web_push_hosts: Annotated[str, AfterValidator(_checked_hosts)] = Field(
        default=KNOWN_HOSTS, min_length=1, max_length=4_096
    )
    web_push_private_addresses: bool = False
    """Whether endpoints may be at addresses that are not public: for a sandbox alone."""
    push_ca: FilePath | None = None
    """The CA of the push services (PEM) instead of the machine's."""
    push_seconds: float = Field(default=10.0, ge=1, le=60)
    """How long one request to a push service may take in all."""
    push_concurrency: int = Field(default=64, ge=1, le=1_000)
    """So many requests are with each push service at once, and a quarter of them with one host of Web Push."""

    @model_validator(mode="after")
    def _whole_or_not_at_all(self) -> Self:
        for first, others in (
            ("apns_key", ("apns_key_id", "apns_team_id", "apns_topics")),
            ("web_push_key", ("web_push_contact",)),
        ):
            given = [bool(getattr(self, name)) for name in (first, *others)]
            if any(given) and not all(given):
                names = ", ".join(f"DOORS_{name.upper()}" for name in (first, *others))
                raise ValueError(f"{names} go together: set all of them or none")
        if self.fcm_project and not self.fcm_service_account:
            raise ValueError("DOORS_FCM_PROJECT needs DOORS_FCM_SERVICE_ACCOUNT")
        return self

    @property
    def push_per_host(self) -> int:
        """So many requests are with one host of Web Push at once."""
        return max(1, self.push_concurrency // 4)

    @property
    def web_push_endpoints(self) -> EndpointRules:
        """Where a Web Push subscription's endpoint may be."""
        return EndpointRules.read(self.web_push_hosts)
