"""The command `python -m vehicle`: it makes a car's keys, or runs the cars that its settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vehicle.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOORS_CONTROL_PORT", "DOORS_VEHICLES_FILE", "DOORS_VEHICLE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_it_makes_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = tmp_path / "car.keys.pem", tmp_path / "car.public.pem"
    monkeypatch.setattr("sys.argv", ["vehicle", "keys", "--out", str(private), "--public", str(public)])
    main()
    assert private.read_text().count("PRIVATE KEY-----\n") == 4
    assert public.read_text().count("PUBLIC KEY-----\n") == 4
    with pytest.raises(SystemExit, match="is there already"):
        main()


def test_it_names_the_setting_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["vehicle"])
    with pytest.raises(SystemExit, match="DOORS_CONTROL_PORT is not set"):
        main()
