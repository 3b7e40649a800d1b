"""What speaks the vehicle protocol on the cloud's side, for the services that do.

It is no service: it stands beside the platform, which knows no vehicle, until a telematics service takes it and is the
only one to speak the protocol.

- `settings`: what a service that speaks with vehicles is told, beside what every service is.
- `keys`: which keys are a vehicle's, asked of enrolment and remembered until they change.
- `sessions`: the epochs and counters of vehicles in a service's own database.
- `messages`, `reports`, `rules`: what arrives, judged: ingested, waited for, or a dead letter.
- `broker`: the connection to the broker, with the streams and consumers of `protocol`.
- `senders`, `quotas`: whose message is whose, and what one vehicle may send, so that none stops the others.
- `order_mac`, `order_signer`, `signing_again`: orders on their way to the signer, and again to a vehicle out of step.
- `refused_reports`, `refusal_hints`: what was not taken of a vehicle's reports, told to it.
- `manifest_files`: the endorsed manifests of the cloud's keys.
"""
