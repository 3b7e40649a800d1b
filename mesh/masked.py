"""Copy what another program says to the standard output, without the VINs in it.

usage: PROGRAM | python masked.py

The broker names its clients and the subjects they use, and so vehicles. Whatever happens here, what is said is read:
the other program must never wait, or end, because its words cannot be kept.
"""

import re
import sys

_LONGEST_LINE = 64 * 1024
_VIN = re.compile(
    rb"(?<![A-Za-z0-9])([A-HJ-NPR-Z0-9]{3})[A-HJ-NPR-Z0-9]{10}([A-HJ-NPR-Z0-9]{4})(?![A-Za-z0-9])"
)
# At every connection of a service, because the name that it sends along counts for nothing.
_MEANS_NOTHING = b"found in connect proto, but user required from cert"


def main() -> None:
    """Until the other program has ended."""
    while line := sys.stdin.buffer.readline(_LONGEST_LINE):
        if _MEANS_NOTHING in line:
            continue
        try:
            sys.stdout.buffer.write(_VIN.sub(rb"\1...\2", line))
            sys.stdout.buffer.flush()
        except OSError:  # no room for the log: these words are lost
            continue


if __name__ == "__main__":
    main()
