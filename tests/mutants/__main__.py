"""`python -m tests.mutants NAME`: runs the reference unit with this fault. Without NAME: lists them.

Its budget of answers fills faster, as the kit asks faster here than of a unit on a bench.
"""

from __future__ import annotations

import sys

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Swap, to
from vehicle.__main__ import main
from vehicle.messages import budget

if len(sys.argv) == 1:
    for one in MUTANTS.values():
        print(f"{one.name:<40} {one.fault}")  # noqa: T201  # a list for a person
else:
    name = sys.argv.pop()
    swap = Swap()
    swap(budget, "MILLIS_EACH", to(150))
    MUTANTS[name].plant(swap)
    main()
