"""Waking vehicles that sleep while a command waits: a "shoulder tap" over another network than the broker's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import httpx
import structlog

from services.platform.background import BackgroundTasks
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any


_TAP_SECONDS = 5.0
_log = structlog.get_logger()


class WakeUpError(Exception):
    """The gateway did not take the wake-up; the text says why."""


class WakeUpGateway(Protocol):
    """A way to a vehicle that sleeps: an SMS gateway, a modem's operator, the sandbox's simulator."""

    async def send_wake_up(self, vin: str) -> None:
        """Ask it to connect. That it does is not promised. Raises WakeUpError."""


class HttpWakeUpGateway:
    """`POST <url>/vehicles/<VIN>/tap`, answered with 2xx once the wake-up is on its way."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TAP_SECONDS)

    async def send_wake_up(self, vin: str) -> None:
        """Ask it to connect. That it does is not promised. Raises WakeUpError."""
        try:
            answer = await self._client.post(f"/vehicles/{vin}/tap")
        except httpx.HTTPError as error:
            raise WakeUpError(type(error).__name__) from error
        if not answer.is_success:
            raise WakeUpError(f"status {answer.status_code}")

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()


class NoWakeUpGateway:
    """Where no gateway is configured."""

    async def send_wake_up(self, vin: str) -> None:  # noqa: ARG002  # the port's signature
        """Ask it to connect. That it does is not promised. Raises WakeUpError."""
        raise WakeUpError("no wake-up gateway is configured")

    async def close(self) -> None:
        """Nothing to let go of."""


class VehicleWaker:
    """Wakes vehicles within their budgets (dispatch.VehicleReachability). `count` counts a wake-up for a command, and
    says whether one is left, and `count_for_check` one for a vehicle's
    self-check; `ask_for_session` makes a vehicle say hello that is awake.
    """

    def __init__(
        self,
        count: Callable[[str], Awaitable[bool]],
        gateway: WakeUpGateway,
        ask_for_session: Callable[[str], Coroutine[Any, Any, None]],
        is_asleep: Callable[[str], bool],
        count_for_check: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._count = count
        self._count_for_check = count_for_check
        self._gateway = gateway
        self._ask_for_session = ask_for_session
        self._is_asleep = is_asleep
        self._background_tasks = BackgroundTasks("waking")

    def is_asleep(self, vin: str) -> bool:
        """Return whether its last word was that it goes to sleep."""
        return self._is_asleep(vin)

    def wake_asleep(self, vin: str, command_id: str) -> None:
        """Wake a vehicle that is asleep, to which a command is on its way."""
        self._background_tasks.start(self.wake(vin, command_id))

    def request_session(self, vin: str, command_id: str) -> None:
        """Ask a vehicle for its session information: nothing can be signed for it before it says hello."""
        self._background_tasks.start(self._ask_for_session(vin))
        self._background_tasks.start(self.wake(vin, command_id))

    async def wake(self, vin: str, command_id: str) -> None:
        """Send a wake-up for this command, if the vehicle's budget allows one."""
        await self._wake(vin, self._count(command_id))

    def wake_for_check(self, vin: str) -> None:
        """Wake a vehicle that is asleep for a self-check, if its budget allows one. The gateway may take longer than
        whoever asks for the check waits.
        """
        self._background_tasks.start(self._wake(vin, self._count_for_check(vin)))

    async def _wake(self, vin: str, is_in_budget: Awaitable[bool]) -> None:
        try:
            if not await is_in_budget:
                _log.info("wake_up_not_in_budget", vin=masked_id(vin))
                return
            await self._gateway.send_wake_up(vin)
        except StorageUnavailableError as error:
            _log.warning("wake_up_waits_for_store", reason=str(error))
        except WakeUpError as error:
            _log.warning("wake_up_not_sent", vin=masked_id(vin), reason=str(error))
        else:
            _log.info("wake_up_sent", vin=masked_id(vin))
