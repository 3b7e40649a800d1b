"""The sandbox's authorization server: OAuth 2.1 for development, on authlib and joserfc.

It signs people in for real (password, TOTP, passkeys) and says in its tokens what was done. It is no product: it starts
in the sandbox profile only, and production names its own provider (DOORS_TOKEN_DISCOVERY_URL of the access service).
"""
