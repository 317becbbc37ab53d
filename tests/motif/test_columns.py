"""Columns: positions, heights and widths of known atoms with honest errors, and their Wyckoff positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from patterns import Pattern

from bravaismap.motif.columns import Columns, find_columns
from bravaismap.motif.phase import LocalPhase
from bravaismap.motif.structure_factors import StructureFactors, fit_pattern, structure_factors
from bravaismap.motif.symmetry import Symmetry, find_symmetry


def columns_of(drawn: Pattern, known: bool = True) -> tuple[Columns, StructureFactors, Symmetry]:
    g = np.linalg.inv(drawn.basis).T
    y, x = np.mgrid[: drawn.image.shape[0], : drawn.image.shape[1]]
    phase = LocalPhase(g[:, 0, None, None] * y + g[:, 1, None, None] * x, False, 0.0) if known else None
    factors = structure_factors(fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape), phase))
    symmetry = find_symmetry(factors, 0.002)
    return find_columns(factors, symmetry.best), factors, symmetry


def nearest(columns: Columns, place: np.ndarray) -> int:
    apart = (columns.position - place + 0.5) % 1.0 - 0.5
    return int(np.argmin((apart**2).sum(axis=1)))


def test_known_atoms_are_found(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4gm", [(0.14, 0.64), (0.0, 0.0)], heights=(1.0, 0.5), counts=200.0)
    columns, _, symmetry = columns_of(drawn)
    assert symmetry.group.name == "p4gm"
    assert len(columns.height) == 6
    assert sorted(columns.wyckoff) == ["2a"] * 2 + ["4c"] * 4
    assert len(np.unique(columns.orbit)) == 2
    assert columns.misfit < 0.02
    for place, height in zip(drawn.atoms, (200,) * 4 + (100,) * 2, strict=True):
        i = nearest(columns, place)
        apart = (columns.position[i] - place + 0.5) % 1.0 - 0.5
        assert (np.abs(apart) < 4 * columns.position_std[i] + 2e-4).all()
        assert abs(columns.height[i] - height) < 5 * columns.height_std[i]
        assert abs(columns.width[i] - 1.8) < 5 * columns.width_std[i]


def test_errors_are_as_large_as_stated(pattern: Callable[..., Pattern]) -> None:
    """Deviations of the atoms of p1, which are averaged with nothing, in units of σ; Poisson counts."""
    deviations = []
    for seed in range(12):
        drawn = pattern("p1", [(0.1, 0.2), (0.5, 0.35), (0.2, 0.7)], heights=(1, 0.8, 0.6), counts=20.0, seed=seed)
        columns, _, _ = columns_of(drawn)
        assert len(columns.height) == 3
        for place, height in zip(drawn.atoms, (20.0, 16.0, 12.0), strict=True):
            i = nearest(columns, place)
            deviations += list(((columns.position[i] - place + 0.5) % 1.0 - 0.5) / columns.position_std[i])
            deviations.append((columns.height[i] - height) / columns.height_std[i])
            deviations.append((columns.width[i] - 1.8) / columns.width_std[i])
    assert np.sqrt(np.mean(np.square(deviations))) == pytest.approx(1, abs=0.3)


def test_tails_of_a_bright_column_do_not_displace_a_faint_one() -> None:
    """Each column has 30 % of itself in a Gaussian of 5 px, as a probe does; a faint one is 8 px from a bright one."""
    basis, places, weights = np.diag([22.0, 22.0]), np.array([[0.0, 0.0], [0.0, 8 / 22]]), (1.0, 0.15)
    y, x = np.mgrid[:132, :132].astype(float)
    image = np.zeros((132, 132))
    for place, weight in zip(places @ basis, weights, strict=True):
        dy, dx = ((axis - at + 11) % 22 - 11 for axis, at in zip((y, x), place, strict=True))
        for share, width in ((0.7, 1.8), (0.3, 5.0)):
            for step in (-22, 0, 22):
                for other in (-22, 0, 22):
                    square = (dy + step) ** 2 + (dx + other) ** 2
                    image += weight * share / (2 * np.pi * width**2) * np.exp(-square / (2 * width**2))
    image *= 200 / image.max()
    columns, _, _ = columns_of(Pattern(np.random.default_rng(0).poisson(image).astype(float), basis, places))
    assert len(columns.height) == 2
    apart = columns.position[1] - columns.position[0]
    assert abs(np.linalg.norm((apart - np.rint(apart)) * 22) - 8) < 0.05
    np.testing.assert_allclose(columns.width, 1.8, atol=0.1)
    assert columns.height[0] == pytest.approx(200, rel=0.1)
    assert columns.height[1] / columns.height[0] == pytest.approx(0.15, abs=0.01)


def test_a_flat_top_is_one_column() -> None:
    """Columns as broad discs, whose tops have many maxima in noise."""
    y, x = np.mgrid[:120, :120].astype(float)
    distance = np.hypot((y + 10) % 20 - 10, (x + 10) % 20 - 10)
    image = 60 / (1 + np.exp((distance - 4) / 0.5)) + 2
    drawn = Pattern(np.random.default_rng(3).poisson(image).astype(float), np.diag([20.0, 20.0]), np.zeros((1, 2)))
    columns, _, _ = columns_of(drawn)
    assert len(columns.height) == 1
    assert (np.abs(columns.position - np.rint(columns.position)) < 0.005).all()


def test_symmetry_makes_positions_surer(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", [(0.2, 0.35)], heights=(1.0,), counts=50.0)
    columns, factors, symmetry = columns_of(drawn)
    plain = symmetry.fits[0]
    assert plain is not None
    alone = find_columns(factors, plain)
    assert len(columns.height) == len(alone.height) == 8
    assert columns.position_std.mean() < 0.5 * alone.position_std.mean()
    assert set(columns.wyckoff) == {"8g"}
    assert set(alone.wyckoff) == {"1a"}


def test_dark_columns_have_negative_heights(pattern: Callable[..., Pattern]) -> None:
    bright = pattern("p31m", [(1 / 3, 2 / 3), (0.0, 0.0)], heights=(1.0, 0.6), noise=0.02)
    dark = Pattern(5.0 - bright.image, bright.basis, bright.atoms)
    columns, _, _ = columns_of(dark)
    assert len(columns.height) == 3
    np.testing.assert_allclose(np.sort(columns.height), [-1.0, -1.0, -0.6], atol=0.03)
    both = pattern("p4mm", [(0.0, 0.0), (0.5, 0.5)], heights=(1.0, -0.4), noise=0.02)
    mixed, _, _ = columns_of(both)
    np.testing.assert_allclose(mixed.height, [1.0, -0.4], atol=0.03)


def test_an_image_of_noise_has_no_columns() -> None:
    rng = np.random.default_rng(1)
    columns, _, _ = columns_of(
        Pattern(rng.normal(size=(96, 96)), np.array([[0.0, 15.0], [13.0, 2.0]]), np.zeros((0, 2)))
    )
    assert len(columns.height) <= 1
    assert len(columns.wyckoff) == len(columns.height)
