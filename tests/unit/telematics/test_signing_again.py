"""How often an order that is refused as out of step is signed again."""

from __future__ import annotations

from itertools import pairwise

from services.telematics.signing_again import PAUSES_SECONDS, SigningAgain


def test_a_vehicle_that_refuses_every_copy_gets_few() -> None:
    now = 0.0
    again = SigningAgain(lambda: now)
    signed: list[float] = []
    for tick in range(60 * 20):  # each copy is refused at once, for a minute
        now = tick / 20
        if tick == 0 or signed:
            again.refused("cmd-1")
            again.refused("cmd-1")
        signed += [now for _ in again.take_due()]
    assert len(signed) == len(PAUSES_SECONDS)
    pauses = [after - before for before, after in pairwise(signed)]
    assert pauses == sorted(pauses)
    assert signed[0] == 0.0


def test_one_order_takes_no_turn_from_another() -> None:
    now = 0.0
    again = SigningAgain(lambda: now)
    for _ in range(100):
        again.refused("cmd-1")
        again.take_due()
        now += 20
    again.refused("cmd-2")
    assert again.take_due() == ["cmd-2"]
    assert again.take_due() == []
