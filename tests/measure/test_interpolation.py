"""Interpolation: enlarged scans are told by their own pixels, and crystals along the axes are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch.nn import functional as F

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.measure.interpolation import own_pixels
from bravaismap.measure.whole_image import measure_whole

Draw = Callable[..., np.ndarray]


def noise(seed: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((side, side))


def enlarged(image: np.ndarray, side: int, way: str) -> np.ndarray:
    if way == "spline":
        return np.asarray(zoom(image, side / len(image), order=3))
    tensor = torch.from_numpy(image)[None, None]
    return np.asarray(F.interpolate(tensor, (side, side), mode=way, align_corners=False)[0, 0].numpy())


@pytest.mark.parametrize("way", ["bilinear", "bicubic", "spline"])
@pytest.mark.parametrize("own", [16, 24, 37, 64])
def test_enlarged_noise_has_its_own_pixels_again_and_no_lattice(way: str, own: int) -> None:
    small = noise(own, own)
    image = enlarged(small, 192, way)
    scan = own_pixels(image)
    assert scan is not None
    pitch = 191 / (own - 1) if way == "spline" else 192 / own
    assert scan.pitch == pytest.approx(pitch, rel=0.005)
    assert abs(len(scan.pixels) - own) <= 1
    inner = scan.pixels[1:-1, 1:-1]
    shifts = [(y, x) for y in range(own - len(inner) + 1) for x in range(own - len(inner) + 1)]
    likeness = [np.corrcoef(inner.ravel(), small[y:, x:][: len(inner), : len(inner)].ravel())[0, 1] for y, x in shifts]
    assert max(likeness) > 0.97
    row = bm.classify(image, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"


def test_levels_of_a_picture_do_no_harm() -> None:
    image = enlarged(noise(3, 32), 192, "bicubic")
    levels = np.round(127 + 40 * image).clip(0, 255)
    scan = own_pixels(levels)
    assert scan is not None
    assert scan.pitch == pytest.approx(6.0, rel=0.005)


@pytest.mark.parametrize("way", ["bicubic", "spline"])
def test_the_cell_is_that_of_the_enlarged_image(crystal: Draw, way: str) -> None:
    small = crystal((64, 64), basis_from_cell(6.0, 6.0, np.radians(60.0), 0.05), width=1.2) + 0.1 * noise(4, 64)
    image = enlarged(small, 256, way)
    assert own_pixels(image) is not None
    times = 255 / 63 if way == "spline" else 4.0
    a, b, gamma, _ = cell_from_basis(measure_whole(torch.from_numpy(image.astype(np.float32))).lattices[0].basis)
    assert (a, b) == pytest.approx((6.0 * times, 6.0 * times), rel=0.01)
    assert np.degrees(gamma) == pytest.approx(60, abs=1)


@pytest.mark.parametrize("period", [4.0, 7.0, 12.0, 16.0, 24.0, 31.0])
@pytest.mark.parametrize("share", [0.15, 0.25])
@pytest.mark.parametrize("dirt", [0.0, 0.05])
def test_crystals_along_the_axes_were_not_interpolated(crystal: Draw, period: float, share: float, dirt: float) -> None:
    for b, gamma in ((period, 90.0), (period, 60.0), (1.5 * period, 90.0)):
        image = crystal((192, 192), basis_from_cell(period, b, np.radians(gamma), 0.0), width=share * period)
        assert own_pixels(image + dirt * noise(5, 192)) is None


@pytest.mark.parametrize("image", [noise(1, 128), np.zeros((64, 64)), 1e30 * noise(2, 40), np.eye(128)])
def test_nothing_else_was_interpolated(image: np.ndarray) -> None:
    assert own_pixels(image) is None
