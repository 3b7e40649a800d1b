"""The names of RFC 8693, and those of the two things that an agent can show for acting for a customer."""

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # a name
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a name
SPOKEN_CODE = "urn:ecarus:token-type:spoken-code"
"""A code that the customer's own device showed, and that the customer has told the agent."""
APPROVED_CASE = "urn:ecarus:token-type:approved-case"
"""The number of a case that a second agent has approved."""
EXCHANGED_SECONDS = 300
