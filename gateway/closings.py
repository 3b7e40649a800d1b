"""The codes with which a WebSocket is closed, and what each says to its client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.frames import CloseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOSE_SIGNED_OUT = 4401
"""What its client signed in with has ended: the token, the key or the account."""
CLOSE_RIGHT_ENDED = 4403
"""The right to the last vehicle that it was told of has ended."""
CLOSE_IDLE = 4408
"""It had no subscription for too long."""
CLOSE_TOO_OFTEN = 4429
"""It sent too many messages or frames."""
CLOSE_TOO_SLOW = int(CloseCode.TRY_AGAIN_LATER)
"""It does not read what it is sent."""

CLOSINGS: Mapping[int, str] = {
    CLOSE_SIGNED_OUT: "the token, the API key, the account or an agent's case has ended; the reason is "
    "`TOKEN_EXPIRED`, `TOKEN_INVALID` or `ACCOUNT_LOCKED`. Sign in, and resume",
    CLOSE_RIGHT_ENDED: "the right to the last vehicle it was subscribed to has ended",
    CLOSE_IDLE: "no subscription for {websocket_idle_seconds:g} s",
    CLOSE_TOO_OFTEN: "too many messages ({websocket_messages_per_minute} a minute) or frames "
    "({websocket_frames_per_minute} a minute)",
    CLOSE_TOO_SLOW: "the client does not read ({websocket_waiting_bytes:,} bytes wait, or something for "
    "{websocket_behind_seconds:g} s): come back with the last ids",
    int(CloseCode.GOING_AWAY): "this instance goes away: come back with the last ids",
    int(CloseCode.UNSUPPORTED_DATA): "a binary message",
    int(CloseCode.INVALID_DATA): "text that is no UTF-8",
    int(CloseCode.MESSAGE_TOO_BIG): "a message of more than {websocket_message_bytes:,} bytes",
    int(CloseCode.PROTOCOL_ERROR): "what RFC 6455 forbids",
    int(CloseCode.INTERNAL_ERROR): "no pong within {websocket_pong_seconds:g} s of a ping, which comes every "
    "{websocket_ping_seconds:g} s",
}
"""What each code says, with the settings' names where their values belong."""
