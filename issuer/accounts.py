"""People and their factors: passwords (scrypt), TOTP (RFC 6238), passkeys (WebAuthn)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyotp
import webauthn
from sqlalchemy.exc import NoResultFound
from sqlmodel import col, func, select, update
from webauthn.helpers import exceptions
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from issuer.limits import PASSWORD_TRY, SECOND_FACTOR_TRY
from issuer.store import AccountRow, PasskeyRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer.limits import FailureLimits
    from issuer.store import IssuerStore

CUSTOMER, AGENT, EMPLOYEE = "customer", "agent", "employee"
MAX_NAME = 128
MAX_PASSWORD = 256
MAX_PASSKEYS = 10
STEP_SECONDS = 30
NAME = "Remote Door Control sandbox"
_N, _R, _P = 2**14, 8, 1
_SALT_BYTES = 16


class FactorRefusedError(Exception):
    """What was shown is not accepted. Why is not told, whether the account exists or not."""


@dataclass(frozen=True, slots=True)
class EnrolledFactors:
    """Which second factors an account has."""

    totp: bool
    passkeys: int

    @property
    def has_any(self) -> bool:
        """Whether it has any."""
        return self.totp or self.passkeys > 0


def hash_password(password: str) -> str:
    """Return what is kept of a password: salt and scrypt, in hex."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{salt.hex()}:{_scrypt(password, salt).hex()}"


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)


_NOBODYS = f"{bytes(_SALT_BYTES).hex()}:{bytes(64).hex()}"
"""What is compared for accounts that there are not, so that they take as long."""


class Accounts:
    """The accounts. `rp_id` and `origin` are those of passkeys (WebAuthn 5.1.2, 5.8.1)."""

    def __init__(
        self, store: IssuerStore, limits: FailureLimits, now: Callable[[], float], *, rp_id: str, origin: str
    ) -> None:
        self._store = store
        self._limits = limits
        self._now = now
        self._rp_id = rp_id
        self._origin = origin

    def plant(self, name: str, kind: str, password: str, totp_secret: str) -> None:
        """Make a sandbox account, or bring its password and secret up to date."""
        with self._store.transaction() as session:
            row = session.get(AccountRow, name)
            if row is None:
                row = AccountRow(name=name, kind=kind, password_hash=hash_password(password))
            elif not _is_password(password, row.password_hash):
                row.password_hash = hash_password(password)
            row.totp_secret = totp_secret
            session.add(row)

    def kind_of(self, name: str) -> str | None:
        """Return CUSTOMER, AGENT, or None for nobody."""
        with self._store.transaction() as session:
            row = session.get(AccountRow, name)
            return row.kind if row else None

    def enrolled(self, name: str) -> EnrolledFactors:
        """Return which second factors the account has."""
        with self._store.transaction() as session:
            row = session.get(AccountRow, name)
            count = select(func.count()).select_from(PasskeyRow).where(PasskeyRow.account == name)
            return EnrolledFactors(bool(row and row.totp_secret), session.exec(count).one())

    def check_password(self, name: str, password: str, address: str) -> None:
        """Raise FactorRefusedError, or TooManyFailuresError; both as long for nobody as for somebody."""
        started = self._limits.begin(PASSWORD_TRY, name, address)
        with self._store.transaction() as session:
            row = session.get(AccountRow, name)
        known = row.password_hash if row else _NOBODYS
        if not _is_password(password[:MAX_PASSWORD], known) or row is None:
            raise FactorRefusedError
        self._limits.was_right(started)

    def check_totp(self, name: str, code: str, address: str) -> None:
        """Raise FactorRefusedError, also for a code that was used before, or TooManyFailuresError."""
        started = self._limits.begin(SECOND_FACTOR_TRY, name, address)
        with self._store.transaction() as session:
            row = session.get(AccountRow, name)
            step = _step_of(row.totp_secret, code, self._now()) if row else None
            used = None
            if step is not None:
                # In one statement, so that of two who send the same code one is refused.
                later = update(AccountRow).where(col(AccountRow.name) == name)
                used = session.exec(
                    later.where(col(AccountRow.totp_last_step) < step).values(totp_last_step=step)
                )
            accepted = used is not None and used.rowcount == 1
        if not accepted:
            raise FactorRefusedError
        self._limits.was_right(started)

    def begin_totp(self, name: str) -> str:
        """Make a new secret, that counts once a code of it was shown; return its otpauth URI."""
        secret = pyotp.random_base32()
        with self._store.transaction() as session:
            row = session.get_one(AccountRow, name)
            row.totp_pending = secret
            session.add(row)
        return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=NAME)

    def confirm_totp(self, name: str, code: str) -> None:
        """Let the new secret count. Raises FactorRefusedError."""
        with self._store.transaction() as session:
            row = session.get_one(AccountRow, name)
            step = _step_of(row.totp_pending, code, self._now())
            if step is None:
                raise FactorRefusedError
            row.totp_secret, row.totp_pending, row.totp_last_step = row.totp_pending, None, step
            session.add(row)

    def passkey_creation(self, name: str) -> tuple[str, str]:
        """Return the options for `navigator.credentials.create` as JSON, and their challenge."""
        options = webauthn.generate_registration_options(
            rp_id=self._rp_id,
            rp_name=NAME,
            user_name=name,
            user_id=hashlib.sha256(name.encode()).digest(),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=self._passkeys(name),
        )
        return webauthn.options_to_json(options), options.challenge.hex()

    def add_passkey(self, name: str, credential: dict[str, Any], challenge: str) -> None:
        """Add a passkey. Raises FactorRefusedError."""
        try:
            made = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=bytes.fromhex(challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except (exceptions.WebAuthnException, ValueError, TypeError, KeyError) as error:
            raise FactorRefusedError from error
        with self._store.transaction() as session:
            count = select(func.count()).select_from(PasskeyRow).where(PasskeyRow.account == name)
            credential_id = made.credential_id.hex()
            same = select(PasskeyRow).where(PasskeyRow.credential_id == credential_id)
            if session.exec(count).one() >= MAX_PASSKEYS or session.exec(same).first() is not None:
                raise FactorRefusedError
            session.add(
                PasskeyRow(
                    credential_id=credential_id,
                    account=name,
                    public_key=made.credential_public_key,
                    sign_count=made.sign_count,
                )
            )

    def passkey_request(self, name: str) -> tuple[str, str]:
        """Return the options for `navigator.credentials.get` as JSON, and their challenge."""
        options = webauthn.generate_authentication_options(
            rp_id=self._rp_id,
            allow_credentials=self._passkeys(name),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return webauthn.options_to_json(options), options.challenge.hex()

    def check_passkey(self, name: str, credential: dict[str, Any], challenge: str, address: str) -> None:
        """Raise FactorRefusedError, also for a passkey whose count went back (a copy), or TooManyFailuresError."""
        started = self._limits.begin(SECOND_FACTOR_TRY, name, address)
        try:
            with self._store.transaction() as session:
                row = session.get_one(PasskeyRow, _credential_id(credential))
                _require_owner(row, name)
                shown = webauthn.verify_authentication_response(
                    credential=credential,
                    expected_challenge=bytes.fromhex(challenge),
                    expected_rp_id=self._rp_id,
                    expected_origin=self._origin,
                    credential_public_key=row.public_key,
                    credential_current_sign_count=row.sign_count,
                    require_user_verification=True,
                )
                row.sign_count = shown.new_sign_count
                session.add(row)
        except (
            FactorRefusedError,
            NoResultFound,
            exceptions.WebAuthnException,
            ValueError,
            TypeError,
            KeyError,
        ) as error:
            raise FactorRefusedError from error
        self._limits.was_right(started)

    def _passkeys(self, name: str) -> list[PublicKeyCredentialDescriptor]:
        with self._store.transaction() as session:
            rows = session.exec(select(PasskeyRow).where(PasskeyRow.account == name)).all()
            return [PublicKeyCredentialDescriptor(id=bytes.fromhex(row.credential_id)) for row in rows]


def _require_owner(row: PasskeyRow, name: str) -> None:
    if row.account != name:
        raise FactorRefusedError


def _is_password(password: str, known: str) -> bool:
    salt, _, kept = known.partition(":")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(kept))


def _step_of(secret: str | None, code: str, now: float) -> int | None:
    """Return the time step whose code this is: this one, the one before or the one after; None for none of them."""
    if secret is None:
        return None
    totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    this = int(now) // STEP_SECONDS
    return next(
        (
            step
            for step in (this, this - 1, this + 1)
            if hmac.compare_digest(totp.at(step * STEP_SECONDS).encode(), code.encode())
        ),
        None,
    )


def _credential_id(credential: dict[str, Any]) -> str:
    return webauthn.base64url_to_bytes(str(credential["id"])).hex()
