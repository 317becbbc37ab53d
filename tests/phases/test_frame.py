"""One frame mapped: nothing depends on how its windows are cut into parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bravaismap.classify.models import NetworkClassifier, load_model
from bravaismap.errors import InputError
from bravaismap.phases.frame import FrameMapper
from bravaismap.simulate.windows import simulate
from bravaismap.windows import window_grid

WINDOW_BYTES = 4 * 64**2


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """Return a frame of 128 × 112 px with a constant corner."""
    frame = simulate(1, "realistic", seed=3)["image"].values[0, :, :112].astype(np.float32)
    frame[:80, :80] = 7
    return frame


@pytest.mark.parametrize("at_once", [1, 2, 7])
@pytest.mark.parametrize("name", ["lattice", "quick"])
def test_parts_of_a_frame_do_not_matter(
    frame: np.ndarray, quick: NetworkClassifier, monkeypatch: pytest.MonkeyPatch, name: str, at_once: int
) -> None:
    model = quick if name == "quick" else load_model(name)
    mapper = FrameMapper(window_grid(frame.shape, 64, 16), model, 20, 3, 0.05)
    whole = mapper(0, frame)
    monkeypatch.setattr("bravaismap.phases.frame.WINDOW_BYTES", at_once * WINDOW_BYTES)
    parts = mapper(0, frame)
    assert set(parts.variables) == set(whole.variables)
    for variable, values in whole.variables.items():
        np.testing.assert_allclose(parts.variables[variable], values, rtol=2e-4, atol=1e-5, err_msg=variable)
    assert whole.variables["probability"].shape == (5, 4, 6)
    assert not whole.constant


@pytest.mark.parametrize("name", ["lattice", "quick"])
def test_frames_together_on_a_device_are_mapped_as_one_by_one(
    frame: np.ndarray, quick: NetworkClassifier, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    frames = np.stack([frame, frame[::-1], np.full_like(frame, 7), frame[:, ::-1]])
    frames[1, :90, :90] = np.nan
    frames[3] = np.nan
    grid = window_grid(frame.shape, 64, 16)
    one_by_one = FrameMapper(grid, quick if name == "quick" else load_model(name), 20, 3, 0.05)
    # a name that is not that of the processor, though it computes there
    together = replace(one_by_one, classifier=replace(one_by_one.classifier, device="cpu:0"))
    monkeypatch.setattr("bravaismap.phases.frame.images_together", lambda pixels, device: 3)
    numbers = [4, 9, 2, 3]
    mapped = list(together.mapped(zip(numbers, frames, strict=True)))
    assert [index for index, _ in mapped] == numbers
    for (index, found), pixels in zip(mapped, frames, strict=True):
        expected = one_by_one(index, pixels)
        assert (found.constant, found.missing) == (expected.constant, expected.missing)
        for variable, values in expected.variables.items():
            if variable != "basis":  # of equivalent bases either may be chosen
                np.testing.assert_allclose(
                    found.variables[variable], values, rtol=2e-4, atol=1e-5, err_msg=f"{variable} of {index}"
                )


def test_frames_are_checked_and_filled(frame: np.ndarray) -> None:
    grid = window_grid(frame.shape, 64, 48)
    damaged = frame.copy()
    damaged[100, 3] = np.nan
    with pytest.raises(InputError, match=r"1 NaN.*frame 9"):
        FrameMapper(grid, load_model("lattice"), 0, 0, None, "raise")(9, damaged)
    filled = FrameMapper(grid, load_model("lattice"), 0, 0, None, "fill")(9, damaged)
    assert np.isfinite(filled.variables["fraction"]).all()
    assert FrameMapper(grid, load_model("lattice"), 0, 0, None)(0, np.ones_like(frame)).constant
