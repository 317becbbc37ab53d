"""Sublattices of index 2 and 3 against a count of all of them, and the Kronecker lift against NumPy's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from bravaismap.lattice.sublattices import DIVIDED, DOUBLED, hermite_form, kronecker_lift


def points_of(change: np.ndarray, index: int) -> frozenset[tuple[int, int]]:
    """Return the points of a torus of `index` × `index` that the rows of a change of basis reach."""
    steps = product(range(index), repeat=2)
    return frozenset(tuple((np.rint(np.array(step) @ change) % index).astype(int)) for step in steps)


def test_all_three_sublattices_of_index_two_are_there() -> None:
    assert np.abs(np.linalg.det(DOUBLED)) == pytest.approx(2)
    assert len({points_of(change, 2) for change in DOUBLED}) == 3


def test_all_superlattices_of_index_two_and_three_are_there() -> None:
    """A superlattice of index n is a group of n points of the lattice divided by n, seen from the lattice."""
    for index, changes in ((2, DIVIDED[:3]), (3, DIVIDED[3:])):
        assert np.abs(np.linalg.det(changes)) == pytest.approx(1 / index)
        points = {points_of(index * change, index) for change in changes}
        assert len(points) == index + 1
        assert {len(group) for group in points} == {index}


def test_kronecker_lift_is_the_derivative_of_the_changed_basis() -> None:
    rng = np.random.default_rng(0)
    change, basis = rng.standard_normal((5, 2, 2)), rng.standard_normal((5, 2, 2))
    lift = kronecker_lift(change)
    assert lift == pytest.approx(np.stack([np.kron(m, np.eye(2)) for m in change]))
    flat = np.einsum("nij,nj->ni", lift, basis.reshape(5, 4))
    assert flat == pytest.approx((change @ basis).reshape(5, 4))


def test_kronecker_lift_of_rows_in_torch_keeps_their_type() -> None:
    order = torch.randn(4, 3, 1, 2, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    lift = kronecker_lift(order)
    assert lift.shape == (4, 3, 2, 4)
    assert lift.dtype == torch.float32
    basis = torch.arange(4.0)
    assert torch.allclose(lift @ basis, (order @ basis.reshape(2, 2))[..., 0, :])


def test_the_hermite_form_is_the_same_of_all_bases_and_spans_the_same_points() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        matrix = rng.integers(-5, 6, (2, 2))
        index = abs(round(np.linalg.det(matrix)))
        if index == 0:
            continue
        form = hermite_form(matrix)
        assert form[1, 0] == 0
        assert form[0, 0] * form[1, 1] == index
        assert 0 <= form[0, 1] < form[1, 1]
        assert points_of(form, index) == points_of(matrix, index)
        np.testing.assert_array_equal(hermite_form(np.array([[2, 1], [1, 1]]) @ matrix), form)
