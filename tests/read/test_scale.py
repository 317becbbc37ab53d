"""The scale of what was read: sides that differ, sizes that are given, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.read.arrays import in_memory
from bravaismap.read.scale import MOST_ELONGATED, scale_of
from bravaismap.read.signal import Axis, Signal

PATH = Path("a.tif")


def signal(height: float | None, width: float | None, unit: str = "nm") -> Signal:
    return in_memory("a", np.zeros((4, 5)), (Axis("y", height, unit), Axis("x", width, unit)))


def test_square_pixels_are_taken_as_they_are() -> None:
    assert scale_of(signal(0.2, 0.2, "Å"), PATH, None, None)[:3] == (pytest.approx(0.02), None, 1.0)
    assert scale_of(signal(None, 0.02), PATH, None, None)[:3] == (0.02, None, 1.0)
    assert scale_of(signal(None, None), PATH, None, 2.0) == (None, 2.0, 1.0, {"frame_time_from": "given"})


@pytest.mark.parametrize("aspect", [1.5, 1 / 1.5, 0.99 * MOST_ELONGATED, 1.01 / MOST_ELONGATED])
def test_the_shorter_side_is_that_of_square_pixels(aspect: float) -> None:
    height, width = 0.01 * np.sqrt(aspect), 0.01 / np.sqrt(aspect)
    with pytest.warns(BravaismapWarning, match="resampled to square ones"):
        scale = scale_of(signal(height, width), PATH, None, None)
    assert scale.size == pytest.approx(min(height, width))
    assert scale.aspect == pytest.approx(aspect)
    assert scale.sources == {
        "pixel_size_from": "file", "pixel_height_nm": pytest.approx(height), "pixel_width_nm": pytest.approx(width),
    }  # fmt: skip


def test_a_given_size_makes_pixels_square() -> None:
    scale = scale_of(signal(0.03, 0.02), PATH, 0.05, None)
    assert scale[:3] == (0.05, None, 1.0)
    assert scale.sources == {"pixel_size_from": "given"}


@pytest.mark.parametrize("given", [0.0, -1.0, np.nan, np.inf])
def test_what_is_no_size_or_time(given: float) -> None:
    with pytest.raises(InputError, match="pixel size"):
        scale_of(signal(None, None), PATH, given, None)
    with pytest.raises(InputError, match="frame time"):
        scale_of(signal(None, None), PATH, None, given)
