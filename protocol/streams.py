"""The layout of `protocol.broker` as JetStream is told of it: whoever plays the cloud makes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    RePublish,
    RetentionPolicy,
    StreamConfig,
    SubjectTransform,
)

if TYPE_CHECKING:
    from protocol.broker import Stream

MOST_VEHICLES = 100_000_000
"""Consumers of a stream that vehicles consume. Without a number of its own the broker gives a stream 1,000."""
_ACK_WAIT_SECONDS = 10
_GONE_AFTER_SECONDS = 30
_MOST_AT_ONCE = 16


def stream_config(stream: Stream, replicas: int = 1) -> StreamConfig:
    """The stream, kept on so many nodes of a cluster."""
    retention = RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.INTEREST if stream.while_wanted else retention,
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        allow_msg_ttl=stream.message_ttl,
        allow_direct=True,
        num_replicas=replicas,
        max_consumers=MOST_VEHICLES if stream.vehicles_consume else -1,
        subject_transform=SubjectTransform(*stream.stored_as) if stream.stored_as else None,
        republish=RePublish(*stream.passed_on) if stream.passed_on else None,
    )


def command_queue(vin: str) -> ConsumerConfig:
    """A vehicle's queue on VEHICLE_COMMANDS, made on its hello: it may pull from it, and nothing else."""
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
