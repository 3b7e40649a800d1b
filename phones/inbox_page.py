"""The page that shows the phones: plain HTML, no inline script and no inline style."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from phones.directory import Phone, PhoneDirectory


def inbox_page(directory: PhoneDirectory, host: str) -> HTMLResponse:
    """Return the page. Its script asks for it again and shows what is new. `host` is where it was asked for."""
    body = "".join(_phone(each) for each in directory)
    if not body:
        line = f'curl -X POST http://{host}/phones -d \'{{"name": "mine", "kind": "FCM"}}\''
        body = f"<p>There is no phone yet. Make one:</p><pre>{escape(line)}</pre>"
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Phones</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/static/phones.css">'
        '<script src="/static/phones.js" type="module"></script></head>'
        f'<body><h1>Phones</h1><main id="phones" aria-live="polite">{body}</main></body></html>'
    )


def _phone(phone: Phone) -> str:
    messages = "".join(_message(each) for each in reversed(phone.received))
    return (
        f"<section><h2>{escape(phone.name)} <small>{escape(phone.kind)}, {phone.count} received</small></h2>"
        f"<ol reversed>{messages}</ol></section>"
    )


def _message(message: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(message["receivedAt"], UTC).strftime("%H:%M:%S")
    unreadable = message.get("unreadable")
    text = f"unreadable: {unreadable}" if unreadable else str(message["body"])
    urgent = " <em>urgent</em>" if message["isUrgent"] else ""
    return (
        f"<li><h3>{escape(str(message['title']))}</h3><p>{escape(text)}</p>"
        f"<p><time>{when} UTC</time>{urgent} <code>{escape(str(message['data']))}</code></p></li>"
    )
