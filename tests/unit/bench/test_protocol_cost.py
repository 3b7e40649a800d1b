"""The rig of the protocol's cost accepts what it measures, and the table says what was missed."""

from __future__ import annotations

import pytest

from bench import protocol_cost
from bench.protocol_cost import ProtocolCost, figures_of, measure_protocol


def test_every_step_is_done_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_cost, "_TIMES", 2)
    cost = measure_protocol()
    assert len(cost.steps) == 6
    assert cost.command == pytest.approx(sum(cost.steps.values()))
    assert cost.command > 0


def test_what_plain_messages_cost_is_not_the_protocols() -> None:
    command, report = figures_of(ProtocolCost({"sign": 300.0, "seal": 210.0}, 20.0, 21.0, 5.0))
    assert (command.reached, command.met) == ("490 us", True)
    assert (report.reached, report.met) == ("21.0 us", False)
