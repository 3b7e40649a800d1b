"""Which addresses webhooks' URLs may lead to, and how what fails is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.notification.adapters.webhooks.urls import PrivateAddresses, UrlRules
from services.notification.domain.webhooks import (
    DisableRule,
    UrlRefusedError,
    pause_after,
    rest_after,
)

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
PRIVATE = [
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::ffff:10.0.0.1", "fd12:3456::1"),
    *("100.64.0.1", "100.127.255.255"),  # shared by a provider's customers
    *("169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"),  # link-local, and clouds' metadata
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"),
    *("240.0.0.1", "255.255.255.255", "::127.0.0.1"),
    *("2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::1"),  # 6to4
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"),  # NAT64
]
NEVER = ["0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "ff02::1"]  # to be refused


@pytest.mark.parametrize("private", list(PrivateAddresses))
def test_which_addresses_may_be_called(private: PrivateAddresses) -> None:
    rules = UrlRules(private)
    some, all_of_them = private is not PrivateAddresses.NONE, private is PrivateAddresses.ANY
    assert [each for each in PUBLIC if not rules.allows(each)] == []
    assert [each for each in LOOPBACK if rules.allows(each) is not some] == []
    judged = [each for each in PRIVATE if not each.startswith("64:ff9b")]
    assert [each for each in judged if rules.allows(each) is not all_of_them] == []
    assert [each for each in PRIVATE if each.startswith("64:ff9b") and rules.allows(each)] == []
    assert [each for each in NEVER if rules.allows(each)] == []


@pytest.mark.parametrize(
    ("url", "private", "expected"),
    [
        ("https://example.com/hook", "none", ("example.com", 443)),
        ("https://example.com:8443/hook?a=b", "none", ("example.com", 8443)),
        ("http://127.0.0.1:9000/hook", "loopback", ("127.0.0.1", 9000)),
        ("https://example.com:9999/hook", "loopback", ("example.com", 9999)),
        ("http://example.com:8080/hook", "loopback", ("example.com", 8080)),
        ("https://example.com:9999/hook", "none", None),
        ("http://127.0.0.1/hook", "loopback", None),
        ("http://example.com/hook", "none", None),
        ("https://example.com:25/", "loopback", None),
        ("https://example.com:99999/", "none", None),
        ("https://exämple.com/", "none", None),
        ("https://example.com\\@127.0.0.1/", "none", None),
        ("https:///hook", "none", None),
        ("ftp://example.com/", "any", None),
        ("https://example.com/ a", "none", None),
        ("https://example.com/" + "a" * 2_048, "none", None),
    ],
)
def test_which_urls_are_some(url: str, private: str, expected: tuple[str, int] | None) -> None:
    rules = UrlRules(PrivateAddresses(private))
    if expected is not None:
        assert rules.require(url) == expected
        return
    with pytest.raises(UrlRefusedError):
        rules.require(url)


def test_what_fails_is_tried_again_later_and_later_for_a_day() -> None:
    pauses = [pause_after(attempts, 0.5) for attempts in range(1, 20)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(seconds=5)
    within = [sum(pauses[:number], timedelta()) for number in range(1, 20)]
    assert sum(each < timedelta(hours=26) for each in within) == 11
    assert pause_after(1, 0.0) < pause_after(1, 1.0)
    assert rest_after(100, 0.5) == timedelta(minutes=15)
    assert rest_after(1, 0.5, 60.0) == timedelta(seconds=60)
    assert rest_after(1, 0.5, 1e12) == timedelta(hours=1)
    assert rest_after(1, 0.5, -5.0) == timedelta(seconds=5)


def test_it_is_given_up_after_many_failures_over_a_long_time() -> None:
    rule, now = DisableRule(20, timedelta(hours=24)), datetime(2027, 1, 1, tzinfo=UTC)
    assert not rule.is_met(19, now - timedelta(days=9), now)
    assert not rule.is_met(500, now - timedelta(hours=23), now)
    assert rule.is_met(20, now - timedelta(hours=24), now)
