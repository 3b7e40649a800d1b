"""What tests that ask over plain HTTP give httpx in place of a trust: reading the machine's takes 20 ms of a client."""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""It trusts nobody: what speaks TLS all the same is refused."""
