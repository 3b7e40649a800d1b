"""What the mesh reads and says beside the components."""

from __future__ import annotations

import pytest

from mesh.housekeeping import low_space_bytes
from services.platform.space import LOW_SPACE_BYTES


def test_the_rooms_low_space_is_the_mesh_s() -> None:
    assert low_space_bytes(None) == low_space_bytes("") == LOW_SPACE_BYTES
    assert low_space_bytes("2097152") == 2_097_152


@pytest.mark.parametrize("wrong", ["0", "1048575", "-5", "much", "1e9"])
def test_low_space_out_of_bounds_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="DOORS_LOW_SPACE_BYTES"):
        low_space_bytes(wrong)
