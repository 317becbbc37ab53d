from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bravaismap.conventions import LATTICES
from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell, cell_from_basis, reciprocal, reduce_basis
from bravaismap.lattice.deviation import deviation, metric_class, nearest_basis, nearest_shape
from bravaismap.lattice.shape import hyperbolic_distance, shape

entry = st.floats(-5, 5, allow_nan=False)
matrices = st.tuples(entry, entry, entry, entry).map(lambda m: np.array(m).reshape(2, 2))
bases = matrices.filter(lambda m: abs(np.linalg.det(m)) > 0.05)
KNOWN = {
    "square": basis_from_cell(3.0, 3.0, np.pi / 2, 0.3),
    "rectangular": basis_from_cell(3.0, 4.5, np.pi / 2, 1.3),
    "centered_rectangular": basis_from_cell(3.0, 3.0, np.deg2rad(75), 2.0),
    "hexagonal": basis_from_cell(3.0, 3.0, np.pi / 3, 0.1),
    "oblique": basis_from_cell(3.0, 4.2, np.deg2rad(76), 0.7),
}


@pytest.mark.parametrize("name", LATTICES)
def test_metric_class_of_known_cells(name: str) -> None:
    assert LATTICES[metric_class(shape(KNOWN[name]), 1e-9)] == name


def test_metric_class_of_both_kinds_of_centered_rectangular() -> None:
    tall = basis_from_cell(3.0, 3.0, np.deg2rad(40))
    assert LATTICES[metric_class(shape(tall), 1e-9)] == "centered_rectangular"
    assert shape(tall).real == pytest.approx(0.5)


def test_cell_of_known_lattice() -> None:
    a, b, gamma, orientation = cell_from_basis(basis_from_cell(2.0, 3.0, np.deg2rad(80), np.deg2rad(25)))
    assert (float(a), float(b)) == (pytest.approx(2.0), pytest.approx(3.0))
    assert np.rad2deg([float(gamma), float(orientation)]) == pytest.approx([80, 25])


def test_orientation_is_counter_clockwise_with_y_down() -> None:
    up = np.array([[-2.0, 0.0], [0.0, 3.0]])
    assert np.rad2deg(cell_from_basis(up)[3]) == pytest.approx(90)


@given(bases)
def test_reciprocal_is_dual(basis: np.ndarray) -> None:
    np.testing.assert_allclose(reciprocal(basis) @ basis.T, np.eye(2), atol=1e-9)


@given(bases)
def test_reduced_vectors_are_the_two_shortest(basis: np.ndarray) -> None:
    first, second = reduce_basis(basis)
    steps = [(m, n) for m, n in itertools.product(range(-3, 4), repeat=2) if (m, n) != (0, 0)]
    length = {step: np.linalg.norm(step @ np.stack([first, second])) for step in steps}
    assert np.linalg.norm(first) == pytest.approx(min(length.values()))
    assert np.linalg.norm(second) == pytest.approx(min(v for (_, n), v in length.items() if n))
    change = np.linalg.solve(basis.T, reduce_basis(basis).T)
    np.testing.assert_allclose(change, np.round(change), atol=1e-6)
    assert abs(np.linalg.det(change)) == pytest.approx(1, abs=1e-6)


@given(bases, st.sampled_from([(1, 3, 0, 1), (2, 1, 1, 1), (0, 1, -1, 0), (1, 0, -4, 1), (3, 2, 4, 3)]))
def test_shape_does_not_depend_on_the_choice_of_basis(basis: np.ndarray, change: tuple[int, ...]) -> None:
    other = np.array(change).reshape(2, 2) @ basis
    assert hyperbolic_distance(shape(other), shape(basis)) < 1e-6 or _across_a_side(shape(other), shape(basis))


@given(bases, st.floats(0.01, 100), st.floats(0, 6.3), st.booleans())
def test_deviation_is_free_of_scale_rotation_and_mirror(
    basis: np.ndarray, scale: float, angle: float, mirror: bool
) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = scale * basis @ turn @ np.diag([-1.0 if mirror else 1.0, 1.0])
    np.testing.assert_allclose(deviation(shape(other)), deviation(shape(basis)), atol=1e-6)


@given(bases)
def test_shape_lies_in_the_fundamental_domain(basis: np.ndarray) -> None:
    tau = shape(basis)
    assert -1e-12 <= tau.real <= 0.5 + 1e-9
    assert abs(tau) >= 1 - 1e-9


def test_distance_of_one_percent_stretch() -> None:
    stretched = basis_from_cell(1.0, 1.01, np.pi / 2)
    assert deviation(shape(stretched))[0] == pytest.approx(np.log(1.01))
    assert hyperbolic_distance(2j, 3j) == pytest.approx(np.log(1.5))


@given(bases)
@settings(deadline=None)
def test_nearest_lattices_have_their_class_and_lie_at_the_deviation(basis: np.ndarray) -> None:
    nearest, strain = nearest_basis(basis), deviation(shape(basis))
    assert np.abs(np.diagonal(deviation(shape(nearest)), axis1=-2, axis2=-1)).max() < 1e-6
    stretch = np.linalg.solve(reduce_basis(basis)[None] + 0 * nearest, nearest)
    np.testing.assert_allclose(stretch, np.swapaxes(stretch, -1, -2), atol=1e-6)
    principal = np.log(np.linalg.svd(stretch, compute_uv=False))
    np.testing.assert_allclose(principal[:, 0] - principal[:, 1], strain, atol=1e-6)
    np.testing.assert_allclose(principal.sum(axis=-1), 0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_deviation_against_a_search_over_all_stretches(seed: int) -> None:
    """Independent of half planes: scan the area-preserving stretches until the metric tensor turns symmetric."""
    basis = reduce_basis(np.random.default_rng(seed).normal(size=(2, 2)))
    expected = deviation(shape(basis))
    strain, direction = np.meshgrid(np.linspace(0, 3, 1501), np.linspace(0, 2 * np.pi, 1440), indexing="ij")
    u, v = strain / 2 * np.cos(direction), strain / 2 * np.sin(direction)
    log_stretch = np.stack([np.stack([u, v], -1), np.stack([v, -u], -1)], -2)
    half = (strain / 2)[..., None, None]
    stretch = np.cosh(half) * np.eye(2) + np.sinh(half) / np.where(half > 0, half, 1) * log_stretch
    found = np.full(4, np.inf)
    for change in ([[1, 0], [0, 1]], [[0, 1], [-1, 1]], [[1, 0], [-1, 1]], [[0, 1], [1, 1]]):
        p, q = np.moveaxis(np.array(change) @ basis @ stretch, -2, 0)
        aa, bb, ab = (p * p).sum(-1), (q * q).sum(-1), (p * q).sum(-1)
        right, equal, sixty = ab / np.sqrt(aa * bb), np.log(aa / bb) / 2, ab / np.sqrt(aa * bb) - 0.5
        found[0] = min(found[0], strain[np.hypot(right, equal) < 0.006].min(initial=np.inf))
        found[1] = min(found[1], _first_zero(right, strain))
        found[2] = min(found[2], _first_zero(equal, strain))
        found[3] = min(found[3], strain[np.hypot(sixty, equal) < 0.006].min(initial=np.inf))
    assert found == pytest.approx(np.minimum(expected[:4], 3), abs=0.02)


def _first_zero(defect: np.ndarray, strain: np.ndarray) -> float:
    crossed = np.diff(np.sign(defect), axis=0) != 0
    return float(strain[:-1][crossed].min(initial=np.inf))


def test_nearest_shape_on_the_lines() -> None:
    tau = shape(basis_from_cell(1.0, 1.3, np.deg2rad(80)))
    foot = nearest_shape(tau)
    assert foot[1].real == 0
    np.testing.assert_allclose(hyperbolic_distance(foot, tau), deviation(tau), atol=1e-12)


def test_parallel_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="parallel"):
        reduce_basis([[1.0, 2.0], [2.0, 4.0]])


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected \(\.\.\., 2, 2\)"):
        reduce_basis(np.zeros((3, 2)))


def test_reduction_is_vectorised_over_leading_axes() -> None:
    many = np.random.default_rng(1).normal(size=(3, 4, 2, 2))
    one_by_one = np.array([[shape(b) for b in row] for row in many])
    np.testing.assert_allclose(shape(many), one_by_one)
    assert deviation(shape(many)).shape == (3, 4, 5)
    assert nearest_basis(many).shape == (3, 4, 5, 2, 2)


def _across_a_side(one: complex, other: complex) -> bool:
    """Rounding may put the same lattice on either end of a side of the domain; its mirror image is then the same."""
    return bool(np.allclose(deviation(one), deviation(other), atol=1e-6))
