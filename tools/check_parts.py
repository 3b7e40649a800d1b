"""Check what the inner parts of services import: a domain the standard library alone, use cases the domain besides.

That one module alone reads the clocks (services/platform/clock.py), so that tests can move all of them. And that the
platform says no word of what this product is about: what it is told of that stands in services/product.py.

usage: python tools/check_parts.py

Imports for the types' sake count as well: a rule that names a message of the wire, or a row, is not a rule. The layers
between the parts are import contracts (.importlinter). Exit status 1 and one line for each finding.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INNER = {"domain": ("domain",), "usecases": ("domain", "usecases")}
"""By part: which parts of its own service it may import, besides the standard library."""

EXCEPTIONS: dict[str, frozenset[str]] = {
    # What a port refuses is the house's one refusal, and is counted on its way.
    "services/access/usecases/authorization.py": frozenset({"services.platform.errors"}),
    # The vehicle session's ports are told in the protocol's types: telematics takes them, with the session.
    "services/config/usecases.py": frozenset({"ecarus", "protocol"}),
    "services/command/usecases/vehicle_reports.py": frozenset(
        {"protocol.cloud_side", "protocol.faults", "services.platform.outbox", "services.platform.storage"}
    ),
    "services/command/usecases/epoch_watch.py": frozenset(
        {"protocol.session", "services.platform.clock", "services.platform.logs", "structlog"}
    ),
    # One of many that breaks is told from a store that is away, and must not keep the others.
    **{
        f"services/notification/usecases/{name}.py": frozenset({"services.platform.storage", "structlog"})
        for name in ("addressing", "reminding", "sending", "webhook_interest", "webhook_sending")
    },
    # What leaves with a commit is told in the outbox's messages.
    "services/command/usecases/accepting.py": frozenset({"services.platform.outbox"}),
    "services/command/usecases/recording.py": frozenset({"services.platform.outbox"}),
    "services/command/usecases/rights.py": frozenset({"services.platform.outbox"}),
    # One of a batch that breaks is told from a store that is away, and must not keep the others.
    "services/command/usecases/requests.py": frozenset(
        {"services.platform.isolation", "services.platform.outbox"}
    ),
    "services/command/usecases/history.py": frozenset(
        {"services.platform.isolation", "services.platform.logs", "services.platform.storage", "structlog"}
    ),
    # The ports: sessions, messages, and what is put aside for a while.
    "services/command/usecases/ports.py": frozenset(
        {
            "protocol.cloud_side",
            "services.platform.isolation",
            "services.platform.outbox",
            "services.telematics.signing_again",
        }
    ),
}
"""By file: which modules else it imports, and why."""

CLOCKS = frozenset(
    {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "datetime.now", "datetime.utcnow"}
)
CLOCK_READERS = frozenset({"services/platform/clock.py"})

PRODUCT_WORDS = frozenset(
    {"vin", "vins", "vehicle", "vehicles", "car", "cars", "door", "doors", "orders", "unlock", "unlocked"}
)
"""`order` and `lock` are words of every database."""
_SETTINGS_PREFIX = "DOORS_"
_WORD = re.compile(r"[A-Za-z]+")
_HUMP = re.compile(r"[A-Z][a-z]+")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{each.name}") for each in node.names)


def clock_readings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each clock that a file reads, or passes on to be read."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in CLOCKS:
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                (node.lineno, f"time.{each.name}") for each in node.names if f"time.{each.name}" in CLOCKS
            )


def product_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of each word of the product, in names and sentences alike, but for the settings' prefix."""
    for number, line in enumerate(text.splitlines(), 1):
        for word in _WORD.findall(line.replace(_SETTINGS_PREFIX, "")):
            for part in {word, *_HUMP.findall(word)}:
                if part.lower() in PRODUCT_WORDS:
                    yield number, part


def files_of(service: Path, part: str) -> list[Path]:
    """Return the files of a part, which is a module or a folder; none where the service has no such part."""
    module = service / f"{part}.py"
    return [module] if module.is_file() else sorted((service / part).rglob("*.py"))


def findings(root: Path) -> list[str]:
    """Return a line for each import that an inner part must not have."""
    lines = []
    for service in sorted(each for each in (root / "services").iterdir() if each.is_dir()):
        for part, inner in INNER.items():
            own = tuple(f"services.{service.name}.{each}." for each in inner)
            for path in files_of(service, part):
                name = path.relative_to(root).as_posix()
                allowed = (*own, *(f"{each}." for each in EXCEPTIONS.get(name, ())))
                lines += [
                    f"{name}:{line}: {part} imports {module}"
                    for line, module in imports(path)
                    if module.partition(".")[0] not in sys.stdlib_module_names
                    and not f"{module}.".startswith(allowed)
                ]
    for path in sorted((root / "services").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name not in CLOCK_READERS:
            lines += [f"{name}:{line}: reads {clock}" for line, clock in clock_readings(path)]
        if name.startswith("services/platform/"):
            lines += [
                f"{name}:{line}: the platform says {word}"
                for line, word in product_words(path.read_text(encoding="utf-8"))
            ]
    return lines


def main() -> int:
    """Print what must not be imported; return the exit status."""
    lines = findings(Path(__file__).resolve().parent.parent)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
