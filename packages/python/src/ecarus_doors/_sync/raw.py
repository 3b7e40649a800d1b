"""Every operation of the API by its own name. Generated from the OpenAPI document by `make generate`: change the contract, or tools/python_sdk.py."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ecarus_doors import models
from ecarus_doors._core.calls import Call

if TYPE_CHECKING:
    from datetime import datetime

    from ecarus_doors._sync.session import SyncSession, SyncStreamOpening


class SyncRawDoors:
    """The API as it is: one method for each operation, with its parameters and its messages.

    Each raises DoorsError where it is refused. What may be repeated safely is repeated, under one
    `correlation_id`, which is made where none is given.
    """

    def __init__(self, session: SyncSession) -> None:
        self._session = session

    def get_case(self, case_number: str, *, correlation_id: str | None = None) -> models.CaseOverview:
        """An open case with its customer's vehicles: `GET /api/v1/remotecontrol/cases/{caseNumber}`.

        An open case with its customer's vehicles. An agent sees the case that their token names, and no
        other; an employee whose token's scope names `case.read` any that is open: so the vehicle is found
        before the agent asks for a token for it.

        - 404 `CASE_NOT_FOUND`: no open case of this number that the caller may see.
        """
        call: Call[models.CaseOverview] = Call(
            "getCase",
            "GET",
            "/api/v1/remotecontrol/cases/{caseNumber}",
            path={"caseNumber": case_number},
            answers={200: models.CaseOverview},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_consents(
        self, *, language: Literal["en", "ko"] | None = None, correlation_id: str | None = None
    ) -> models.ConsentList:
        """The caller's consents, with the texts that are asked about: `GET /api/v1/remotecontrol/consents`.

        The caller's consents, with the texts that are asked about.
        """
        call: Call[models.ConsentList] = Call(
            "listConsents",
            "GET",
            "/api/v1/remotecontrol/consents",
            query={"language": language},
            answers={200: models.ConsentList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_consent(
        self, purpose: str, *, language: Literal["en", "ko"] | None = None, correlation_id: str | None = None
    ) -> models.Consent:
        """One consent of the caller's, with all that was said before: `GET
        /api/v1/remotecontrol/consents/{purpose}`.

        One consent of the caller's, with all that was said before.
        """
        call: Call[models.Consent] = Call(
            "getConsent",
            "GET",
            "/api/v1/remotecontrol/consents/{purpose}",
            path={"purpose": purpose},
            query={"language": language},
            answers={200: models.Consent},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def give_consent(
        self, purpose: str, body: models.ConsentGiven, *, correlation_id: str | None = None
    ) -> models.Consent:
        """Gives a consent, to the text as it was shown: `PUT /api/v1/remotecontrol/consents/{purpose}`.

        Gives a consent, to the text as it was shown. Giving what is given is not an error.

        - 409 `CONSENT_TEXT_CHANGED`: this is not the text that is asked about now. Show that and ask again.
        """
        call: Call[models.Consent] = Call(
            "giveConsent",
            "PUT",
            "/api/v1/remotecontrol/consents/{purpose}",
            path={"purpose": purpose},
            body=body,
            answers={200: models.Consent},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def withdraw_consent(self, purpose: str, *, correlation_id: str | None = None) -> models.Consent:
        """Withdraws a consent: nothing more is collected for this purpose, within seconds: `DELETE
        /api/v1/remotecontrol/consents/{purpose}`.

        Withdraws a consent: nothing more is collected for this purpose, within seconds. What was collected
        before stays until its time is up; erasure ends that. A request that is under way is carried out and
        ends as it would. Withdrawing twice is not an error.
        """
        call: Call[models.Consent] = Call(
            "withdrawConsent",
            "DELETE",
            "/api/v1/remotecontrol/consents/{purpose}",
            path={"purpose": purpose},
            answers={200: models.Consent},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_door_audit(
        self,
        vin: str,
        *,
        period: Literal["1h", "24h", "7d", "30d"] | None = None,
        limit: int | None = None,
        decision: models.AuditOutcome | None = None,
        page_token: str | None = None,
        correlation_id: str | None = None,
    ) -> models.DoorAudit:
        """A vehicle's audit, newest first: `GET /api/v1/remotecontrol/vehicles/{vin}/door/audit`.

        A vehicle's audit, newest first. The owner sees all of it since becoming one; everybody else what was
        asked for by them or for them since their right began, and an agent what the customer sees. Who was
        refused without any right on the vehicle is named to nobody. A severance is shown to who asked for it
        alone.
        """
        call: Call[models.DoorAudit] = Call(
            "listDoorAudit",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/audit",
            path={"vin": vin},
            query={"period": period, "limit": limit, "decision": decision, "pageToken": page_token},
            answers={200: models.DoorAudit},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_command_receipt(
        self, vin: str, command_id: str, *, correlation_id: str | None = None
    ) -> str:
        """The receipt of a command: a `c2sp.org/tlog-proof@v1` file that proves, to whoever has the log's public
        key, that the ledger holds how this command ended, with the hash of its order and what the vehicle
        signed: `GET /api/v1/remotecontrol/vehicles/{vin}/door/commands/{commandId}/receipt`.

        The receipt of a command: a `c2sp.org/tlog-proof@v1` file that proves, to whoever has the log's public
        key, that the ledger holds how this command ended, with the hash of its order and what the vehicle
        signed. It shows nothing else. For who gave the command, and for the owner.

        - 404 `COMMAND_NOT_FOUND`: the ledger knows no such command, or none that is the caller's to see; of
          one that was accepted a moment ago perhaps not yet.
        - 409 `RECEIPT_NOT_READY`: it has not ended, or its end is not under a signed checkpoint yet; ask
          again.
        """
        call: Call[str] = Call(
            "getCommandReceipt",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/commands/{commandId}/receipt",
            path={"vin": vin, "commandId": command_id},
            answers={200: str},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def unlock_doors(
        self,
        vin: str,
        body: models.DoorUnlock,
        *,
        prefer: str | None = None,
        correlation_id: str | None = None,
    ) -> models.DoorCommandDetails | models.DoorCommand:
        """Unlocks doors: `POST /api/v1/remotecontrol/vehicles/{vin}/door/unlock`.

        Unlocks doors. Answers PENDING (HTTP 202) once the command is stored durably; its end comes with
        GetCommand, the update stream and the history.

        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in, an EMERGENCY one by a line of
          its own.
        - 403 `APPROVAL_REQUIRED`: an agent's EMERGENCY needs a second agent's approval.
        - 409 `COMMAND_IN_PROGRESS`: another command is in flight; wait for it or cancel it.
        - 409 `VEHICLE_MOVING`, 409 `ENGINE_ON`, 409 `REMOTE_ACCESS_DISABLED`: the vehicle said so moments
          ago; nothing was sent.
        - 409 `FUNCTION_NOT_AVAILABLE`: vehicles of this model cannot do that; nothing was sent.
        - 422 `CORRELATION_ID_REUSED`: the same id came with another body.
        """
        call: Call[models.DoorCommandDetails | models.DoorCommand] = Call(
            "unlockDoors",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/unlock",
            path={"vin": vin},
            body=body,
            headers={"Prefer": prefer},
            answers={200: models.DoorCommandDetails, 202: models.DoorCommand},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def lock_doors(
        self, vin: str, body: models.DoorLock, *, prefer: str | None = None, correlation_id: str | None = None
    ) -> models.DoorCommandDetails | models.DoorCommand:
        """Locks doors: `POST /api/v1/remotecontrol/vehicles/{vin}/door/lock`.

        Locks doors. Answers as UnlockDoors does. An unlock in flight gives way to it, and ends as CANCELLED
        (SUPERSEDED) where the vehicle had not acted on it.

        - 409 `COMMAND_IN_PROGRESS`: another lock is in flight; wait for it or cancel it.
        - 409 `DOOR_OPEN`, 409 `VEHICLE_MOVING`, 409 `ENGINE_ON`, 409 `REMOTE_ACCESS_DISABLED`: the vehicle
          said so moments ago; nothing was sent.
        - 409 `FUNCTION_NOT_AVAILABLE`: vehicles of this model cannot do that; nothing was sent.
        - 422 `CORRELATION_ID_REUSED`: the same id came with another body.
        """
        call: Call[models.DoorCommandDetails | models.DoorCommand] = Call(
            "lockDoors",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/lock",
            path={"vin": vin},
            body=body,
            headers={"Prefer": prefer},
            answers={200: models.DoorCommandDetails, 202: models.DoorCommand},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def cancel_command(
        self, vin: str, body: models.DoorCancellation, *, correlation_id: str | None = None
    ) -> models.DoorCommand:
        """Withdraws a command by the correlation id it was requested with: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/cancel`.

        Withdraws a command by the correlation id it was requested with. A command not yet handed over is
        CANCELLED at once; otherwise the vehicle decides, and the command's own status tells. The answer is
        the command that is being cancelled.

        - 403 `ACTION_NOT_GRANTED`: a lock is cancelled by who gave it and by the owner alone; an unlock also
          by those whose role is not below the role it was given in.
        - 404 `COMMAND_NOT_FOUND`: this vehicle has no command with that correlation id.
        - 409 `COMMAND_ALREADY_FINISHED`: it has ended; nothing was withdrawn.
        - 422 `CORRELATION_ID_REUSED`: this cancellation's own id came with another body.
        """
        call: Call[models.DoorCommand] = Call(
            "cancelCommand",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/cancel",
            path={"vin": vin},
            body=body,
            answers={202: models.DoorCommand},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_command(
        self, vin: str, command_id: str, *, correlation_id: str | None = None
    ) -> models.DoorCommandDetails:
        """A command with its life so far: `GET /api/v1/remotecontrol/vehicles/{vin}/door/commands/{commandId}`.

        A command with its life so far.

        - 404 `COMMAND_NOT_FOUND`: this vehicle has no command with that id, or none since the caller's right
          began.
        """
        call: Call[models.DoorCommandDetails] = Call(
            "getCommand",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/commands/{commandId}",
            path={"vin": vin, "commandId": command_id},
            answers={200: models.DoorCommandDetails},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_command_history(
        self,
        vin: str,
        *,
        period: Literal["1h", "24h", "7d", "30d"] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        action: models.CommandAction | None = None,
        status: Literal["SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"] | None = None,
        source: models.CommandSource | None = None,
        as_of: datetime | None = None,
        exclude_action: models.CommandAction | None = None,
        page_token: str | None = None,
        correlation_id: str | None = None,
    ) -> models.DoorHistory:
        """What was asked of this vehicle and how it ended, newest first: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/history`.

        What was asked of this vehicle and how it ended, newest first. Commands still running are not in it
        yet. The owner sees everything since becoming one; everybody else what was asked for them since their
        right began.
        """
        call: Call[models.DoorHistory] = Call(
            "listCommandHistory",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/history",
            path={"vin": vin},
            query={
                "period": period,
                "limit": limit,
                "offset": offset,
                "action": action,
                "status": status,
                "source": source,
                "asOf": as_of,
                "excludeAction": exclude_action,
                "pageToken": page_token,
            },
            answers={200: models.DoorHistory},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_config(self, vin: str, *, correlation_id: str | None = None) -> models.DoorConfig:
        """All settings, and whether the vehicle has applied them: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/config`.

        All settings, and whether the vehicle has applied them.
        """
        call: Call[models.DoorConfig] = Call(
            "getDoorConfig",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/config",
            path={"vin": vin},
            answers={200: models.DoorConfig},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def update_door_config(
        self, vin: str, body: models.DoorConfigUpdate, *, correlation_id: str | None = None
    ) -> models.DoorConfig:
        """Changes the named settings: `PUT /api/v1/remotecontrol/vehicles/{vin}/door/config`.

        Changes the named settings. Stored at once; the vehicle applies them when it is reached.

        - 401 `STEP_UP_REQUIRED`: a setting would weaken security (automatic locking off or later, more doors
          opened at once), and that needs a stronger or more recent sign-in. Nothing was changed.
        - 409 `FUNCTION_NOT_AVAILABLE`: vehicles of this model lack what a setting would switch on. Nothing
          was changed.
        - 422 `CORRELATION_ID_REUSED`: the same id came with another body.
        """
        call: Call[models.DoorConfig] = Call(
            "updateDoorConfig",
            "PUT",
            "/api/v1/remotecontrol/vehicles/{vin}/door/config",
            path={"vin": vin},
            body=body,
            answers={200: models.DoorConfig},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_diagnostics(
        self, vin: str, *, correlation_id: str | None = None
    ) -> models.DoorDiagnostics:
        """The vehicle's last self-check: `GET /api/v1/remotecontrol/vehicles/{vin}/door/diagnostics`.

        The vehicle's last self-check.

        - 503 `NOT_YET_REPORTED`: the vehicle has never reported one.
        """
        call: Call[models.DoorDiagnostics] = Call(
            "getDoorDiagnostics",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/diagnostics",
            path={"vin": vin},
            answers={200: models.DoorDiagnostics},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def request_self_test(
        self, vin: str, *, correlation_id: str | None = None
    ) -> models.DiagnosticsCheck:
        """Asks the vehicle to check itself now: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/diagnostics/check`.

        Asks the vehicle to check itself now. Answers REQUESTED (HTTP 202); what it finds is in
        GetDoorDiagnostics within seconds, or MISSED after two minutes. One that sleeps is woken, if the
        budget of its battery allows it. Asked again within a minute it answers with the request of before.

        - 503 `DEPENDENCY_UNAVAILABLE`: it could not be asked at this moment.
        """
        call: Call[models.DiagnosticsCheck] = Call(
            "requestSelfTest",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/diagnostics/check",
            path={"vin": vin},
            answers={202: models.DiagnosticsCheck},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_diagnostics_trend(
        self,
        vin: str,
        *,
        period: Literal["7d", "30d", "90d", "365d"] | None = None,
        component: str | None = None,
        points: int | None = None,
        correlation_id: str | None = None,
    ) -> models.DoorDiagnosticsTrend:
        """How the health of each component went: a point is kept of each hour in which the vehicle reported,
        fewer of what is longer ago: `GET /api/v1/remotecontrol/vehicles/{vin}/door/diagnostics/trend`.

        How the health of each component went: a point is kept of each hour in which the vehicle reported,
        fewer of what is longer ago.

        - 503 `NOT_YET_REPORTED`: the vehicle has never reported one.
        """
        call: Call[models.DoorDiagnosticsTrend] = Call(
            "getDoorDiagnosticsTrend",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/diagnostics/trend",
            path={"vin": vin},
            query={"period": period, "component": component, "points": points},
            answers={200: models.DoorDiagnosticsTrend},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def create_event_ticket(
        self, body: models.NewEventTicket, *, correlation_id: str | None = None
    ) -> models.EventTicket:
        """Gives a ticket that opens the WebSocket, or with `vin` that vehicle's event stream, once, within 30
        seconds, in place of the bearer that it was asked for with: a browser can send no header there: `POST
        /api/v1/remotecontrol/events/tickets`.

        Gives a ticket that opens the WebSocket, or with `vin` that vehicle's event stream, once, within 30
        seconds, in place of the bearer that it was asked for with: a browser can send no header there. What
        is opened with it ends with that bearer.
        """
        call: Call[models.EventTicket] = Call(
            "createEventTicket",
            "POST",
            "/api/v1/remotecontrol/events/tickets",
            body=body,
            answers={200: models.EventTicket},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_failures(
        self,
        vin: str,
        *,
        period: Literal["24h", "7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
        correlation_id: str | None = None,
    ) -> models.DoorFailures:
        """Causes of failures per period, door and component, compared with other vehicles of the model, the
        likely cause, and what to say about it: `GET /api/v1/remotecontrol/vehicles/{vin}/door/failures`.

        Causes of failures per period, door and component, compared with other vehicles of the model, the
        likely cause, and what to say about it. The owner, and an agent for them, sees everything since
        becoming one; everybody else what was asked for them since their right began.
        """
        call: Call[models.DoorFailures] = Call(
            "getDoorFailures",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/failures",
            path={"vin": vin},
            query={"period": period, "language": language},
            answers={200: models.DoorFailures},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_failures_table(
        self,
        vin: str,
        *,
        period: Literal["24h", "7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """The same as a table: CSV (RFC 4180, UTF-8), a line for each part of the period, reason and door: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/failures.csv`.

        The same as a table: CSV (RFC 4180, UTF-8), a line for each part of the period, reason and door.
        """
        call: Call[str] = Call(
            "getDoorFailuresTable",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/failures.csv",
            path={"vin": vin},
            query={"period": period, "language": language},
            answers={200: str},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_grants(self, vin: str, *, correlation_id: str | None = None) -> models.DoorGrantList:
        """The rights on a vehicle: an owner sees all of their own time, everybody else their own: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/grants`.

        The rights on a vehicle: an owner sees all of their own time, everybody else their own.
        """
        call: Call[models.DoorGrantList] = Call(
            "listGrants",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants",
            path={"vin": vin},
            answers={200: models.DoorGrantList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def give_grant(
        self, vin: str, body: models.DoorGrantOffer, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Offers somebody a right, which begins when they accept it, within 7 days: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/grants`.

        Offers somebody a right, which begins when they accept it, within 7 days. A key for the owner's own
        phone is accepted at once. The correlation id is the idempotency key.

        - 422 `CORRELATION_ID_REUSED`: the same id came with another body.
        - 409 `GRANT_NOT_POSSIBLE`: this person cannot get a right on this vehicle.
        - 409 `TOO_MANY_GRANTS`: the vehicle, or the giver, has as many as there may be.
        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.DoorGrant] = Call(
            "giveGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants",
            path={"vin": vin},
            body=body,
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_grant(
        self, vin: str, grant_id: str, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """One right: `GET /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}`.

        One right.

        - 404 `GRANT_NOT_FOUND`: none of this id on this vehicle that the caller may see.
        """
        call: Call[models.DoorGrant] = Call(
            "getGrant",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}",
            path={"vin": vin, "grantId": grant_id},
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def accept_grant(
        self, vin: str, grant_id: str, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Accepts a right that was offered to the caller: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/accept`.

        Accepts a right that was offered to the caller. Accepting twice is not an error.

        - 404 `GRANT_NOT_FOUND`: none of this id was offered to the caller.
        - 409 `GRANT_ENDED`: it is offered no longer.
        """
        call: Call[models.DoorGrant] = Call(
            "acceptGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/accept",
            path={"vin": vin, "grantId": grant_id},
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def narrow_grant(
        self, vin: str, grant_id: str, body: models.DoorGrantNarrowing, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Takes some of a right away: `POST /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/narrow`.

        Takes some of a right away. What no longer fits is closed and cancelled at once. An owner's cannot be
        narrowed.

        - 400 `INVALID_REQUEST`: it would allow more than it does.
        - 404 `GRANT_NOT_FOUND`: none of this id on this vehicle.
        - 409 `GRANT_ENDED`: it has ended.
        """
        call: Call[models.DoorGrant] = Call(
            "narrowGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/narrow",
            path={"vin": vin, "grantId": grant_id},
            body=body,
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def suspend_grant(
        self, vin: str, grant_id: str, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Takes a right away until it is resumed: its streams close and its commands that have not acted are
        cancelled: `POST /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/suspend`.

        Takes a right away until it is resumed: its streams close and its commands that have not acted are
        cancelled. Suspending twice is not an error.

        - 404 `GRANT_NOT_FOUND`: none of this id on this vehicle, or it is an owner's.
        - 409 `GRANT_ENDED`: it has ended, or was not accepted yet.
        """
        call: Call[models.DoorGrant] = Call(
            "suspendGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/suspend",
            path={"vin": vin, "grantId": grant_id},
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def resume_grant(
        self, vin: str, grant_id: str, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Gives a suspended right back as it was: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/resume`.

        Gives a suspended right back as it was. Resuming twice is not an error.

        - 404 `GRANT_NOT_FOUND`: none of this id on this vehicle.
        - 409 `GRANT_ENDED`: it has ended.
        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.DoorGrant] = Call(
            "resumeGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/resume",
            path={"vin": vin, "grantId": grant_id},
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def end_grant(
        self, vin: str, grant_id: str, *, correlation_id: str | None = None
    ) -> models.DoorGrant:
        """Ends a right, or withdraws its offer: the owner anybody's but an owner's, everybody else their own:
        `POST /api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/end`.

        Ends a right, or withdraws its offer: the owner anybody's but an owner's, everybody else their own.
        Its streams close and its commands that have not acted are cancelled. Ending twice is not an error.

        - 404 `GRANT_NOT_FOUND`: none of this id on this vehicle that the caller may end.
        """
        call: Call[models.DoorGrant] = Call(
            "endGrant",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/grants/{grantId}/end",
            path={"vin": vin, "grantId": grant_id},
            answers={200: models.DoorGrant},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def transfer_ownership(
        self, vin: str, body: models.OwnershipTransfer, *, correlation_id: str | None = None
    ) -> models.OwnershipTransferred:
        """Hands the vehicle over: somebody else is its owner, and every other right on it ends, the caller's
        included, with its streams and its commands that have not acted: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/ownership/transfer`.

        Hands the vehicle over: somebody else is its owner, and every other right on it ends, the caller's
        included, with its streams and its commands that have not acted.

        - 409 `GRANT_NOT_POSSIBLE`: this person cannot get a right on this vehicle.
        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.OwnershipTransferred] = Call(
            "transferOwnership",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/ownership/transfer",
            path={"vin": vin},
            body=body,
            answers={200: models.OwnershipTransferred},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def sever_access(
        self, vin: str, body: models.SeveranceRequest, *, correlation_id: str | None = None
    ) -> models.Severance:
        """Ends every right of a person on the vehicle at once, an owner's too, with its streams and its commands
        that had not acted, and lets them have none until it is reversed: `POST
        /api/v1/remotecontrol/vehicles/{vin}/door/access/sever`.

        Ends every right of a person on the vehicle at once, an owner's too, with its streams and its commands
        that had not acted, and lets them have none until it is reversed. Nobody is told: no alert, and the
        person is answered as if there were no such vehicle. For owners and Shared Users; for whoever has no
        right on the vehicle an operator asks. The correlation id is the idempotency key.

        - 422 `CORRELATION_ID_REUSED`: the same id came with another body.
        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.Severance] = Call(
            "severAccess",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/access/sever",
            path={"vin": vin},
            body=body,
            answers={200: models.Severance},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def approve_emergency(
        self, vin: str, body: models.EmergencyApproval, *, correlation_id: str | None = None
    ) -> models.EmergencyApproved:
        """Lets another agent of the same case unlock this customer's vehicle in an EMERGENCY, within two
        minutes: `POST /api/v1/remotecontrol/vehicles/{vin}/door/emergency/approve`.

        Lets another agent of the same case unlock this customer's vehicle in an EMERGENCY, within two
        minutes. For agents. The owner is told by a SYSTEM_ALERT.

        - 403 `ACTION_NOT_GRANTED`: who asks is no agent, or names themselves.
        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.EmergencyApproved] = Call(
            "approveEmergency",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/emergency/approve",
            path={"vin": vin},
            body=body,
            answers={200: models.EmergencyApproved},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_severance(
        self, vin: str, severance_id: str, *, correlation_id: str | None = None
    ) -> models.Severance:
        """What has become of a severance that the caller asked for, with its legal clock: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/access/severances/{severanceId}`.

        What has become of a severance that the caller asked for, with its legal clock.

        - 404 `GRANT_NOT_FOUND`: none of this id that the caller asked for.
        """
        call: Call[models.Severance] = Call(
            "getSeverance",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/access/severances/{severanceId}",
            path={"vin": vin, "severanceId": severance_id},
            answers={200: models.Severance},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def restore_account(
        self, vin: str, *, correlation_id: str | None = None
    ) -> models.AccountOfPrincipal:
        """Lifts the restriction of the caller's own account, which a fresh second factor proves to be theirs:
        `POST /api/v1/remotecontrol/vehicles/{vin}/door/account/restore`.

        Lifts the restriction of the caller's own account, which a fresh second factor proves to be theirs.
        One that is not restricted stays as it is.

        - 401 `STEP_UP_REQUIRED`: it needs a stronger or more recent sign-in. Nothing was changed.
        """
        call: Call[models.AccountOfPrincipal] = Call(
            "restoreAccount",
            "POST",
            "/api/v1/remotecontrol/vehicles/{vin}/door/account/restore",
            path={"vin": vin},
            answers={200: models.AccountOfPrincipal},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_status(self, vin: str, *, correlation_id: str | None = None) -> models.DoorStatus:
        """The last state the vehicle reported, also while it is out of reach: see `stale`: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/status`.

        The last state the vehicle reported, also while it is out of reach: see `stale`. The look is recorded
        in the vehicle's history as STATUS_CHECK.

        - 503 `NOT_YET_REPORTED`: the vehicle has never reported.
        """
        call: Call[models.DoorStatus] = Call(
            "getDoorStatus",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/status",
            path={"vin": vin},
            answers={200: models.DoorStatus},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_door_capabilities(
        self, vin: str, *, correlation_id: str | None = None
    ) -> models.DoorCapabilities:
        """What a vehicle of this model has and can do, and whether it can be reached now: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/capabilities`.

        What a vehicle of this model has and can do, and whether it can be reached now. It is no look at the
        doors, and no entry of the history.
        """
        call: Call[models.DoorCapabilities] = Call(
            "getDoorCapabilities",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/capabilities",
            path={"vin": vin},
            answers={200: models.DoorCapabilities},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def stream_door_updates(
        self, vin: str, *, last_event_id: str | None = None, correlation_id: str | None = None
    ) -> SyncStreamOpening:
        """The same updates as Server-Sent Events: `id:`, `event:` (the type), `data:` (the JSON of the
        specification), `retry:` first, a comment as heartbeat: `GET
        /api/v1/remotecontrol/vehicles/{vin}/door/updates/stream`.

        The same updates as Server-Sent Events: `id:`, `event:` (the type), `data:` (the JSON of the
        specification), `retry:` first, a comment as heartbeat. The first event of a stream that starts now is
        STREAM_OPENED, whose id is where it starts. Metadata `last-event-id` resumes, or `lastEventId`; one
        that is no longer kept, or is no id, begins with a SYSTEM_ALERT of code UPDATES_RESET. An error after
        the first message ends the stream; the reason is its last comment. A browser's EventSource opens it
        with a ticket for this vehicle (CreateEventTicket) in place of a bearer.
        """
        call: Call[str] = Call(
            "streamDoorUpdates",
            "GET",
            "/api/v1/remotecontrol/vehicles/{vin}/door/updates/stream",
            path={"vin": vin},
            headers={"Last-Event-ID": last_event_id},
            answers={200: str},
            correlation_id=correlation_id,
        )
        return self._session.stream(call)

    def get_fleet_failures(
        self,
        *,
        period: Literal["7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
        model: str | None = None,
        correlation_id: str | None = None,
    ) -> models.FleetFailures:
        """Causes per period, door, component and model, compared with the fleet and with the period before: `GET
        /api/v1/remotecontrol/fleet/failures`.

        Causes per period, door, component and model, compared with the fleet and with the period before.
        """
        call: Call[models.FleetFailures] = Call(
            "getFleetFailures",
            "GET",
            "/api/v1/remotecontrol/fleet/failures",
            query={"period": period, "language": language, "model": model},
            answers={200: models.FleetFailures},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_fleet_failures_table(
        self,
        *,
        period: Literal["7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
        model: str | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """The same as a table: CSV (RFC 4180, UTF-8), a line for each model, reason and door that enough
        vehicles had: `GET /api/v1/remotecontrol/fleet/failures.csv`.

        The same as a table: CSV (RFC 4180, UTF-8), a line for each model, reason and door that enough
        vehicles had.
        """
        call: Call[str] = Call(
            "getFleetFailuresTable",
            "GET",
            "/api/v1/remotecontrol/fleet/failures.csv",
            query={"period": period, "language": language, "model": model},
            answers={200: str},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_vehicles(self, *, correlation_id: str | None = None) -> models.PersonVehicleList:
        """The vehicles on which the caller has a right now: `GET /api/v1/remotecontrol/vehicles`.

        The vehicles on which the caller has a right now. What is offered to them, suspended or at another
        time of the week is not among them.
        """
        call: Call[models.PersonVehicleList] = Call(
            "listVehicles",
            "GET",
            "/api/v1/remotecontrol/vehicles",
            answers={200: models.PersonVehicleList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def request_data_export(self, *, correlation_id: str | None = None) -> models.DataExport:
        """Asks for all that every service keeps about the caller: `POST /api/v1/remotecontrol/data/exports`.

        Asks for all that every service keeps about the caller. Asking again while an export can be fetched
        answers with it.
        """
        call: Call[models.DataExport] = Call(
            "requestDataExport",
            "POST",
            "/api/v1/remotecontrol/data/exports",
            answers={200: models.DataExport},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_data_export(
        self, export_id: str, *, correlation_id: str | None = None
    ) -> models.DataExport:
        """An export of the caller's: `GET /api/v1/remotecontrol/data/exports/{exportId}`.

        An export of the caller's.

        - 404 `PERSONAL_DATA_NOT_FOUND`: none of this id is the caller's.
        """
        call: Call[models.DataExport] = Call(
            "getDataExport",
            "GET",
            "/api/v1/remotecontrol/data/exports/{exportId}",
            path={"exportId": export_id},
            answers={200: models.DataExport},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def stream_data_export(self, export_id: str, *, correlation_id: str | None = None) -> bytes:
        """The file of an export: one JSON document: `GET /api/v1/remotecontrol/data/exports/{exportId}/file`.

        The file of an export: one JSON document. A member `complete` at its end says whether it is whole.

        - 404 `PERSONAL_DATA_NOT_FOUND`: none of this id is the caller's, or it can be fetched no longer.
        """
        call: Call[bytes] = Call(
            "streamDataExport",
            "GET",
            "/api/v1/remotecontrol/data/exports/{exportId}/file",
            path={"exportId": export_id},
            answers={200: bytes},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def request_erasure(
        self, body: models.ErasureWish, *, correlation_id: str | None = None
    ) -> models.Erasure:
        """Asks for the caller to be erased, after a waiting time in which they can take it back: `POST
        /api/v1/remotecontrol/data/erasures`.

        Asks for the caller to be erased, after a waiting time in which they can take it back. Asking twice
        answers with the first.
        """
        call: Call[models.Erasure] = Call(
            "requestErasure",
            "POST",
            "/api/v1/remotecontrol/data/erasures",
            body=body,
            answers={200: models.Erasure},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_erasure(self, erasure_id: str, *, correlation_id: str | None = None) -> models.Erasure:
        """An erasure of the caller's, also after it is done: `GET
        /api/v1/remotecontrol/data/erasures/{erasureId}`.

        An erasure of the caller's, also after it is done.

        - 404 `PERSONAL_DATA_NOT_FOUND`: none of this id is the caller's.
        """
        call: Call[models.Erasure] = Call(
            "getErasure",
            "GET",
            "/api/v1/remotecontrol/data/erasures/{erasureId}",
            path={"erasureId": erasure_id},
            answers={200: models.Erasure},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def cancel_erasure(self, erasure_id: str, *, correlation_id: str | None = None) -> models.Erasure:
        """Takes an erasure back: `POST /api/v1/remotecontrol/data/erasures/{erasureId}/cancel`.

        Takes an erasure back. Taking it back twice is not an error.

        - 404 `PERSONAL_DATA_NOT_FOUND`: none of this id is the caller's.
        - 409 `ERASURE_BEGUN`: it is being done, or is done.
        """
        call: Call[models.Erasure] = Call(
            "cancelErasure",
            "POST",
            "/api/v1/remotecontrol/data/erasures/{erasureId}/cancel",
            path={"erasureId": erasure_id},
            answers={200: models.Erasure},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_push_devices(self, *, correlation_id: str | None = None) -> models.PushDeviceList:
        """The caller's devices: `GET /api/v1/remotecontrol/notifications/devices`.

        The caller's devices.
        """
        call: Call[models.PushDeviceList] = Call(
            "listPushDevices",
            "GET",
            "/api/v1/remotecontrol/notifications/devices",
            answers={200: models.PushDeviceList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def register_push_device(
        self, device_id: str, body: models.NewPushDevice, *, correlation_id: str | None = None
    ) -> models.PushDevice:
        """Registers a device, or tells its new token: `PUT
        /api/v1/remotecontrol/notifications/devices/{deviceId}`.

        Registers a device, or tells its new token. The same again changes nothing; an app does it at each
        start. A device with this token that was somebody's before, who signed in on the same phone, is the
        caller's from now on.

        - 400 `INVALID_REQUEST`: a token or key is malformed, or the push service is not one that is allowed.
        - 409 `TOO_MANY_DEVICES`: the caller has as many as one may have. Delete one first.
        """
        call: Call[models.PushDevice] = Call(
            "registerPushDevice",
            "PUT",
            "/api/v1/remotecontrol/notifications/devices/{deviceId}",
            path={"deviceId": device_id},
            body=body,
            answers={200: models.PushDevice},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def delete_push_device(
        self, device_id: str, *, correlation_id: str | None = None
    ) -> models.PushDeviceList:
        """Tells a device nothing any more, at once; answers with those that are left: `DELETE
        /api/v1/remotecontrol/notifications/devices/{deviceId}`.

        Tells a device nothing any more, at once; answers with those that are left. Deleting what is not there
        is not an error.
        """
        call: Call[models.PushDeviceList] = Call(
            "deletePushDevice",
            "DELETE",
            "/api/v1/remotecontrol/notifications/devices/{deviceId}",
            path={"deviceId": device_id},
            answers={200: models.PushDeviceList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_notification_preferences(
        self, *, correlation_id: str | None = None
    ) -> models.NotificationPreferences:
        """What the caller wants to be told, with every default filled in: `GET
        /api/v1/remotecontrol/notifications/preferences`.

        What the caller wants to be told, with every default filled in.
        """
        call: Call[models.NotificationPreferences] = Call(
            "getNotificationPreferences",
            "GET",
            "/api/v1/remotecontrol/notifications/preferences",
            answers={200: models.NotificationPreferences},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def update_notification_preferences(
        self, body: models.NotificationPreferencesInput, *, correlation_id: str | None = None
    ) -> models.NotificationPreferences:
        """Replaces what the caller wants to be told: what is absent has its default from now on: `PUT
        /api/v1/remotecontrol/notifications/preferences`.

        Replaces what the caller wants to be told: what is absent has its default from now on.
        """
        call: Call[models.NotificationPreferences] = Call(
            "updateNotificationPreferences",
            "PUT",
            "/api/v1/remotecontrol/notifications/preferences",
            body=body,
            answers={200: models.NotificationPreferences},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_security_cases(
        self, *, open_only: bool | None = None, correlation_id: str | None = None
    ) -> models.SecurityCaseList:
        """What was abnormal about people's access; to an agent about their customer's: `GET
        /api/v1/remotecontrol/security/cases`.

        What was abnormal about people's access; to an agent about their customer's.
        """
        call: Call[models.SecurityCaseList] = Call(
            "listSecurityCases",
            "GET",
            "/api/v1/remotecontrol/security/cases",
            query={"openOnly": open_only},
            answers={200: models.SecurityCaseList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def acknowledge_security_case(
        self, case_id: str, *, correlation_id: str | None = None
    ) -> models.SecurityCase:
        """Says that somebody has looked at a case: `POST
        /api/v1/remotecontrol/security/cases/{caseId}/acknowledge`.

        Says that somebody has looked at a case. Doing so twice is not an error.

        - 404 `GRANT_NOT_FOUND`: no case with this id that the caller may see.
        """
        call: Call[models.SecurityCase] = Call(
            "acknowledgeSecurityCase",
            "POST",
            "/api/v1/remotecontrol/security/cases/{caseId}/acknowledge",
            path={"caseId": case_id},
            answers={200: models.SecurityCase},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def restrict_principal(
        self, body: models.PrincipalStop, *, correlation_id: str | None = None
    ) -> models.PrincipalStanding:
        """Restricts an account: it reads and locks, and nothing else: `POST
        /api/v1/remotecontrol/security/accounts/restrict`.

        Restricts an account: it reads and locks, and nothing else. An agent restricts their customer's.
        Restricting twice is not an error: it keeps the new reason, and a request to restore the account
        lapses.

        - 403 `ACTION_NOT_GRANTED`: an agent asks for another account than their customer's.
        """
        call: Call[models.PrincipalStanding] = Call(
            "restrictPrincipal",
            "POST",
            "/api/v1/remotecontrol/security/accounts/restrict",
            body=body,
            answers={200: models.PrincipalStanding},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def lock_principal(
        self, body: models.PrincipalStop, *, correlation_id: str | None = None
    ) -> models.PrincipalStanding:
        """Locks an account: it does nothing any more, its streams close and its commands that have not acted are
        cancelled: `POST /api/v1/remotecontrol/security/accounts/lock`.

        Locks an account: it does nothing any more, its streams close and its commands that have not acted are
        cancelled. Locking twice is not an error: it keeps the new reason, and a request to restore the
        account lapses.
        """
        call: Call[models.PrincipalStanding] = Call(
            "lockPrincipal",
            "POST",
            "/api/v1/remotecontrol/security/accounts/lock",
            body=body,
            answers={200: models.PrincipalStanding},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def restore_principal(
        self, body: models.PrincipalRestoration, *, correlation_id: str | None = None
    ) -> models.PrincipalStanding:
        """Gives a restricted or locked account its rights back once a second employee, or operator, asks for the
        same: `POST /api/v1/remotecontrol/security/accounts/restore`.

        Gives a restricted or locked account its rights back once a second employee, or operator, asks for the
        same. Asking for one that is neither is not an error.
        """
        call: Call[models.PrincipalStanding] = Call(
            "restorePrincipal",
            "POST",
            "/api/v1/remotecontrol/security/accounts/restore",
            body=body,
            answers={200: models.PrincipalStanding},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_webhooks(self, *, correlation_id: str | None = None) -> models.WebhookList:
        """The caller's webhooks: `GET /api/v1/remotecontrol/webhooks`.

        The caller's webhooks.
        """
        call: Call[models.WebhookList] = Call(
            "listWebhooks",
            "GET",
            "/api/v1/remotecontrol/webhooks",
            answers={200: models.WebhookList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def register_webhook(
        self, webhook_id: str, body: models.NewWebhook, *, correlation_id: str | None = None
    ) -> models.Webhook:
        """Registers a webhook, or replaces what it is to be: `PUT /api/v1/remotecontrol/webhooks/{webhookId}`.

        Registers a webhook, or replaces what it is to be. The URL of a new one, and another URL, is sent a
        challenge, and nothing else until it has answered; look at `state`. The answer to the request that
        made it has its secret, and so has the answer to the same request sent again under the same
        correlation id, until a new secret is made.

        - 409 `TOO_MANY_WEBHOOKS`: the caller has as many as one may have. Delete one first.
        - 422 `CORRELATION_ID_REUSED`: this correlation id registered it with another body.
        - 404 `VEHICLE_NOT_FOUND`: one of `vehicles` is none whose updates the caller may read.
        """
        call: Call[models.Webhook] = Call(
            "registerWebhook",
            "PUT",
            "/api/v1/remotecontrol/webhooks/{webhookId}",
            path={"webhookId": webhook_id},
            body=body,
            answers={200: models.Webhook},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def get_webhook(self, webhook_id: str, *, correlation_id: str | None = None) -> models.Webhook:
        """One of the caller's webhooks, with its backlog: `GET /api/v1/remotecontrol/webhooks/{webhookId}`.

        One of the caller's webhooks, with its backlog.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        """
        call: Call[models.Webhook] = Call(
            "getWebhook",
            "GET",
            "/api/v1/remotecontrol/webhooks/{webhookId}",
            path={"webhookId": webhook_id},
            answers={200: models.Webhook},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def delete_webhook(
        self, webhook_id: str, *, correlation_id: str | None = None
    ) -> models.WebhookList:
        """Sends it nothing any more, at once; answers with those that are left: `DELETE
        /api/v1/remotecontrol/webhooks/{webhookId}`.

        Sends it nothing any more, at once; answers with those that are left. Deleting what is not there is
        not an error.
        """
        call: Call[models.WebhookList] = Call(
            "deleteWebhook",
            "DELETE",
            "/api/v1/remotecontrol/webhooks/{webhookId}",
            path={"webhookId": webhook_id},
            answers={200: models.WebhookList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def rotate_webhook_secret(
        self, webhook_id: str, *, correlation_id: str | None = None
    ) -> models.Webhook:
        """Makes a new secret: `POST /api/v1/remotecontrol/webhooks/{webhookId}/rotate`.

        Makes a new secret. For 24 hours what is sent is signed with the one before it, too. The same request
        again, under the same correlation id, is answered with the same secret.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        """
        call: Call[models.Webhook] = Call(
            "rotateWebhookSecret",
            "POST",
            "/api/v1/remotecontrol/webhooks/{webhookId}/rotate",
            path={"webhookId": webhook_id},
            answers={200: models.Webhook},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def enable_webhook(self, webhook_id: str, *, correlation_id: str | None = None) -> models.Webhook:
        """Has the URL challenged anew, and what waits sent again once it has answered: `POST
        /api/v1/remotecontrol/webhooks/{webhookId}/enable`.

        Has the URL challenged anew, and what waits sent again once it has answered. One that is ACTIVE stays
        so.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        - 409 `WEBHOOK_STOPPED`: the operator has stopped it.
        """
        call: Call[models.Webhook] = Call(
            "enableWebhook",
            "POST",
            "/api/v1/remotecontrol/webhooks/{webhookId}/enable",
            path={"webhookId": webhook_id},
            answers={200: models.Webhook},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def test_webhook(
        self, webhook_id: str, *, correlation_id: str | None = None
    ) -> models.WebhookDelivery:
        """Sends it a webhook.test; once for each correlation id: `POST
        /api/v1/remotecontrol/webhooks/{webhookId}/test`.

        Sends it a webhook.test; once for each correlation id.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        - 409 `WEBHOOK_NOT_ACTIVE`: it is sent nothing now.
        """
        call: Call[models.WebhookDelivery] = Call(
            "testWebhook",
            "POST",
            "/api/v1/remotecontrol/webhooks/{webhookId}/test",
            path={"webhookId": webhook_id},
            answers={200: models.WebhookDelivery},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def list_webhook_deliveries(
        self,
        webhook_id: str,
        *,
        status: models.WebhookDeliveryStatus | None = None,
        limit: int | None = None,
        offset: int | None = None,
        correlation_id: str | None = None,
    ) -> models.WebhookDeliveryList:
        """What was sent to it and what waits: `GET /api/v1/remotecontrol/webhooks/{webhookId}/deliveries`.

        What was sent to it and what waits.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        """
        call: Call[models.WebhookDeliveryList] = Call(
            "listWebhookDeliveries",
            "GET",
            "/api/v1/remotecontrol/webhooks/{webhookId}/deliveries",
            path={"webhookId": webhook_id},
            query={"status": status, "limit": limit, "offset": offset},
            answers={200: models.WebhookDeliveryList},
            correlation_id=correlation_id,
        )
        return self._session.send(call)

    def replay_webhook(
        self, webhook_id: str, body: models.WebhookReplay, *, correlation_id: str | None = None
    ) -> models.WebhookReplayResult:
        """Sends it once more what happened after an event or since a time, under the same ids, also what it was
        never sent because it was DISABLED: `POST /api/v1/remotecontrol/webhooks/{webhookId}/replay`.

        Sends it once more what happened after an event or since a time, under the same ids, also what it was
        never sent because it was DISABLED. Sending the same request again adds nothing to what waits.

        - 404 `WEBHOOK_NOT_FOUND`: none of this id is the caller's.
        - 409 `WEBHOOK_NOT_ACTIVE`: it is sent nothing now. Enable it first.
        - 404 `WEBHOOK_EVENT_NOT_FOUND`: there is no such event of its vehicles, or it is not kept any more.
        """
        call: Call[models.WebhookReplayResult] = Call(
            "replayWebhook",
            "POST",
            "/api/v1/remotecontrol/webhooks/{webhookId}/replay",
            path={"webhookId": webhook_id},
            body=body,
            answers={200: models.WebhookReplayResult},
            correlation_id=correlation_id,
        )
        return self._session.send(call)
