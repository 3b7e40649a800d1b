"""What a client takes of the forms that there are of a page (RFC 9110, 12.4 and 12.5)."""

from __future__ import annotations

import re

_WEIGHT = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?")
_NOT = (0.0, -3)


def weights(accepted: str) -> dict[str, float]:
    """Return what a header Accept or Accept-Encoding names, in small letters, and the weight of each: 0 is what is
    not wanted. What has a weight that is none is left out.
    """
    found: dict[str, float] = {}
    for each in accepted.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if name and _WEIGHT.fullmatch(weight):
            found[name] = float(weight)
    return found


def is_preferred(accepted: str, first: tuple[str, ...], other: str) -> bool:
    """Return whether a header Accept asks for one of the media types `first` rather than for `other`: it has more
    weight there, or as much and is named more closely (`application/json, */*` asks for JSON).
    """
    ranges = weights(accepted)
    return max(_asked(ranges, each) for each in first) > _asked(ranges, other)


def _asked(ranges: dict[str, float], media_type: str) -> tuple[float, int]:
    """Return the weight of a media type, and how closely it is named."""
    names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    weight, place = next(((ranges[name], -place) for place, name in enumerate(names) if name in ranges), _NOT)
    return (weight, place) if weight > 0 else _NOT
