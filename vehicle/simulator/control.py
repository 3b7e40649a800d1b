"""The simulator's control interface: plain HTTP and JSON for people and tests, on loopback.

Everything a hand, a driver or a workshop could do to a car, and the network's tricks. 404 for an
unknown car or door, 409 for what the body cannot do now, 422 for a value that makes no sense. 403 for what
a website may have caused.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import (
    WINDOWED,
    Body,
    DoorName,
    Gear,
    Ignition,
    LockPosition,
    MechanicsError,
    NotFittedError,
    RemoteAccess,
)
from vehicle.doors.equipment import read_equipment
from vehicle.simulator.local_only import LocalOnly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from vehicle.simulator.simulated_car import SimulatedCar

LONGEST_DOOR_TIME_SECONDS = 60.0

_Word = TypeVar("_Word", bound=Enum)


class ControlError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


_BY_HAND: dict[str, Callable[[Body, DoorName], Body]] = {
    "open": lambda body, door: body.with_open(door, is_open=True),
    "close": lambda body, door: body.with_open(door, is_open=False),
    "lock": lambda body, door: body.with_lock(door, LockPosition.LOCKED),
    "unlock": lambda body, door: body.with_lock(door, LockPosition.UNLOCKED),
    "window-open": lambda body, door: body.with_window(door, is_open=True),
    "window-close": lambda body, door: body.with_window(door, is_open=False),
}


def control_app(cars: Mapping[str, SimulatedCar]) -> Starlette:
    """Return the application. `cars` by VIN."""
    control = _Control(cars)
    post = ["POST"]
    return Starlette(
        routes=[
            Route("/healthz", control.health),
            Route("/readyz", control.ready),
            Route("/vehicles", control.list),
            Route("/vehicles/{vin}", control.show),
            Route("/vehicles/{vin}/actuations", control.actuations),
            Route("/vehicles/{vin}/doors/{door}/{handler}", control.door, methods=post),
            Route("/vehicles/{vin}/actuators/{door}/{handler}", control.actuator, methods=post),
            Route("/vehicles/{vin}/messages/{handler}", control.messages, methods=post),
            Route("/vehicles/{vin}/{handler}", control.handler, methods=post),
        ],
        middleware=[Middleware(LocalOnly)],
        exception_handlers={ControlError: _refused, MechanicsError: _conflict, NotFittedError: _unfit},
    )


class _Control:
    """The handlers."""

    def __init__(self, cars: Mapping[str, SimulatedCar]) -> None:
        self._cars = cars
        self._handlers: dict[str, Callable[[SimulatedCar, Request], Awaitable[None]]] = {
            "drive": self._drive,
            "park": self._park,
            "ignition": self._ignition,
            "gear": self._gear,
            "battery": self._battery,
            "remote-access": self._remote_access,
            "door-time": self._door_time,
            "equipment": self._equipment,
            "sleep": lambda one, _request: one.agent.sleep(),
            "wake": self._wake,
            "tap": self._tap,
            "leave-coverage": lambda one, _request: one.leave_coverage(),
            "enter-coverage": self._enter_coverage,
            "reboot": lambda one, _request: one.reboot(),
        }

    async def health(self, _request: Request) -> JSONResponse:
        """Return whether every car that is awake reaches the broker: 200, else 503."""
        waiting = [
            one for one in self._cars.values() if not one.agent.is_asleep and not one.agent.connected.is_set()
        ]
        status = 503 if waiting else 200
        return JSONResponse({"cars": len(self._cars), "notConnected": len(waiting)}, status)

    async def ready(self, _request: Request) -> JSONResponse:
        """Return whether every car that is awake has reported since its start: 200, else 503."""
        waiting = [
            one for one in self._cars.values() if not one.agent.is_asleep and not one.agent.reported.is_set()
        ]
        return JSONResponse({"cars": len(self._cars), "notReported": len(waiting)}, 503 if waiting else 200)

    async def list(self, _request: Request) -> JSONResponse:
        """Return all cars in short."""
        return JSONResponse(
            [
                {"vin": vin, "asleep": one.agent.is_asleep, "connected": one.agent.connected.is_set()}
                for vin, one in self._cars.items()
            ]
        )

    async def show(self, request: Request) -> JSONResponse:
        """Return one car, whole."""
        return JSONResponse(_view(self._car(request)))

    async def actuations(self, request: Request) -> JSONResponse:
        """Return the ground truth, newest last."""
        return JSONResponse(self._car(request).car.log.read())

    async def door(self, request: Request) -> JSONResponse:
        """Return a hand on a door."""
        one, door = self._car(request), _door(request)
        handler = _BY_HAND.get(request.path_params["handler"])
        if handler is None:
            raise ControlError(404, f"a hand can {', '.join(_BY_HAND)} a door")
        one.car.change(lambda body: handler(body, door), ActuationCause.HAND)
        if request.path_params["handler"] == "unlock":
            one.car.unlocked(ActuationCause.HAND)
        return JSONResponse(_view(one))

    async def actuator(self, request: Request) -> JSONResponse:
        """Return a broken or repaired actuator, or one that moves its lock and does not hold it."""
        one, door, handler = self._car(request), _door(request), request.path_params["handler"]
        if handler not in {"fail", "slip", "repair"}:
            raise ControlError(404, "an actuator can fail, slip, repair")
        one.car.set_slipping(door, slips=handler == "slip")
        one.car.change(lambda body: body.with_actuator(door, failed=handler == "fail"), ActuationCause.HAND)
        return JSONResponse(_view(one))

    async def messages(self, request: Request) -> JSONResponse:
        """Return a trick on the next outgoing event."""
        one, handler = self._car(request), request.path_params["handler"]
        if handler == "drop-next":
            one.link.drop_next()
        elif handler == "duplicate-next":
            one.link.duplicate_next()
        else:
            raise ControlError(404, "messages can drop-next, duplicate-next")
        return JSONResponse(_view(one))

    async def handler(self, request: Request) -> JSONResponse:
        """Do everything else one can do to a car."""
        one = self._car(request)
        handler = self._handlers.get(request.path_params["handler"])
        if handler is None:
            raise ControlError(404, f"a car can {', '.join(self._handlers)}")
        await handler(one, request)
        return JSONResponse(_view(one))

    async def _drive(self, one: SimulatedCar, request: Request) -> None:
        speed_kmh = await _number(request, "speedKmh", 0, 300)
        one.car.change(lambda body: body.driven(speed_kmh), ActuationCause.HAND)

    async def _park(self, one: SimulatedCar, _request: Request) -> None:
        one.car.change(lambda body: body.parked(), ActuationCause.HAND)

    async def _ignition(self, one: SimulatedCar, request: Request) -> None:
        ignition = await _word(request, "ignition", Ignition)
        one.car.change(lambda body: body.with_ignition(ignition), ActuationCause.HAND)

    async def _gear(self, one: SimulatedCar, request: Request) -> None:
        gear = await _word(request, "gear", Gear)
        one.car.change(lambda body: body.with_gear(gear), ActuationCause.HAND)

    async def _battery(self, one: SimulatedCar, request: Request) -> None:
        percent = await _number(request, "percent", 0, 100)
        one.car.change(lambda body: body.with_battery(int(percent)), ActuationCause.HAND)

    async def _remote_access(self, one: SimulatedCar, request: Request) -> None:
        access = await _word(request, "remoteAccess", RemoteAccess)
        one.car.change(lambda body: body.with_remote_access(access), ActuationCause.HAND)

    async def _door_time(self, one: SimulatedCar, request: Request) -> None:
        one.car.door_time_seconds = await _number(request, "seconds", 0, LONGEST_DOOR_TIME_SECONDS)

    async def _equipment(self, one: SimulatedCar, request: Request) -> None:
        try:
            equipment = read_equipment(await _member(request, "equipment"))
        except ValueError as error:
            raise ControlError(422, str(error)) from error
        await one.rebuild(equipment)

    async def _wake(self, one: SimulatedCar, _request: Request) -> None:
        one.agent.wake()

    async def _tap(self, one: SimulatedCar, _request: Request) -> None:
        one.tap()

    async def _enter_coverage(self, one: SimulatedCar, _request: Request) -> None:
        one.enter_coverage()

    def _car(self, request: Request) -> SimulatedCar:
        one = self._cars.get(request.path_params["vin"])
        if one is None:
            raise ControlError(404, "no such car in this simulator")
        return one


def _view(one: SimulatedCar) -> dict[str, Any]:
    car, agent, body = one.car, one.agent, one.car.body
    due_at = car.auto_lock_due_at
    return {
        "vin": car.vin,
        "asleep": agent.is_asleep,
        "connected": agent.connected.is_set(),
        "hasCoverage": one.has_coverage,
        "doors": {name.value: _door_view(name, body) for name in body.doors},
        "ignition": body.ignition.value,
        "gear": body.gear.value,
        "speedKmh": body.speed_kmh,
        "batteryPercent": body.battery_percent,
        "remoteAccess": body.remote_access.value,
        "failedActuators": sorted(name.value for name in body.failed_actuators),
        "slippingActuators": sorted(name.value for name in car.slipping),
        "doorTimeSeconds": car.door_time_seconds,
        "settings": asdict(car.settings),
        "configVersion": car.config_version,
        "autoLockDueAt": due_at.isoformat() if due_at else None,
        "bootId": agent.boot_id,
        "refusedReports": [asdict(each) for each in agent.refused_reports],
        "counters": {
            "boots": one.boot_count,
            "eventsSent": one.link.sent_count,
            "eventsDropped": one.link.dropped_count,
        },
    }


def _door_view(name: DoorName, body: Body) -> dict[str, bool]:
    door = body.doors[name]
    view = {"locked": door.locked, "deadlocked": door.deadlocked, "open": door.open}
    if name in WINDOWED:
        view["windowOpen"] = door.window_open
    if name in body.equipment.child_locks:
        view["childLock"] = door.child_lock
    return view


def _door(request: Request) -> DoorName:
    try:
        return DoorName(request.path_params["door"])
    except ValueError as error:
        raise ControlError(404, f"the doors are {', '.join(name.value for name in DoorName)}") from error


async def _member(request: Request, name: str) -> Any:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise ControlError(422, f"the body must be JSON with {name}") from error
    if not isinstance(body, dict) or set(body) != {name}:
        raise ControlError(422, f"the body must be a JSON object with {name} and nothing else")
    return body[name]


async def _number(request: Request, name: str, least: float, most: float) -> float:
    value = await _member(request, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ControlError(422, f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


async def _word(request: Request, name: str, words: type[_Word]) -> _Word:
    value = await _member(request, name)
    try:
        return words(value)
    except ValueError as error:
        raise ControlError(
            422, f"{name} must be one of {', '.join(str(word.value) for word in words)}"
        ) from error


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, ControlError) else 500
    return JSONResponse({"error": str(error)}, status)


async def _conflict(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 409)


async def _unfit(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 422)
