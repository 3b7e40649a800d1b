"""The arithmetic and the table."""

from __future__ import annotations

import os

import pytest

from bench.report import Figure, cost, percentile, render, render_markdown
from bench.usage import CpuMeter, CpuUsage, resident_mib


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(number) for number in range(1, 201)]
    assert percentile(ordered, 50) == 100
    assert percentile(ordered, 99) == 198
    assert percentile([7.0], 99) == 7


def test_the_cost_of_one_is_split_by_who_paid_it() -> None:
    spent = CpuUsage({"command": 2.0, "envoy": 0.5, "config": 0.001}, elsewhere=1.0, wall_seconds=4.0)
    figure = cost("command", spent, 1_000, load_seconds=0.05)
    assert figure.reached == "2.55 ms"
    assert figure.how == (
        "command 2.00 ms, envoy 500 us, load 50 us; the machine's other work took 25% of a core"
    )


def test_the_table_says_what_was_missed() -> None:
    table = render("Title", [Figure("a", "1/s", "so", ">= 2/s", met=False), Figure("b", "2", "thus")])
    assert table.splitlines()[0] == "Title"
    assert "MISSED" in table
    assert [line.split() for line in table.splitlines()[-2:]] == [["b", "2"], ["thus"]]


def test_the_table_can_be_pasted() -> None:
    table = render_markdown([Figure("  a", "1/s", "so", ">= 2/s", met=False), Figure("b", "2", "thus")])
    assert table.splitlines()[2:] == ["| a: so | 1/s | >= 2/s: **missed** |", "| b: thus | 2 |  |"]


def test_a_process_is_measured() -> None:
    meter = CpuMeter({"me": os.getpid()})
    assert meter.read(0.0).by_component["me"] >= 0
    assert resident_mib(os.getpid()) > 1


def test_a_process_that_has_gone_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        CpuMeter({"gone": 2**22 + 1})
