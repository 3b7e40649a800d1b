"""The end-to-end protocol between the cloud and a vehicle: the one package both sides import.

It is described for people in docs/vehicle-protocol.md. It does no I/O: state goes through the ports
VehicleMemory, CloudStore, Enrolment and ReportSessions, time and keys are passed in. Every message that
is not to be accepted raises the one exception MessageRefusedError, with a Fault (on the vehicle: Faulted).

- `cloud_side.ReplayGuard`: `reserve_slot` and `issue` (command, cancellation, settings), `challenge`, `learn`,
`admit`: one
  transaction each; `cloud_side.AnswerReader`: `hello`, `answer`, without state.
- `signing`: `sign_order`, `sign_session_request`, where the signing key is; `seal.seal` before it leaves.
- `vehicle_side.VehicleSide`: `open_order` -> Accepted | Known | Faulted, `open_challenge`,
  `open_manifest`; `seal_hello`, `seal_answer`, `seal_report`.
- `reports.ReportOpener`: `open`, `taken` and `invalidate`, the cloud's side of status and diagnostics reports.
- `manifest.Trust`, `manifest.endorse`: which keys of the cloud a vehicle accepts.
- `session_record`: a session as text, for a service's database.

Below them: `cose` (signatures), `seal` (HPKE), `session` and `window` (epochs and counters), `order`,
`keys`, `domains`, `faults`.

`broker` names the subjects and streams, `streams` tells JetStream of them.
"""
