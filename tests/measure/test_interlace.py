"""Interlace: odd rows that are displaced are recognised, by how much they are, and put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import bravaismap as bm
from bravaismap.errors import BravaismapWarning
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.interlace import displaced_field, interleaved
from bravaismap.phases.besides import besides_lines

SIDE = 160
Draw = Callable[..., np.ndarray]


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def displaced(image: np.ndarray, right: float) -> np.ndarray:
    """The image with its odd rows moved to the right."""
    k_x = np.fft.rfftfreq(image.shape[1])
    moved = image.copy()
    moved[1::2] = np.fft.irfft(np.fft.rfft(image[1::2]) * np.exp(-2j * np.pi * k_x * right), n=image.shape[1])
    return moved


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float32))


@pytest.mark.parametrize("right", [-3.3, -0.6, 0.4, 1.5, 4.5])
def test_displaced_odd_rows_are_put_back(crystal: Draw, right: float) -> None:
    image = crystal((SIDE, SIDE), basis_from_cell(11.0, 14.0, np.radians(81), np.radians(17)))
    image = image + 0.5 * image.std() * noise(1, SIDE, SIDE)
    straight, found = interleaved(tensor(displaced(image, right)))
    assert found == (0, pytest.approx(right, abs=0.1))
    inside = slice(8, -8)  # a displaced row goes round the edge
    left = straight.numpy()[:, inside] - image[:, inside]
    assert left.std() < 0.25 * (displaced(image, right) - image)[:, inside].std()


@pytest.mark.parametrize("down", [-3.3, 0.6, 4.5])
def test_displaced_odd_columns_are_put_back(crystal: Draw, down: float) -> None:
    image = crystal((SIDE, SIDE + 20), basis_from_cell(11.0, 14.0, np.radians(81), np.radians(17)))
    image = image + 0.5 * image.std() * noise(1, SIDE, SIDE + 20)
    straight, found = interleaved(tensor(displaced(image.T, down).T))
    assert found == (pytest.approx(down, abs=0.1), 0)
    inside = slice(8, -8)
    left = straight.numpy()[inside] - image[inside]
    assert left.std() < 0.25 * (displaced(image.T, down).T - image)[inside].std()


def test_of_displacements_a_period_apart_the_smallest_is_taken(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), np.array([[0.0, 8.0], [11.0, 0.0]]))
    assert displaced_field(tensor(displaced(image, 9.5))) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize(
    "image",
    [
        noise(2, SIDE, SIDE),
        gaussian_filter(noise(3, SIDE, SIDE), 2),
        noise(4, SIDE, 1) + noise(5, SIDE, SIDE),
        np.zeros((SIDE, SIDE)),
        1e30 * noise(6, 40, 33),
        np.sin(2 * np.pi * np.arange(300) / 60) * (-1.0) ** np.arange(SIDE)[:, None],
    ],
    ids=["white", "smooth", "offsets of rows", "constant", "large", "alternating rows"],
)
def test_an_image_without_rows_that_belong_together_stays_as_it_is(image: np.ndarray) -> None:
    given = tensor(image)
    straight, found = interleaved(given)
    assert found == (0, 0)
    assert straight is given


@pytest.mark.parametrize("a", [3.3, 4.0, 5.2, 9.0, 15.0])
def test_a_lattice_is_no_interlace(crystal: Draw, a: float) -> None:
    for turn in (0.0, 13.0, 45.0):
        image = crystal((SIDE, SIDE), basis_from_cell(a, a, np.radians(90), np.radians(turn)))
        assert interleaved(tensor(image))[1] == (0, 0)
        jitter = np.cumsum(0.3 * noise(7, SIDE))
        rows = [np.interp(np.arange(SIDE) - by, np.arange(SIDE), row) for by, row in zip(jitter, image, strict=True)]
        assert interleaved(tensor(np.array(rows) + 0.3 * image.std() * noise(8, SIDE, SIDE)))[1] == (0, 0)


@pytest.mark.parametrize("side", [96, 224])
def test_the_lattice_of_an_interlaced_image_is_its_own_and_it_is_said(crystal: Draw, side: int) -> None:
    image = crystal((side, side), basis_from_cell(12.0, 12.0, np.radians(90), np.radians(20)))
    image = image + 0.5 * image.std() * noise(9, side, side)
    row = bm.classify(displaced(image, 4.0), samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "square"
    assert float(row["a"]) == pytest.approx(12.0, rel=0.01)
    assert row["displaced"].values.tolist() == [0, pytest.approx(4.0, abs=0.1)]
    assert any("odd rows displaced by " in line and line.endswith("moved back") for line in besides_lines(row))
    row = bm.classify(displaced(image, 4.0).T, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "square"
    assert row["displaced"].values.tolist() == [pytest.approx(4.0, abs=0.1), 0]
    assert any("odd columns displaced by " in line and "along y" in line for line in besides_lines(row))


def test_frames_of_a_movie_are_put_together_before_they_are_mapped(crystal: Draw) -> None:
    image = crystal((128, 128), basis_from_cell(9.0, 9.0, np.radians(60), np.radians(20)))
    image = image + 0.5 * image.std() * noise(10, 128, 128)
    frames = np.stack([image, displaced(image, 3.0)])
    with pytest.warns(BravaismapWarning, match=r"odd rows of 1 frame \(frame 1\) were displaced by 3\.0\d px"):
        result = bm.map_phases(frames, window=64, step=32, samples=0)
    assert (result["label"] == list(result["lattice"].values).index("hexagonal")).all()
    np.testing.assert_allclose(result["a"][1], 9.0, rtol=0.01)
    assert float(result["area_fraction"].sel(lattice="hexagonal")[1]) > 0.97
