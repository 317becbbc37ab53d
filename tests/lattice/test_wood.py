"""Superlattices as they are written: the same whichever basis is given, and Wood's notation of known ones."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.lattice.sublattices import hermite_form
from bravaismap.lattice.wood import superlattice_name

SQUARE = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)
SHARP = basis_from_cell(10.0, 10.0, np.pi / 3, 0.4)
BLUNT = basis_from_cell(10.0, 10.0, 2 * np.pi / 3, 0.4)
RECTANGULAR = basis_from_cell(10.0, 14.0, np.pi / 2, 0.1)
STEPS = [np.array([[1, 1], [0, 1]]), np.array([[1, 0], [-1, 1]]), np.array([[0, 1], [1, 0]]), np.diag([-1, 1])]


@pytest.mark.parametrize(
    ("basis", "matrix", "text"),
    [
        (SQUARE, [[2, 0], [0, 1]], "2 × 1, matrix (2 0; 0 1)"),
        (SQUARE, [[1, 0], [0, 2]], "1 × 2, matrix (1 0; 0 2)"),
        (SQUARE, [[1, 1], [-1, 1]], "√2 × √2 R45° or c(2 × 2), matrix (1 1; -1 1)"),
        (SQUARE, [[2, 1], [-1, 2]], "√5 × √5 R27°, matrix (2 1; -1 2)"),
        (SQUARE, [[2, 0], [0, 2]], "2 × 2, matrix (2 0; 0 2)"),
        (SHARP, [[1, 1], [-1, 2]], "√3 × √3 R30°, matrix (1 1; -1 2)"),
        (BLUNT, [[2, 1], [-1, 1]], "√3 × √3 R30°, matrix (2 1; -1 1)"),
        (SHARP, [[-2, 2], [-2, 0]], "2 × 2, matrix (2 0; 0 2)"),
        (SHARP, [[4, -1], [1, 3]], "√13 × √13 R14°, matrix (4 -1; 1 3)"),
        (SHARP, [[7, 0], [0, 7]], "7 × 7, matrix (7 0; 0 7)"),
        (RECTANGULAR, [[1, 1], [-1, 1]], "c(2 × 2), matrix (1 1; -1 1)"),
        (RECTANGULAR, [[2, 1], [-2, 1]], "c(4 × 2), matrix (2 1; -2 1)"),
        (BLUNT, [[3, 1], [-1, 4]], "(3 1; 2 5)"),
    ],
)
def test_a_superlattice_is_written_one_way_whichever_basis_is_given(
    basis: np.ndarray, matrix: list[list[int]], text: str
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        change = np.eye(2, dtype=int)
        for step in rng.integers(len(STEPS), size=4):
            change = change @ STEPS[step]
        measured = basis * (1 + 0.003 * rng.standard_normal((2, 2)))
        name = superlattice_name(change @ np.array(matrix), measured)
        assert str(name) == text
        assert round(np.linalg.det(name.matrix)) == abs(round(np.linalg.det(np.array(matrix))))
        np.testing.assert_array_equal(hermite_form(name.matrix), hermite_form(np.array(matrix)))
