"""Recipes check what they are given."""

from __future__ import annotations

import pytest

from bravaismap.errors import InputError
from bravaismap.simulate.recipe import Recipe


def test_recipe_checks_its_ranges() -> None:
    for values, words in (
        ({"lattice": "square", "angle": ((90.0, 80.0),)}, r"angle = \(90\.0, 80\.0\); expected two numbers"),
        (
            {"lattice": "square", "enlargement": (0, 2)},
            r"enlargement = \(0, 2\); expected two numbers between 1 and 100",
        ),
        ({"lattice": "square", "enlargement": (1.5, 2)}, r"enlargement = \(1\.5, 2\); expected whole numbers"),
        ({"lattice": "kagome"}, "'kagome'; expected one of .*hexagonal"),
    ):
        with pytest.raises(InputError, match=words):
            Recipe(**values)
