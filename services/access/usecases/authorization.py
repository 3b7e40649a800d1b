"""The steps every public request goes through, in order; the first that fails decides the answer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from services.access.domain import step_up
from services.access.domain.abnormal import AccessSignal, Outcome
from services.access.domain.agents import is_closed_to
from services.access.domain.authorization import (
    DenialReason,
    Purpose,
    denial_of,
    denial_of_person,
    denial_of_watcher,
    has_right_on,
)
from services.access.domain.customer_cases import CaseNotOpenError
from services.access.domain.decisions import AccessDecision
from services.access.domain.rates import tightest
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from services.access.domain.accounts import Caller
    from services.access.domain.permissions import EffectivePermissions
    from services.access.domain.rates import RateState
    from services.access.domain.step_up import Requirement
    from services.access.usecases.agents import AgentSupervision
    from services.access.usecases.authorization_ports import (
        AccessRequest,
        Callers,
        Capabilities,
        Cases,
        Permissions,
        Rates,
        RequestLog,
    )


class AccessDeniedError(Exception):
    """The caller may not do `action` to the vehicle."""

    def __init__(self, denial: DenialReason, action: str) -> None:
        super().__init__(f"{denial.value}: {action}")
        self.denial = denial
        self.action = action


class StepUpRequiredError(Exception):
    """The caller must have signed in more strongly or more recently for this line of the table. `by_key`: it asked with
    an API key, which cannot.
    """

    def __init__(self, line: str, requirement: Requirement, *, by_key: bool) -> None:
        super().__init__(line)
        self.line = line
        self.requirement = requirement
        self.by_key = by_key


Proof = TypeVar("Proof")


class ApprovalRequiredError(Exception):
    """An agent asks for what needs a second agent's approval."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A capability, and what is left of the rate that its request was counted against; None where that has none."""

    capability: str
    rate: RateState | None


@dataclass(slots=True)
class _AccessAttempt:
    """What is known of a request when it is decided."""

    caller: Caller | None = None
    vin: str = ""
    mode: str = ""
    role: str = ""
    has_right: bool = False


class RequestAuthorizer(Generic[Proof]):
    """Decides who may do what to which vehicle, and counts what is asked."""

    def __init__(
        self,
        *,
        callers: Callers[Proof],
        permissions: Permissions,
        rates: Rates,
        counted: RequestLog,
        capabilities: Capabilities,
        step_up_table: Mapping[str, Requirement],
        agents: AgentSupervision,
        cases: Cases,
        now: Callable[[], float],
        observe: Callable[[AccessSignal], None],
        decided: Callable[[AccessDecision], None],
    ) -> None:
        self._observe = observe
        self._decided = decided
        self._callers = callers
        self._permissions = permissions
        self._rates = rates
        self._counted = counted
        self._capabilities = capabilities
        self._step_up_table = step_up_table
        self._agents = agents
        self._cases = cases
        self._now = now

    def invalidate(self, *, principal: str = "", credential: str = "") -> None:
        """Drop what is remembered: some right began or ended."""
        self._permissions.invalidate()
        self._cases.invalidate()
        if credential or not principal:
            self._callers.invalidate(credential)
        self._capabilities.invalidate(principal, credential)

    def invalidate_cases(self) -> None:
        """Ask the record anew for every case. It is asked before anything else that is remembered is used, so that
        nothing else needs to be forgotten.
        """
        self._cases.invalidate()

    async def authorize(self, asked: AccessRequest[Proof]) -> Permit:
        """Return the capability for this request, and what is left of its caller's rate. Raises AccessDeniedError,
        StepUpRequiredError, ApprovalRequiredError, CaseNotOpenError, Refusal, StorageUnavailableError.

        What is refused, and what changes nothing, is told to `decided`: what changes something is told by who does it.
        """
        so_far = _AccessAttempt()
        with self._telling(asked, so_far):
            return await self._authorize(asked, so_far, await self._caller_of(asked))

    async def authorize_as(self, digest: bytes, caller: Caller, asked: AccessRequest[Any]) -> Permit:
        """Return the same for a caller who is known already; `digest` is of what they are known by."""
        so_far = _AccessAttempt()
        with self._telling(asked, so_far):
            return await self._authorize(asked, so_far, (digest, caller))

    async def identify(self, asked: AccessRequest[Proof]) -> Caller:
        """Return who asks, for what is about no vehicle and is given a session. Raises AccessDeniedError where their
        bearer is not for that, CaseNotOpenError, Refusal, StorageUnavailableError.
        """
        so_far = _AccessAttempt()
        with self._telling(asked, so_far):
            _, caller = await self._caller_of(asked)
            so_far.caller = caller
            if caller.is_agent:
                await self._cases.check(caller)
            if caller.scope is not None and asked.action not in caller.scope:
                by_key = caller.carries is not None
                reason = DenialReason.KEY_OUT_OF_SCOPE if by_key else DenialReason.OUT_OF_SCOPE
                raise AccessDeniedError(reason, asked.action)
            self._rates.take("session", caller.subject, caller.actor)
            return caller

    def note_failure(self, network: str) -> None:
        """Count that somebody came with nothing good from there. Raises Refusal RATE_LIMITED when too many did."""
        if network:
            self._observe(AccessSignal(self._now(), Outcome.FAILED_SIGN_IN, network))
            self._rates.take("failed", network)

    @contextmanager
    def _telling(self, asked: AccessRequest[Any], so_far: _AccessAttempt) -> Iterator[None]:
        """Count what is in it where it ends refused, and tell `decided` how it ends."""
        try:
            yield
        except (
            AccessDeniedError, StepUpRequiredError, ApprovalRequiredError, CaseNotOpenError, Refusal
        ) as refused:  # fmt: skip
            try:
                self._count_refused(so_far.caller, refused)
            except Refusal as too_many:
                self._tell(asked, so_far, *_reason_of(too_many))
                raise
            self._tell(asked, so_far, *_reason_of(refused))
            raise
        if not asked.changes:
            self._tell(asked, so_far)

    def _count_refused(self, caller: Caller | None, refused: Exception) -> None:
        """Count what its caller was refused, apart: what is not carried out must not use up what commands need. Raises
        Refusal RATE_LIMITED when there were too many. Counted already are a bearer that fails, by address, a vehicle
        that is not among theirs, and what there were too many of.
        """
        is_counted = (
            caller is None
            or (isinstance(refused, AccessDeniedError) and refused.denial is DenialReason.VEHICLE_NOT_FOUND)
            or (isinstance(refused, Refusal) and refused.reason is errors.RATE_LIMITED)
        )
        if caller is not None and not is_counted:
            self._rates.take("refused", caller.actor)

    def _tell(
        self, asked: AccessRequest[Any], so_far: _AccessAttempt, refused_for: str = "", rule: str = ""
    ) -> None:
        self._decided(
            AccessDecision(
                asked.action,
                asked.correlation_id,
                asked.network,
                so_far.caller,
                so_far.vin,
                so_far.mode,
                rule or so_far.role,
                refused_for,
                so_far.has_right,
            )
        )

    async def _authorize(
        self, asked: AccessRequest[Any], so_far: _AccessAttempt, known: tuple[bytes, Caller]
    ) -> Permit:
        digest, caller = known
        so_far.caller = caller
        vin = so_far.vin = asked.vin()
        if caller.is_agent:
            await self._cases.check(caller)
        permissions = await self._permissions_on(vin, caller, asked, so_far)
        so_far.role = permissions.role.value if permissions.role else ""
        if is_closed_to(caller, asked.step_up, closed=asked.closed_to_agents):
            raise AccessDeniedError(DenialReason.CLOSED_TO_AGENTS, asked.action)
        mode = so_far.mode = asked.mode(vin)
        decided_later = self._check_sign_in(asked, caller, mode)
        await self._check_approved(caller, vin, mode)
        rate = self._count(asked, caller, vin)
        if vin:
            self._note(Outcome.ALLOWED, asked, caller, vin)
        if asked.changes and caller.is_agent:
            about = vin or next(iter(caller.only_vins or ()), "")
            await self._agents.note(caller, about, f"{asked.action} {mode}".strip())
        purpose = Purpose(asked.service, asked.action, mode, decided_later)
        capability = self._capabilities.capability(
            digest, caller, vin, permissions, purpose, asked.certificate
        )
        return Permit(capability, rate)

    async def _caller_of(self, asked: AccessRequest[Proof]) -> tuple[bytes, Caller]:
        """Return who asks. Failures are counted by address, and only they: behind the same address others go on."""
        try:
            return await self._callers.caller_of(asked.authorization, asked.proof)
        except Refusal:
            self.note_failure(asked.network)
            raise

    async def _permissions_on(
        self, vin: str, caller: Caller, asked: AccessRequest[Any], so_far: _AccessAttempt
    ) -> EffectivePermissions:
        """Return what the caller is to the vehicle, when that and the bearer's scope allow the action."""
        if asked.watches_people:
            return await self._permissions_to_watch(caller, asked)
        permissions = await self._permissions.of(caller.subject, caller.actor, vin)
        so_far.has_right = has_right_on(permissions, caller, vin)
        if asked.about_caller:
            about = {"needs_step_up": bool(asked.step_up), "open_to_keys": asked.open_to_keys}
            denial = denial_of_person(permissions, caller, asked.action, **about)
        else:
            denial = denial_of(permissions, caller, vin, asked.action)
        if denial is DenialReason.VEHICLE_NOT_FOUND:
            # The same for a vehicle that there is and for one that there is not, counted all the same.
            if not (permissions.actions or permissions.dormant):  # else their own, and not the bearer's
                self._note(Outcome.UNKNOWN_VEHICLE, asked, caller, vin)
            if network := asked.network:
                self._rates.take("unknown", "by address", network)
            self._rates.take("unknown", "by actor", caller.actor)
        if denial is not None:
            raise AccessDeniedError(denial, asked.action)
        return permissions

    async def _permissions_to_watch(self, caller: Caller, asked: AccessRequest[Any]) -> EffectivePermissions:
        """Return what the caller is where it is about people's accounts: who is stopped acts upon nobody's."""
        permissions = await self._permissions.of(caller.actor, caller.actor, "")
        denial = denial_of_watcher(permissions, caller, asked.action)
        if denial is not None:
            raise AccessDeniedError(denial, asked.action)
        return permissions

    async def _check_approved(self, caller: Caller, vin: str, mode: str) -> None:
        """Raise ApprovalRequiredError for an agent's emergency that no second agent has approved."""
        if mode and caller.is_agent and not await self._agents.may_unlock_in_emergency(caller, vin):
            raise ApprovalRequiredError

    def _check_sign_in(
        self, asked: AccessRequest[Any], caller: Caller, mode: str
    ) -> tuple[str, Requirement] | None:
        """Return what the service behind is to judge; None where nothing is left. Raises StepUpRequiredError.

        It costs no look-up, and comes before the request is counted or its id noted: the same request with a newer
        token is the first one.
        """
        if not asked.step_up:
            return None
        line = step_up.line_for(asked.step_up, mode)
        requirement = self._step_up_table[line]
        if asked.step_up_decided_by_service:
            return line, requirement
        if step_up.good_until(requirement, line, caller) <= self._now():
            raise StepUpRequiredError(line, requirement, by_key=caller.carries is not None)
        return None

    def _note(self, outcome: Outcome, asked: AccessRequest[Any], caller: Caller, vin: str) -> None:
        """Let the rules of abnormal access see it, later and elsewhere."""
        self._observe(
            AccessSignal(
                self._now(),
                outcome,
                asked.network,
                caller.actor,
                caller.subject,
                vin,
                asked.action,
                asked.country,
                by_key=caller.carries is not None,
            )
        )

    def _count(self, asked: AccessRequest[Any], caller: Caller, vin: str) -> RateState | None:
        """Count the request against its rate, and return what is left; what repeats one that was counted is a read."""
        limit_class, named_id = asked.limit_class, asked.named_id
        if limit_class is None:
            return None
        if limit_class == "read":
            return self._rates.take(limit_class, caller.subject, caller.actor, vin)
        if named_id is None:
            return self._take_command(asked, caller, vin)
        which = (asked.action, caller.subject, caller.actor, vin, named_id)
        if self._counted.has(*which):
            return self._rates.take("read", caller.subject, caller.actor, vin)
        rate = self._take_command(asked, caller, vin)
        self._counted.note(*which)
        return rate

    def _take_command(self, asked: AccessRequest[Any], caller: Caller, vin: str) -> RateState | None:
        """Count a request that is no read and no cancellation, the narrowest bucket first: one that is empty costs the
        wider ones nothing. A LOCK is in none of them. Of what is left the caller is told the least of its own: what
        there is of a client's or an address' rate says what others do.
        """
        limit_class = asked.limit_class or "command"
        own = [self._rates.take(limit_class, caller.subject, caller.actor, vin)]
        if limit_class == "command":
            own.append(self._rates.take("user", caller.subject))
            if caller.is_agent:
                own.append(self._rates.take("agent", caller.actor))
            self._rates.take("client", caller.client_id or caller.credential)
            if network := asked.network:
                self._rates.take("address", network)
        return tightest([state for state in own if state is not None])


def _reason_of(
    refused: AccessDeniedError | StepUpRequiredError | ApprovalRequiredError | CaseNotOpenError | Refusal,
) -> tuple[str, str]:
    """Return for what a request was refused, and the rule that says so where it is not the caller's role."""
    match refused:
        case AccessDeniedError():
            return refused.denial.value, ""
        case StepUpRequiredError():
            return "STEP_UP_REQUIRED", refused.line
        case ApprovalRequiredError():
            return "APPROVAL_REQUIRED", ""
        case CaseNotOpenError():
            return "CASE_NOT_OPEN", ""
        case _:
            return refused.reason.code, ""
