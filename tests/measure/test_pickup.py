"""Pick-up: a wave beside the lattice of an image is found and taken out, and no wave of a crystal is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lattice_images import SMALL_CELLS
from scipy.ndimage import gaussian_filter

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.pickup import without_pickup
from bravaismap.phases.besides import besides_lines

SHAPE = (192, 224)
FREQUENCY = (-0.137, 0.046)  # of the hum, in cycles per px
Draw = Callable[..., np.ndarray]


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def wave(frequency: tuple[float, float], wander: float = 0.0, harmonic: int = 1) -> np.ndarray:
    """A wave whose phase wanders by so many radians along y."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    phase = 2 * np.pi * (frequency[0] * y + frequency[1] * x) + wander * np.linspace(-1, 1, SHAPE[0])[:, None] ** 2
    return np.asarray(np.sin(harmonic * phase + harmonic))


def atoms(crystal: Draw, name: str = "hexagonal", turn: float = 17.0) -> np.ndarray:
    """A crystal of standard deviation 1."""
    a, b, gamma = SMALL_CELLS[name]
    image = crystal(SHAPE, basis_from_cell(a, b, np.radians(gamma), np.radians(turn)))
    return np.asarray((image - image.mean()) / image.std())


def taken_out(image: np.ndarray) -> tuple[np.ndarray, float]:
    quiet = without_pickup(torch.from_numpy(image.astype(np.float32)))
    return quiet.image.numpy(), quiet.length


@pytest.mark.parametrize("name", SMALL_CELLS)
@pytest.mark.parametrize("wander", [0.0, 2.0])
def test_hum_is_taken_out_of_a_crystal(crystal: Draw, name: str, wander: float) -> None:
    still = atoms(crystal, name) + 0.4 * noise(1, *SHAPE)
    hum = wave(FREQUENCY, wander) + 0.5 * wave(FREQUENCY, wander, harmonic=2)
    quiet, length = taken_out(still + hum)
    assert length == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.01)
    assert (quiet - still).std() < 0.1 * hum.std()


def test_hum_along_the_columns_of_a_scan_whose_fast_axis_is_y(crystal: Draw) -> None:
    still = atoms(crystal) + 0.4 * noise(1, *SHAPE)
    hum = wave(FREQUENCY, 2.0)
    quiet, length = taken_out((still + hum).T)
    assert length == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.01)
    assert (quiet.T - still).std() < 0.1 * hum.std()


def test_harmonics_may_be_folded_back(crystal: Draw) -> None:
    frequency = (0.316, 0.035)  # three times it is 0.948 along y, which is −0.052
    still = atoms(crystal) + 0.4 * noise(1, *SHAPE)
    hum = wave(frequency) + 0.5 * wave(frequency, harmonic=3)
    quiet, length = taken_out(still + hum)
    assert length == pytest.approx(1 / np.hypot(*frequency), rel=0.01)
    assert (quiet - still).std() < 0.1 * hum.std()


def test_hum_over_two_waves_at_right_angles() -> None:
    """A smooth square lattice shows no third wave, but no accident makes two waves alike."""
    still = wave((0.11, 0.03)) + wave((-0.03, 0.11)) + 0.4 * noise(1, *SHAPE)
    quiet, length = taken_out(still + 1.2 * wave(FREQUENCY))
    assert length == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.01)
    assert (quiet - still).std() < 0.1
    oblique = wave((0.11, 0.03)) + wave((-0.02, 0.14))
    quiet, _ = taken_out(oblique + 1.2 * wave(FREQUENCY) + 0.4 * noise(1, *SHAPE))
    assert quiet.std() == pytest.approx(0.4, rel=0.02)  # any of the three could be it, so that none is of a lattice


@pytest.mark.parametrize("name", SMALL_CELLS)
@pytest.mark.parametrize("turn", [0.0, 17.0, 90.0])
def test_waves_of_a_crystal_stay(crystal: Draw, name: str, turn: float) -> None:
    image = atoms(crystal, name, turn)
    a, b, gamma = SMALL_CELLS[name]
    first, second = np.linalg.inv(basis_from_cell(a, b, np.radians(gamma), np.radians(turn))).T
    rows = 0.3 * image + 1.5 * wave(tuple(first))  # rows of atoms, along the scan at 0°
    stripes = image + 0.7 * wave(tuple(first / 2)) + 0.3 * wave(tuple(1.5 * first))
    density = image * (1 + 0.3 * wave(tuple(0.27 * second))) + 0.7 * wave(tuple(0.27 * second))
    for given in (image, rows, stripes, density):
        noisy = given + 0.5 * noise(2, *SHAPE)
        quiet, length = taken_out(noisy)
        assert length == 0
        np.testing.assert_array_equal(quiet, noisy.astype(np.float32))


@pytest.mark.parametrize("bend", [3.0, 6.0])
def test_waves_that_a_bent_crystal_spreads_stay(crystal: Draw, bend: float) -> None:
    side = 320
    y, x = np.mgrid[:side, :side] * (2 * np.pi / side)
    shift = bend * np.stack([np.sin(x), np.cos(y)], axis=-1)
    for a, b, gamma, turn in ((13.0, 17.0, 78.0, 25.0), (13.0, 17.0, 78.0, 62.0), (12.0, 12.0, 60.0, 7.0)):
        basis = basis_from_cell(a, b, np.radians(gamma), np.radians(turn))
        image = crystal((side, side), basis, shift=shift)
        assert taken_out(image + 0.15 * image.std() * noise(5, side, side))[1] == 0


def test_waves_of_a_second_crystal_stay(crystal: Draw) -> None:
    one, other = atoms(crystal), atoms(crystal, "square", 31)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    void = gaussian_filter(noise(3, *SHAPE), 12) > 0
    for image in (one + other, np.where(x > y, one, other), np.where(x > y, one, wave(FREQUENCY)), one * void):
        assert taken_out(image + 0.3 * noise(2, *SHAPE))[1] == 0


@pytest.mark.parametrize(
    "image",
    [
        noise(2, *SHAPE),
        gaussian_filter(noise(3, *SHAPE), 2),
        noise(4, SHAPE[0], 1) + noise(5, *SHAPE),
        np.zeros(SHAPE),
        1e30 * noise(6, 40, 33),
        wave(FREQUENCY),
    ],
    ids=["white", "smooth", "offsets of rows", "constant", "large", "hum"],
)
def test_an_image_without_a_crystal_stays_as_it_is(image: np.ndarray) -> None:
    quiet, length = taken_out(image)
    assert length == 0
    np.testing.assert_array_equal(quiet, image.astype(np.float32))


@pytest.mark.parametrize("part", [slice(0, 100), slice(None)], ids=["small", "whole"])
def test_the_lattice_of_an_image_with_hum_is_its_own_and_it_is_said(crystal: Draw, part: slice) -> None:
    image = atoms(crystal, "square") + 1.2 * wave(FREQUENCY) + 0.4 * noise(1, *SHAPE)
    row = bm.classify(image[part, part], samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "square"
    assert float(row["a"]) == pytest.approx(9.0, rel=0.01)
    assert float(row["pickup"]) == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.02)
    assert any("beside the lattice" in line and line.endswith("taken out") for line in besides_lines(row))


def test_waves_that_displaced_rows_repeat_stay(crystal: Draw) -> None:
    still = atoms(crystal, "square") + 0.3 * noise(1, *SHAPE)
    for by in (1, 2, 4):
        moved = still.copy()
        moved[1::2] = np.roll(moved[1::2], by, axis=1)
        assert taken_out(moved)[1] == 0
        assert taken_out(moved.T)[1] == 0


@pytest.mark.parametrize("harmonic", [0.0, 0.5])
def test_two_frequencies_are_no_lattice_and_it_is_said(harmonic: float) -> None:
    hums = wave(FREQUENCY) + harmonic * wave(FREQUENCY, harmonic=2) + 0.7 * wave((0.21, 0.08), 1.0)
    rest = 0.5 * noise(1, *SHAPE)
    quiet, length = taken_out(hums + rest)
    assert length == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.01)
    assert (quiet - rest).std() < 0.1 * hums.std()
    row = bm.classify(hums + rest, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"
    assert any("that have no sums" in line for line in besides_lines(row))


def test_three_frequencies_are_no_lattice() -> None:
    hums = wave(FREQUENCY) + 0.8 * wave((0.21, 0.08)) + 0.7 * wave((0.06, 0.115)) + 0.2 * wave((0.21, 0.08), harmonic=2)
    rest = 0.5 * noise(1, *SHAPE)
    quiet, length = taken_out(hums + rest)
    assert length == pytest.approx(1 / np.hypot(*FREQUENCY), rel=0.01)
    assert (quiet - rest).std() < 0.1 * hums.std()
    lattice = wave(FREQUENCY) + wave((0.21, 0.08)) + 0.7 * wave((0.347, 0.034))  # the third is a difference
    assert taken_out(lattice + rest)[1] == 0


@pytest.mark.parametrize("turn", [12.0, 30.0])
@pytest.mark.parametrize("along", [0.0, 85.0])
def test_two_gratings_at_a_small_turn_are_taken_out(turn: float, along: float) -> None:
    one, other = (np.radians(degrees) for degrees in (along, along + turn))
    waves = [wave((0.11 * np.sin(one), 0.11 * np.cos(one))), wave((0.105 * np.sin(other), 0.105 * np.cos(other)))]
    lines = sum(np.tanh(3 * grating) for grating in waves)
    rest = 0.3 * noise(1, *SHAPE)
    quiet, length = taken_out(lines + rest)
    assert length == pytest.approx(1 / 0.11, rel=0.06)
    assert (quiet - rest).std() < 0.2 * lines.std()


@pytest.mark.parametrize(
    "second", [(-0.046, -0.137), (-0.05, -0.13), (0.13, 0.06)], ids=["square", "sheared", "rhombic"]
)
def test_two_waves_of_a_smooth_symmetric_lattice_stay(second: tuple[float, float]) -> None:
    assert taken_out(wave(FREQUENCY) + wave(second) + 0.5 * noise(1, *SHAPE))[1] == 0


def test_two_waves_with_their_sum_are_those_of_atoms() -> None:
    other = (0.21, 0.08)
    both = (FREQUENCY[0] + other[0], FREQUENCY[1] + other[1])
    assert taken_out(wave(FREQUENCY) + wave(other) + 0.1 * wave(both) + 0.5 * noise(1, *SHAPE))[1] == 0
