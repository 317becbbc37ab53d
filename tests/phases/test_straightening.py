"""Straightening: a crystal whose scan wandered, sheared and drifted, against the same crystal as it is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.export.straight import export_straight
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.straightening import distortion_text, straighten
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SPACING, PIXEL = 160, 9.0, 0.03
SHEAR, WANDER, PERIOD = 0.02, 1.0, 70.0  # of the frames; px; px


def drawn(shear: float, wander: float, drift: float) -> np.ndarray:
    """A hexagonal crystal with a vacancy, scanned with a shear, a wave along the lines, and drift between frames."""
    basis = basis_from_cell(SPACING, SPACING, np.pi / 3, 0.2)
    index = np.stack(np.meshgrid(*[np.arange(-40, 40)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis + SIZE / 2
    places = places[np.abs(index - [3, -2]).sum(1) > 0]
    y = places[:, 0] - SIZE / 2
    places = places + np.stack([0 * y + drift, shear * y + wander * np.sin(2 * np.pi * y / PERIOD)], -1)
    places = places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]
    return gaussian_atoms(places, np.ones(len(places)), np.full(len(places), 1.5), (SIZE, SIZE)).astype(float)


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    frames = np.stack([drawn(SHEAR, WANDER, 0.0), drawn(SHEAR, -WANDER, 2.5)])
    return as_movie(np.random.default_rng(3).poisson(80 * frames + 4).astype(np.float32), pixel_size=PIXEL)


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> xr.Dataset:
    return map_phases(movie, window=64, step=32)


@pytest.fixture(scope="module")
def straight(result: xr.Dataset, movie: xr.DataArray) -> xr.Dataset:
    return straighten(result, movie)


def inner(image: np.ndarray) -> np.ndarray:
    return image[30:-30, 30:-30]


def likeness(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(inner(one).ravel(), inner(two).ravel())[0, 1])


def test_frames_are_alike_once_they_are_straight(straight: xr.Dataset, movie: xr.DataArray) -> None:
    before = likeness(*movie.values)
    after = likeness(*straight["image"].values)
    assert before < 0.6
    assert after > 0.93
    assert straight["image"].attrs.get("pixel_size_nm", straight.attrs["pixel_size_nm"]) == PIXEL


def test_the_lattice_of_a_straight_image_is_hexagonal(straight: xr.Dataset) -> None:
    image = np.nan_to_num(inner(straight["image"].values[0]), nan=float(np.nanmean(straight["image"].values[0])))
    cell = bm.classify(image).isel(image=0)
    assert float(cell["gamma"]) == pytest.approx(60, abs=0.15)
    assert float(cell["b"] / cell["a"]) == pytest.approx(1, abs=0.004)
    crooked = bm.classify(drawn(SHEAR, 0.0, 0.0)[30:-30, 30:-30]).isel(image=0)
    assert max(abs(float(crooked["gamma"]) - 60), 60 * abs(float(crooked["b"] / crooked["a"]) - 1)) > 0.5


def test_the_distortion_is_found(straight: xr.Dataset) -> None:
    # a shear s has a strain of s / 2, two components of which show: σ = √(2 (s / 2)²/ 2)
    assert float(straight["mean_distortion"].mean()) == pytest.approx(SHEAR / 2, rel=0.25)
    slope = WANDER * 2 * np.pi / PERIOD / np.sqrt(2)  # of one of four components
    assert 0.4 * slope / 2 < float(straight["varying_distortion"][0]) < slope / 2  # in a Gaussian
    text = distortion_text(straight)
    assert "hexagonal" in text
    assert re.search(r"--distortion [0-9.]+%$", text)


def test_a_straight_crystal_stays_as_it_is() -> None:
    image = np.random.default_rng(1).poisson(80 * drawn(0.0, 0.0, 0.0) + 4).astype(np.float32)
    movie = as_movie(image, pixel_size=PIXEL)
    found = straighten(map_phases(movie, window=64, step=32), movie)
    assert likeness(found["image"].values[0], image) > 0.97
    assert float(found["mean_distortion"][0]) < 0.002
    assert float(found["varying_distortion"][0]) < 0.004


def test_files_are_read_back_with_the_size_of_a_pixel(straight: xr.Dataset, tmp_path: Path) -> None:
    tiff, array = export_straight(straight, tmp_path)
    back = bm.read(tiff)
    assert float(back["x"][1] - back["x"][0]) == pytest.approx(PIXEL, rel=1e-4)
    np.testing.assert_array_equal(back.values, straight["image"].values)
    np.testing.assert_array_equal(np.load(array), straight["image"].values)


def test_noise_cannot_be_straightened() -> None:
    noise = as_movie(np.random.default_rng(1).poisson(9, (1, SIZE, SIZE)).astype(np.float32))
    with pytest.raises(InputError, match="no frame"):
        straighten(map_phases(noise, window=64, step=64), noise)
