"""Symmetry: all 17 groups named, the same whatever origin, orientation and basis; shy where little is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from patterns import GENERAL, Pattern

from bravaismap.errors import InputError
from bravaismap.lattice import reduce_basis
from bravaismap.motif.description import extinct
from bravaismap.motif.plane_groups import PLANE_GROUPS, all_settings
from bravaismap.motif.projection import both_halves, closed_orders, group_average, parts, projection
from bravaismap.motif.structure_factors import StructureFactors, fit_pattern, structure_factors
from bravaismap.motif.symmetry import Symmetry, find_symmetry, symmetrized

NAMES = list(GENERAL)
#: Points that with their images stay apart and make no higher group.
POINTS = {
    "p1": [(0.1, 0.2), (0.45, 0.35), (0.2, 0.7)],
    "p2": [(0.13, 0.22), (0.36, 0.8)],
    "p6mm": [(0.05, 0.2)],
    "p6": [(0.1, 0.3), (0.0, 0.0)],
    "p31m": [(0.1, 0.33), (0.0, 0.0)],
    "p3m1": [(0.11, 0.3), (1 / 3, 2 / 3)],
    "p3": [(0.1, 0.35), (0.0, 0.0), (1 / 3, 2 / 3)],
    "p4mm": [(0.12, 0.33), (0.5, 0.5)],
    "p4gm": [(0.12, 0.22)],
    "p2gg": [(0.14, 0.1), (0.3, 0.62)],
    "p4": [(0.13, 0.22), (0.4, 0.22)],
    "c2mm": [(0.13, 0.2)],
}


def factors_of(drawn: Pattern, basis: np.ndarray | None = None) -> StructureFactors:
    chosen = reduce_basis(drawn.primitive if basis is None else basis)
    return structure_factors(fit_pattern(drawn.image, chosen, np.ones(drawn.image.shape)))


def named(symmetry: Symmetry) -> str:
    return symmetry.group.name


@pytest.mark.parametrize("name", NAMES)
def test_each_group_is_named(pattern: Callable[..., Pattern], name: str) -> None:
    points = POINTS.get(name, [(0.13, 0.22), (0.36, 0.07), (0.05, 0.6)])
    drawn = pattern(name, points, heights=(1.0, 0.6, 0.8), counts=200.0, origin=(0.31, 0.17), size=150)
    factors = factors_of(drawn)
    symmetry = find_symmetry(factors, 0.002)
    assert named(symmetry) == name
    assert symmetry.probability.max() > 0.9
    assert symmetry.probability.sum() == pytest.approx(1)
    best = symmetry.best
    assert abs(best.chi_square - best.constraints) < 5 * np.sqrt(2 * max(best.constraints, 1))
    assert best.residual < 0.05
    for other in symmetry.fits:  # a group that is not one of its subgroups is contradicted
        if other is not None and len(other.setting.matrices) > len(best.setting.matrices):
            assert other.residual > 0.05


@pytest.mark.parametrize("name", ["p2mg", "p4gm", "p3m1", "cm"])
def test_origin_orientation_and_basis_do_not_matter(pattern: Callable[..., Pattern], name: str) -> None:
    points = POINTS.get(name, [(0.13, 0.22), (0.36, 0.07), (0.05, 0.6)])
    options: dict[str, Any] = {"heights": (1.0, 0.6, 0.8), "noise": 0.05}
    for angle, origin in ((0.4, (0.0, 0.0)), (1.9, (0.77, 0.41))):
        drawn = pattern(name, points, angle=angle, origin=origin, **options)
        reduced = reduce_basis(drawn.primitive)
        for change in (np.eye(2), [[0, 1], [1, 0]], [[-1, 0], [0, 1]]):
            factors = structure_factors(fit_pattern(drawn.image, change @ reduced, np.ones(drawn.image.shape)))
            assert named(find_symmetry(factors, 0.002)) == name


def test_the_origin_is_where_the_group_has_it(pattern: Callable[..., Pattern]) -> None:
    """The fourfold axis without a glide through it lies where it was drawn, within its errors."""
    drawn = pattern("p4gm", POINTS["p4gm"], counts=100.0, origin=(0.31, 0.17))
    fit = fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape))
    best = find_symmetry(structure_factors(fit), 0.002).best
    place = best.origin @ drawn.basis - fit_shift(fit, drawn)
    apart = np.linalg.solve(drawn.basis.T, place) - np.array([0.31, 0.17])
    apart = np.array([apart, apart - 0.5])  # the other fourfold axis is equivalent
    nearest = apart[np.argmin(np.linalg.norm(apart - np.rint(apart), axis=1))]
    assert (np.abs(nearest - np.rint(nearest)) < 4 * best.origin_std).all()
    assert (best.origin_std < 0.005).all()


def fit_shift(fit: Any, drawn: Pattern) -> np.ndarray:
    """Return where the followed phase has put the origin, in px."""
    shift = np.angle(np.exp(2j * np.pi * fit.phase.coordinates).mean(axis=(1, 2)))
    g = np.linalg.inv(drawn.basis)
    y, x = np.mgrid[: drawn.image.shape[0], : drawn.image.shape[1]]
    plain = np.exp(2j * np.pi * np.stack([g[0, i] * y + g[1, i] * x for i in (0, 1)])).mean(axis=(1, 2))
    return np.asarray(((shift - np.angle(plain)) / (2 * np.pi)) @ drawn.basis)


def test_a_sheared_crystal_keeps_its_group(pattern: Callable[..., Pattern]) -> None:
    shear = np.array([[1.0, 0.02], [0.02, 1.0]])
    drawn = pattern("p4gm", POINTS["p4gm"], counts=200.0, strain=shear)
    factors = factors_of(drawn)
    assert named(find_symmetry(factors, 0.02)) == "p4gm"
    assert named(find_symmetry(factors, 0.001)) == "p2"  # a sheared square is oblique, sheared as the axes are turned


def test_a_square_cell_with_a_lower_group_is_pseudosymmetric(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", [(0.0, 0.0)], heights=(1.0,), counts=200.0)
    y, x = np.mgrid[: drawn.image.shape[0], : drawn.image.shape[1]]
    g = np.linalg.inv(drawn.basis).T[0]
    rows = 60 * np.cos(2 * np.pi * (g[0] * y + g[1] * x))  # brighter rows, mirrors kept, fourfold axis lost
    image = np.random.default_rng(1).poisson(np.maximum(drawn.image + 80 + rows, 0)).astype(float)
    factors = structure_factors(fit_pattern(image, drawn.basis, np.ones(image.shape)))
    symmetry = find_symmetry(factors, 0.01)
    assert named(symmetry) == "p2mm"
    assert symmetry.summed("lattice")["rectangular"] > 0.9
    assert symmetry.summed("point_group")["2mm"] > 0.9
    assert sum(symmetry.summed("laue_class").values()) == pytest.approx(1)


def test_with_few_counts_it_is_shy_and_not_wrong(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p31m", POINTS["p31m"], counts=0.04, size=96, seed=2)
    symmetry = find_symmetry(factors_of(drawn), 0.002)
    assert symmetry.probability.max() < 0.9
    assert symmetry.probability[NAMES.index("p31m")] > 0.02


def test_systematic_errors_leave_the_higher_group_its_chance(pattern: Callable[..., Pattern]) -> None:
    """A fourfold motif seen with an astigmatic probe: broken in perfect data, allowed for otherwise."""
    drawn = pattern("p4mm", POINTS["p4mm"], counts=500.0)
    factors = factors_of(drawn)
    broken = replace(factors, value=factors.value * (1 + 0.1 * np.where(factors.order[:, 0] % 2 == 0, 1, -1)))
    perfect, allowed = (find_symmetry(broken, 0.002, systematic) for systematic in (0.0, 0.2))
    assert perfect.probability[NAMES.index("p4mm")] < 0.01
    assert named(allowed) == "p4mm"


@pytest.mark.parametrize("name", ["pg", "p2mg", "p4gm", "p31m", "c2mm"])
def test_projections_are_idempotent(name: str) -> None:
    """P is symmetric, P² = P, and its trace counts the free parameters of the group, counted by stars of orders."""
    settings = [s for s in all_settings() if s.group.name == name]
    for setting in settings[:2]:
        h, k = np.meshgrid(*[np.arange(-4, 5)] * 2, indexing="ij")
        every = np.stack([h.ravel(), k.ravel()], axis=-1)
        half = every[(every[:, 0] > 0) | ((every[:, 0] == 0) & (every[:, 1] > 0))]
        rng = np.random.default_rng(1)
        value = rng.normal(size=len(half)) + 1j * rng.normal(size=len(half))
        unit = np.eye(2 * len(half))
        raw = StructureFactors(np.eye(2), half, value, np.ones(len(half)), np.ones(len(half)), unit)
        closed = closed_orders(raw, [setting])
        full, values = both_halves(closed)
        origin = rng.random(2)
        matrix = projection(full, setting, origin)
        np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-12)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        averaged = group_average(full, values, setting).average(origin)
        np.testing.assert_allclose(matrix @ parts(values), parts(averaged), atol=1e-12)
        free, seen = 0, set()
        for order in map(tuple, full.tolist()):
            if order in seen:
                continue
            star = {tuple((np.array(order) @ w).tolist()) for w in setting.matrices}
            whole = star | {(-i, -j) for i, j in star}
            seen |= whole
            gone = any(
                tuple((np.array(order) @ w).tolist()) == order and abs(np.exp(2j * np.pi * np.dot(order, t)) - 1) > 1e-9
                for w, t in zip(setting.matrices, setting.translations, strict=True)
            )
            free += 0 if gone else 1 if len(whole) == len(star) else 2
        assert np.trace(matrix) == pytest.approx(free)


def test_projection_is_an_average_over_the_group(pattern: Callable[..., Pattern]) -> None:
    """Symmetrised structure factors obey F(hW) = F(h) exp(−2πi h·t) at the origin, re-derived order by order."""
    factors = factors_of(pattern("p2gg", POINTS["p2gg"], noise=0.3))
    best = find_symmetry(factors, 0.002).best
    assert best.setting.group.name == "p2gg"
    mean = symmetrized(factors, best)
    table = dict(zip(map(tuple, mean.order), mean.value, strict=True))
    table |= {(-h, -k): np.conj(value) for (h, k), value in table.items()}
    for w, t in zip(best.setting.matrices, best.setting.translations, strict=True):
        shift = t + (np.eye(2) - w) @ best.origin
        for order, value in table.items():
            image = tuple((np.array(order) @ w).tolist())
            assert table[image] == pytest.approx(value * np.exp(-2j * np.pi * np.dot(order, shift)), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("pg", lambda h, k: h == 0 and k % 2 == 1),
        ("p2mg", lambda h, k: k == 0 and h % 2 == 1),
        ("p2gg", lambda h, k: (k == 0 and h % 2 == 1) or (h == 0 and k % 2 == 1)),
        ("p4gm", lambda h, k: (k == 0 and h % 2 == 1) or (h == 0 and k % 2 == 1)),
        ("p4mm", lambda h, k: False),
    ],
)
def test_extinctions_of_glides(pattern: Callable[..., Pattern], name: str, rule: Callable[[int, int], bool]) -> None:
    """The reflection conditions of the International Tables, and that what should vanish is noise."""
    points = POINTS.get(name, [(0.13, 0.22), (0.36, 0.07), (0.05, 0.6)])
    factors = factors_of(pattern(name, points, heights=(1.0, 0.6, 0.8), counts=200.0, size=150))
    best = find_symmetry(factors, 0.002).best
    assert best.setting.group.name == name
    h, k = (factors.order @ best.setting.change.T).T
    wanted = np.array([rule(abs(int(i)), abs(int(j))) for i, j in zip(h, k, strict=True)])
    found = extinct(factors, best.setting)
    assert (found == wanted).all()
    if found.any():
        assert (np.abs(factors.value) / factors.std)[found].max() < 4


def test_the_same_input_gives_the_same_answer(pattern: Callable[..., Pattern]) -> None:
    factors = factors_of(pattern("p6", POINTS["p6"], counts=5.0))
    one, other = (find_symmetry(factors).probability for _ in range(2))
    assert (one == other).all()
    assert len(one) == len(PLANE_GROUPS)


@pytest.mark.parametrize("name", ["distortion", "systematic"])
def test_errors(pattern: Callable[..., Pattern], name: str) -> None:
    factors = factors_of(pattern("p4", POINTS["p4"], noise=0.1))
    for value in (-0.1, np.nan, 1.5):
        with pytest.raises(InputError, match=name):
            find_symmetry(factors, **{name: value})
