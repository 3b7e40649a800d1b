"""The rows of the matrix of every RPC: who may call it."""

from __future__ import annotations

from typing import Any

DRIVERS = "owner agent shared key valet"


HOLDERS = "owner agent shared key valet service out-of-hours suspended offered"


PUBLIC = {
    "DoorCommandService.UnlockDoors": f"{DRIVERS} service",
    "DoorCommandService.LockDoors": DRIVERS,
    "DoorCommandService.CancelCommand": DRIVERS,
    "DoorCommandService.GetCommand": DRIVERS,
    "DoorCommandService.ListCommandHistory": "owner agent shared",
    "DoorFailureService.GetDoorFailures": "owner agent shared",
    "DoorFailureService.GetDoorFailuresTable": "owner agent shared",
    "DoorAuditService.ListDoorAudit": "owner agent shared",
    "DoorAuditService.GetCommandReceipt": DRIVERS,
    "DoorConfigService.GetDoorConfig": "owner agent shared",
    "DoorConfigService.UpdateDoorConfig": "owner agent",
    "DoorDiagnosticsService.GetDoorDiagnostics": "owner agent",
    "DoorDiagnosticsService.GetDoorDiagnosticsTrend": "owner agent",
    "DoorDiagnosticsService.RequestSelfTest": "owner agent",
    "DoorStatusService.GetDoorStatus": DRIVERS,
    "DoorStatusService.GetDoorCapabilities": DRIVERS,
    "DoorStatusService.WatchDoorUpdates": "owner agent shared key",
    "DoorStatusService.StreamDoorUpdates": "owner agent shared key",
    "DoorGrantService.ListGrants": HOLDERS,
    "DoorGrantService.GetGrant": HOLDERS,
    "DoorGrantService.GiveGrant": "owner",
    "DoorGrantService.AcceptGrant": "owner shared key valet service offered",
    "DoorGrantService.NarrowGrant": "owner",
    "DoorGrantService.SuspendGrant": "owner",
    "DoorGrantService.ResumeGrant": "owner",
    "DoorGrantService.EndGrant": HOLDERS.replace(" agent", ""),
    "DoorGrantService.TransferOwnership": "owner",
    "DoorGrantService.RestoreAccount": HOLDERS.replace(" agent", ""),
    "DoorGrantService.SeverAccess": "owner shared",
    "DoorGrantService.ApproveEmergency": f"{DRIVERS} service",
    "DoorGrantService.GetSeverance": "owner shared",
}
"""Who may ask for what on a vehicle on which they have the right that they are called after."""


ABOUT_CALLER = frozenset(
    {
        "ConsentService.ListConsents",
        "ConsentService.GetConsent",
        "ConsentService.GiveConsent",
        "ConsentService.WithdrawConsent",
        "PersonVehicleService.ListVehicles",
        *(
            f"PushDeviceService.{name}"
            for name in (
                *("ListPushDevices", "RegisterPushDevice", "DeletePushDevice"),
                *("GetNotificationPreferences", "UpdateNotificationPreferences"),
            )
        ),
        *(
            f"WebhookService.{name}"
            for name in (
                *("ListWebhooks", "RegisterWebhook", "GetWebhook", "DeleteWebhook", "RotateWebhookSecret"),
                *("EnableWebhook", "TestWebhook", "ListWebhookDeliveries", "ReplayWebhook"),
            )
        ),
        *(
            f"PersonalDataService.{name}"
            for name in (
                *("RequestDataExport", "GetDataExport", "StreamDataExport"),
                *("RequestErasure", "GetErasure", "CancelErasure"),
            )
        ),
    }
)
"""What everybody asks about themselves who has signed in, whatever vehicles are theirs: an agent never."""


WATCHING = {
    "SecurityCaseService.ListSecurityCases": "employee watcher watching-agent",
    "SecurityCaseService.AcknowledgeSecurityCase": "employee watching-agent",
    "SecurityCaseService.RestrictPrincipal": "employee watching-agent",
    "SecurityCaseService.LockPrincipal": "employee",
    "SecurityCaseService.RestorePrincipal": "employee",
    "CaseService.GetCase": "employee watching-agent agent",
    "FleetFailureService.GetFleetFailures": "employee",
    "FleetFailureService.GetFleetFailuresTable": "employee",
}
"""Who may ask for what about people's accounts, and no vehicle: whose token's scope names it, and who is an employee
or an agent.
"""


WITHOUT = "expired revoked severed stranger"
"""Who has no right on it, or none any more."""


WATCHERS = ["employee", "watcher", "watching-agent", "watching-customer", "employee-without-scope"]


EVERYBODY = [*HOLDERS.split(), *WITHOUT.split(), *WATCHERS, "agent-without-case", "nobody"]


PERSONS = "team/operator team/operator/alice"


WITH_SESSION = {"DoorEventService.CreateEventTicket"}
"""What is about no vehicle: whoever has a good bearer may ask for it."""


INTERNAL = {
    "VehicleCheckService.RequestSelfTest": "room/diagnostics",
    "AccessService.CheckGrants": "room/signer room/notification",
    "AuditLogService.GetCheckpoint": "operator",
    "AuditLogService.StreamLogFiles": "operator",
    "AuditLogService.StreamLogFilesInClear": PERSONS,
    "AccessService.AuthorizeWatches": "room/gateway",
    "DoorWatchService.WatchVehicles": "room/gateway",
    "AuditReadingService.ListEntries": PERSONS,
    "AuditIntakeService.RecordEntries": " ".join(
        f"room/{name}"
        for name in (
            "access",
            "command",
            "config",
            "status",
            "diagnostics",
            "enrolment",
            "signer",
            "notification",
        )
    ),
    "VehiclePeopleService.ListVehiclePeople": "room/notification",
    "VehiclePeopleService.ListVehiclesOfPerson": "room/notification",
    "CommandOriginService.ListCommandOrigins": "room/notification",
    "FleetReviewService.ReviewFleetFailures": "operator",
    **{
        f"AccessService.{name}": PERSONS
        for name in (
            *("CreateGrant", "ApproveGrant", "RevokeGrant", "ListGrants", "IssueApiKey", "ApproveApiKey"),
            *("SeverVehicleAccess", "ListSeverances", "ReverseSeverance", "RestoreAccount", "UnlockAccount"),
        )
    },
    **{
        f"AccessService.{name}": "operator"
        for name in (
            *("LockAccount", "GetAccount", "ListAccounts", "RestrictAccount"),
            *("ListAbnormalAccess", "AcknowledgeAbnormalAccess"),
            *("ListApiKeys", "ExpireApiKey", "RevokeApiKey"),
        )
    },
    "WebhookOperatorService.ListAllWebhooks": "operator",
    "WebhookOperatorService.StopWebhook": "operator",
    "WebhookOperatorService.EnableStoppedWebhook": PERSONS,
    "LegalHoldService.SetLegalHold": PERSONS,
    "LegalHoldService.LiftLegalHold": PERSONS,
    "LegalHoldService.ListLegalHolds": PERSONS,
    "RetentionService.GetRetention": "operator",
    "RetentionService.RunRetention": "operator",
    "RetentionService.ReplaceLegalHolds": "room/access",
    "SubjectDataService.ExportSubjectData": "room/access",
    "SubjectDataService.EraseSubjectData": "room/access",
    "CustomerCaseService.OpenCase": f"{PERSONS} team/call-center",
    "CustomerCaseService.CloseCase": "operator team/call-center",
    "CustomerCaseService.ListCases": f"{PERSONS} team/call-center",
    "DeadLetterService.ListDeadLetters": "operator",
    "DeadLetterService.ReplayDeadLetter": "operator",
    "DeadLetterService.ReplayWaitingDeadLetters": "operator",
    "OrderSigningService.SignOrders": "room/command room/config",
    "OrderSigningService.ReviewOrders": "room/command room/config",
    "OrderSigningService.SignSessionRequests": "room/command",
    "WakeUpService.GetNextWakeUp": "room/status",
    "VehicleEnrolmentService.EnrolVehicle": "operator",
    "VehicleEnrolmentService.RevokeVehicle": "operator",
    "VehicleEnrolmentService.ListVehicles": "operator",
    "VehicleKeysService.GetVehicleKeys": "room/command room/config room/status room/diagnostics",
}
"""Who may ask for what that is no user's business, by certificate."""


SOUND: dict[str, dict[str, Any]] = {
    "UnlockDoors": {"unlock": {"target_doors": ["all"]}},
    "LockDoors": {"lock": {"target_doors": ["all"]}},
    "CancelCommand": {"cancellation": {"correlation_id": "c-1", "reason": "User cancellation"}},
    "UpdateDoorConfig": {"config": {"auto_lock_enabled": True}},
    "GiveGrant": {"grant": {"principal": "x", "kind": 3}},
    "NarrowGrant": {"narrowing": {"actions": ["door.lock"]}},
    "TransferOwnership": {"transfer": {"new_owner": "x"}},
    "ApproveEmergency": {"approval": {"agent": "agent-8"}},
    "GetCase": {"case_number": "case-1"},
    "GetConsent": {"purpose": "LOCATION"},
    "RegisterPushDevice": {"device_id": "phone", "device": {"kind": 1, "token": "a-token-of-a-phone"}},
    "DeletePushDevice": {"device_id": "phone"},
    "RegisterWebhook": {"webhook_id": "w", "webhook": {"url": "https://example.com/hook"}},
    **{
        name: {"webhook_id": "w"}
        for name in (
            *("GetWebhook", "DeleteWebhook", "RotateWebhookSecret", "EnableWebhook", "TestWebhook"),
            "ListWebhookDeliveries",
        )
    },
    "ReplayWebhook": {"webhook_id": "w", "replay": {"after": "event"}},
    "UpdateNotificationPreferences": {"preferences": {"language": "ko"}},
    "GetDataExport": {"export_id": "ex-1"},
    "StreamDataExport": {"export_id": "ex-1"},
    "RequestErasure": {"wish": {"confirmation": "ERASE MY DATA"}},
    "GetErasure": {"erasure_id": "er-1"},
    "CancelErasure": {"erasure_id": "er-1"},
    "GiveConsent": {"purpose": "LOCATION", "consent": {"version": 1, "language": "en", "sha256": "0" * 64}},
    "WithdrawConsent": {"purpose": "LOCATION"},
    "SeverAccess": {"severance": {"person": "x", "evidence": "file 1"}},
    "AcknowledgeSecurityCase": {"case_id": "ab-1"},
    "RestrictPrincipal": {"stop": {"principal": "user-123", "reason": "odd"}},
    "LockPrincipal": {"stop": {"principal": "user-123", "reason": "odd"}},
    "RestorePrincipal": {"restoration": {"principal": "user-123"}},
}
"""What a request must say besides its vehicle to be sound."""
