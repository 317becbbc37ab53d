"""Interpolation: enlarged scans are told by their own pixels, and crystals along the axes are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from torch.nn import functional as F

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.measure import settings
from bravaismap.measure.interpolation import own_scans
from bravaismap.measure.measurement import measure
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
    pitch = 191 / (own - 1) if way == "spline" else 192 / own
    scan = min(own_scans(image, 32), key=lambda scan: abs(scan.pitch - pitch))
    assert scan.pitch == pytest.approx(pitch, rel=0.005)
    assert min(scan.image.shape) >= max(32, own - 1)
    places = (np.arange(192) + 0.5) * len(scan.image) / 192 - 0.5
    again = map_coordinates(scan.image, np.meshgrid(places, places, indexing="ij"), order=3, mode="nearest")
    assert np.corrcoef(gaussian_filter(again, pitch).ravel(), gaussian_filter(image, pitch).ravel())[0, 1] > 0.95
    waves = np.abs(dctn(scan.image, norm="ortho"))
    assert waves[own + 1 :].max(initial=0) < 1e-9 * waves.max()
    assert waves[:, own + 1 :].max(initial=0) < 1e-9 * waves.max()
    row = bm.classify(image, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"


@pytest.mark.parametrize(("own", "side"), [(12, 128), (14, 128), (20, 256), (24, 192)])
@pytest.mark.parametrize("blur", [0.6, 1.5, 2.5])
def test_a_few_pixels_of_blurred_noise_are_no_lattice(own: int, side: int, blur: float) -> None:
    image = enlarged(gaussian_filter(noise(own, own), blur, mode="wrap"), side, "bicubic")
    row = bm.classify(image, samples=0, model="lattice").isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"


def test_levels_of_a_picture_do_no_harm() -> None:
    image = enlarged(noise(3, 32), 192, "bicubic")
    levels = np.round(127 + 40 * image).clip(0, 255)
    scan = own_scans(levels, 32)[0]
    assert scan.pitch == pytest.approx(6.0, rel=0.005)


@pytest.mark.parametrize("way", ["bicubic", "spline"])
def test_the_cell_is_that_of_the_enlarged_image(crystal: Draw, way: str) -> None:
    small = crystal((64, 64), basis_from_cell(6.0, 6.0, np.radians(60.0), 0.05), width=1.2) + 0.1 * noise(4, 64)
    image = enlarged(small, 256, way)
    assert own_scans(image, 32)
    times = 255 / 63 if way == "spline" else 4.0
    a, b, gamma, _ = cell_from_basis(measure_whole(torch.from_numpy(image.astype(np.float32))).lattices[0].basis)
    assert (a, b) == pytest.approx((6.0 * times, 6.0 * times), rel=0.01)
    assert np.degrees(gamma) == pytest.approx(60, abs=1)


@pytest.mark.parametrize("period", [4.0, 7.0, 12.0, 16.0, 24.0, 31.0])
@pytest.mark.parametrize("share", [0.15, 0.25])
@pytest.mark.parametrize("dirt", [0.0, 0.05])
def test_crystals_along_the_axes_show_in_the_pixels_of_any_scan(
    crystal: Draw, period: float, share: float, dirt: float
) -> None:
    for b, gamma in ((period, 90.0), (period, 60.0), (1.5 * period, 90.0)):
        image = crystal((192, 192), basis_from_cell(period, b, np.radians(gamma), 0.0), width=share * period)
        scans = own_scans(image + dirt * noise(5, 192), 32)
        assert not (dirt and scans)  # without noise a crystal can be what pixels of a part of its period hold
        for scan in scans:
            measured = measure(torch.from_numpy(scan.image.astype(np.float32))[None])
            assert float(measured.evidence) > 2 * settings.SETTINGS.odds.even_evidence


@pytest.mark.parametrize("image", [noise(1, 128), np.zeros((64, 64)), 1e30 * noise(2, 40), np.eye(128)])
def test_nothing_else_was_interpolated(image: np.ndarray) -> None:
    assert not own_scans(image, 32)
