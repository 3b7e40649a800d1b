"""What a caller would prefer (RFC 7240). Preferences are no demands: what is not understood is passed over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFER = "prefer"
PREFERENCE_APPLIED = "preference-applied"
LONGEST_TEXT = 1_024
"""A longer header says nothing."""
_PREFERENCE = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)           # its name
        (?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s",;]*))? # its value
        ((?:[ \t]*;(?:"(?:[^"\\]|\\.)*"|[^",])*)?)      # its parameters
        [ \t]*(?:,|$)""",
    re.VERBOSE,
)
_SECONDS = re.compile(r"[0-9]{1,9}")


def wait_seconds(headers: Iterable[str], longest: int) -> int:
    """Return for how long a caller would wait, in whole seconds, at most `longest`; 0 where they do not say.

    `headers` are the values of the Prefer headers in order. Of a preference that is named twice the first counts.
    """
    text = ", ".join(headers)
    at = 0
    while len(text) <= LONGEST_TEXT and at < len(text):
        found = _PREFERENCE.match(text, at)
        if found is None:  # nothing that the grammar knows: the next one may be
            at = text.find(",", at) + 1 or len(text)
            continue
        at = found.end()
        if found[1].lower() == "wait":
            value = (found[2] or "").strip('"')
            return min(int(value), longest) if _SECONDS.fullmatch(value) else 0
    return 0
