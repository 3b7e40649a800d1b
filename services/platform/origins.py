"""The origins whose pages may call us from a browser (RFC 6454; the Fetch standard's CORS): one setting, read alike by
everything that asks whose page it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NONE = "none"
"""The word for: no page of another origin."""
LOOPBACK = ("http://localhost:*", "http://127.0.0.1:*")
"""A page that is being developed, on any port of the machine its browser runs on."""
MOST = 64
_MOST_CHARACTERS = 4_096
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}([.]{_LABEL}){{0,15}})(:(?P<port>[1-9]\d{{0,4}}))?"
)
_PORT = re.compile(r":[0-9]{1,5}\Z")
_USUAL_PORTS = {"http": "80", "https": "443"}
_HERE = frozenset({"localhost", "127.0.0.1"})
_MOST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class OriginAllowlist:
    """`exact` are origins as browsers write them, `any_port` such without a port, of which every port is meant."""

    exact: frozenset[str] = frozenset()
    any_port: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """As the setting writes it."""
        return ",".join([*sorted(self.exact), *(f"{each}:*" for each in sorted(self.any_port))]) or NONE

    def allows(self, origin: str) -> bool:
        """Return whether pages of this origin may, as a browser names it in `Origin`."""
        return origin in self.exact or _PORT.sub("", origin) in self.any_port

    @property
    def pattern(self) -> str:
        """A regular expression (RE2) of all of them and nothing else; of none, one that no browser's Origin matches."""
        each = [
            *map(_escaped, sorted(self.exact)),
            *(_escaped(o) + "(:[0-9]{1,5})?" for o in sorted(self.any_port)),
        ]
        return "|".join(each) if each else "none"


def allowlist_of(text: str) -> OriginAllowlist:
    """Return the origins in a setting: `https://app.example.com`, with commas between; `none` and nothing are none.

    Raise ValueError, saying what is wrong: a path, a scheme that is none, `*`, plain HTTP other than on the machine
    itself, a port that browsers leave out, too many.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"must be at most {_MOST_CHARACTERS} characters")
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if words == [NONE]:
        return OriginAllowlist()
    if len(words) > MOST:
        raise ValueError(f"must be at most {MOST} origins")
    any_port = {word.removesuffix(":*") for word in words if word in LOOPBACK}
    return OriginAllowlist(frozenset(_checked(w) for w in words if w not in LOOPBACK), frozenset(any_port))


def _checked(word: str) -> str:
    found = _ORIGIN.fullmatch(word)
    if found is None or int(found["port"] or 1) > _MOST_PORT:
        raise ValueError(
            f"{word[:80]!r} is no origin: https://host or https://host:port, without a path, and no *; for pages on "
            f"the machine itself {' or '.join(LOOPBACK)}"
        )
    if found["scheme"] == "http" and found["host"] not in _HERE:
        raise ValueError(f"{word[:80]!r} must be https: what is loaded over plain HTTP is anybody's page")
    if found["port"] == _USUAL_PORTS[found["scheme"]]:
        raise ValueError(f"{word[:80]!r} must be without its port: browsers leave the usual one out")
    return word


def _escaped(origin: str) -> str:
    return origin.replace(".", "[.]")
