"""Whose pages may call us: what the setting takes, what it refuses, and what it then lets through."""

from __future__ import annotations

import re

import pytest

from services.platform.origins import LOOPBACK, MOST, OriginAllowlist, allowlist_of

SANDBOX = ",".join(LOOPBACK)


@pytest.mark.parametrize("text", ["", " ", "none", " None ", ","])
def test_none_is_none(text: str) -> None:
    assert allowlist_of(text) == OriginAllowlist()
    assert str(allowlist_of(text)) == "none"


@pytest.mark.parametrize(
    ("text", "origin", "is_allowed"),
    [
        ("https://app.example.com", "https://app.example.com", True),
        ("https://App.Example.com", "https://app.example.com", True),
        ("https://a.example, https://b.example:8443", "https://b.example:8443", True),
        ("https://app.example.com", "https://app.example.com:8443", False),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com.evil.example", False),
        ("https://app.example.com", "https://appxexample.com", False),
        ("https://app.example.com", "null", False),
        ("https://app.example.com", "", False),
        ("none", "none", False),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://localhost:3000", "http://localhost:3001", False),
        (SANDBOX, "http://localhost:1", True),
        (SANDBOX, "http://127.0.0.1:65535", True),
        (SANDBOX, "http://localhost", True),
        (SANDBOX, "https://localhost:3000", False),
        (SANDBOX, "http://localhost:", False),
        (SANDBOX, "http://localhost:3000:3000", False),
        (SANDBOX, "http://localhost:3000\n", False),
        (SANDBOX, "http://localhost:3000/", False),
        (SANDBOX, "http://localhost.evil.example:3000", False),
        (SANDBOX, "http://127.0.0.2:3000", False),
        (SANDBOX, "http://127a0a0a1:3000", False),
    ],
)
def test_an_origin_is_one_of_them_or_it_is_not(text: str, origin: str, is_allowed: bool) -> None:
    allowed = allowlist_of(text)
    assert allowed.allows(origin) is is_allowed
    assert allowlist_of(str(allowed)) == allowed
    if allowed != OriginAllowlist():
        assert (re.fullmatch(allowed.pattern, origin) is not None) is is_allowed


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "https://*",
        "https://*.example.com",
        "app.example.com",
        "ftp://app.example.com",
        "file:///home",
        "null",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?query",
        "https://user@app.example.com",
        "https://app.example.com:*",
        "http://localhost:*:1",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:443",
        "http://localhost:80",
        "http://app.example.com",
        "https://-a.example",
        "https://a..example",
        'https://a.example"',
        "https://ä.example",
        "https://a.example,none",
        ",".join(f"https://a{n}.example" for n in range(MOST + 1)),
        "https://" + "a" * 5_000,
    ],
)
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must|no origin"):
        allowlist_of(wrong)


def test_as_many_as_there_may_be() -> None:
    most = [f"https://a{n}.example" for n in range(MOST)]
    assert allowlist_of(",".join(most)).exact == frozenset(most)
