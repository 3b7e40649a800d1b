"""What webhooks are bounded by: a service's settings take these in beside its own."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field, FilePath

from services.notification.adapters.webhooks.urls import PrivateAddresses, UrlRules
from services.notification.domain.webhooks import DisableRule


class WebhookSettings(BaseModel):
    """Webhooks. Each field is read from DOORS_ and its name in capitals."""

    webhook_key: FilePath
    """32 or more random characters, under which the webhooks' secrets are sealed: the same for all replicas."""
    update_id_key: FilePath
    """What live updates' ids are made with: the same as the status service's."""
    webhook_ca: FilePath | None = None
    """The CA of webhooks' URLs (PEM) instead of the machine's."""
    webhook_allow_private: PrivateAddresses = PrivateAddresses.NONE
    """Whether URLs may be at this machine's own addresses, or any: for a sandbox alone."""
    webhooks_per_registrant: int = Field(default=10, ge=1, le=1_000)
    webhook_seconds: float = Field(default=10.0, ge=1, le=30)
    """How long one call of a URL may take in all."""
    webhook_concurrency: int = Field(default=64, ge=2, le=1_000)
    """So many URLs are called at once, an eighth of them at one host."""
    webhook_retry_hours: int = Field(default=26, ge=1, le=72)
    webhook_event_days: int = Field(default=7, ge=3, le=30)
    """So long an event can be replayed."""
    webhook_heartbeat_seconds: int = Field(default=300, ge=5, le=86_400)
    webhook_disable_failures: int = Field(default=20, ge=3, le=10_000)
    webhook_disable_hours: float = Field(default=24.0, ge=0, le=72)
    webhook_backlog: int = Field(default=100_000, ge=1_000, le=10_000_000)
    """A webhook for which more waits is disabled."""

    @property
    def webhook_per_host(self) -> int:
        """So many calls are with one host at once."""
        return max(1, self.webhook_concurrency // 8)

    @property
    def webhook_urls(self) -> UrlRules:
        """Which URLs may be called."""
        return UrlRules(self.webhook_allow_private)

    @property
    def webhook_disable_rule(self) -> DisableRule:
        """When a URL that fails is not called any more."""
        return DisableRule(self.webhook_disable_failures, timedelta(hours=self.webhook_disable_hours))
