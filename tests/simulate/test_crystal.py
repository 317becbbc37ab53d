"""Simulated crystals: where their atoms are, and how these look."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites


def test_one_atom_at_a_known_position() -> None:
    image = gaussian_atoms(np.array([[20.25, 31.5]]), np.array([3.0]), np.array([2.0]), (48, 64))
    y, x = np.mgrid[:48, :64]
    np.testing.assert_allclose(image, 3 * np.exp(-((y - 20.25) ** 2 + (x - 31.5) ** 2) / 8), atol=2e-6)
    assert image.sum() == pytest.approx(3 * 2 * np.pi * 4, rel=1e-5)
    assert ndimage.center_of_mass(image) == pytest.approx((20.25, 31.5), abs=1e-4)


def test_atoms_add_up_each_with_its_height_and_width() -> None:
    position, height, width = (
        np.array([[5.0, 6.0], [9.5, 8.0], [-1.0, 3.0]]),
        np.array([1, 2, 0.5]),
        np.array([1, 2, 3]),
    )
    single = [gaussian_atoms(position[[i]], height[[i]], width[[i]], (16, 20)) for i in range(3)]
    np.testing.assert_allclose(gaussian_atoms(position, height, width, (16, 20)), sum(single), rtol=1e-5)


def test_no_atoms_no_signal() -> None:
    assert not gaussian_atoms(np.empty((0, 2)), np.empty(0), np.empty(0), (8, 9)).any()


def test_sites_are_all_the_lattice_points_of_the_frame() -> None:
    basis, origin = np.array([[1.0, 7.0], [9.0, -2.0]]), np.array([3.3, 4.4])
    m, n = np.mgrid[-99:100, -99:100].reshape(2, -1)
    every = m[:, None] * basis[0] + n[:, None] * basis[1] + origin
    expected = every[((every >= -5) & (every <= np.array([45, 65]))).all(axis=1)]
    found = lattice_sites(basis, (40, 60), origin, 5.0)
    assert len(found) == len(expected)
    np.testing.assert_allclose(sorted(map(tuple, found)), sorted(map(tuple, expected)))
