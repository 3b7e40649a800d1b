"""Revoked certificates of workloads: a file of revocation lists (RFC 5280, section 5), read again on a timer.

The same file does for Envoy. Its lists are signed by the CA: who can only write the file revokes nobody and brings
nobody back.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CertificateId = tuple[bytes, int]
"""The issuer's name (DER) and the serial number."""

_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_log = structlog.get_logger()


class RevocationListError(ValueError):
    """Not a file of lists that our CA has signed; the text says why."""


class RevocationList:
    """Follows the file `lists`; `authorities` is the PEM file of the CAs that may sign lists."""

    def __init__(
        self, lists: Path, authorities: Path, changed: Callable[[frozenset[CertificateId]], None]
    ) -> None:
        self._lists = lists
        self._authorities = x509.load_pem_x509_certificates(authorities.read_bytes())
        self._changed = changed
        self._read: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.look()

    def look(self) -> None:
        """Read the file, and tell if it is another one now. Raises OSError, RevocationListError."""
        content = self._lists.read_bytes()
        if content == self._read:
            return
        revoked = revoked_in(content, self._authorities)
        self._read = content
        self._changed(revoked)
        _log.info("revocation_list_read", revoked=len(revoked))

    def follow(self, every_seconds: float) -> None:
        """Look again and again until `stop`. A file that cannot be used leaves what was read before in force."""
        # A timer and not a task: it cannot end by itself, whatever it meets.
        self._timer = asyncio.get_running_loop().call_later(every_seconds, self._tick, every_seconds)

    def _tick(self, every_seconds: float) -> None:
        try:
            self.look()
        except (OSError, RevocationListError) as error:
            _log.error("revocation_list_not_read", reason=str(error))  # the reason says it all
        finally:
            self.follow(every_seconds)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


def revoked_in(content: bytes, authorities: list[x509.Certificate]) -> frozenset[CertificateId]:
    """Return what the lists revoke. Raises RevocationListError for anything but lists that these have signed."""
    blocks = _BLOCK.findall(content)
    if not blocks:
        raise RevocationListError("no revocation list (PEM) in the file")
    found: set[CertificateId] = set()
    for block in blocks:
        try:
            revocations = x509.load_pem_x509_crl(block)
            signers = [one for one in authorities if one.subject == revocations.issuer]
            signed = any(_signed(revocations, one) for one in signers)
            found.update((revocations.issuer.public_bytes(), one.serial_number) for one in revocations)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise RevocationListError(f"not a revocation list: {error}") from error
        if not signed:
            raise RevocationListError("a revocation list that no CA of ours has signed")
    return frozenset(found)


def _signed(revocations: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revocations.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # a CA's key signs
    except InvalidSignature:
        return False
