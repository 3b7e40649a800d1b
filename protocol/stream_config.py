"""The layout of `protocol.streams` as JetStream takes it: whoever plays the cloud makes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RePublish,
    RetentionPolicy,
    StreamConfig,
    SubjectTransform,
)

if TYPE_CHECKING:
    from protocol.streams import Stream

MOST_VEHICLES = 100_000_000
"""Consumers of a stream that vehicles consume. Without a number of its own the broker gives a stream 1,000."""
_ACK_WAIT_SECONDS = 10
_GONE_AFTER_SECONDS = 30
_MOST_AT_ONCE = 16


def stream_config(stream: Stream, replicas: int = 1, prefix: str = "") -> StreamConfig:
    """Return the stream, kept on so many nodes of a cluster. With a `prefix` it listens below that, where
    vehicles write into it; what it stores has none.
    """
    subjects, stored_as = list(stream.subjects), stream.stored_as
    if prefix and stream.vehicles_write:
        kept = stream.vehicles_write
        kept_as = stored_as[1] if stored_as else _numbered(kept)
        subjects, stored_as = [f"{prefix}.{kept}"], (f"{prefix}.{kept}", kept_as)
    retention = RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS
    return StreamConfig(
        name=stream.name,
        subjects=subjects,
        retention=RetentionPolicy.INTEREST if stream.while_wanted else retention,
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        allow_msg_ttl=stream.message_ttl,
        max_msgs_per_subject=stream.most_per_subject or -1,
        max_msg_size=stream.most_bytes or -1,
        allow_direct=True,
        num_replicas=replicas,
        max_consumers=MOST_VEHICLES if stream.vehicles_consume else -1,
        subject_transform=SubjectTransform(*stored_as) if stored_as else None,
        republish=RePublish(*stream.passed_on) if stream.passed_on else None,
    )


class ConsumerDescription(Protocol):
    """A durable push consumer; see protocol.consumers.DurableConsumer."""

    @property
    def name(self) -> str:
        """Its own."""

    @property
    def stream(self) -> str:
        """Of what."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """Which of the stream's messages."""

    @property
    def shared(self) -> bool:
        """Whether replicas divide the messages among them."""

    @property
    def max_pending(self) -> int:
        """How many may be unacknowledged."""

    @property
    def ack_wait_seconds(self) -> int:
        """After how long an unacknowledged message is delivered again."""


def durable_config(consumer: ConsumerDescription, prefix: str = "") -> ConsumerConfig:
    """Return the consumer: it delivers to `deliver.<name>`, below the prefix, from the beginning, until
    acknowledged.
    """
    below = f"{prefix}." if prefix else ""
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subjects=list(consumer.subjects),
        deliver_policy=DeliverPolicy.ALL,
        deliver_subject=f"{below}deliver.{consumer.name}",
        deliver_group=consumer.name if consumer.shared else None,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait_seconds,
        max_deliver=-1,
        max_ack_pending=consumer.max_pending,
    )


def command_queue(vin: str) -> ConsumerConfig:
    """Return a vehicle's queue on VEHICLE_COMMANDS, made on its hello: it may pull from it, and nothing else."""
    return ConsumerConfig(
        name=vin,
        filter_subject=f"vehicle.{vin}.cmd.*",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=_MOST_AT_ONCE,
        inactive_threshold=_GONE_AFTER_SECONDS,
        mem_storage=True,
    )


def _numbered(subject: str) -> str:
    """Return the destination of a transform that leaves the subject as it is."""
    words, count = [], 0
    for word in subject.split("."):
        count += word == "*"
        words.append(f"{{{{wildcard({count})}}}}" if word == "*" else word)
    return ".".join(words)
