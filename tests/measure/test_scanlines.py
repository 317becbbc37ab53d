"""Scan lines: offsets of rows and columns are found and removed, displaced rows are put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.scanlines import aligned, leveled
from bravaismap.measure.spots import standardize

SIDE = 128
Draw = Callable[..., np.ndarray]


def tensor(image: np.ndarray) -> torch.Tensor:
    return standardize(torch.from_numpy(image.astype(np.float32))[None])


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_an_image_without_offsets_stays_as_it_is(crystal: Draw) -> None:
    upright = np.array([[12.0, 0.0], [0.0, 15.0]])
    images = torch.cat([tensor(noise(1, SIDE, SIDE)), tensor(crystal((SIDE, SIDE), upright))])
    assert torch.equal(leveled(images), images)


@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_of_rows_and_columns_are_taken_away(axis: int) -> None:
    white = noise(2, SIDE, SIDE)
    offset = noise(3, SIDE)
    image = tensor(white + (offset[:, None] if axis == 0 else offset))
    level = leveled(image)[0].numpy().mean(1 - axis)
    assert level.std() < 0.15 * image[0].numpy().mean(1 - axis).std()


@pytest.mark.parametrize("turn", [0.0, 11.0])
@pytest.mark.parametrize(("b", "gamma"), [(13.0, 90.0), (16.0, 90.0), (13.0, 60.0)])
def test_a_lattice_is_measured_under_offsets_also_along_the_rows(
    crystal: Draw, turn: float, b: float, gamma: float
) -> None:
    basis = basis_from_cell(13.0, b, np.radians(gamma), np.radians(turn))
    image = crystal((SIDE, SIDE), basis) + 0.1 * noise(4, SIDE, SIDE) + 0.7 * noise(5, SIDE, 1)
    measured = measure(tensor(image))
    change = measured.basis[0].numpy() @ np.linalg.inv(basis)
    assert np.abs(change - np.rint(change)).max() < 0.02
    assert abs(np.linalg.det(np.rint(change))) == pytest.approx(1)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rows_that_were_never_scanned_are_no_offsets(crystal: Draw, offset: float) -> None:
    rows_along_x = basis_from_cell(12.0, 12.0, np.radians(60), 0.0)
    image = crystal((160, 160), rows_along_x) + 0.2 * noise(6, 160, 160) + offset * noise(7, 160, 1)
    image[60:90] = image.mean()
    for given in (tensor(image), tensor(image.T)):
        assert torch.equal(leveled(given), given) == (offset == 0)


def test_rows_of_speckle_with_offsets_are_none() -> None:
    images = torch.cat([tensor(noise(i, SIDE, SIDE) + 2 * noise(99 + i, SIDE, 1)) for i in range(12)])
    assert (none_probability(measure(images).evidence.numpy()) > 0.9).all()


def test_displaced_rows_are_put_back(crystal: Draw) -> None:
    basis = basis_from_cell(14.0, 17.0, np.radians(80.0), np.radians(20.0))
    shift = np.zeros((256, 256, 2))
    shift[..., 1] = (0.5 * noise(6, 256)).cumsum()[:, None]
    image = crystal((256, 256), basis, shift=shift) + 0.05 * noise(7, 256, 256)
    straight = aligned(tensor(image)[0])[None]
    before, after = (measure(part).signal.sum() for part in (tensor(image), straight))
    assert after > 2 * before


def test_rows_that_are_in_place_hardly_move(crystal: Draw) -> None:
    basis = basis_from_cell(14.0, 17.0, np.radians(80.0), np.radians(20.0))
    image = tensor(crystal((256, 256), basis) + 0.05 * noise(8, 256, 256))
    before, after = (measure(part) for part in (image, aligned(image[0])[None]))
    change = (after.basis @ torch.linalg.inv(before.basis))[0].numpy()
    assert np.abs(change - np.rint(change)).max() < 0.005
