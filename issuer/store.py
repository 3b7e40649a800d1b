"""What the issuer keeps, in one SQLite file. Secrets lie in it as hashes, but for those of TOTP."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, delete, func, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_ROWS = 20_000
"""Of what strangers can make: pushed requests, sessions. Beyond it, the oldest go."""


def digest(secret: str) -> str:
    """Return what is kept of a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class IssuerModel(SQLModel, registry=registry()):
    """The issuer's tables."""


class AccountRow(IssuerModel, table=True):
    """A customer or an agent."""

    __tablename__ = "account"
    name: str = Field(primary_key=True)
    kind: str
    password_hash: str
    totp_secret: str | None = None
    totp_pending: str | None = None
    totp_last_step: int = 0


class PasskeyRow(IssuerModel, table=True):
    """A passkey, by its credential id (base64url)."""

    __tablename__ = "passkey"
    credential_id: str = Field(primary_key=True)
    account: str = Field(index=True)
    public_key: bytes
    sign_count: int


class SessionRow(IssuerModel, table=True):
    """A browser's session, by the hash of its cookie. `request` is the authorization request that waits for it."""

    __tablename__ = "session"
    session_hash: str = Field(primary_key=True)
    csrf: str
    account: str | None = None
    factors: str = "{}"
    challenge: str | None = None
    request: str | None = None
    asked_at: int = 0
    expires_at: int = Field(index=True)


class PushedRequestRow(IssuerModel, table=True):
    """An authorization request that was pushed (RFC 9126)."""

    __tablename__ = "pushed_request"
    uri_hash: str = Field(primary_key=True)
    client_id: str
    parameters: str
    expires_at: int = Field(index=True)


class FamilyRow(IssuerModel, table=True):
    """All tokens that come of one sign-in, with what they say of it. It ends as a whole."""

    __tablename__ = "family"
    family_id: str = Field(primary_key=True)
    client_id: str
    subject: str
    scope: str
    acr: str
    amr: str
    auth_time: int
    jkt: str | None = None
    ended: bool = False
    expires_at: int = Field(index=True)


class CodeRow(IssuerModel, table=True):
    """An authorization code."""

    __tablename__ = "code"
    code_hash: str = Field(primary_key=True)
    family_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    used: bool = False
    expires_at: int = Field(index=True)


class RefreshTokenRow(IssuerModel, table=True):
    """A refresh token: good once."""

    __tablename__ = "refresh_token"
    token_hash: str = Field(primary_key=True)
    family_id: str = Field(index=True)
    used: bool = False
    expires_at: int = Field(index=True)


class SeenRow(IssuerModel, table=True):
    """What must not come twice: the ids of DPoP proofs, by their hashes."""

    __tablename__ = "seen"
    seen_hash: str = Field(primary_key=True)
    expires_at: int = Field(index=True)


class MandateRow(IssuerModel, table=True):
    """That an agent may act for a customer on one vehicle: by a code that the customer spoke or an approval."""

    __tablename__ = "mandate"
    mandate_hash: str = Field(primary_key=True)
    kind: str
    subject: str
    vin: str
    case: str
    asked_by: str
    approved_by: str | None = None
    used: bool = False
    expires_at: int = Field(index=True)


_EXPIRING: tuple[Any, ...] = (
    SessionRow,
    PushedRequestRow,
    FamilyRow,
    CodeRow,
    RefreshTokenRow,
    SeenRow,
    MandateRow,
)
PURGE_SECONDS = 60


class IssuerStore:
    """The file. One transaction at a time; each is on disk when it ends, or has not happened."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._now = now
        self._one_at_a_time = threading.Lock()
        self._purge_at = 0.0
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
        event.listen(self._engine, "connect", _prepare)
        IssuerModel.metadata.create_all(self._engine)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session whose changes are kept if nothing is raised. What it loads may be read afterwards."""
        with self._one_at_a_time, Session(self._engine, expire_on_commit=False) as session:
            if self._now() >= self._purge_at:
                self._purge(session)
            yield session
            session.commit()

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _purge(self, session: Session) -> None:
        """Drop what has expired, and the oldest of what there is too much of."""
        self._purge_at = self._now() + PURGE_SECONDS
        for model in _EXPIRING:
            session.exec(delete(model).where(col(model.expires_at) < self._now()))
            count = session.exec(select(func.count()).select_from(model)).one()
            if count > MAX_ROWS:
                limit = session.exec(
                    select(model.expires_at).order_by(col(model.expires_at).desc()).offset(MAX_ROWS).limit(1)
                ).one()
                session.exec(delete(model).where(col(model.expires_at) <= limit))


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
