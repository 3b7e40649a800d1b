"""Reads what push services hand out to those who may send."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.notification.adapters.senders.settings import checked_origin

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE_BYTES = 65_536
_LEAST_RSA_BITS = 2_048
_PROJECT = re.compile(r"[a-z0-9-]{1,64}")


class CredentialError(ValueError):
    """A file is not what it should be; the text says in what way, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A Google service account: who it is, and the key that shows it."""

    project: str
    email: str
    key_id: str
    token_url: str
    key: rsa.RSAPrivateKey = field(repr=False)


def read_p256_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a PEM file. Raises CredentialError."""
    key = _private_key(_content(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialError("is no private key of P-256")
    return key


def read_service_account(path: Path) -> ServiceAccount:
    """Return the service account of a key file (JSON). Raises CredentialError."""
    try:
        members = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise CredentialError("is no JSON") from error
    if not isinstance(members, dict) or members.get("type") != "service_account":
        raise CredentialError("is no service account's key file")
    names = ("project_id", "client_email", "private_key_id", "token_uri", "private_key")
    values = [members.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise CredentialError(f"must name {', '.join(names)}")
    project, email, key_id, token_url, pem = (str(value) for value in values)
    if not _PROJECT.fullmatch(project):
        raise CredentialError("names no project")
    origin, slash, path_of_url = token_url.removeprefix("https://").partition("/")
    try:
        checked_origin(f"https://{origin}")
    except ValueError as error:
        raise CredentialError("its token_uri is no https URL") from error
    if token_url != f"https://{origin}{slash}{path_of_url}":
        raise CredentialError("its token_uri is no https URL")
    key = _private_key(pem.encode())
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_RSA_BITS:
        raise CredentialError(f"its key is no RSA key of at least {_LEAST_RSA_BITS} bits")
    return ServiceAccount(project, email, key_id, token_url, key)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise CredentialError("is too large")
    return content


def _private_key(pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError("holds no private key without a password (PEM)") from error
