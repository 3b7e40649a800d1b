"""What a sign-in amounts to, by what was really done. Pure rules, standard library only.

One factor is a password. Two are a password and a TOTP code, a password and a passkey, or a passkey alone that has
verified its user (the key is had, the PIN or finger is known or inherent).
"""

from __future__ import annotations

from dataclasses import dataclass, field

ONE_FACTOR = "urn:ecarus:acr:1fa"
TWO_FACTORS = "urn:ecarus:acr:2fa"
CLASSES = (ONE_FACTOR, TWO_FACTORS)
PASSWORD, ONE_TIME_CODE, PASSKEY = "pwd", "otp", "pop"
"""Methods as RFC 8176 names them."""
MULTIPLE = "mfa"
SESSION_SECONDS = 28_800
"""A factor counts for no longer than this, however a client asks."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who signed in, how and when: the claims `sub`, `acr`, `amr` and `auth_time`."""

    subject: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a client asks of the sign-in (OpenID Connect Core 3.1.2.1, RFC 9470)."""

    acr_values: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    prompt: str = ""
    asked_at: int = 0

    @property
    def needs_two(self) -> bool:
        """Whether two factors are asked for: the first of the classes that is known here counts."""
        known = [value for value in self.acr_values if value in CLASSES]
        return bool(known) and known[0] == TWO_FACTORS


@dataclass(frozen=True, slots=True)
class Factors:
    """When each factor was shown in a session, seconds since 1970."""

    times: dict[str, int] = field(default_factory=dict)

    def shown(self, method: str, at: int) -> Factors:
        """Return them with one more."""
        return Factors({**self.times, method: at})

    def best(self, subject: str, demand: Demand, now: int) -> SignIn | None:
        """Return the strongest sign-in that these amount to for this demand; None when none is fresh enough.

        `auth_time` is that of its oldest factor, so that no old password hides behind a new code.
        """
        oldest = now - SESSION_SECONDS
        if demand.max_age_seconds:
            oldest = max(oldest, now - demand.max_age_seconds)
        # An age of 0 asks for a new sign-in (OpenID Connect Core 3.1.2.1): nobody signs in in no time.
        if demand.prompt == "login" or demand.max_age_seconds == 0:
            oldest = max(oldest, demand.asked_at)
        fresh = {method: at for method, at in self.times.items() if at >= oldest}
        if PASSKEY in fresh:
            methods = (PASSKEY, *((PASSWORD,) if PASSWORD in fresh else ()))
            # The key alone is enough: an older password is only named, its age does not count.
            return SignIn(subject, TWO_FACTORS, (*methods, MULTIPLE), fresh[PASSKEY])
        if PASSWORD in fresh and ONE_TIME_CODE in fresh:
            at = min(fresh[PASSWORD], fresh[ONE_TIME_CODE])
            return SignIn(subject, TWO_FACTORS, (PASSWORD, ONE_TIME_CODE, MULTIPLE), at)
        if PASSWORD in fresh:
            return SignIn(subject, ONE_FACTOR, (PASSWORD,), fresh[PASSWORD])
        return None

    def satisfy(self, subject: str, demand: Demand, now: int) -> SignIn | None:
        """Return the sign-in if it is all that is asked for."""
        best = self.best(subject, demand, now)
        if best is None or (demand.needs_two and best.acr != TWO_FACTORS):
            return None
        return best
