"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_

from services.access.adapters.pending_grants import PendingGrantRow
from services.access.adapters.pending_keys import PendingApiKeyRow
from services.access.adapters.store.person_rows import data_exports, erasures, hold_decisions
from services.access.adapters.store.tables import (
    SEVERANCES,
    AccessModel,
    abnormal_cases,
    approvals,
    audit,
    audit_outbox,
    customer_cases,
    grants,
    holds,
    issuer_keys,
    keys,
    outbox,
    principals,
    severances,
    tickets,
    vehicles,
)
from services.access.domain.agents import APPROVAL_TIME
from services.access.domain.tickets import TICKET_SECONDS
from services.platform.kept_data import KeptTable, OnErasure
from services.platform.kept_tables import audit_outbox_line, holds_line, outbox_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

KEEP_CASES = timedelta(days=90)
KEEP_SEEN_CASES = timedelta(days=7)
KEEP_EVIDENCE = timedelta(days=1_095)
"""Of decisions that may have to be answered for: holds, erasures, severances that were taken back."""
_CONTRACT = "deciding who may do what: contract"
_EVIDENCE = "evidence of who gave and took which right: legal obligation"


def kept_tables(keep_rights: timedelta, keep_audit: timedelta) -> Sequence[KeptTable]:
    """Return a line for each table. `keep_rights` is how long rights and keys are kept that have ended, `keep_audit`
    how long the audit is.
    """
    tables = AccessModel.metadata.tables
    pending_grants = tables[str(PendingGrantRow.__tablename__)]
    pending_keys = tables[str(PendingApiKeyRow.__tablename__)]
    consents, changes = tables["consent"], tables["consent_change"]
    ended = f"{keep_rights.days} days after its end (DOORS_RIGHTS_RETENTION_DAYS)"
    asked = f"{keep_rights.days} days after it was asked (DOORS_RIGHTS_RETENTION_DAYS)"
    three_years = f"{KEEP_EVIDENCE.days} days"
    return [
        KeptTable(
            vehicles,
            "vehicles that somebody has or had a right on",
            _CONTRACT,
            "as long as the vehicle",
            resource="vin",
        ),
        KeptTable(
            principals,
            "accounts that are locked or restricted, and why",
            "protecting an account that may be in other hands: contract",
            "as long as it is so",
            persons=("principal",),
            mentions=("restore_requested_by",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            grants,
            "rights on vehicles: whose, which, from whom",
            _CONTRACT,
            ended,
            over=lambda at: _ended(at - keep_rights),
            persons=("principal",),
            mentions=("given_by",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
            secret=("request_digest", "severed_by"),
            not_told=lambda: grants.c.severed_by.is_not(None),
        ),
        KeptTable(
            keys,
            "API keys, by a keyed hash",
            _CONTRACT,
            ended,
            over=lambda at: or_(keys.c.revoked_at < at - keep_rights, keys.c.expires_at < at - keep_rights),
            persons=("principal",),
            on_erasure=OnErasure.DELETED,
            secret=("key_hash",),
        ),
        KeptTable(
            pending_grants,
            "rights that wait for a second operator",
            _CONTRACT,
            asked,
            over=lambda at: pending_grants.c.requested_at < at - keep_rights,
            persons=("principal",),
            mentions=("requested_by", "approved_by"),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            pending_keys,
            "API keys that wait for a second operator, by a keyed hash",
            _CONTRACT,
            asked,
            over=lambda at: pending_keys.c.requested_at < at - keep_rights,
            persons=("principal",),
            mentions=("requested_by", "approved_by"),
            on_erasure=OnErasure.DELETED,
            secret=("key_hash",),
        ),
        KeptTable(
            severances,
            "access that was severed, and the evidence",
            "protecting a person from another: legal obligation",
            f"as long as it stands; {three_years} after it was taken back",
            over=lambda at: severances.c.reversed_at < at - KEEP_EVIDENCE,
            # Of those who asked. Whom it is about is not told of it: it would tell them who is afraid of them.
            persons=("requested_by", "on_behalf_of"),
            resource="vin",
            on_erasure=OnErasure.STAYS,
        ),
        KeptTable(
            abnormal_cases,
            "abnormal access that was found, and the evidence",
            "protecting people's vehicles: legitimate interest",
            f"{KEEP_CASES.days} days; {KEEP_SEEN_CASES.days} once an operator has looked at it",
            over=lambda at: or_(
                abnormal_cases.c.raised_at < at - KEEP_CASES,
                abnormal_cases.c.acknowledged_at < at - KEEP_SEEN_CASES,
            ),
            persons=("principal",),
            mentions=("acknowledged_by",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            customer_cases,
            "the call centre's cases, by number: of which customer, and who opened and closed them",
            "letting agents act because of an open case only: contract",
            f"{keep_rights.days} days after it was closed (DOORS_RIGHTS_RETENTION_DAYS)",
            over=lambda at: customer_cases.c.closed_at < at - keep_rights,
            persons=("customer",),
            mentions=("opened_by", "closed_by"),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            approvals,
            "agents' approvals of emergencies",
            "two agents for an emergency: contract",
            f"{APPROVAL_TIME.seconds} s, and at most an hour",
            over=lambda at: approvals.c.approved_at < at - APPROVAL_TIME,
            persons=("subject",),
            mentions=("agent", "approved_by"),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            tickets,
            "tickets that open a WebSocket or an event stream once, by a hash, with the session behind each",
            "opening a stream from a browser: contract",
            f"{TICKET_SECONDS} s, and at most an hour",
            over=lambda at: tickets.c.created_at <= at - timedelta(seconds=TICKET_SECONDS),
            secret=("digest", "session"),
        ),
        KeptTable(
            issuer_keys, "the issuer's keys", "knowing those that were withdrawn", "as long as it is trusted"
        ),
        KeptTable(
            audit,
            "the audit: who changed which right, lock, key, consent or hold",
            _EVIDENCE,
            f"{keep_audit.days} days (DOORS_AUDIT_RETENTION_DAYS)",
            over=lambda at: audit.c.at < at - keep_audit,
            persons=("principal", "actor"),
            words=("grant_id",),
            # A person whose access was severed is not told of it.
            not_told=lambda: audit.c.act.in_(SEVERANCES),
            resource="vin",
            on_erasure=OnErasure.PSEUDONYMISED,
        ),
        KeptTable(
            consents,
            "what people agreed to",
            "knowing what may be collected: legal obligation",
            "as long as the account",
            persons=("principal",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            changes,
            "all they said to it, and the text they were shown",
            "evidence of a consent: legal obligation",
            f"as long as the account; {three_years} where it is older",
            over=lambda at: changes.c.at < at - KEEP_EVIDENCE,
            persons=("principal",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            hold_decisions,
            "legal holds, and who set and lifted them",
            "legal obligation",
            f"{three_years} after it was lifted",
            over=lambda at: hold_decisions.c.lifted_at < at - KEEP_EVIDENCE,
            mentions=("person",),
            on_erasure=OnErasure.PSEUDONYMISED,
        ),
        KeptTable(
            data_exports,
            "that somebody asked for what is kept about them",
            "handing it over: legal obligation",
            "a day after it can be fetched no longer",
            over=lambda at: data_exports.c.expires_at < at - timedelta(days=1),
            persons=("principal",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            erasures,
            "that somebody asked to be erased; no name once they are",
            "answering for it: legal obligation",
            f"{three_years} after its end",
            over=lambda at: erasures.c.ended_at < at - KEEP_EVIDENCE,
            persons=("principal",),
            on_erasure=OnErasure.STAYS,
            secret=("person_digest",),
        ),
        outbox_line(outbox),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]


def _ended(before: datetime) -> ColumnElement[bool]:
    """Return whether a grant ended before then. One that was severed may be given back, and waits."""
    columns = grants.c
    is_offer = and_(columns.offered_until.is_not(None), columns.accepted_at.is_(None))
    return and_(
        columns.severed_by.is_(None),
        or_(
            columns.revoked_at < before,
            and_(is_offer, columns.offered_until < before),
            and_(columns.rests.is_(True), columns.ends_at < before),
            and_(columns.rests.is_not(True), columns.expires_at < before),
        ),
    )
