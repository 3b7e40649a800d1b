"""The times of the stream of Server-Sent Events, as its readers know them."""

from __future__ import annotations

RETRY_MILLISECONDS = 2_000
"""After so long a reader comes back: the `retry` that a stream begins with."""
GAVE_WAY_RETRY_MILLISECONDS = 30_000
"""The same for who had to give way to a newer stream: it would push out the next one by coming back at once."""
HEARTBEAT_SECONDS = 15.0
"""A comment comes at least so often, unless the operator says otherwise."""
