"""Streams and consumers at the broker: made by the one service that may, found by the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, BadRequestError, NotFoundError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from nats.js import JetStreamContext
    from nats.js.api import ConsumerConfig, StreamConfig, StreamInfo

FAILURES = (NatsError, APIError, TimeoutError)
SILENCE = (TimeoutError, ServiceUnavailableError)
"""Of FAILURES those that pass by themselves: there is no leader yet, or the broker is busy making one."""
ANSWER_SECONDS = 3.0
_NAME_IN_USE = 10058
_LOOK_AGAIN_SECONDS = 0.1
_LOOKS_PER_LINE = 50
_log = structlog.get_logger()


class BrokerObjectMissingError(NatsError):
    """A stream or a consumer is not there and cannot be made; the text says which and why."""


class StreamDescription(Protocol):
    """A stream, as whoever hands it in describes it."""

    @property
    def name(self) -> str:
        """Its own."""

    @property
    def needs(self) -> Sequence[StreamDescription]:
        """The streams that must be made before it."""


class DurableDescription(Protocol):
    """A durable consumer, as whoever hands it in describes it."""

    @property
    def name(self) -> str:
        """Its own."""

    @property
    def stream(self) -> str:
        """Of what."""


class BrokerConfigs(Protocol):
    """How descriptions become what JetStream is asked for. They are handed in with it, and of its own kind."""

    def stream_config(self, stream: Any, replicas: int, prefix: str) -> StreamConfig:
        """Return the stream, kept on so many nodes, listening below the prefix where strangers write into it."""

    def durable_config(self, consumer: Any, prefix: str) -> ConsumerConfig:
        """Return the consumer, which delivers to `deliver.<name>` below the prefix."""


class BrokerLayout:
    """What the broker has, as seen by one connection.

    `replicas` is on how many nodes of a cluster each stream is kept at least. Without `provisions` nothing is made:
    whoever may make a stream or a consumer at the broker can have anything delivered anywhere. `prefix` is what stands
    before the subjects at which streams listen. `configs` says what each looks like. Everything raises FAILURES.
    """

    def __init__(
        self,
        jetstream: JetStreamContext,
        configs: BrokerConfigs,
        replicas: int,
        prefix: str,
        *,
        provisions: bool,
    ) -> None:
        self._jetstream = jetstream
        self._configs = configs
        self._replicas = replicas
        self._prefix = prefix
        self._provisions = provisions

    async def have_stream(self, stream: StreamDescription) -> None:
        """Make it, with exactly these properties, or wait until it is there."""
        if self._provisions:
            await self._make_stream(stream)
            return
        looks = 0
        while True:
            try:
                await self._jetstream.stream_info(stream.name)
            except NotFoundError:
                if looks % _LOOKS_PER_LINE == 0:
                    _log.info("stream_awaited", stream=stream.name)
                looks += 1
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return

    async def look_at_stream(self, stream: StreamDescription) -> None:
        """Ensure that it is there and has a leader; make it where it is missing. Raises Missing."""
        try:
            info = await self._jetstream.stream_info(stream.name)
        except NotFoundError:
            _log.warning("stream_missing", stream=stream.name)
            if not self._provisions:
                raise BrokerObjectMissingError(f"stream {stream.name}") from None
            await _made(f"stream {stream.name}", self._make_stream(stream))
            return
        if self._provisions:
            await self._scale(info)
        if info.cluster is not None and not info.cluster.leader:
            raise NatsError(f"{stream.name} has no leader")

    async def have_consumer(self, consumer: DurableDescription) -> None:
        """Make it, or raise NotFoundError."""
        if self._provisions:
            config = self._configs.durable_config(consumer, self._prefix)
            await self._jetstream.add_consumer(consumer.stream, config)
        else:
            await self._find_consumer(consumer)

    async def look_at_consumer(self, consumer: DurableDescription) -> None:
        """Ensure that it is there; make it where it is missing. Raises Missing."""
        try:
            await self._find_consumer(consumer)
        except NotFoundError:
            _log.warning("consumer_missing", stream=consumer.stream, consumer=consumer.name)
            await _made(f"consumer {consumer.name}", self.have_consumer(consumer))

    async def scale(self, name: str) -> None:
        """Spread a stream over more nodes. One that is not there is left alone."""
        try:
            info = await self._jetstream.stream_info(name)
        except NotFoundError:
            return
        await self._scale(info)

    async def _find_consumer(self, consumer: DurableDescription) -> None:
        await self._jetstream.consumer_info(consumer.stream, consumer.name, timeout=ANSWER_SECONDS)

    async def _scale(self, info: StreamInfo) -> None:
        """Spread it over more nodes where it lies; never over fewer, which another replica's setting may have meant."""
        if (info.config.num_replicas or 1) < self._replicas:
            _log.info("stream_scaled", stream=info.config.name, replicas=self._replicas)
            await self._jetstream.update_stream(info.config.evolve(num_replicas=self._replicas))

    async def _make_stream(self, stream: StreamDescription) -> None:
        for needed in stream.needs:
            await self._make_stream(needed)
        config = self._configs.stream_config(stream, self._replicas, self._prefix)
        try:
            await self._jetstream.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            there = (await self._jetstream.stream_info(stream.name)).config.num_replicas or 1
            await self._jetstream.update_stream(config.evolve(num_replicas=max(there, self._replicas)))


async def _made(what: str, making: Awaitable[None]) -> None:
    try:
        await making
    except FAILURES as error:
        raise BrokerObjectMissingError(f"{what}: {error or 'no answer'}") from error
