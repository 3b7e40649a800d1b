"""The pages for people in front of a screen: files that are read and checked once, and what each is answered with."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.settings import GatewaySettings

PAGES = Path(__file__).with_name("pages")
"""Where they are."""
APPS = ("app", "console", "portal")
"""The folders that are a page each, and answer `index.html` at their own name."""
FOLDERS = (*APPS, "parts", "words", "vendor")
"""What is served: each file below them under its own path, and nothing else."""
OPENAPI = "/openapi.json"
"""The path of the contract as an OpenAPI document."""
ASYNCAPI = "/asyncapi.json"
"""The same of streams, messages and events as an AsyncAPI document."""
SIGN_IN, _BEARER = "signIn", "bearer"
"""Schemes of that document: who signs in with this deployment's issuer, and whoever has a token or a key."""
PORTAL = "/portal/"
"""The developers' page: Swagger UI makes markup and styles by itself, so what keeps other pages from it is left out."""
API_BASE = "/api/v1/remotecontrol"
MOST_FILES = 500
MOST_BYTES = 2 << 20
"""Of one file."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",  # a licence
}
_BINARY = frozenset({".png"})
_PACKING = 6
_LICENCES = frozenset({"LICENSE"})
_NOT_FOUND = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>No such page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/parts/style.css"></head>
<body><main class="page"><h1>No such page</h1><p>There is nothing here. <a href="/app/">Your car</a> ·
<a href="/console/">Console</a></p></main></body></html>
"""


class PageFilesError(Exception):
    """The pages cannot be served; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer. `etag` is that of its bytes, in quotes; `body` is compressed (gzip) where it `is_packed`."""

    body: bytes
    content_type: str
    etag: str
    is_packed: bool = False

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Page:
        """Return the answer with these bytes."""
        return cls(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


NOT_FOUND = Page.of(_NOT_FOUND.encode(), _TYPES[".html"])


def read_pages(settings: GatewaySettings, root: Path = PAGES) -> dict[str, Page]:
    """Return every answer by its path, `/app/` and each `config.json` among them.

    Raises PageFilesError for a file that is none of a page's kinds, a link, too large or no UTF-8, and for too many.
    """
    pages: dict[str, Page] = {}
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if not file.is_dir() or file.is_symlink():
                pages["/" + file.relative_to(root).as_posix()] = _read(file)
                if len(pages) > MOST_FILES:
                    raise PageFilesError(f"{root} holds more than {MOST_FILES} files")
    for app in APPS:
        index = pages.get(f"/{app}/index.html")
        if index is not None:
            pages[f"/{app}/"] = index
            pages[f"/{app}/config.json"] = Page.of(_configuration(settings, app), _TYPES[".json"])
    if settings.pages_openapi is not None:
        pages[OPENAPI] = _with_sign_in(_read(settings.pages_openapi), settings.pages_issuer)
    if settings.pages_asyncapi is not None:
        pages[ASYNCAPI] = _at_origin(_read(settings.pages_asyncapi), settings.pages_api_origin)
    return pages


def _read(file: Path, types: Mapping[str, str] = _TYPES, most_bytes: int = MOST_BYTES) -> Page:
    if file.is_symlink() or not file.is_file():
        raise PageFilesError(f"{file} is no file of its own")
    if file.suffix not in types or (not file.suffix and file.name not in _LICENCES):
        raise PageFilesError(f"{file} is of no kind that a page has ({', '.join(filter(None, _TYPES))})")
    body = file.read_bytes()
    if len(body) > most_bytes:
        raise PageFilesError(f"{file} is larger than {most_bytes} bytes")
    if file.suffix not in _BINARY:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise PageFilesError(f"{file} is no UTF-8: {error.reason}") from error
    return Page.of(body, types[file.suffix])


def packed_page(file: Path, types: Mapping[str, str], most_bytes: int) -> Page:
    """Return a file that is kept compressed, of one of these types by its suffix. Raises PageFilesError."""
    page = _read(file, types, most_bytes)
    return replace(page, body=gzip.compress(page.body, _PACKING, mtime=0), is_packed=True)


def _with_sign_in(page: Page, issuer: str) -> Page:
    """Return the OpenAPI document with one more way to call each operation: a token of this deployment's issuer, whose
    metadata says where to sign in (OpenID Connect Discovery).
    """
    try:
        document = json.loads(page.body)
        schemes, ways = document["components"]["securitySchemes"], document["security"]
        own = [operation for path in document["paths"].values() for operation in path.values()]
        schemes[SIGN_IN] = {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            "description": "Authorization code with PKCE.",
        }
        for each in [ways, *(operation["security"] for operation in own if "security" in operation)]:
            each.append({SIGN_IN: each[0][_BEARER]})
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise PageFilesError(f"the OpenAPI document is none: {type(error).__name__}") from error
    return Page.of(json.dumps(document, ensure_ascii=False).encode(), page.content_type)


def _at_origin(page: Page, origin: str) -> Page:
    """Return the AsyncAPI document with this deployment as the server of streams and sockets, where it is known."""
    if not origin:
        return page
    parts = urlsplit(origin)
    sockets = "wss" if parts.scheme == "https" else "ws"
    try:
        document = json.loads(page.body)
        for name, protocol in (("api", parts.scheme), ("sockets", sockets)):
            server = document["servers"][name]
            server |= {"host": parts.netloc, "protocol": protocol}
            server.pop("variables", None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PageFilesError(f"the AsyncAPI document is none: {type(error).__name__}") from error
    return Page.of(json.dumps(document, ensure_ascii=False).encode(), page.content_type)


def _configuration(settings: GatewaySettings, app: str) -> bytes:
    client, scope, acr_values = {
        "app": (settings.pages_app_client, settings.pages_app_scope, ""),
        "console": (
            settings.pages_console_client,
            settings.pages_console_scope,
            settings.pages_console_acr_values,
        ),
        "portal": (settings.pages_app_client, settings.pages_app_scope, ""),
    }[app]
    document = {
        "issuer": settings.pages_issuer,
        "clientId": client,
        "scope": scope,
        "acrValues": acr_values,
        "apiBase": API_BASE,
        "pushKey": settings.pages_push_key if app == "app" else "",
    }
    if app == "portal" and settings.pages_sample_key:
        document["sampleKey"] = settings.pages_sample_key
    return json.dumps(document).encode()


def headers_of_every_page(issuer: str, *, makes_markup: bool = False) -> list[tuple[bytes, bytes]]:
    """Return what keeps a page to itself: it loads nothing from elsewhere, runs nothing that is not a file of its own,
    is framed by nobody, and speaks with its own origin and the issuer (`connect-src`). One that `makes_markup` of text
    may, and may style it; it runs nothing of it all the same.
    """
    parts = urlsplit(issuer)
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'" if makes_markup else "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self' {parts.scheme}://{parts.netloc}",
            "worker-src 'self'",
            "manifest-src 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            *(() if makes_markup else ("require-trusted-types-for 'script'", "trusted-types worker-url")),
        )
    )
    nothing = ", ".join(
        f"{feature}=()"
        for feature in ("camera", "microphone", "geolocation", "payment", "usb", "serial", "hid")
    )
    named = {
        "content-security-policy": policy,
        "permissions-policy": nothing,
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        # Kept, and asked about each time: a page that was changed is the new one at once.
        "cache-control": "no-cache",
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]
