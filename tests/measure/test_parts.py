"""Parts: where they lie in an image."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.measure.parts import part_origins


@pytest.mark.parametrize(("length", "expected"), [(256, [0]), (257, [0, 1]), (384, [0, 128]), (512, [0, 128, 256])])
def test_parts_reach_from_edge_to_edge_and_overlap_by_half(length: int, expected: list[int]) -> None:
    assert part_origins((length, 256), 256).tolist() == [[top, 0] for top in expected]


def test_no_more_parts_along_an_axis_than_are_asked_for() -> None:
    for most, count in ((3, 3), (7, 7), (40, 15)):
        origin = part_origins((512, 300), 64, most)
        rows, columns = (np.unique(origin[:, axis]) for axis in (0, 1))
        assert (len(rows), len(columns)) == (count, min(most, 9))
        assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 448, 0, 236)
        assert np.ptp(np.diff(rows)) <= 1
        assert len(origin) == len(rows) * len(columns)
