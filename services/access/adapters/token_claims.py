"""What a token's header and claims may say (RFC 9068, with what RFC 8725 warns of), and the caller that they name.

Whatever a token says to narrow itself is honoured or the token is refused: a claim that is ignored is a lock that
somebody accepts in. docs/tokens.md has the rules for those who make tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeGuard

from protocol.subjects import is_vin
from services.access.domain import agents, watching
from services.access.domain.accounts import Caller, Source
from services.access.domain.scopes import actions_in
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME = 128
"""Characters of whatever is kept or told of a token: subject, actor, client, class and methods of authentication."""
MAX_KEY_ID = 256
_MAX_METHODS = 16
_MAX_ROLES = 32
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_KEYS_IN_HEADER = ("jku", "jwk", "x5u", "x5c")
"""RFC 8725, 3.10: a token that brings its own key, or says where to get it, would be believed by whoever made it."""
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_NOT_READ = ("crit", "b64", "zip", "enc", "epk")
_NOT_UNDERSTOOD = {
    "authorization_details": "it is narrowed by authorization_details, which is not supported here",
    "scp": "it is narrowed by scp; scope is what is understood here",
}
"""Claims that narrow a token in ways that are not understood here, and why it is refused."""


def check_header(header: Mapping[str, Any]) -> str:
    """Return the id of the key that the token names. Raises Refusal TOKEN_INVALID for what no access token's says."""
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise invalid("it is not an access token (typ at+jwt)")
    if found := [name for name in _KEYS_IN_HEADER if name in header]:
        raise invalid(f"its header brings a key of its own ({', '.join(found)})")
    if found := [name for name in _NOT_READ if name in header]:
        raise invalid(f"its header asks for what is not supported here ({', '.join(found)})")
    if "cty" in header:
        raise invalid("it holds another token (cty)")
    key_id = header.get("kid")
    if not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID and key_id.isprintable()):
        raise invalid("no key of the issuer fits it")
    return key_id


class ClaimsReader:
    """Makes a caller of the claims of a token whose signature, issuer, audience and times are sound.

    A token of a client that is not among `clients`, each with the source it stands for, is refused; so is one whose
    person signed in later than it was issued by more than `leeway_seconds`.
    Of the clients in `bound_clients` only those that are bound to a key are taken; of those in `employee_clients`,
    which stand for no source, only employees'.
    """

    def __init__(
        self,
        issuer: str,
        clients: Mapping[str, Source],
        leeway_seconds: float,
        bound_clients: frozenset[str] = frozenset(),
        employee_clients: frozenset[str] = frozenset(),
    ) -> None:
        self._employee_clients = employee_clients
        self._bound_clients = bound_clients
        self._issuer = issuer
        self._clients = clients
        self._leeway_seconds = leeway_seconds

    def caller_of(self, claims: Mapping[str, Any], credential: str) -> Caller:
        """Return who the token speaks for; `credential` names the key that signed it. Raises Refusal TOKEN_INVALID."""
        for name, why in _NOT_UNDERSTOOD.items():
            if name in claims:
                raise invalid(why)
        if not is_name(claims.get("jti")):
            raise invalid("jti is not a name of this token")
        client_id = claims["client_id"]
        is_employee = isinstance(client_id, str) and client_id in self._employee_clients
        source = self._source_of(claims, is_employee=is_employee)
        thumbprint = _thumbprint_in(claims)
        if client_id in self._bound_clients and not thumbprint:
            raise invalid("its client's tokens must be bound to a key (DPoP)")
        only_vin = claims.get("vin")
        if "vin" in claims and not (isinstance(only_vin, str) and is_vin(only_vin)):
            raise invalid("vin is not a VIN")
        scope = actions_in(claims["scope"]) if "scope" in claims else None
        if "scope" in claims and scope is None:
            raise invalid("scope is not a list of words with one space between")
        if is_employee:  # whatever vehicles they have, they open as customers, through a customers' client
            scope = (scope or frozenset()) & watching.ACTIONS
        actor = self._actor_in(claims)
        fault = agents.fault_of(
            acts_for_another="act" in claims,
            source=source,
            has_vin=only_vin is not None,
            case=claims.get("case"),
            seconds=claims["exp"] - claims["iat"],
        )
        if fault is not None:
            raise invalid(fault)
        return Caller(
            subject=claims["sub"],
            actor=actor,
            client_id=client_id,
            case=claims["case"] if "act" in claims else "",
            source=source,
            factors=_methods_in(claims),
            expires_at=float(claims["exp"] + self._leeway_seconds),
            only_vins=None if only_vin is None else frozenset({only_vin}),
            credential=credential,
            ends_at=float(claims["exp"]),
            scope=scope,
            acr=_class_in(claims),
            key_thumbprint=thumbprint,
            is_employee=is_employee,
            authenticated_at=self._sign_in_time(claims),
        )

    def _source_of(self, claims: Mapping[str, Any], *, is_employee: bool) -> Source:
        """Return what its client stands for; an employee's for none, as nothing of theirs is in the history."""
        if is_employee:
            _check_employee(claims)
            return Source.WEB
        client_id = claims["client_id"]
        source = self._clients.get(client_id) if isinstance(client_id, str) else None
        if source is None:
            raise invalid("its client is not registered here")
        return source

    def _sign_in_time(self, claims: Mapping[str, Any]) -> float | None:
        """Return when the person signed in; None where the token does not say."""
        at = claims.get("auth_time")
        if "auth_time" not in claims:
            return None
        if not is_time(at):
            raise invalid("auth_time is not a time")
        if at > claims["iat"] + self._leeway_seconds:
            raise invalid("auth_time is later than iat: nobody signs in after their token was issued")
        return float(at)

    def _actor_in(self, claims: Mapping[str, Any]) -> str:
        """Return who acts: `act` of RFC 8693, or the subject. Raises Refusal TOKEN_INVALID."""
        act = claims.get("act", {"sub": claims["sub"]})
        if not isinstance(act, dict) or not (is_name(claims["sub"]) and is_name(act.get("sub"))):
            raise invalid("subject or actor is not a name")
        if "act" in act:
            raise invalid("it was handed on more than once (act within act); the record names one actor only")
        if act.keys() - {"sub", "iss"} or act.get("iss", self._issuer) != self._issuer:
            raise invalid("act says more of the actor than sub, or names another issuer")
        if "may_act" in claims and (
            # Whom the subject lets act for it: it is for the issuer, who makes of it a token in which that one acts.
            "act" not in claims or claims["may_act"] not in ({"sub": act["sub"]}, dict(act))
        ):
            raise invalid("may_act is for an exchange at the issuer; use the token that comes of it")
        actor: str = act["sub"]
        return actor


def _check_employee(claims: Mapping[str, Any]) -> None:
    """Raise Refusal TOKEN_INVALID unless a token of an employees' client says that it is an employee's."""
    roles = claims.get("roles")
    if not isinstance(roles, list) or len(roles) > _MAX_ROLES or not all(map(is_name, roles)):
        raise invalid("roles is not a list of words")
    if watching.EMPLOYEE not in roles:
        raise invalid("its client is for employees, and roles does not say that this is one")
    if not isinstance(claims["sub"], str) or len(claims["sub"]) > watching.MAX_EMPLOYEE_NAME:
        raise invalid(f"an employee's sub has at most {watching.MAX_EMPLOYEE_NAME} characters")


def is_name(value: object) -> TypeGuard[str]:
    """Return whether it may be kept and shown as a name: some text, without controls and what turns it around."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def is_time(value: object) -> TypeGuard[float]:
    """Return whether it is a moment in seconds since 1970."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def invalid(why: str) -> Refusal:
    """Return that a token is refused."""
    return Refusal(errors.TOKEN_INVALID, f"The token was not accepted: {why}. Sign in again.")


def _methods_in(claims: Mapping[str, Any]) -> frozenset[str]:
    methods = claims.get("amr", [])
    if not isinstance(methods, list) or len(methods) > _MAX_METHODS or not all(map(is_name, methods)):
        raise invalid("amr is not a list of words")
    return frozenset(methods)


def _thumbprint_in(claims: Mapping[str, Any]) -> str:
    """Return the thumbprint of the key that the token is bound to (RFC 9449, 6.1); empty where it is bound to none."""
    if "cnf" not in claims:
        return ""
    told = claims["cnf"]
    thumbprint = told.get("jkt") if isinstance(told, dict) else None
    if not (isinstance(told, dict) and told.keys() == {"jkt"} and isinstance(thumbprint, str)):
        raise invalid("it is bound to a key (cnf) in a way that is not supported here; jkt is (DPoP)")
    if not _THUMBPRINT.fullmatch(thumbprint):
        raise invalid("cnf.jkt is no thumbprint of a key")
    return thumbprint


def _class_in(claims: Mapping[str, Any]) -> str:
    acr = claims.get("acr", "")
    if "acr" in claims and not (is_name(acr) and " " not in acr):
        raise invalid("acr is not a word")
    return str(acr)
