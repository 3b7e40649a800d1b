"""The pages that people see: plain HTML, no inline script and no inline style."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from issuer.accounts import EnrolledFactors
    from issuer.sessions import BrowserSession

REFUSED = "That was not accepted. Check what you entered and try again."
TOO_MANY = "There were too many tries. Wait five minutes."
_NO_FACTORS = "<p>Your account has no second factor yet.</p>"


def page(title: str, body: str, *, status: int = 200, target: str = "") -> HTMLResponse:
    """Return a page. `target` is where a form's answer may lead to, besides here."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"form-action 'self'{_origin_of(target)}; frame-ancestors 'none'; base-uri 'none'"
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/static/issuer.css">'
        f"</head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return HTMLResponse(text, status, {"content-security-policy": policy})


def _origin_of(target: str) -> str:
    parts = urlsplit(target)
    if not parts.scheme:
        return ""
    return f" {parts.scheme}://{parts.netloc}" if parts.netloc else f" {parts.scheme}:"


def error_page(text: str, status: int = 400) -> HTMLResponse:
    """Return what went wrong where nothing can be told to the client."""
    return page("This does not work", f"<p>{escape(text)}</p>", status=status)


def _csrf(browser: BrowserSession) -> str:
    return f'<input type="hidden" name="csrf" value="{escape(browser.csrf)}">'


def _said(text: str) -> str:
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def _passkey_button(browser: BrowserSession, action: str, words: str) -> str:
    return (
        f'<button type="button" id="passkey" data-action="{action}" data-csrf="{escape(browser.csrf)}">'
        f'{escape(words)}</button><p id="passkey-said" role="alert"></p>'
        '<script src="/static/passkey.js" defer></script>'
    )


def password_page(
    browser: BrowserSession, factors: EnrolledFactors | None, *, said: str = "", status: int = 200
) -> HTMLResponse:
    """Return the form for name and password; who is known may use a passkey instead."""
    name = escape(browser.account or "")
    body = (
        f'{_said(said)}<form method="post" action="/sign-in">{_csrf(browser)}'
        f'<label>Name <input name="name" value="{name}" autocomplete="username" maxlength="128" required></label>'
        '<label>Password <input type="password" name="password" autocomplete="current-password" maxlength="256" '
        "required></label><button>Sign in</button></form>"
    )
    if factors is not None and factors.passkeys:
        body += _passkey_button(browser, "/sign-in/passkey", "Use a passkey")
    return page("Sign in", body, status=status, target=_target(browser))


def second_factor_page(
    browser: BrowserSession, factors: EnrolledFactors, *, said: str = "", status: int = 200
) -> HTMLResponse:
    """Return the form for a code, and the button for a passkey, as far as there are such."""
    body = _said(said)
    if factors.totp:
        body += (
            f'<form method="post" action="/sign-in/totp">{_csrf(browser)}'
            '<label>Code of your app <input name="code" inputmode="numeric" autocomplete="one-time-code" '
            'maxlength="6" required></label><button>Go on</button></form>'
        )
    if factors.passkeys:
        body += _passkey_button(browser, "/sign-in/passkey", "Use a passkey")
    return page("Second factor", body or _NO_FACTORS, status=status, target=_target(browser))


def account_page(
    browser: BrowserSession, factors: EnrolledFactors, *, said: str = "", uri: str = ""
) -> HTMLResponse:
    """Return what the account has and what can be added. `uri` is a new TOTP secret's, shown once."""
    body = (
        f"{_said(said)}<p>{escape(browser.account or '')}: "
        f"{'an app for codes' if factors.totp else 'no app for codes'}, passkeys: {factors.passkeys}.</p>"
    )
    if uri:
        body += (
            f"<p>Enter this in your app, then its code: <code>{escape(uri)}</code></p>"
            f'<form method="post" action="/account/totp/confirm">{_csrf(browser)}'
            '<label>Code <input name="code" inputmode="numeric" maxlength="6" required></label>'
            "<button>Confirm</button></form>"
        )
    else:
        body += f'<form method="post" action="/account/totp">{_csrf(browser)}<button>New app for codes</button></form>'
    body += _passkey_button(browser, "/account/passkey", "Add a passkey")
    body += f'<form method="post" action="/sign-out">{_csrf(browser)}<button>Sign out</button></form>'
    return page("Your account", body)


def _target(browser: BrowserSession) -> str:
    return (browser.request or {}).get("redirect_uri", "")
