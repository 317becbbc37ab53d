"""Enlargement: repeated pixels are found, and what is measured at their own resolution is scaled up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.measure.enlargement import is_enlarged, native
from bravaismap.measure.whole_image import measure_whole


def test_repeated_pixels_are_counted_and_cut_edges_do_no_harm() -> None:
    small = np.random.default_rng(1).standard_normal((40, 50)).astype(np.float32)
    shown = np.kron(small, np.ones((3, 4), np.float32))[1:, 2:]
    own = native(torch.from_numpy(shown))
    assert own.repeated == (3.0, 4.0)
    assert np.array_equal(own.image.numpy(), small)
    assert is_enlarged(shown)


def test_nothing_else_is_enlarged() -> None:
    rng = np.random.default_rng(2)
    sparse = rng.poisson(0.002, (128, 128))  # most neighbours are equal
    lines = np.repeat(rng.standard_normal((64, 1)), 128, axis=1)[rng.integers(0, 64, 128)]
    for image in (rng.standard_normal((64, 64)), sparse.astype(float), lines, np.zeros((64, 64))):
        assert not is_enlarged(image)


@pytest.mark.parametrize("times", [2, 5])
def test_the_cell_is_that_of_the_enlarged_image(crystal: Callable[..., np.ndarray], times: int) -> None:
    basis = basis_from_cell(6.0, 6.0, np.radians(60.0), 0.05)
    image = crystal((48, 48), basis, width=1.0) + 0.1 * np.random.default_rng(3).standard_normal((48, 48))
    shown = np.kron(image, np.ones((times, times))).astype(np.float32)
    a, b, gamma, _ = cell_from_basis(measure_whole(torch.from_numpy(shown)).lattices[0].basis)
    assert (a, b) == pytest.approx((6.0 * times, 6.0 * times), rel=0.01)
    assert np.degrees(gamma) == pytest.approx(60, abs=1)
