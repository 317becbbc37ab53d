"""Gratings: two sets of fringes at a small angle are no lattice, and no crystal is taken for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lattice_images import SMALL_CELLS

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.gratings import is_compact, two_gratings
from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.spots import find_spots, standardize, whitened_power

Draw = Callable[..., np.ndarray]
CELLS = {**SMALL_CELLS, "slender": (8.0, 38.0, 82)}


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def fringes(side: int, period: float, degrees: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    angle = np.radians(degrees)
    return np.asarray(np.sin(2 * np.pi * (y * np.sin(angle) + x * np.cos(angle)) / period + period))


def gratings(side: int, turn: float, sharpness: float) -> np.ndarray:
    """Two gratings, of lines of sharp edges where the sharpness is above 1, in noise."""
    one, other = fringes(side, 8.7, 28.0), fringes(side, 9.3, 28.0 + turn)
    both = np.tanh(sharpness * one) + np.tanh(sharpness * other)
    return np.asarray(both / both.std() + 0.3 * noise(4, side, side))


def shows_two(image: np.ndarray) -> bool:
    plain = standardize(torch.from_numpy(image.astype(np.float32))[None])
    spectrum = whitened_power(plain)
    return bool(two_gratings(find_spots(spectrum, brightest=False), spectrum, torch.tensor(image.shape).float())[0])


@pytest.mark.parametrize("sharpness", [0.1, 3.0], ids=["sine", "lines"])
@pytest.mark.parametrize("turn", [14.0, 33.0])
def test_two_gratings_at_a_small_turn_are_none(turn: float, sharpness: float) -> None:
    image = gratings(192, turn, sharpness)
    assert shows_two(image)
    windows = torch.from_numpy(image[:128, :128][None].astype(np.float32))
    assert none_probability(measure(windows).evidence.numpy())[0] > 0.9
    row = bm.classify(image, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shear", [0.0, 0.1])
def test_crystals_are_no_gratings(crystal: Draw, name: str, shear: float) -> None:
    a, b, gamma = CELLS[name]
    basis = basis_from_cell(a, b, np.radians(gamma), 0.3) @ np.array([[1, shear], [0, 1]])
    for blurred in (1.2, 3.0):
        image = crystal((128, 128), basis, width=blurred)
        image = image / image.std() + 0.3 * noise(1, 128, 128)
        assert not shows_two(image)
        assert none_probability(measure(torch.from_numpy(image[None]).float()).evidence.numpy())[0] < 0.1


@pytest.mark.parametrize("turn", [90.0, 66.0, 120.0, 80.0])
def test_two_waves_that_are_the_shortest_of_their_lattice_are_not_judged(turn: float) -> None:
    assert not shows_two(fringes(128, 9.0, 20.0) + fringes(128, 9.4, 20.0 + turn) + 0.3 * noise(2, 128, 128))


def test_gratings_that_multiply_have_sums() -> None:
    both = (1 + fringes(160, 9.0, 10.0)) * (1 + fringes(160, 9.5, 25.0))
    assert not shows_two(both + 0.1 * noise(3, 160, 160))


def test_compact_are_two_waves_that_no_combination_is_shorter_than() -> None:
    first = torch.tensor([[0.0, 1.0]]).expand(5, 2)
    angle = torch.deg2rad(torch.tensor([90.0, 60.0, 120.0, 30.0, 150.0]))
    second = torch.stack([angle.sin(), angle.cos()], dim=1)
    assert is_compact(first, second).tolist() == [True, True, True, False, False]
    assert not bool(is_compact(torch.tensor([0.0, 1.0]), torch.tensor([0.1, 1.3])))  # nearly one direction
