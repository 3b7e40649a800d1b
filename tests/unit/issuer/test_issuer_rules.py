"""What a sign-in amounts to, how many failures are borne, and where the issuer starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from issuer.authentication import ONE_FACTOR, TWO_FACTORS, Demand, Factors
from issuer.limits import (
    MANDATE_TRY,
    PASSWORD_TRY,
    SECOND_FACTOR_TRY,
    FailureLimits,
    RequestRates,
    TooManyFailuresError,
)
from issuer.sessions import DemandMalformedError, demand_in
from issuer.settings import IssuerSettingsRefusedError, read_settings

ROOT = Path(__file__).resolve().parents[3]
NOW = 1_800_000_000
STRONG = Demand((TWO_FACTORS,))


def factors(**ago: int) -> Factors:
    return Factors({method: NOW - seconds for method, seconds in ago.items()})


@pytest.mark.parametrize(
    ("shown", "demand", "acr", "age"),
    [
        (factors(pwd=10), Demand(), ONE_FACTOR, 10),
        (factors(pwd=10), STRONG, None, 0),
        (factors(pwd=10, otp=5), STRONG, TWO_FACTORS, 10),
        (factors(pwd=10, otp=5), Demand((ONE_FACTOR,)), TWO_FACTORS, 10),
        (factors(pwd=400, otp=5), Demand((TWO_FACTORS,), 300), None, 0),
        (factors(otp=5), Demand(), None, 0),
        (factors(pop=5), STRONG, TWO_FACTORS, 5),
        (factors(pwd=4_000, pop=5), Demand((TWO_FACTORS,), 300), TWO_FACTORS, 5),
        (factors(pwd=28_801), Demand(), None, 0),
        (factors(pwd=10), Demand(max_age_seconds=0, asked_at=NOW - 9), None, 0),
        (factors(pwd=9, otp=1), Demand((TWO_FACTORS,), 0, asked_at=NOW - 9), TWO_FACTORS, 9),
        (factors(pwd=10), Demand(prompt="login", asked_at=NOW - 9), None, 0),
        (factors(pwd=9), Demand(prompt="login", asked_at=NOW - 9), ONE_FACTOR, 9),
        (factors(pwd=10), Demand(("urn:other", TWO_FACTORS)), None, 0),
        (factors(pwd=10), Demand(("urn:other",)), ONE_FACTOR, 10),
        (Factors(), Demand(), None, 0),
    ],
)
def test_what_a_sign_in_amounts_to(shown: Factors, demand: Demand, acr: str | None, age: int) -> None:
    said = shown.satisfy("user-123", demand, NOW)
    assert (said and said.acr) == acr
    if said is not None:
        assert said.auth_time == NOW - age


@pytest.mark.parametrize(
    "wrong",
    [{"max_age": "x"}, {"max_age": "-1"}, {"max_age": "9" * 12}, {"prompt": "x"}, {"acr_values": "a " * 11}],
)
def test_demands_that_are_none(wrong: dict[str, str]) -> None:
    with pytest.raises(DemandMalformedError):
        demand_in(wrong, NOW)


def test_failures_are_counted_where_they_come_from() -> None:
    at = [0.0]
    limits = FailureLimits(lambda: at[0])
    for _ in range(5):
        limits.begin(PASSWORD_TRY, "user-123", "guesser")
    with pytest.raises(TooManyFailuresError):
        limits.begin(PASSWORD_TRY, "user-123", "guesser")
    limits.was_right(
        limits.begin(PASSWORD_TRY, "user-123", "home")
    )  # the owner's own device is not locked out
    limits.was_right(limits.begin(PASSWORD_TRY, "user-456", "guesser"))
    for n in range(45):
        limits.begin(PASSWORD_TRY, f"name-{n}", "guesser")
    with pytest.raises(TooManyFailuresError):
        limits.begin(PASSWORD_TRY, "user-456", "guesser")
    at[0] = 301
    limits.begin(PASSWORD_TRY, "user-123", "guesser")
    for n in range(20_000):
        limits.begin(PASSWORD_TRY, f"name-{n}", f"address-{n}")
    assert len(limits._failures) <= 10_000


def test_one_secret_that_is_known_gives_no_more_tries_at_another() -> None:
    limits = FailureLimits(lambda: 0.0)
    for _ in range(5):
        limits.was_right(limits.begin(PASSWORD_TRY, "user-123", "thief"))
        limits.begin(SECOND_FACTOR_TRY, "user-123", "thief")
    limits.was_right(limits.begin(PASSWORD_TRY, "user-123", "thief"))
    with pytest.raises(TooManyFailuresError):
        limits.begin(SECOND_FACTOR_TRY, "user-123", "thief")


def test_what_was_right_is_not_counted() -> None:
    limits = FailureLimits(lambda: 0.0)
    for _ in range(200):
        limits.was_right(limits.begin(PASSWORD_TRY, "user-123", "home"))
        limits.was_right(limits.begin(MANDATE_TRY, "agent-7", "desk"), clear=False)
    for _ in range(5):
        limits.begin(MANDATE_TRY, "agent-7", "desk")
    with pytest.raises(TooManyFailuresError):
        limits.begin(MANDATE_TRY, "agent-7", "desk")


def test_of_many_tries_at_once_no_more_than_the_limit_are_looked_at() -> None:
    limits, begun = FailureLimits(lambda: 0.0), threading.Barrier(20)

    def guess(_number: int) -> bool:
        begun.wait(timeout=60)
        try:
            limits.begin(SECOND_FACTOR_TRY, "user-123", "guesser")
        except TooManyFailuresError:
            return False
        return True

    with ThreadPoolExecutor(20) as guessers:
        assert sum(guessers.map(guess, range(20))) == 5


def test_one_address_asks_only_so_often() -> None:
    at = [0.0]
    rates = RequestRates(lambda: at[0])
    assert sum(rates.allows("a") for _ in range(1_000)) == 300
    assert rates.allows("b")
    at[0] += 1
    assert sum(rates.allows("a") for _ in range(1_000)) == 50


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "file"
    file.write_text("x")
    return {
        "DOORS_PROFILE": "sandbox",
        "DOORS_ISSUER_URL": "http://localhost:8700",
        "DOORS_ISSUER_PORT": "8700",
        "DOORS_ISSUER_KEY": str(file),
        "DOORS_ISSUER_JWKS": str(file),
        "DOORS_ISSUER_SEED": str(file),
        "DOORS_ISSUER_DATABASE": str(tmp_path / "db"),
        "DOORS_TOKEN_AUDIENCE": "remote-door-control",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOORS_PROFILE", "production"),
        ("DOORS_PROFILE", ""),
        ("DOORS_ISSUER_URL", "https://issuer.example"),
        ("DOORS_ISSUER_URL", "http://0.0.0.0:8700"),
        ("DOORS_ISSUER_PORT", "80"),
        ("DOORS_ISSUER_KEY", "/nowhere"),
        ("DOORS_ISSUER_TOKEN_SECONDS", "59"),
        ("DOORS_ISSUER_TOKEN_SECONDS", "3601"),
    ],
)
def test_it_starts_in_the_sandbox_only_and_as_it_should(
    environment: dict[str, str], name: str, value: str
) -> None:
    assert read_settings(environment).issuer_token_seconds == 600
    with pytest.raises(IssuerSettingsRefusedError, match=name):
        read_settings({**environment, name: value})


def test_outside_of_the_sandbox_the_process_says_why_and_ends(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "issuer"],
        cwd=ROOT,
        env={**environment, "DOORS_PROFILE": "production", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "DOORS_PROFILE=sandbox only" in done.stderr
