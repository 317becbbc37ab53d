from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from bravaismap.recipe import read_recipes

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_map_a_movie(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "map_a_movie.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("phase")
    assert "share of voids, found" in printed


def test_own_classes_are_a_recipe_book() -> None:
    book = read_recipes(EXAMPLES / "own_classes.toml")
    assert list(book) == ["graphene", "strained", "none"]
    assert book["graphene"].lattice == "hexagonal"
    assert book["graphene"].dose == (3.0, 200.0)
