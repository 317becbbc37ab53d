"""Holes of a batch have the outlines of those of one specimen."""

from __future__ import annotations

import numpy as np
import torch

from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.holes import HoleTable, draw_holes
from bravaismap.simulate.faults import Holes
from bravaismap.simulate.recipe import Recipe


def table(count: int = 12, holes: tuple[int, int] = (0, 4)) -> HoleTable | None:
    number = torch.arange(count)
    draws = Draws.of(RecipeTable([Recipe("square", holes=holes)], "cpu"), torch.zeros_like(number), 1, number)
    return draw_holes(draws, torch.tensor([[96.0, 120.0]], dtype=torch.float64).expand(count, 2))


def single(holes: HoleTable, window: int) -> Holes:
    chosen = holes.radius[window] > 0
    fields = (holes.centre, holes.radius, holes.lobes, holes.depth, holes.phase)
    return Holes(*(field[window, chosen].numpy() for field in fields))


def test_film_is_that_of_one_specimen() -> None:
    holes = table()
    rows = torch.tensor([5, 0, 11])
    film = holes.film(rows, (3, 4), (88, 100)).numpy()
    for image, window in zip(film, rows.tolist(), strict=True):
        expected = single(holes, window).film((96, 120))[3:91, 4:104]
        assert (image != expected).mean() < 1e-3  # single precision at the edge
        assert set(np.unique(image)) <= {0.0, 1.0}


def test_positions_in_holes_are_those_of_one_specimen() -> None:
    holes = table()
    position = torch.from_numpy(np.random.default_rng(0).uniform(-10, 130, (5000, 2)))
    window = torch.arange(5000) % 12
    found = holes.contain(window, position).numpy()
    for i in range(12):
        at = (window == i).numpy()
        np.testing.assert_array_equal(found[at], single(holes, i).contain(position.numpy()[at]))
    assert 0.01 < found.mean() < 0.5


def test_number_and_size_of_holes() -> None:
    holes = table(600)
    number = (holes.radius > 0).sum(dim=1)
    assert np.bincount(number, minlength=5).min() > 80
    radius = holes.radius[holes.radius > 0] / 96
    assert float(radius.min()) >= 0.04
    assert float(radius.max()) <= 0.20
    assert set(holes.lobes.unique().tolist()) == {2.0, 3.0, 4.0}
    assert table(holes=(0, 0)) is None
