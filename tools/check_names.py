"""Check the names of the product's classes: no two share one, and none is a bare participle or adjective.

usage: python tools/check_names.py [FOLDER ...]

A class is a thing, so its name is a noun. What a single word is cannot be looked up without a dictionary of the
language, so the rule is about single words (names of one hump) alone: one that ends like a participle (-ed, -ing, -en)
or an adjective (-able, -ible, -ful, -less, -ous, -ive, -al, -ic) is refused unless it is listed as the noun that it
is, and so is a word of a short list of irregular participles, adjectives and function words. Exit status 1 and one
line for each finding.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PRODUCT = (
    "services",
    "protocol",
    "key_files",
    "tlog",
    "vehicle",
    "conformance",
    "mesh",
    "gateway",
    "doorctl",
    "issuer",
    "phones",
    "bench",
    "tools",
)

PAIRS = {
    "Clock": "what time it is, on each side: the unit's counts while it is suspended",
    "Cancellation": "what a person asked for, and what the unit was sent of it",
    "Command": "the life of a command in the cloud, and what the unit moves",
    "DoorSettings": "the settings as wanted and stored, and as the unit runs with them",
    "Mode": "how doors are to move, as asked and as carried out",
    "SystemClock": "the operating system's, on each side",
    "UnlockMode": "which doors an unlock of all opens, on both sides",
}
"""Names that a class of the cloud (services) and one of the unit (vehicle) share, because they mean the same: import
contracts keep the two sides apart, so that no module can see both."""

# fmt: off
NOUNS = frozenset({
    "Address", "Approval", "Arrival", "Building", "Ceiling", "Channel", "Credential", "Crossing",
    "Diagnostic", "Drawing", "Ending", "Engine", "Feed", "Finding", "Heading", "Interval", "Journal",
    "Listing", "Manual", "Metric", "Mapping", "Padding", "Principal", "Proposal", "Rating", "Reading",
    "Recording", "Refusal", "Removal", "Retrieval", "Routing", "Seal", "Seed", "Setting", "Signal", "Speed",
    "String", "Terminal", "Thing", "Timing", "Token", "Topic", "Traffic", "Trial",
})
# fmt: on
"""Nouns that end like a participle or an adjective."""

# fmt: off
NO_NOUNS = frozenset({
    "Away", "Begun", "Broken", "Done", "Found", "Given", "Gone", "Heard", "Held", "Kept", "Known", "Late",
    "Later", "Lost", "Made", "Met", "Near", "Other", "Prior", "Put", "Ready", "Said", "Same", "Seen",
    "Sent", "Set", "Shut", "Such", "Sure", "Taken", "Told", "Unknown", "Unsent", "What", "Which", "Who",
    "Whole", "Wrong",
})
# fmt: on
"""Irregular participles, adjectives, adverbs and pronouns that a class was called by, or might be."""

_ENDINGS = re.compile(r"(?:ed|ing|en|able|ible|ful|less|ous|ive|al|ic)$")
_TOLERATED = re.compile(r"(?:s|Settings)$")


def top_level_classes(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Yield name, file and line of each public top-level class below `folder`, also of those within `if` and `try`."""
    for path in sorted(folder.rglob("*.py")):
        pending: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
        while pending:
            node = pending.pop(0)
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path, node.lineno
            elif isinstance(node, ast.If | ast.Try):
                pending += [*node.body, *node.orelse]


def is_no_noun(name: str) -> bool:
    """Return whether the name of a class is a bare participle or adjective."""
    if len(re.findall(r"[A-Z]", name)) > 1 or _TOLERATED.search(name):
        return False
    return name in NO_NOUNS or (_ENDINGS.search(name) is not None and name not in NOUNS)


def is_pair(name: str, parts: Iterable[str], pairs: Iterable[str]) -> bool:
    """Return whether a shared name is one class of `services` and one of `vehicle`, and listed."""
    return name in pairs and sorted(parts) == ["services", "vehicle"]


def findings(root: Path, folders: Sequence[str] = PRODUCT, pairs: Iterable[str] = PAIRS) -> list[str]:
    """Return a line for each name that breaks a rule, and for each listed pair that is none."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for folder in folders:
        for name, path, line in top_level_classes(root / folder):
            found[name].append((folder, f"{path.relative_to(root)}:{line}"))
    lines: list[str] = []
    for name, places in sorted(found.items()):
        where = ", ".join(place for _, place in places)
        if len(places) > 1 and not is_pair(name, (part for part, _ in places), pairs):
            lines.append(f"{name}: {len(places)} classes share this name: {where}")
        if is_no_noun(name):
            lines.append(f"{name}: a participle or adjective, not the name of a thing: {where}")
    lines += [
        f"{name}: listed as a pair of cloud and vehicle, but is none"
        for name in pairs
        if len(found[name]) != 2  # noqa: PLR2004
    ]
    return lines


def main(folders: Sequence[str]) -> int:
    """Print what breaks a rule; return the exit status."""
    lines = findings(Path(__file__).resolve().parent.parent, folders or PRODUCT)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
