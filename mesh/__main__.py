"""The command `python -m mesh`. What it takes is in `mesh.cli`."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Importing takes a second or two, and nothing has been started by then: Ctrl-C just ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    import os
    import sys
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(root), str(root / "gen")]

    from mesh.cli import main

    sys.exit(main(sys.argv[1:], dict(os.environ)))
