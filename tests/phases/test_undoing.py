"""Undoing: frames are freed of what the instrument did to them as a whole, and it is said which ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import bravaismap as bm
from bravaismap.errors import BravaismapWarning
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.phases.undoing import undone, warn_undone, without_own_pixels, without_pickup_of
from bravaismap.result.undone import Undone

SIDE = 160


@pytest.fixture
def frame(crystal: Callable[..., np.ndarray]) -> np.ndarray:
    """A square crystal with noise."""
    image = crystal((SIDE, SIDE), basis_from_cell(9.0, 9.0, np.radians(90), np.radians(17)))
    return np.asarray(image / image.std() + 0.3 * np.random.default_rng(1).standard_normal((SIDE, SIDE)))


@pytest.fixture
def hum() -> np.ndarray:
    """A wave of 6.9 px, stronger than the crystal."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(1.5 * np.sin(2 * np.pi * (0.046 * x - 0.137 * y)))


def test_windows_and_pixels_of_a_frame_with_hum_show_its_crystal(frame: np.ndarray, hum: np.ndarray) -> None:
    with pytest.warns(
        BravaismapWarning, match=r"a wave of 6\.9\d px beside any lattice runs through 1 frame \(frame 1\)"
    ):
        result = bm.map_phases(np.stack([frame, frame + hum]), window=64, step=16)
    square = result["lattice"].values.tolist().index("square")
    assert (result["label"].values == square).all()
    np.testing.assert_allclose(result["a"].values, 9.0, rtol=0.02)
    assert float(result["area_fraction"][1, square]) > 0.99


def test_what_is_undone_is_said_and_a_frame_without_faults_is_itself(frame: np.ndarray, hum: np.ndarray) -> None:
    image, done = undone(frame)
    assert image is frame
    assert done == Undone()
    assert not done.changed
    quiet, done = undone(frame + hum)
    assert done == Undone(pickup=pytest.approx(6.92, rel=0.01))
    assert (quiet - frame).std() < 0.1 * hum.std()
    given = frame + hum
    given[40:50, 40:50] = np.nan
    quiet = without_pickup_of(given)
    np.testing.assert_array_equal(np.isnan(quiet), np.isnan(given))
    assert np.nanstd(quiet - frame) < 0.1 * hum.std()
    assert without_pickup_of(frame) is frame


def test_frames_of_which_something_is_undone_are_counted() -> None:
    with pytest.warns(BravaismapWarning) as caught:
        warn_undone({4: Undone((0.0, 1.5), 7.25), 2: Undone((0.0, 0.5)), 9: Undone((-0.75, 0.0))})
    assert [str(one.message) for one in caught] == [
        "the odd columns of 1 frame (frame 9) were displaced by -0.75 px along y: moved back",
        "the odd rows of 2 frames (frame 2, 4) were displaced by 0.50 to 1.50 px along x: moved back",
        "a wave of 7.25 px beside any lattice runs through 1 frame (frame 4), as mains hum does: taken out",
    ]


def test_windows_do_not_see_the_pixels_of_noise_that_was_enlarged() -> None:
    rng = np.random.default_rng(7)
    noise = torch.from_numpy(rng.standard_normal((1, 1, 48, 48)))
    frame = F.interpolate(noise, (256, 256), mode="bilinear", align_corners=False)[0, 0].numpy()
    result = bm.map_phases(frame[None], window=64, step=32, model="lattice", samples=0, pixels=False)
    assert float((result["label"] == 5).mean()) > 0.9
    plain = rng.standard_normal((128, 128))
    assert without_own_pixels(plain) is plain
