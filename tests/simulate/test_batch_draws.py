"""Random numbers of a batch: the distributions that recipes ask for, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bravaismap.simulate.batch.draws import Draws, Purpose, RecipeTable, counted
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.faults import FAULTS, chosen_faults
from bravaismap.simulate.recipe import PATTERNS, Recipe

COUNT = 3000


def drawn(*recipes: Recipe, count: int = COUNT, seed: int = 1, first: int = 0) -> Draws:
    number = torch.arange(first, first + count)
    return Draws.of(RecipeTable(recipes, "cpu"), number % len(recipes), seed, number)


def same(values: torch.Tensor, low: float, high: float) -> bool:
    """Tell whether values may be uniformly distributed."""
    return bool(stats.kstest((values.numpy() - low) / (high - low), "uniform").pvalue > 1e-3)


def test_pairs_are_the_ends_of_uniform_distributions() -> None:
    draws = drawn(Recipe("square", disorder=(0.1, 0.3), atoms=(2, 4), dose=(2.0, 50.0), noise=(0.7, 0.7)))
    assert same(draws["disorder"], 0.1, 0.3)
    assert same(draws["length"].log(), np.log(6.0), np.log(24.0))
    assert same(draws["dose"].log(), np.log(2.0), np.log(50.0))
    assert set(draws["noise"].tolist()) == {0.7}
    counts = np.unique(draws["atoms"].numpy(), return_counts=True)
    assert counts[0].tolist() == [2, 3, 4]
    assert stats.chisquare(counts[1]).pvalue > 1e-3
    assert abs(np.corrcoef(draws["disorder"], draws["length"])[0, 1]) < 5 / np.sqrt(COUNT)
    assert not drawn(Recipe("square"))["dose"].any()


def test_each_window_has_its_own_recipe() -> None:
    draws = drawn(Recipe("square", noise=(0.1, 0.2)), Recipe("none", noise=(1.0, 2.0)))
    assert bool((draws["noise"][::2] < 0.2).all())
    assert bool((draws["noise"][1::2] > 1.0).all())


def test_effects_and_events_happen_as_often_as_asked() -> None:
    draws = drawn(Recipe("square", tilt=(0.2, 1.0), drift=(0.0, 1.0), presence=0.35, grains=0.15, inverted=0.3))
    sigma = 4 / np.sqrt(COUNT)
    for name, chance in (("tilt", 0.35), ("drift", 0.35), ("grains", 0.15), ("inverted", 0.3), ("empty", 0.0)):
        assert float((draws[name] > 0).double().mean()) == pytest.approx(chance, abs=sigma * chance**0.5)
    assert same(draws["tilt"][draws["tilt"] > 0], 0.2, 1.0)
    both = float(((draws["tilt"] > 0) & (draws["drift"] > 0)).double().mean())
    assert both == pytest.approx(0.35**2, abs=sigma * 0.35)


@pytest.mark.parametrize("name", ["square", "none"])
def test_faults_are_chosen_as_for_one_window(name: str) -> None:
    """As often as `chosen_faults` chooses them with another generator."""
    recipe, rng = BOOKS["broken"][name], np.random.default_rng(0)
    draws = drawn(recipe)
    expected, patterns = np.zeros(len(FAULTS)), np.zeros(len(PATTERNS))
    for _ in range(COUNT):
        names = chosen_faults(recipe, rng)[1]
        patterns += [bool(recipe.patterns) and names[0] == pattern for pattern in PATTERNS]
        faults = names[1:] if recipe.patterns else names
        expected += [fault in faults for fault in FAULTS]
    found = (draws.faults * draws.table.possible[0]).sum(dim=0).numpy()
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(COUNT * 0.25))
    assert found.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(COUNT))
    seen = [(draws.pattern == i).sum() for i in range(len(PATTERNS))]
    np.testing.assert_allclose(seen, patterns, atol=5 * np.sqrt(COUNT / len(PATTERNS)))
    for pattern in {"rows", "columns"} if recipe.patterns else ():
        at = draws.pattern == PATTERNS.index(pattern)
        assert not draws.faults[at, list(FAULTS).index(pattern)].any()
        (field,) = FAULTS[pattern]
        assert bool((draws[field][at] > 0).all())  # the recipe's own lines, as for one window


def test_what_was_not_chosen_is_absent() -> None:
    draws = drawn(BOOKS["broken"]["oblique"])
    for i, (fault, fields) in enumerate(FAULTS.items()):
        absent = draws.faults[:, i] == 0
        assert bool(absent.any()), fault
        for field in fields:
            assert not draws[field][absent].any()
            assert bool(draws[field][~absent].any())


def test_a_window_does_not_depend_on_the_others() -> None:
    recipes = tuple(BOOKS["broken"].values())
    whole = drawn(*recipes, count=24)
    part = drawn(*recipes, count=6, first=12)
    chosen = whole.select(torch.arange(12, 18))
    for other in (part, chosen):
        for name in ("value", "unit", "faults"):
            assert torch.equal(getattr(whole, name)[12:18], getattr(other, name))
        for count in (7, 50):
            assert torch.equal(whole.words(Purpose.NOISE, count)[12:18], other.words(Purpose.NOISE, count))
    assert torch.equal(whole.unit_field(Purpose.MOTIF, 5), whole.unit_field(Purpose.MOTIF, 11)[:, :5])
    assert not torch.equal(whole.words(Purpose.NOISE, 7), whole.words(Purpose.COUNTS, 7))
    assert not torch.equal(whole.unit, drawn(*recipes, count=24, seed=2).unit)
    assert not torch.equal(whole.unit, drawn(*recipes, count=24, seed=1 + 2**32).unit)
    for far in (2**31, 2**32, 2**40):
        assert not torch.equal(whole.unit, drawn(*recipes, count=24, first=far).unit)


def test_windows_with_an_effect() -> None:
    draws = drawn(Recipe("square", tilt=(0.2, 1.0), presence=0.35), count=40)
    rows, part = draws.part("tilt")
    assert torch.equal(rows, (draws["tilt"] > 0).nonzero()[:, 0])
    assert torch.equal(part["tilt"], draws["tilt"][rows])
    assert draws.part("drift") is None
    assert draws.part("atoms") == (slice(None), draws)
    assert (draws.any("tilt"), draws.any("drift")) == (True, False)


def test_things_are_counted_by_kind() -> None:
    kind, index = counted(torch.tensor([2, 0, 3]))
    assert kind.tolist() == [0, 0, 2, 2, 2]
    assert index.tolist() == [0, 1, 0, 1, 2]
