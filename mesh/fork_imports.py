"""What the fork server imports first, and with it all that its forks will need (`mesh.fork_server`)."""

from __future__ import annotations

from mesh.fork_server import import_all

import_all()
