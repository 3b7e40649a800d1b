"""Who asks and where: environment, files, and what `doors login` has kept. Never an argument: those are seen by
everybody.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_PREFIX = "sk_"
LARGEST_FILE = 64 << 10


class CredentialsError(Exception):
    """Nobody, or nowhere, is named in a way that can be used."""


@dataclass(frozen=True)
class Credentials:
    """A base URL, and a secret: an access token, a function that reads one, or an API key."""

    url: str
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)


def stored_path() -> Path:
    """Return where `doors login` keeps them."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "ecarus-doors" / "credentials.json"


def find_credentials(url: str | None, token_file: Path | None, *, no_secret: bool = False) -> Credentials:
    """Return what the arguments, else the environment, else the last `doors login` names.

    A token in a file is read anew for each request. Raise CredentialsError where something is missing.
    """
    stored = _stored()
    base = url or os.environ.get("DOORS_URL") or stored.get("url")
    if not base:
        raise CredentialsError("say where: --url, DOORS_URL, or doors login")
    named = token_file or _environment_path("DOORS_TOKEN_FILE")
    if no_secret:
        return Credentials(base)
    if named is not None:
        _read_secret(named)
        return Credentials(base, token=lambda: _read_secret(named))
    if token := os.environ.get("DOORS_TOKEN"):
        return Credentials(base, token=token)
    if key := os.environ.get("DOORS_API_KEY"):
        return Credentials(base, api_key=key)
    if stored.get("url") == base and stored.get("secret"):
        return of_secret(base, stored["secret"])
    raise CredentialsError("say who asks: DOORS_TOKEN, DOORS_API_KEY, --token-file, or doors login")


def of_secret(url: str, secret: str) -> Credentials:
    """Return credentials of a token, or of an API key, which begins with `sk_`."""
    return (
        Credentials(url, api_key=secret) if secret.startswith(KEY_PREFIX) else Credentials(url, token=secret)
    )


def store(url: str, secret: str) -> Path:
    """Keep them for later, readable by nobody else. Return where."""
    path = stored_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump({"url": url, "secret": secret}, file)
    fresh.replace(path)
    return path


def forget() -> bool:
    """Delete what was kept. Return whether there was anything."""
    path = stored_path()
    is_there = path.exists()
    path.unlink(missing_ok=True)
    return is_there


def _stored() -> dict[str, Any]:
    path = stored_path()
    try:
        mode = path.stat().st_mode
    except OSError:
        return {}
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialsError(f"{path} can be read by others: chmod 600 it, or delete it")
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CredentialsError(f"{path} is not what doors login writes: delete it") from error
    return kept if isinstance(kept, dict) else {}


def _environment_path(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def _read_secret(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(LARGEST_FILE).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path} cannot be read: {type(error).__name__}") from error
    if not secret:
        raise CredentialsError(f"{path} is empty")
    return secret
