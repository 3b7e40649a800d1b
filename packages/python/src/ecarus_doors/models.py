"""The messages and words of the API. Generated from the OpenAPI document by `make generate`: change the contract, or tools/python_sdk.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ecarus_doors._core.codec import Model, Word

__all__ = [
    "AccountOfPrincipal",
    "AccountState",
    "AlertSeverity",
    "AuditOutcome",
    "CaseOverview",
    "CaseVehicle",
    "CommandAction",
    "CommandSource",
    "CommandStage",
    "CommandStageName",
    "CommandStatus",
    "ComponentFailureCount",
    "ComponentStatus",
    "ComponentTrend",
    "ConfigApplication",
    "ConfigApplicationInput",
    "ConfigApplicationState",
    "Confirmation",
    "ConfirmationState",
    "Connectivity",
    "Consent",
    "ConsentChange",
    "ConsentGiven",
    "ConsentList",
    "ConsentState",
    "ConsentText",
    "DataExport",
    "DataExportState",
    "DiagnosticsAlert",
    "DiagnosticsCheck",
    "DiagnosticsCheckState",
    "DiagnosticsChecks",
    "DigitalKeyRole",
    "DoorAudit",
    "DoorAuditEntry",
    "DoorCancellation",
    "DoorCapabilities",
    "DoorCapability",
    "DoorCommand",
    "DoorCommandDetails",
    "DoorComponent",
    "DoorConfig",
    "DoorConfigUpdate",
    "DoorDiagnostics",
    "DoorDiagnosticsTrend",
    "DoorFailureCause",
    "DoorFailureCount",
    "DoorFailures",
    "DoorGrant",
    "DoorGrantList",
    "DoorGrantNarrowing",
    "DoorGrantOffer",
    "DoorHistory",
    "DoorHistoryEntry",
    "DoorLock",
    "DoorReachability",
    "DoorReachabilityState",
    "DoorResult",
    "DoorState",
    "DoorStatus",
    "DoorUnlock",
    "DoorUnlockMode",
    "Doors",
    "EmergencyApproval",
    "EmergencyApproved",
    "Erasure",
    "ErasureState",
    "ErasureWish",
    "ErrorCode",
    "EventTicket",
    "FailureBucket",
    "FailureCertainty",
    "FailureComponent",
    "FailureReason",
    "FieldError",
    "FleetComparison",
    "FleetComponentFailures",
    "FleetDoorFailures",
    "FleetFailureBucket",
    "FleetFailureCause",
    "FleetFailures",
    "FleetModelFailures",
    "FleetTotals",
    "GearPosition",
    "GrantKind",
    "GrantSchedule",
    "GrantScheduleInput",
    "GrantState",
    "GrantWindow",
    "GrantWindowInput",
    "HealthPoint",
    "HistoryCollection",
    "IgnitionStatus",
    "IgnoredPlace",
    "IgnoredPlaceInput",
    "LateResult",
    "LeftOutSettings",
    "LeftOutSettingsInput",
    "LikelyCause",
    "LockMode",
    "NewEventTicket",
    "NewPushDevice",
    "NewWebhook",
    "NotificationPreferences",
    "NotificationPreferencesInput",
    "ObservedDoor",
    "OwnershipTransfer",
    "OwnershipTransferred",
    "PersonVehicle",
    "PersonVehicleList",
    "PersonalDataFile",
    "PersonalDataRow",
    "PrincipalRestoration",
    "PrincipalStanding",
    "PrincipalState",
    "PrincipalStop",
    "PushDevice",
    "PushDeviceList",
    "PushKind",
    "QuietHours",
    "QuietHoursInput",
    "ReasonCount",
    "SecurityCase",
    "SecurityCaseList",
    "Severance",
    "SeveranceRequest",
    "SeveranceState",
    "SystemStatus",
    "UnlockMode",
    "VehicleRole",
    "WebPushKeys",
    "Webhook",
    "WebhookBacklog",
    "WebhookDelivery",
    "WebhookDeliveryList",
    "WebhookDeliveryStatus",
    "WebhookDisabledReason",
    "WebhookList",
    "WebhookReplay",
    "WebhookReplayResult",
    "WebhookState",
    "Weekday",
]


class ErrorCode(Word):
    """Why a request was refused.

    - `INVALID_REQUEST` (400): A field, a query parameter or a header is wrong; `errors[]` names each.
    - `MALFORMED_JSON` (400): The body is not one JSON object, or names a field twice.
    - `AUTHENTICATION_REQUIRED` (401): No bearer was sent.
    - `TOKEN_INVALID` (401): The bearer is unknown, malformed or not meant for this service.
    - `TOKEN_EXPIRED` (401): The bearer was good once and has expired.
    - `STEP_UP_REQUIRED` (401): A stronger or fresher authentication is needed (RFC 9470).
    - `PROOF_INVALID` (401): The token is bound to a key, and the DPoP proof that its sender holds it (RFC
      9449) is missing, wrong, old, of another request or was used before.
    - `ACTION_NOT_GRANTED` (403): A grant on this vehicle exists, but not for this action; or the token's
      scope does not include it (`WWW-Authenticate` names the scope).
    - `CONSENT_MISSING` (403): The owner has not consented to this use.
    - `ACCOUNT_LOCKED` (403): The account is locked.
    - `ACCOUNT_RESTRICTED` (403): The account is restricted: it reads and locks, until its person has signed
      in freshly with a second factor and restored it (`POST .../account/restore`), or operators have.
    - `CALLER_NOT_ALLOWED` (403): The calling workload may not use this RPC.
    - `APPROVAL_REQUIRED` (403): An agent's unlock in an emergency needs a second agent's approval.
    - `VEHICLE_NOT_FOUND` (404): No such vehicle, or none that the caller may know of.
    - `COMMAND_NOT_FOUND` (404): No command with this id or correlation id on this vehicle.
    - `PATH_NOT_FOUND` (404): No such path or RPC.
    - `METHOD_NOT_ALLOWED` (405): The path exists, the method does not.
    - `DEAD_LETTER_NOT_FOUND` (404): This service keeps no dead letter with this id. Told to operators only.
    - `GRANT_NOT_FOUND` (404): No right with this id on this vehicle, or none that the caller may see or
      change.
    - `CASE_NOT_FOUND` (404): No open case of this number that the caller may see.
    - `COMMAND_IN_PROGRESS` (409): Another command is in flight on this vehicle; `commandId` names it.
    - `COMMAND_ALREADY_FINISHED` (409): The command to cancel has already ended.
    - `DOOR_OPEN` (409): A door that is to be locked stands open.
    - `ENGINE_ON` (409): Not while the ignition is on.
    - `VEHICLE_MOVING` (409): Not while the vehicle moves.
    - `ALREADY_ENROLLED` (409): The certificate or a key is enrolled for another vehicle. Told to operators
      only.
    - `GRANT_ENDED` (409): The right has ended, is offered no longer, or was not accepted yet.
    - `GRANT_NOT_POSSIBLE` (409): This person cannot get this right on this vehicle.
    - `TOO_MANY_GRANTS` (409): The vehicle, or the giver, has as many rights as there may be; end some.
    - `FUNCTION_NOT_AVAILABLE` (409): Vehicles of this model cannot do that; `function` names it, and GET
      .../door/capabilities what they can.
    - `REMOTE_ACCESS_DISABLED` (409): Its people have switched remote access off in the vehicle, or privacy
      mode on.
    - `PAYLOAD_TOO_LARGE` (413): The body is larger than 64 KiB.
    - `UNSUPPORTED_MEDIA_TYPE` (415): The body is not application/json.
    - `CORRELATION_ID_REUSED` (422): The correlation id was used before with another body.
    - `RATE_LIMITED` (429): Too many requests; `Retry-After` says when to come back.
    - `TOO_MANY_DEVICES` (409): The caller has registered as many devices for push notifications as one may
      have.
    - `TOO_MANY_WEBHOOKS` (409): The caller has registered as many webhooks as one may have.
    - `WEBHOOK_NOT_FOUND` (404): None of the caller's webhooks has this id.
    - `WEBHOOK_NOT_ACTIVE` (409): The webhook is sent nothing now: its URL has not answered its challenge, or
      it is disabled.
    - `WEBHOOK_STOPPED` (409): The operator has stopped the webhook; only they enable it again.
    - `WEBHOOK_EVENT_NOT_FOUND` (404): There is no such event of the webhook's vehicles, or it is not kept any
      more. Replay since a time instead.
    - `CONSENT_TEXT_CHANGED` (409): The text that was agreed to is not the one that is asked about now.
    - `PERSONAL_DATA_NOT_FOUND` (404): There is no export or erasure of this id among the caller's, or the
      export can be fetched no longer.
    - `ERASURE_BEGUN` (409): The erasure is being done, or is done: it cannot be taken back.
    - `HOLD_NOT_FOUND` (404): There is no legal hold of this id in force. For operators.
    - `TOO_MANY_HOLDS` (409): As many legal holds are in force as there may be; lift some. For operators.
    - `RECEIPT_NOT_READY` (409): The command has not ended, or the ledger holds no signed proof of its end
      yet; `Retry-After` says when to come back.
    - `DEPENDENCY_UNAVAILABLE` (503): A part of the service is away; nothing was accepted.
    - `STORAGE_UNAVAILABLE` (503): The request could not be stored durably; nothing was accepted.
    - `NOT_YET_REPORTED` (503): The vehicle has not reported yet, so there is nothing to show.
    - `DEADLINE_EXCEEDED` (504): No time was left; the request may have been accepted.
    - `INTERNAL_ERROR` (500): A defect of the service.
    """

    INVALID_REQUEST = "INVALID_REQUEST"
    MALFORMED_JSON = "MALFORMED_JSON"
    AUTHENTICATION_REQUIRED = "AUTHENTICATION_REQUIRED"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    STEP_UP_REQUIRED = "STEP_UP_REQUIRED"
    PROOF_INVALID = "PROOF_INVALID"
    ACTION_NOT_GRANTED = "ACTION_NOT_GRANTED"
    CONSENT_MISSING = "CONSENT_MISSING"
    ACCOUNT_LOCKED = "ACCOUNT_LOCKED"
    ACCOUNT_RESTRICTED = "ACCOUNT_RESTRICTED"
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    VEHICLE_NOT_FOUND = "VEHICLE_NOT_FOUND"
    COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
    PATH_NOT_FOUND = "PATH_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    DEAD_LETTER_NOT_FOUND = "DEAD_LETTER_NOT_FOUND"
    GRANT_NOT_FOUND = "GRANT_NOT_FOUND"
    CASE_NOT_FOUND = "CASE_NOT_FOUND"
    COMMAND_IN_PROGRESS = "COMMAND_IN_PROGRESS"
    COMMAND_ALREADY_FINISHED = "COMMAND_ALREADY_FINISHED"
    DOOR_OPEN = "DOOR_OPEN"
    ENGINE_ON = "ENGINE_ON"
    VEHICLE_MOVING = "VEHICLE_MOVING"
    ALREADY_ENROLLED = "ALREADY_ENROLLED"
    GRANT_ENDED = "GRANT_ENDED"
    GRANT_NOT_POSSIBLE = "GRANT_NOT_POSSIBLE"
    TOO_MANY_GRANTS = "TOO_MANY_GRANTS"
    FUNCTION_NOT_AVAILABLE = "FUNCTION_NOT_AVAILABLE"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    CORRELATION_ID_REUSED = "CORRELATION_ID_REUSED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_DEVICES = "TOO_MANY_DEVICES"
    TOO_MANY_WEBHOOKS = "TOO_MANY_WEBHOOKS"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    WEBHOOK_NOT_ACTIVE = "WEBHOOK_NOT_ACTIVE"
    WEBHOOK_STOPPED = "WEBHOOK_STOPPED"
    WEBHOOK_EVENT_NOT_FOUND = "WEBHOOK_EVENT_NOT_FOUND"
    CONSENT_TEXT_CHANGED = "CONSENT_TEXT_CHANGED"
    PERSONAL_DATA_NOT_FOUND = "PERSONAL_DATA_NOT_FOUND"
    ERASURE_BEGUN = "ERASURE_BEGUN"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    TOO_MANY_HOLDS = "TOO_MANY_HOLDS"
    RECEIPT_NOT_READY = "RECEIPT_NOT_READY"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    NOT_YET_REPORTED = "NOT_YET_REPORTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class AccountState(Word):
    """One of ACTIVE, RESTRICTED.

    - `RESTRICTED`: It reads and locks, and nothing else.
    """

    ACTIVE = "ACTIVE"
    RESTRICTED = "RESTRICTED"


class AlertSeverity(Word):
    """One of INFO, WARNING, CRITICAL."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class AuditOutcome(Word):
    """One of ALLOWED, REFUSED, NONE.

    - `NONE`: It tells what happened, and nobody had to decide.
    """

    ALLOWED = "ALLOWED"
    REFUSED = "REFUSED"
    NONE = "NONE"


class CommandAction(Word):
    """One of UNLOCK, LOCK, CANCEL, STATUS_CHECK."""

    UNLOCK = "UNLOCK"
    LOCK = "LOCK"
    CANCEL = "CANCEL"
    STATUS_CHECK = "STATUS_CHECK"


class CommandSource(Word):
    """One of MOBILE_APP, CALL_CENTER, WEB, VOICE_ASSISTANT."""

    MOBILE_APP = "MOBILE_APP"
    CALL_CENTER = "CALL_CENTER"
    WEB = "WEB"
    VOICE_ASSISTANT = "VOICE_ASSISTANT"


class CommandStageName(Word):
    """One of ACCEPTED, QUEUED, SENT, RECEIVED, FINISHED, WAKING.

    - `ACCEPTED`: Stored durably; the caller was answered.
    - `QUEUED`: Waiting to be handed to the vehicle's link.
    - `SENT`: Handed to the vehicle's link, which keeps it until the vehicle takes it.
    - `RECEIVED`: The vehicle said that it has it.
    - `FINISHED`: A final status was reached.
    - `WAKING`: The vehicle slept: a wake-up was sent to it.
    """

    ACCEPTED = "ACCEPTED"
    QUEUED = "QUEUED"
    SENT = "SENT"
    RECEIVED = "RECEIVED"
    FINISHED = "FINISHED"
    WAKING = "WAKING"


class CommandStatus(Word):
    """One of PENDING, IN_PROGRESS, SUCCESS, FAILED, TIMEOUT, CANCELLED.

    - `PENDING`: Accepted and stored; the vehicle has not yet said that it has it.
    - `IN_PROGRESS`: The vehicle has it.
    - `SUCCESS`: The vehicle reported that every requested door moved.
    - `FAILED`: The vehicle reported why it did not do all of it.
    - `TIMEOUT`: No result in time. The vehicle may have acted: see `mayHaveSucceeded`.
    - `CANCELLED`: Withdrawn before the vehicle acted.
    """

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"


class ComponentStatus(Word):
    """One of ACTIVE, INACTIVE, ERROR, MAINTENANCE_REQUIRED."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ERROR = "ERROR"
    MAINTENANCE_REQUIRED = "MAINTENANCE_REQUIRED"


class ConfigApplicationState(Word):
    """One of PENDING, APPLIED, REJECTED.

    - `PENDING`: Wanted, and not yet confirmed by the vehicle.
    - `APPLIED`: The vehicle confirmed that it runs with these settings.
    - `REJECTED`: The vehicle refused: see reason.
    """

    PENDING = "PENDING"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"


class ConfirmationState(Word):
    """One of CONFIRMED, CONTRADICTED.

    - `CONFIRMED`: They did.
    - `CONTRADICTED`: They did not: look at the vehicle.
    """

    CONFIRMED = "CONFIRMED"
    CONTRADICTED = "CONTRADICTED"


class Connectivity(Word):
    """One of ONLINE, ASLEEP, LOST.

    - `ONLINE`: It reports.
    - `ASLEEP`: It said that it goes to sleep; a command wakes it.
    - `LOST`: It went silent without a word, or left a command unanswered: out of reach, or without power. Or
      the cloud itself cannot reach any vehicle now.
    """

    ONLINE = "ONLINE"
    ASLEEP = "ASLEEP"
    LOST = "LOST"


class ConsentState(Word):
    """One of NOT_ASKED, GIVEN, WITHDRAWN, OUTDATED.

    - `NOT_ASKED`: Nobody has answered yet. Nothing is collected.
    - `WITHDRAWN`: Nothing is collected from then on.
    - `OUTDATED`: The text has changed since it was given: it is asked again, and nothing is collected until
      it is given anew.
    """

    NOT_ASKED = "NOT_ASKED"
    GIVEN = "GIVEN"
    WITHDRAWN = "WITHDRAWN"
    OUTDATED = "OUTDATED"


class DataExportState(Word):
    """One of READY, EXPIRED.

    - `EXPIRED`: Its time is up, or it was fetched often enough: ask again.
    """

    READY = "READY"
    EXPIRED = "EXPIRED"


class DiagnosticsCheckState(Word):
    """One of NONE, REQUESTED, ANSWERED, MISSED.

    - `NONE`: It was not asked yet.
    - `REQUESTED`: It was asked a moment ago.
    - `ANSWERED`: It has checked itself since it was asked.
    - `MISSED`: It was asked and did not check itself: it was out of reach, or its unit does not know how to.
    """

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    ANSWERED = "ANSWERED"
    MISSED = "MISSED"


class DigitalKeyRole(Word):
    """One of OWNER, FRIEND.

    - `OWNER`: Of an owner of the vehicle.
    - `FRIEND`: Of somebody with whom an owner shares it.
    """

    OWNER = "OWNER"
    FRIEND = "FRIEND"


class DoorReachabilityState(Word):
    """One of ONLINE, ASLEEP, LOST, NEVER_CONNECTED, REMOTE_ACCESS_DISABLED, PRIVACY_MODE.

    - `ONLINE`: It reports.
    - `ASLEEP`: It said that it goes to sleep; a command wakes it, once its battery's budget allows: see
      wakeUpAt.
    - `LOST`: It went silent without a word, or left a command unanswered. Or the cloud itself cannot reach
      any vehicle now.
    - `NEVER_CONNECTED`: Nothing was ever heard of it.
    - `REMOTE_ACCESS_DISABLED`: Its people have switched remote access off in the vehicle: it refuses every
      command.
    - `PRIVACY_MODE`: Its people have switched privacy mode on: the same, and it does not tell how it stands.
    """

    ONLINE = "ONLINE"
    ASLEEP = "ASLEEP"
    LOST = "LOST"
    NEVER_CONNECTED = "NEVER_CONNECTED"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    PRIVACY_MODE = "PRIVACY_MODE"


class DoorUnlockMode(Word):
    """One of ALL, DRIVER_ONLY, SEQUENCE.

    - `ALL`: All of them.
    - `DRIVER_ONLY`: The driver's door only.
    - `SEQUENCE`: The driver's door first, the others when asked again.
    """

    ALL = "ALL"
    DRIVER_ONLY = "DRIVER_ONLY"
    SEQUENCE = "SEQUENCE"


class ErasureState(Word):
    """One of WAITING, DEFERRED, ERASING, DONE, CANCELLED.

    - `WAITING`: It waits for its time, and can be taken back.
    - `DEFERRED`: Its time has come, and something is in the way. It can still be taken back.
    - `ERASING`: It is being done; it cannot be taken back any more.
    """

    WAITING = "WAITING"
    DEFERRED = "DEFERRED"
    ERASING = "ERASING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


class FailureCertainty(Word):
    """One of POSSIBLE, LIKELY.

    - `POSSIBLE`: It is one of several.
    - `LIKELY`: It is behind half of several failures or more.
    """

    POSSIBLE = "POSSIBLE"
    LIKELY = "LIKELY"


class FailureComponent(Word):
    """One of DOOR, DOOR_ACTUATOR, BATTERY, VEHICLE_LINK, CONTROL_UNIT, DRIVING_STATE, REQUEST, ACCESS, MODEL.

    - `DOOR`: A door that stood open, or its contact.
    - `DOOR_ACTUATOR`: What moves a lock.
    - `BATTERY`: The vehicle's battery.
    - `VEHICLE_LINK`: The way between cloud and vehicle.
    - `CONTROL_UNIT`: The unit in the vehicle that carries commands out.
    - `DRIVING_STATE`: The vehicle is driven, or its ignition is on.
    - `REQUEST`: Another request stood in the way.
    - `ACCESS`: The right to the vehicle, or remote access as such.
    - `MODEL`: This model does not have it.
    """

    DOOR = "DOOR"
    DOOR_ACTUATOR = "DOOR_ACTUATOR"
    BATTERY = "BATTERY"
    VEHICLE_LINK = "VEHICLE_LINK"
    CONTROL_UNIT = "CONTROL_UNIT"
    DRIVING_STATE = "DRIVING_STATE"
    REQUEST = "REQUEST"
    ACCESS = "ACCESS"
    MODEL = "MODEL"


class FailureReason(Word):
    """One of VEHICLE_MOVING, DOOR_OPEN, ENGINE_ON, ACTUATOR_FAULT, LOW_BATTERY, PARTIAL_SUCCESS, TTL_EXPIRED,
    TOO_LATE, GRANT_REVOKED, INTERRUPTED, NOT_SUPPORTED, CANCELLED, SUPERSEDED, NOT_PROVEN,
    REMOTE_ACCESS_DISABLED, COMMAND_IN_PROGRESS.

    - `VEHICLE_MOVING`: The vehicle was moving.
    - `DOOR_OPEN`: A door that was to be locked stood open.
    - `ENGINE_ON`: The ignition was on.
    - `ACTUATOR_FAULT`: An actuator did not answer or did not reach its position.
    - `LOW_BATTERY`: The vehicle's battery is too low to act.
    - `PARTIAL_SUCCESS`: Some doors moved and some did not: `doorResults` names each.
    - `TTL_EXPIRED`: The command's time to live ran out.
    - `TOO_LATE`: A cancellation reached the vehicle after it had begun or ended.
    - `GRANT_REVOKED`: The right to command this vehicle ended before the command was handed over.
    - `INTERRUPTED`: The vehicle lost power or restarted between accepting and finishing.
    - `NOT_SUPPORTED`: The vehicle does not have a requested door, or cannot do this.
    - `CANCELLED`: A cancellation stopped it.
    - `SUPERSEDED`: A later lock took its place: an unlock that is in flight gives way to it.
    - `NOT_PROVEN`: It could not be seen that it was asked for, so that it was not signed: the clocks of
      services disagree, or a record was changed. Nothing was sent.
    - `REMOTE_ACCESS_DISABLED`: Its people have switched remote access off in the vehicle, or privacy mode on.
    - `COMMAND_IN_PROGRESS`: Another command was in flight on this vehicle.
    """

    VEHICLE_MOVING = "VEHICLE_MOVING"
    DOOR_OPEN = "DOOR_OPEN"
    ENGINE_ON = "ENGINE_ON"
    ACTUATOR_FAULT = "ACTUATOR_FAULT"
    LOW_BATTERY = "LOW_BATTERY"
    PARTIAL_SUCCESS = "PARTIAL_SUCCESS"
    TTL_EXPIRED = "TTL_EXPIRED"
    TOO_LATE = "TOO_LATE"
    GRANT_REVOKED = "GRANT_REVOKED"
    INTERRUPTED = "INTERRUPTED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"
    NOT_PROVEN = "NOT_PROVEN"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    COMMAND_IN_PROGRESS = "COMMAND_IN_PROGRESS"


class GearPosition(Word):
    """One of P, R, N, D."""

    P = "P"
    R = "R"
    N = "N"
    D = "D"


class GrantKind(Word):
    """One of OWNER, SHARED_USER, DIGITAL_KEY, VALET, SERVICE.

    - `OWNER`: Everything. It is handed over, never given.
    - `SHARED_USER`: Everything but settings, diagnostics and giving rights to others.
    - `DIGITAL_KEY`: A phone as key: lock, unlock, cancel, status and updates.
    - `VALET`: Who parks the vehicle: lock, unlock, cancel and status, for a day at most.
    - `SERVICE`: Who helps it on the road: unlock, for an hour at most.
    """

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"
    VALET = "VALET"
    SERVICE = "SERVICE"


class GrantState(Word):
    """One of CREATED, ACTIVE, SUSPENDED, TERMINATED.

    - `CREATED`: Offered, and not accepted yet: it allows nothing.
    - `SUSPENDED`: It allows nothing until it is resumed.
    - `TERMINATED`: It was ended, has run out, or was not accepted in time.
    """

    CREATED = "CREATED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    TERMINATED = "TERMINATED"


class IgnitionStatus(Word):
    """One of OFF, ACC, ON."""

    OFF = "OFF"
    ACC = "ACC"
    ON = "ON"


class LockMode(Word):
    """One of NORMAL, SECURE.

    - `NORMAL`: The default.
    - `SECURE`: Deadlocks: the doors cannot be opened from inside either.
    """

    NORMAL = "NORMAL"
    SECURE = "SECURE"


class PrincipalState(Word):
    """One of ACTIVE, RESTRICTED, LOCKED.

    - `RESTRICTED`: It reads and locks, and nothing else.
    - `LOCKED`: It does nothing any more.
    """

    ACTIVE = "ACTIVE"
    RESTRICTED = "RESTRICTED"
    LOCKED = "LOCKED"


class PushKind(Word):
    """One of FCM, APNS, WEB_PUSH.

    - `FCM`: Firebase Cloud Messaging.
    - `APNS`: Apple Push Notification service.
    - `WEB_PUSH`: A browser (RFC 8030).
    """

    FCM = "FCM"
    APNS = "APNS"
    WEB_PUSH = "WEB_PUSH"


class SeveranceState(Word):
    """One of IN_PROGRESS, DONE, REVERSED.

    - `IN_PROGRESS`: Nothing is accepted of the person any more; the other services are being told.
    - `REVERSED`: Two operators have taken it back.
    """

    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    REVERSED = "REVERSED"


class SystemStatus(Word):
    """One of NORMAL, DEGRADED, FAULT.

    - `NORMAL`: Every component is active.
    - `DEGRADED`: It works, and something needs maintenance or is inactive, or a warning stands.
    - `FAULT`: A component is in error, or a critical alert stands.
    """

    NORMAL = "NORMAL"
    DEGRADED = "DEGRADED"
    FAULT = "FAULT"


class UnlockMode(Word):
    """One of NORMAL, EMERGENCY.

    - `NORMAL`: The default.
    - `EMERGENCY`: Opens every requested door whatever the car's unlock mode, also with the ignition on at
      standstill.
    """

    NORMAL = "NORMAL"
    EMERGENCY = "EMERGENCY"


class VehicleRole(Word):
    """One of OWNER, SHARED_USER, DIGITAL_KEY."""

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"


class WebhookDeliveryStatus(Word):
    """One of PENDING, DELIVERED, FAILED, HELD.

    - `PENDING`: It waits for its first attempt, or for the next.
    - `FAILED`: It was tried for as long as events are, and is tried no more.
    - `HELD`: It happened while the webhook was DISABLED, or waited when too much did: a replay sends it.
    """

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    HELD = "HELD"


class WebhookDisabledReason(Word):
    """One of CHALLENGE_FAILED, GONE, FAILING, OPERATOR, BACKLOG.

    - `CHALLENGE_FAILED`: The URL did not answer the challenge as it should; `lastFailure` says what it did.
    - `GONE`: The URL answered 410 Gone.
    - `FAILING`: It has failed for too long and too often.
    - `OPERATOR`: The operator has stopped it.
    - `BACKLOG`: More waited for it than is kept.
    """

    CHALLENGE_FAILED = "CHALLENGE_FAILED"
    GONE = "GONE"
    FAILING = "FAILING"
    OPERATOR = "OPERATOR"
    BACKLOG = "BACKLOG"


class WebhookState(Word):
    """One of PENDING, ACTIVE, DISABLED.

    - `PENDING`: The URL has not answered its challenge yet: it is sent nothing else.
    - `DISABLED`: It is sent nothing until it is enabled again: see `disabledReason`.
    """

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class Weekday(Word):
    """One of MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY."""

    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError(Model):
    """FieldError."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataFile(Model):
    """PersonalDataFile."""

    format: str
    export_id: str
    subject: str
    """Whose it is."""
    at: datetime
    rows: Sequence[PersonalDataRow]
    missing: Sequence[str]
    """What could not be asked."""
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataRow(Model):
    """PersonalDataRow."""

    service: str
    """Which service kept it."""
    table: str
    row: Mapping[str, Any]
    """Its columns by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOfPrincipal(Model):
    """The caller's account."""

    principal: str
    state: AccountState


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOverview(Model):
    """An open case of the call centre: whom it is about, and which vehicles."""

    case_number: str
    customer: str
    """The `sub` of the customer's tokens."""
    account: PrincipalState
    """Whether the customer's account may be used."""
    vehicles: Sequence[CaseVehicle]
    """The customer's, by VIN, 100 at most. Where the case is about one, or was not opened here: that one alone,
    which is left out once the customer has no right on it any more.
    """
    opened_by: str | None = None
    """Who opened it; absent where it was not opened here, and the issuer of the agent's token vouches for it.
    """
    opened_at: datetime | None = None
    """Absent then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVehicle(Model):
    """A vehicle that a case of the call centre is about."""

    vin: str
    model: str
    """The name of its model; "Unknown" where none is known."""
    role: VehicleRole
    """The customer's role on it now."""
    accessible: bool
    """The caller's token is for this vehicle. An employee's never is: they ask for one that is."""
    capabilities: str
    """Where its capabilities are (path)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStage(Model):
    """One step in a command's life."""

    name: CommandStageName
    time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFailureCount(Model):
    """ComponentFailureCount."""

    component: FailureComponent
    failures: int
    share: float
    """Of all failures, 0-1."""
    fleet_share: float | None = None
    """Its share of the failures of all vehicles of this model, 0-1. Absent where too few others had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTrend(Model):
    """ComponentTrend."""

    id: str
    """Stable within the vehicle: driver_actuator_01."""
    name: str
    points: Sequence[HealthPoint]
    """Oldest first; empty where nothing was reported in the period."""
    falling: bool
    """The alert COMPONENT_HEALTH_FALLING stands."""
    change: int | None = None
    """What became of its health over the period. Absent with fewer than two points."""
    change_per_month: float | None = None
    """What it loses or gains in 30 days, by the straight line nearest to the points. Absent where they are
    within a day.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigApplication(Model):
    """What the vehicle has made of the settings."""

    state: ConfigApplicationState
    desired_version: int
    """Counts up with each change."""
    applied_version: int | None = None
    """The last version the vehicle confirmed; absent before the first."""
    applied_time: datetime | None = None
    """When it confirmed, UTC, by the vehicle's clock where that can be true, and never later than the cloud
    heard of it.
    """
    reason: str | None = None
    """Why the vehicle refused."""
    left_out: LeftOutSettings | None = None
    """What of the last change the vehicle left out, though it applied the rest. Until the next change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigApplicationInput(Model):
    """What the vehicle has made of the settings."""

    state: ConfigApplicationState | None = None
    desired_version: int | None = None
    """Counts up with each change."""
    applied_version: int | None = None
    """The last version the vehicle confirmed; absent before the first."""
    applied_time: datetime | None = None
    """When it confirmed, UTC, by the vehicle's clock where that can be true, and never later than the cloud
    heard of it.
    """
    reason: str | None = None
    """Why the vehicle refused."""
    left_out: LeftOutSettingsInput | None = None
    """What of the last change the vehicle left out, though it applied the rest. Until the next change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Model):
    """Whether the doors stood as a SUCCESS said when the vehicle next reported them."""

    state: ConfirmationState
    doors: Sequence[ObservedDoor]
    """The doors of the command, as observed."""
    time: datetime | None = None
    """When the vehicle observed it, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent(Model):
    """What somebody has said to one purpose for which something about them may be collected."""

    purpose: str
    """ACCESS_HISTORY: which doors somebody locked, unlocked and looked at, and when, is listed for them and for
    the owner. LOCATION: where somebody or their vehicle is. Nothing collects that today (docs/privacy.md).
    ANALYTICS: how the service is used, to make it better. Nothing collects that today.
    """
    state: ConsentState
    changes: Sequence[ConsentChange]
    """All that was said, the newest first; in the answer about one purpose only, 100 at most."""
    text: ConsentText | None = None
    """The text that is asked about now."""
    given_version: int | None = None
    """The version of the text that was agreed to last; absent where none ever was."""
    given_at: datetime | None = None
    """When it was given last; absent where it never was."""
    withdrawn_at: datetime | None = None
    """When it was withdrawn; absent unless it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentChange(Model):
    """One thing that was said. It is kept as evidence, also of what was withdrawn."""

    state: ConsentState
    """GIVEN or WITHDRAWN."""
    version: int
    """The text's, as it was shown."""
    language: str
    sha256: str
    source: str
    """How it was said: MOBILE_APP, WEB, VOICE_ASSISTANT, or SANDBOX_SEED for what the sandbox starts with."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentGiven(Model):
    """What is agreed to: the text as it was shown."""

    version: int
    """The text's version. Only the newest can be agreed to."""
    language: Literal["en", "ko"]
    """The language in which it was shown: en or ko."""
    sha256: str
    """The text's, as it was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentList(Model):
    """The consents of who asks, one for each purpose."""

    consents: Sequence[Consent]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText(Model):
    """What a person is shown when they are asked."""

    version: int
    language: str
    """en or ko."""
    text: str
    sha256: str
    """SHA-256 of the text in UTF-8, in lower-case hexadecimal."""
    since: datetime | None = None
    """Since when this version is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataExport(Model):
    """That somebody asked for what is kept about them. The file is made as it is fetched, and kept nowhere."""

    export_id: str
    state: DataExportState
    downloads_left: int
    """How often it can still be fetched."""
    requested_at: datetime | None = None
    expires_at: datetime | None = None
    """Until then the file can be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsAlert(Model):
    """DiagnosticsAlert."""

    code: str
    """The vehicle's fault code; or what follows from a component's condition: COMPONENT_ERROR,
    COMPONENT_INACTIVE, COMPONENT_MAINTENANCE_REQUIRED, COMPONENT_HEALTH_LOW, COMPONENT_HEALTH_FALLING.
    """
    severity: AlertSeverity
    message: str
    """For people: what it is and what to do."""
    component_id: str | None = None
    raised_at: datetime | None = None
    """When it was first reported, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsCheck(Model):
    """A check that was asked for."""

    vin: str
    state: DiagnosticsCheckState
    requested_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsChecks(Model):
    """Checks that the vehicle was asked for, on schedule or by somebody."""

    state: DiagnosticsCheckState
    missed: int
    """Checks missed since the last that was answered."""
    requested_at: datetime | None = None
    """When it was asked last, UTC. Absent while it never was."""
    answered_at: datetime | None = None
    """When it last checked itself after it was asked, UTC."""
    due_at: datetime | None = None
    """When it will be asked next, UTC. Absent where no schedule asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorAudit(Model):
    """A page of a vehicle's audit, newest first."""

    vin: str
    entries: Sequence[DoorAuditEntry]
    next_page_token: str | None = None
    """Send it back as `pageToken`, with the same filters, for what is older. Absent where nothing older is the
    reader's to see. A page that has it may have fewer entries than `limit`, or none.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorAuditEntry(Model):
    """One decision about a vehicle, or one thing that happened to it."""

    entry_id: str
    """The leaf's id in the audit ledger, by which its proof is found."""
    kind: str
    """What it is, one word: ACCESS_ALLOWED, ACCESS_REFUSED, COMMAND_ACCEPTED, COMMAND_SUCCESS, GRANT_OFFERED ...
    There may be others; `sentence` tells every one of them.
    """
    decision: AuditOutcome
    sentence: str
    """The same in words, for people, in English."""
    time: datetime | None = None
    """When it was decided, UTC."""
    action: str | None = None
    """What was asked for (`door.unlock`)."""
    user_id: str | None = None
    """For whom, or about whom. Absent where it was nobody whom the reader may know."""
    actor_id: str | None = None
    """Who acted, where that is not the user: a call-centre agent, who gave a right."""
    source: CommandSource | None = None
    rule: str | None = None
    """What decided: the role in which it was allowed, or why it was refused."""
    command_id: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCancellation(Model):
    """Cancel a command. (Specification: Door Cancellation Request.)"""

    correlation_id: str
    """The correlation id that the command was requested with. 1-64 of A-Z a-z 0-9 . _ -"""
    reason: Literal["User cancellation", "Emergency stop", "System error", "Timeout"]
    """One of "User cancellation", "Emergency stop", "System error", "Timeout"."""
    force: bool | None = None
    """Ask the vehicle to stop between doors if it has begun to unlock. A lock that has begun is finished: half
    locked, a vehicle stands open. Default false.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCapabilities(Model):
    """What a vehicle of this model has and can do, and whether it can be reached."""

    vin: str
    model: str
    """The name of its model; "Unknown" where none is known: then everything is listed that there can be, and the
    vehicle itself refuses what it lacks.
    """
    doors: Sequence[DoorCapability]
    """The doors that it has."""
    unlock_modes: Sequence[str]
    """NORMAL, EMERGENCY. None where it cannot be unlocked from afar."""
    lock_modes: Sequence[str]
    """NORMAL, SECURE. None where it cannot be locked from afar."""
    functions: Sequence[str]
    """REMOTE_UNLOCK, REMOTE_LOCK, TRUNK_RELEASE, CHILD_LOCK, AUTO_LOCK, SPEED_LOCK, PARKING_UNLOCK."""
    setting_unlock_modes: Sequence[str]
    """Of the settings: ALL, DRIVER_ONLY, SEQUENCE."""
    reachability: DoorReachability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCapability(Model):
    """One door of a vehicle: what can be done to it from afar, and what it can tell."""

    door_id: str
    """driver, passenger, rearLeft, rearRight, trunk, hood."""
    remote_lock: bool
    remote_unlock: bool
    sliding: bool
    lock_sensor: bool
    """Whether the status tells `locked` of it; likewise the next three."""
    open_sensor: bool
    window_sensor: bool
    child_lock: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCommand(Model):
    """The answer to a command. (Specification: Door Control Response.)"""

    command_id: str
    """"cmd-" and a UUID."""
    vin: str
    """The vehicle, upper case."""
    status: CommandStatus
    message: str
    """For people: what happened and what comes next."""
    estimated_duration: int
    """Estimated execution time in seconds, from now."""
    correlation_id: str
    """The id under which the command was requested: what a cancellation names it by."""
    timestamp: datetime | None = None
    """When the command was accepted, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCommandDetails(Model):
    """A command with its life so far."""

    command_id: str
    vin: str
    status: CommandStatus
    message: str
    estimated_duration: int
    """Estimated execution time in seconds, as reported when the command was accepted."""
    action: CommandAction
    target_doors: Sequence[str]
    correlation_id: str
    """The correlation id it was requested with."""
    source: CommandSource
    stages: Sequence[CommandStage]
    """In the order in which they happened."""
    door_results: Sequence[DoorResult]
    """One for every door the vehicle dealt with; empty until it reported."""
    timestamp: datetime | None = None
    """When the command was accepted, UTC."""
    expires_at: datetime | None = None
    """After this no vehicle acts on it, UTC."""
    failure_reason: FailureReason | None = None
    """Present when the status is FAILED or TIMEOUT."""
    guidance: str | None = None
    """For people: what to do about it. Present with failureReason."""
    may_have_succeeded: bool | None = None
    """Present when the status is TIMEOUT: whether the vehicle may have acted all the same."""
    late_result: LateResult | None = None
    """Present when the vehicle answered after the TIMEOUT."""
    execution_time: float | None = None
    """From the request's acceptance to the vehicle's result, in seconds. Present when the vehicle reported.
    """
    confirmation: Confirmation | None = None
    """Present once the vehicle has reported its doors after a SUCCESS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorComponent(Model):
    """DoorComponent."""

    id: str
    """Stable within the vehicle: driver_actuator_01."""
    name: str
    status: ComponentStatus
    error_codes: Sequence[str]
    """The vehicle's fault codes, newest first."""
    health: int | None = None
    """Score, 0-100. Absent where the vehicle tells none."""
    last_maintenance: datetime | None = None
    last_reported: datetime | None = None
    """Which self-check named it last, UTC. Absent where that is the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorConfig(Model):
    """All settings as wanted, and whether the vehicle has them. Once the vehicle has refused them (REJECTED)
    they are those that it runs with, so that nothing that was refused goes along with the next change.
    (Specification: Door Settings Response.)
    """

    vin: str
    auto_lock_enabled: bool
    auto_lock_delay: int
    """Seconds."""
    unlock_mode: DoorUnlockMode
    child_lock_enabled: bool
    speed_based_lock_enabled: bool
    speed_lock_threshold: int
    """Speed-based lock threshold, km/h."""
    parking_auto_unlock: bool
    updated_time: datetime | None = None
    """When the settings were last changed, UTC."""
    application: ConfigApplication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorConfigUpdate(Model):
    """The settings to change; the others stay. At least one. What only the service and the vehicle say may come
    along unchanged. (Specification: Door Settings Update.) Name at least one setting.
    """

    auto_lock_enabled: bool | None = None
    """Lock again when nobody opened a door after an unlock."""
    auto_lock_delay: int | None = None
    """Seconds until then, 5-600."""
    unlock_mode: DoorUnlockMode | None = None
    child_lock_enabled: bool | None = None
    """Child locks of the rear doors."""
    speed_based_lock_enabled: bool | None = None
    """Lock when the car reaches speedLockThreshold."""
    speed_lock_threshold: int | None = None
    """km/h, 5-60."""
    parking_auto_unlock: bool | None = None
    """Unlock, by unlockMode, when the gear goes to P."""
    updated_time: datetime | None = None
    """As it was read, so that what was read can be sent back. INVALID_REQUEST when the settings were changed
    since.
    """
    application: ConfigApplicationInput | None = None
    """As it was read; what a vehicle has confirmed since does not matter. INVALID_REQUEST when it says something
    else.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorDiagnostics(Model):
    """The health of the door system. (Specification: Door Diagnostics Response.)"""

    vin: str
    system_status: SystemStatus
    components: Sequence[DoorComponent]
    alerts: Sequence[DiagnosticsAlert]
    """What needs attention now."""
    last_check: datetime | None = None
    """When the vehicle checked itself, UTC."""
    checks: DiagnosticsChecks | None = None
    """What became of asking the vehicle for checks. Absent where it never was asked and is not going to be.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorDiagnosticsTrend(Model):
    """How the health of the door system went."""

    vin: str
    period: str
    """7d, 30d, 90d or 365d."""
    components: Sequence[ComponentTrend]
    """In the order of their ids."""
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorFailureCause(Model):
    """DoorFailureCause."""

    failure_reason: FailureReason
    failures: int
    """Commands that failed for it."""
    share: float
    """Of all failures, 0-1."""
    component: FailureComponent
    doors: Sequence[DoorFailureCount]
    """The doors that the vehicle named; most frequent first. A command can name several."""
    title: str
    """What happened, in a few words."""
    cause: str
    """Why, most likely."""
    guidance: str
    """What to do about it: an agent can read it out."""
    fleet_share: float | None = None
    """Its share of the failures of all vehicles of this model, 0-1. Absent where too few others had it."""
    last_seen: datetime | None = None
    """Begin of the last hour in which it was counted, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorFailureCount(Model):
    """DoorFailureCount."""

    door_id: str
    """driver, passenger, rearLeft, rearRight or trunk."""
    failures: int
    reasons: Sequence[ReasonCount]
    """Most frequent first. Within DoorFailureCause absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorFailures(Model):
    """Why lock and unlock commands of a vehicle failed."""

    vin: str
    period: str
    """24h, 7d, 30d or 90d."""
    model: str
    """The vehicle's model; "unknown" where no file is for it."""
    language: str
    """en or ko: of title, cause and guidance."""
    commands: int
    """Commands to lock or unlock that ended, or were refused at once for what the vehicle did."""
    failures: int
    """FAILED or TIMEOUT of them."""
    failure_rate: float
    """Failures of commands, 0-1; 0 without commands."""
    causes: Sequence[DoorFailureCause]
    """Most frequent first."""
    buckets: Sequence[FailureBucket]
    """All of the period, oldest first."""
    doors: Sequence[DoorFailureCount]
    """Most frequent first."""
    components: Sequence[ComponentFailureCount]
    """Most frequent first."""
    from_: datetime | None = None
    to: datetime | None = None
    counted_until: datetime | None = None
    """Commands that ended by then are counted."""
    fleet: FleetComparison | None = None
    """Absent where there are too few other vehicles of this model."""
    likely_cause: LikelyCause | None = None
    """Absent without failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorGrant(Model):
    """A right on a vehicle."""

    grant_id: str
    vin: str
    principal: str
    """Who has it: the `sub` of their tokens."""
    kind: GrantKind
    state: GrantState
    actions: Sequence[str]
    """The actions it allows."""
    in_force: bool
    """Whether it allows its actions at this moment: it is ACTIVE, and its hours are."""
    label: str | None = None
    """What the giver calls it."""
    schedule: GrantSchedule | None = None
    """Present where it holds at some hours only."""
    given_by: str | None = None
    """Who gave it. Absent for one that an operator gave."""
    created_at: datetime | None = None
    offered_until: datetime | None = None
    """Until when it can be accepted. Present while it is CREATED."""
    accepted_at: datetime | None = None
    expires_at: datetime | None = None
    """When it ends by itself. Absent while it is CREATED, and where it lasts until somebody ends it."""
    suspended_at: datetime | None = None
    """Present while it is SUSPENDED."""
    ended_at: datetime | None = None
    """Present where somebody ended it."""
    key_role: DigitalKeyRole | None = None
    """Present for a DIGITAL_KEY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorGrantList(Model):
    """Grants, newest first: all that have not ended, and those that ended or were made in the last 30 days; 200
    at most.
    """

    vin: str
    grants: Sequence[DoorGrant]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorGrantNarrowing(Model):
    """What is left of a right that is narrowed. What is left out stays as it is. Name at least one of actions,
    expiresAt and schedule.
    """

    actions: Sequence[str] | None = None
    """Some of those that it has."""
    expires_at: datetime | None = None
    """Sooner than it ends now."""
    schedule: GrantScheduleInput | None = None
    """Within the hours that it has now, on the same clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorGrantOffer(Model):
    """A right to be given."""

    principal: str
    """Who gets it: the `sub` of their tokens. Printable ASCII without spaces."""
    kind: Literal["SHARED_USER", "DIGITAL_KEY", "VALET", "SERVICE"]
    label: str | None = None
    """What to call it: one line of printable characters."""
    actions: Sequence[str] | None = None
    """What of the kind's actions; left out: all of them."""
    valid_seconds: int | None = None
    """Seconds from when it is accepted; left out: until somebody ends it, of VALET a day, of SERVICE an hour.
    """
    expires_at: datetime | None = None
    """When it ends at the latest, accepted when ever."""
    schedule: GrantScheduleInput | None = None
    """Left out: at all hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorHistory(Model):
    """A page of a vehicle's history, newest first. (Specification: Door History Response.)"""

    vin: str
    history: Sequence[DoorHistoryEntry]
    total: int
    """How many entries match, on all pages."""
    has_more: bool
    as_of: datetime | None = None
    """The moment that the list is of: it has what the record held then, of the `period` before it. Send it back
    as `asOf` with the next offset: whatever is recorded in between then shifts no page.
    """
    next_page_token: str | None = None
    """Send it back as `pageToken`, with the same filters, for the page after this one. Absent on the last."""
    collection: HistoryCollection | None = None
    """Only where the history of who asks is not collected: what they do, and what is done for them, is not in
    this list.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorHistoryEntry(Model):
    """One finished request. (Specification: an entry of the Door History Response.)

    A request that was refused at once because of the state of the vehicle or of its commands is an entry too:
    FAILED, with the reason.
    """

    command_id: str
    """The command's; of a cancellation that of the command it is about. Of what never became a command
    (STATUS_CHECK, refused at once) an id of the entry's own.
    """
    action: CommandAction
    target_doors: Sequence[str]
    """As requested; empty for CANCEL and STATUS_CHECK. What moved is in doorResults: which doors "all" means,
    the vehicle decides.
    """
    status: CommandStatus
    execution_time: float
    """From the request to its end, in seconds."""
    user_id: str
    """On whose behalf."""
    source: CommandSource
    door_results: Sequence[DoorResult]
    """One for every door that the command meant, as the vehicle reported it before the command ended; empty for
    CANCEL and STATUS_CHECK, and where the vehicle reported nothing.
    """
    timestamp: datetime | None = None
    """When it was requested, UTC. The one time of an entry: by it the list is in order, and `period` counts.
    """
    failure_reason: FailureReason | None = None
    """A FailureReason's name, or null. A Value because the specification shows a JSON null here, which only a
    Value prints.
    """
    correlation_id: str | None = None
    actor_id: str | None = None
    """Who acted, where that is not the user: a call-centre agent."""
    late_result: LateResult | None = None
    """What the vehicle reported after the command had timed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLock(Model):
    """Lock these doors. (Specification: Door Lock Request.)"""

    target_doors: Sequence[Literal["all", "driver", "passenger", "rearLeft", "rearRight", "trunk"]]
    """One or more of driver, passenger, rearLeft, rearRight, trunk; or all, alone. Required. 'all' must stand
    alone.
    """
    lock_mode: LockMode | None = None
    """NORMAL when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorReachability(Model):
    """Whether a vehicle can be reached, and if not why."""

    state: DoorReachabilityState
    since: datetime | None = None
    """ONLINE: when it was heard of last. ASLEEP: since it sleeps. LOST: since it is, as far as that is known.
    REMOTE_ACCESS_DISABLED, PRIVACY_MODE: when it said so last. UTC.
    """
    wake_up_at: datetime | None = None
    """ASLEEP and LOST: when the caller's next command may wake it, UTC; now, or earlier, means at once. Absent
    where nobody can tell at the moment.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorResult(Model):
    """What one door did."""

    door_id: str
    """driver, passenger, rearLeft, rearRight or trunk."""
    success: bool
    """True when the door reached the requested position, also when it was there already."""
    locked: bool | None = None
    """Whether the door is locked after the command, as the vehicle saw it. Absent where it cannot tell."""
    failure_reason: FailureReason | None = None
    """Why not, when success is false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorState(Model):
    """One door as the vehicle saw it. What is absent the vehicle cannot tell."""

    locked: bool | None = None
    open: bool | None = None
    window_open: bool | None = None
    """Absent where the door has no window, or nothing senses it."""
    child_lock: bool | None = None
    """Absent where the door has no child lock."""
    received_at: datetime | None = None
    """When the cloud received the report that named this door last, UTC. Absent where that is the last report.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorStatus(Model):
    """The last state that the vehicle reported. (Specification: Door Status Response.)"""

    vin: str
    doors: Doors | None = None
    ignition_status: IgnitionStatus | None = None
    """This and the next two are absent where the last report does not tell them."""
    vehicle_speed: float | None = None
    """km/h."""
    gear_position: GearPosition | None = None
    timestamp: datetime | None = None
    """When the vehicle observed this, UTC, by its own clock where that can be true, and never later than
    receivedAt. What is shown never goes back, whatever the clock says: age is told from receivedAt.
    """
    stale: bool | None = None
    """True when this was received longer ago than the vehicle's reporting interval allows, or a command was left
    unanswered since: it may be asleep or out of reach, and the doors may stand differently now.
    """
    received_at: datetime | None = None
    """When the cloud received it, UTC."""
    connectivity: Connectivity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorUnlock(Model):
    """Unlock these doors. (Specification: Door Unlock Request.)"""

    target_doors: Sequence[Literal["all", "driver", "passenger", "rearLeft", "rearRight", "trunk"]]
    """One or more of driver, passenger, rearLeft, rearRight, trunk; or all, alone. Required. 'all' must stand
    alone.
    """
    unlock_mode: UnlockMode | None = None
    """NORMAL when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors(Model):
    """The doors of a vehicle. A door that the vehicle lacks, or tells nothing of, is left out."""

    driver: DoorState | None = None
    passenger: DoorState | None = None
    rear_left: DoorState | None = None
    rear_right: DoorState | None = None
    trunk: DoorState | None = None
    hood: DoorState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyApproval(Model):
    """Whose emergency it is."""

    agent: str
    """The agent who asks for it: `act.sub` of their token. Printable ASCII without spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyApproved(Model):
    """An emergency that was approved."""

    vin: str
    agent: str
    until: datetime | None = None
    """Until when the agent may ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure(Model):
    """That somebody asked to be erased, and what has become of it."""

    erasure_id: str
    state: ErasureState
    detail: str
    """For people: what that means, and what to do."""
    requested_at: datetime | None = None
    due_at: datetime | None = None
    """Not before then. Until then it can be taken back."""
    waits_for: str | None = None
    """Why it waits longer: COMMAND_IN_FLIGHT, SETTINGS_IN_FLIGHT, MESSAGES_WAITING, MESSAGES_KEPT (it goes on by
    itself), LEGAL_HOLD, OPEN_CASE, SERVICE_AWAY, ACCOUNT_STOPPED (locked or restricted); absent while nothing
    is in the way.
    """
    ended_at: datetime | None = None
    """When it ended, one way or the other; absent until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureWish(Model):
    """That they mean it."""

    confirmation: str
    """ERASE MY DATA"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTicket(Model):
    """EventTicket."""

    ticket: str
    """Opaque; send it as `?ticket=` when the WebSocket or the stream is opened."""
    expires_in: int
    """For how long it opens it, in seconds from now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureBucket(Model):
    """A part of the period: an hour of 24h, else a day (UTC)."""

    commands: int
    failures: int
    reasons: Sequence[ReasonCount]
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetComparison(Model):
    """How all vehicles of the model fared, where there are enough others that it tells of nobody."""

    model: str
    commands: int
    failures: int
    failure_rate: float
    """Failures of commands, 0-1."""
    minimum_vehicles: int
    """So many other vehicles, or more, are behind each figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetComponentFailures(Model):
    """FleetComponentFailures."""

    component: FailureComponent
    failures: int
    share: float
    """Of all failures, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDoorFailures(Model):
    """What vehicles said of a door that did not do what was asked."""

    door_id: str
    """driver, passenger, rearLeft, rearRight or trunk."""
    failures: int
    reasons: Sequence[ReasonCount]
    """Most frequent first. Those that too few vehicles had are in `failures` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFailureBucket(Model):
    """A part of the period, in which enough vehicles were commanded: a day, of 90d a week (UTC)."""

    commands: int
    failures: int
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFailureCause(Model):
    """A reason for which commands of many vehicles failed."""

    failure_reason: FailureReason
    component: FailureComponent
    failures: int
    """Commands that failed for it."""
    share: float
    """Of all failures, 0-1."""
    failure_rate: float
    """Failures for it of commands, 0-1."""
    title: str
    """What happened, in a few words."""
    cause: str
    """Why, most likely."""
    guidance: str
    """What to do about it."""
    fleet_failure_rate: float | None = None
    """The same of all models, where one is asked about. Absent where too few vehicles had it."""
    previous_failure_rate: float | None = None
    """The same in the period before. Absent where too few vehicles had it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFailures(Model):
    """Why lock and unlock commands failed in the fleet, or of a model. It is about no vehicle and no person:
    each figure is of `minimumVehicles` or more, and what fewer had is counted together with the rest.
    """

    period: str
    """7d, 30d or 90d."""
    language: str
    """en or ko: of title, cause and guidance."""
    minimum_vehicles: int
    """So many vehicles, or more, are behind each figure."""
    causes: Sequence[FleetFailureCause]
    """Most frequent first."""
    other_failures: int
    """Failures whose reasons too few vehicles had."""
    doors: Sequence[FleetDoorFailures]
    """Most frequent first."""
    components: Sequence[FleetComponentFailures]
    """Most frequent first."""
    buckets: Sequence[FleetFailureBucket]
    """Oldest first. Those in which too few vehicles were commanded are left out."""
    models: Sequence[FleetModelFailures]
    """Most commands first. Empty where one model was asked about."""
    model: str | None = None
    """The model that was asked about. Absent for all of them."""
    from_: datetime | None = None
    to: datetime | None = None
    counted_until: datetime | None = None
    """Commands that ended by then are counted."""
    totals: FleetTotals | None = None
    """Absent where fewer vehicles were commanded; then all else is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetModelFailures(Model):
    """FleetModelFailures."""

    model: str
    """"unknown" for vehicles that no file is for; "other" for the models with too few vehicles, together."""
    commands: int
    failures: int
    failure_rate: float
    """Failures of commands, 0-1."""
    reasons: Sequence[ReasonCount]
    """Most frequent first. Those that too few vehicles had are in `failures` alone."""
    times_fleet: float | None = None
    """That of the whole fleet is 1. Absent where nothing failed in the fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTotals(Model):
    """Lock and unlock commands of many vehicles."""

    commands: int
    failures: int
    failure_rate: float
    """Failures of commands, 0-1."""
    previous_failure_rate: float | None = None
    """The same in the period before. Absent where it is known of too few vehicles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSchedule(Model):
    """When a grant holds. Where the clock is put back it holds from the first time that the clock reads `opens`
    to the last time that it reads `closes`; times that the clock leaps over are the moment of the leap.
    """

    time_zone: str
    """A name of the IANA time zone database: Europe/Berlin."""
    windows: Sequence[GrantWindow]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantScheduleInput(Model):
    """When a grant holds. Where the clock is put back it holds from the first time that the clock reads `opens`
    to the last time that it reads `closes`; times that the clock leaps over are the moment of the leap.
    """

    time_zone: str
    """A name of the IANA time zone database: Europe/Berlin."""
    windows: Sequence[GrantWindowInput]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWindow(Model):
    """Hours on a clock. Where `closes` is not later than `opens` they last into the next day; equal ones are 24
    hours.
    """

    weekdays: Sequence[Weekday]
    """The days on which it opens."""
    opens: str
    """00:00 to 23:59."""
    closes: str
    """00:00 to 23:59."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWindowInput(Model):
    """Hours on a clock. Where `closes` is not later than `opens` they last into the next day; equal ones are 24
    hours.
    """

    weekdays: Sequence[Weekday]
    """The days on which it opens."""
    opens: str
    """00:00 to 23:59."""
    closes: str
    """00:00 to 23:59."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPoint(Model):
    """A component's health in an hour or longer."""

    status: ComponentStatus
    time: datetime | None = None
    """When the vehicle checked itself last in it, UTC."""
    health: int | None = None
    """Score, 0-100, as it was then. Absent where the vehicle told none."""
    lowest: int | None = None
    """The lowest of that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCollection(Model):
    """Whether what somebody does is collected for the history. It is for those who consented to ACCESS_HISTORY."""

    collected: bool
    detail: str
    """For people: what that means, and what to do."""
    since: datetime | None = None
    """Since when it is not: when the consent was withdrawn, or its text changed. Absent where it was never
    given.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredPlace(Model):
    """A place where a vehicle stands now and about which no reminder is wanted. Nobody is asked where the
    vehicle is: the place is a name of the caller's own, and ends when the vehicle drives off (it locks its
    doors for speed), or at `until`.
    """

    name: str
    """The caller's own name for it, one line of printable characters; shown to nobody else."""
    vehicle: str
    """Which vehicle stands there."""
    until: datetime | None = None
    """Absent: until it drives off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredPlaceInput(Model):
    """A place where a vehicle stands now and about which no reminder is wanted. Nobody is asked where the
    vehicle is: the place is a name of the caller's own, and ends when the vehicle drives off (it locks its
    doors for speed), or at `until`.
    """

    name: str
    """The caller's own name for it, one line of printable characters; shown to nobody else."""
    vehicle: str
    """Which vehicle stands there."""
    until: datetime | None = None
    """Absent: until it drives off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult(Model):
    """What the vehicle reported after the command had already timed out. It changes no status."""

    status: CommandStatus
    door_results: Sequence[DoorResult]
    received_at: datetime | None = None
    failure_reason: FailureReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutSettings(Model):
    """Settings that a vehicle does not run as they were wanted, because it has not what they need. The config
    shows them as it runs them.
    """

    settings: Sequence[str]
    """Members of the config: childLockEnabled."""
    reason: str
    """Why, in the vehicle's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutSettingsInput(Model):
    """Settings that a vehicle does not run as they were wanted, because it has not what they need. The config
    shows them as it runs them.
    """

    settings: Sequence[str] | None = None
    """Members of the config: childLockEnabled."""
    reason: str | None = None
    """Why, in the vehicle's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyCause(Model):
    """LikelyCause."""

    failure_reason: FailureReason
    component: FailureComponent
    certainty: FailureCertainty
    title: str
    cause: str
    guidance: str
    door_id: str | None = None
    """The door that most of them were at, where there is one."""
    above_fleet: bool | None = None
    """It is more frequent here than with the model's vehicles. Absent where too few others had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEventTicket(Model):
    """What it is to open: `{}` is the WebSocket."""

    vin: str | None = None
    """Of this vehicle the event stream, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPushDevice(Model):
    """How a device is reached, as its push service told the app."""

    kind: PushKind
    """FCM, APNS or WEB_PUSH. One that the operator has not set up is refused. Required."""
    token: str
    """FCM: the registration token. APNS: the device token in hexadecimal. WEB_PUSH: the subscription's endpoint,
    an https URL of a push service that the operator allows. Required.
    """
    keys: WebPushKeys | None = None
    """Of WEB_PUSH only, and required there: the subscription's keys."""
    app: str | None = None
    """Which of the maker's apps it is (of APNS, the topic). Default: the operator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook(Model):
    """What a webhook is to be."""

    url: str
    """Where events are posted to: https, without user, password and fragment, at a public address. Required.
    """
    event_types: (
        Sequence[
            Literal[
                "door.status.updated", "command.updated", "command.finished", "system.alert", "access.changed"
            ]
        ]
        | None
    ) = None
    """Only events of these types. Empty: all."""
    vehicles: Sequence[str] | None = None
    """Only events of these vehicles: 17 characters each, no I, O or Q; upper-cased on entry. Empty: all vehicles
    on which the caller has a right at the time.
    """
    description: str | None = None
    """For people: shown as it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationPreferences(Model):
    """What the caller wants to be told, and how. Results of commands that they gave, and notices of security,
    heed no quiet hours; notices of security cannot be turned off.
    """

    ignored_places: Sequence[IgnoredPlace]
    """Where a vehicle may stand open or unlocked without a reminder."""
    door_results: bool | None = None
    """How the caller's own commands ended. Default true."""
    left_open: bool | None = None
    """That a door, the trunk, the hood or a window has stood open for `reminderMinutes`. Default true."""
    left_unlocked: bool | None = None
    """That a door has been unlocked for `reminderMinutes`. Default true."""
    diagnostics: bool | None = None
    """What the vehicle found in its checks of itself. Default true."""
    language: str | None = None
    """en or ko. Default en."""
    time_zone: str | None = None
    """Of the IANA database: Asia/Seoul. Times in messages and quiet hours are of this zone. Default UTC."""
    quiet_hours: QuietHours | None = None
    """Absent: none."""
    reminder_minutes: int | None = None
    """After how many minutes a door is said to be left open or unlocked. Default: the operator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationPreferencesInput(Model):
    """What the caller wants to be told, and how. Results of commands that they gave, and notices of security,
    heed no quiet hours; notices of security cannot be turned off.
    """

    door_results: bool | None = None
    """How the caller's own commands ended. Default true."""
    left_open: bool | None = None
    """That a door, the trunk, the hood or a window has stood open for `reminderMinutes`. Default true."""
    left_unlocked: bool | None = None
    """That a door has been unlocked for `reminderMinutes`. Default true."""
    diagnostics: bool | None = None
    """What the vehicle found in its checks of itself. Default true."""
    language: Literal["en", "ko"] | None = None
    """en or ko. Default en."""
    time_zone: str | None = None
    """Of the IANA database: Asia/Seoul. Times in messages and quiet hours are of this zone. Default UTC."""
    quiet_hours: QuietHoursInput | None = None
    """Absent: none."""
    reminder_minutes: int | None = None
    """After how many minutes a door is said to be left open or unlocked. Default: the operator's."""
    ignored_places: Sequence[IgnoredPlaceInput] | None = None
    """Where a vehicle may stand open or unlocked without a reminder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedDoor(Model):
    """One door as the vehicle's next report showed it."""

    door_id: str
    """driver, passenger, rearLeft, rearRight or trunk."""
    locked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransfer(Model):
    """Who gets the vehicle."""

    new_owner: str
    """The `sub` of their tokens. Printable ASCII without spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferred(Model):
    """A vehicle that has changed hands."""

    vin: str
    new_owner: str
    ended_grants: int
    """How many rights of others ended, the former owner's included. With each ended its streams, and its
    commands that had not acted.
    """
    withdrawn_offers: int
    """How many offers and requests for rights were withdrawn."""
    message: str
    """For people: what has happened."""
    transferred_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonVehicle(Model):
    """A vehicle on which the caller has a right that is in force now."""

    vin: str
    role: GrantKind
    """The highest of their rights."""
    actions: Sequence[str]
    """What all of them together allow now (`door.unlock`, `door.status.read`, ...), sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonVehicleList(Model):
    """The caller's vehicles, by VIN."""

    vehicles: Sequence[PersonVehicle]
    """100 at most."""
    has_more: bool
    """Whether there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalRestoration(Model):
    """An account to be given back."""

    principal: str
    """The `sub` of its tokens. Printable ASCII without spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalStanding(Model):
    """An account, and why it may not be used."""

    principal: str
    state: PrincipalState
    restriction_reason: str
    lock_reason: str
    restore_requested_by: str
    """Who has asked to restore it: after an employee a second employee must, after an operator a second
    operator, within 24 hours.
    """
    restricted_at: datetime | None = None
    """Absent while it is not restricted."""
    locked_at: datetime | None = None
    """Absent while it is not locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalStop(Model):
    """An account to be stopped, and why."""

    principal: str
    """The `sub` of its tokens. Printable ASCII without spaces."""
    reason: str
    """For whoever is asked to restore it: owners of vehicles are not told. One line of printable characters.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDevice(Model):
    """One of the caller's phones or browsers. What it is addressed by is never shown again."""

    device_id: str
    kind: PushKind
    app: str | None = None
    """Which app it is; absent for the default one."""
    registered_at: datetime | None = None
    confirmed_at: datetime | None = None
    """When the app last registered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDeviceList(Model):
    """The caller's devices, in the order in which they were registered."""

    devices: Sequence[PushDevice]
    application_server_key: str | None = None
    """What a browser subscribes under (`applicationServerKey` of the Push API, RFC 8292): a point of P-256,
    base64url. Absent where the operator has not set up Web Push.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours(Model):
    """From when until when nothing is shown that can wait, on the clock of `timeZone`. Over midnight where
    `until` is not later than `from`. What was held back is told when they end, if it is still so.
    """

    from_: str
    """HH:MM, 00:00 to 23:59."""
    until: str
    """The same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHoursInput(Model):
    """From when until when nothing is shown that can wait, on the clock of `timeZone`. Over midnight where
    `until` is not later than `from`. What was held back is told when they end, if it is still so.
    """

    from_: str
    """HH:MM, 00:00 to 23:59."""
    until: str
    """The same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount(Model):
    """ReasonCount."""

    failure_reason: FailureReason
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityCase(Model):
    """Something abnormal about somebody's access, as employees and agents see it."""

    case_id: str
    kind: str
    """VIN_ENUMERATION, FAILED_SIGN_INS, AGENT_VEHICLES, MANY_NETWORKS, UNLOCK_BURST, UNUSUAL_HOUR or
    IMPOSSIBLE_TRAVEL.
    """
    principal: str
    """Whose account is concerned; empty where none is."""
    evidence: str
    """What was seen."""
    restricted: bool
    """The account was restricted because of it."""
    acknowledged_by: str
    """Who has looked at it; empty until somebody does."""
    times: int
    """How often it was found while nobody had looked at it."""
    raised_at: datetime | None = None
    """When it was found last."""
    acknowledged_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityCaseList(Model):
    """SecurityCaseList."""

    cases: Sequence[SecurityCase]
    """What restricted an account first, then newest first; 200 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Severance(Model):
    """A person's access that was severed."""

    severance_id: str
    vin: str
    person: str
    evidence: str
    state: SeveranceState
    requested_at: datetime | None = None
    due_at: datetime | None = None
    """The end of the second business day (Monday to Friday) after that, by when the law wants it done. Present
    while it is IN_PROGRESS.
    """
    completed_at: datetime | None = None
    """When every service knew."""
    reversed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveranceRequest(Model):
    """A person whose access to the vehicle is to end, and why."""

    person: str
    """Whose: the `sub` of their tokens. Printable ASCII without spaces."""
    evidence: str
    """Where the evidence is kept (a court's or a police report's reference): one line of printable characters.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPushKeys(Model):
    """As `PushSubscription.toJSON()` gives them (RFC 8291): base64url."""

    p256dh: str
    """The browser's public key, an uncompressed point of P-256: 65 bytes."""
    auth: str
    """16 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Model):
    """One of the caller's webhooks."""

    webhook_id: str
    """The caller's own name for it."""
    url: str
    event_types: Sequence[str]
    """Empty: all types."""
    vehicles: Sequence[str]
    """Empty: all vehicles on which the caller has a right."""
    state: WebhookState
    description: str | None = None
    disabled_reason: WebhookDisabledReason | None = None
    """Present where it is DISABLED."""
    disabled_at: datetime | None = None
    """Present where it is DISABLED."""
    last_failure: str | None = None
    """What the URL did at the last failure since it last took something: a word, or STATUS_ and what it
    answered.
    """
    registered_at: datetime | None = None
    updated_at: datetime | None = None
    last_delivered_at: datetime | None = None
    """When the URL last took something."""
    secret: str | None = None
    """What signatures are made with, `whsec_` and base64: only in the answer to the request that made it."""
    previous_secret_until: datetime | None = None
    """Until when the secret before this one signs, too."""
    backlog: WebhookBacklog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookBacklog(Model):
    """What waits to be delivered."""

    waiting: int
    oldest_at: datetime | None = None
    """When the oldest of it happened. Absent where nothing waits."""
    next_attempt_at: datetime | None = None
    """When the next of it is tried. Absent where nothing waits, or the webhook is not ACTIVE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery(Model):
    """One event on its way to one webhook."""

    event_id: str
    """The `webhook-id` under which it is sent."""
    event_type: str
    status: WebhookDeliveryStatus
    attempts: int
    vin: str | None = None
    """Absent where it is about no vehicle."""
    occurred_at: datetime | None = None
    last_attempt_at: datetime | None = None
    response_status: int | None = None
    """The status that the URL answered at the last attempt. Absent where it answered nothing."""
    failure: str | None = None
    """What went wrong at the last attempt, in a word. Absent where nothing did."""
    next_attempt_at: datetime | None = None
    """Present with PENDING."""
    delivered_at: datetime | None = None
    """Present with DELIVERED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeliveryList(Model):
    """Deliveries, the newest event first."""

    deliveries: Sequence[WebhookDelivery]
    total: int
    """How many there are of this status, on all pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookList(Model):
    """The caller's webhooks, in the order in which they were registered."""

    webhooks: Sequence[Webhook]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReplay(Model):
    """From where on events are delivered once more: exactly one of both. Needs exactly one of after and since."""

    after: str | None = None
    """Those that came after this event of the webhook's: its `webhook-id`."""
    since: datetime | None = None
    """Those that happened at this time or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReplayResult(Model):
    """WebhookReplayResult."""

    replayed: int
    """So many are sent once more; at most 10,000 with one request."""
    has_more: bool
    """There are more: ask again, after the last of these."""
    last_event_id: str | None = None
    """The last of them, for the next request. Absent where there are none."""
