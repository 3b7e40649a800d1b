"""Where REST is and how a caller proves who they are, as the OpenAPI document says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.openapi_schemas import Schema

SERVERS: list[Schema] = [
    {"url": "/", "description": "Where this document was read from"},
    {
        "url": "https://{host}",
        "description": "Another deployment",
        "variables": {
            "host": {"default": "api.ecarus.run", "description": "Its name, and a port if it needs one."}
        },
    },
]
SCHEMES: dict[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT (RFC 9068), or sk_...",
        "description": (
            "An access token of the issuer (RFC 9068), or an API key, which begins with `sk_`. As a gateway serves "
            "this document it has a scheme `signIn`, too, which says where the issuer's metadata is. A token without a "
            "scope is narrowed by none; where an operation names a scope the token must, too."
        ),
    },
    "dpop": {
        "type": "http",
        "scheme": "dpop",
        "description": (
            "A token that is bound to a key (RFC 9449); each request needs a `dpopProof` made with that key."
        ),
    },
    "dpopProof": {
        "type": "apiKey",
        "in": "header",
        "name": "DPoP",
        "description": "A JWT about this one request (RFC 9449, 4.2): its `htm`, `htu`, `ath`, `iat` and `jti`.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": (
            "For a browser's EventSource, which sends no header: of this vehicle, good once, for 30 seconds "
            "(`POST /api/v1/remotecontrol/events/tickets`)."
        ),
    },
}


def requirements(*scopes: str) -> list[Schema]:
    """Return the ways to call an operation, one of which must be kept; `scopes` are those that the token must name."""
    return [{"bearer": list(scopes)}, {"dpop": list(scopes), "dpopProof": []}]
