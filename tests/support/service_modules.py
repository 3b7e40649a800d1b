"""The modules of a service by the part that they are of, for tests that go through all services."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def adapter(service: str, name: str) -> ModuleType:
    """Return this module of the service's adapters. Raise ModuleNotFoundError where it has none."""
    return importlib.import_module(adapter_name(service, name))


def adapter_name(service: str, name: str) -> str:
    """Return the dotted name of this module of the service's adapters."""
    return f"services.{service}.adapters.{name}"
