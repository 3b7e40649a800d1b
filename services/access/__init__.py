"""Who may do what with which vehicle: identity, grants, capabilities, rates, strict requests.

- Every request to the public passes here first (Envoy's ext_authz). What is let through carries a
  capability: the caller, the vehicle and the actions, signed, for at most a minute.
- A vehicle that does not exist and one that is not the caller's are told apart by nobody outside.
- Grants, their revocation, the audit row and the message to the other services commit together.
- A revoked grant is refused at once by this process, and within five seconds by every replica.
"""
