"""Unmixing: mixtures whose abundances are known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize

from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites
from bravaismap.unmixing import abundances, n_findr, pure_spectra, unmix, window_amplitudes


def crystal(a: float, b: float, gamma: float, turn: float, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of Gaussian atoms on a lattice."""
    basis = basis_from_cell(a, b, np.deg2rad(gamma), np.deg2rad(turn))
    site = lattice_sites(basis, shape, np.zeros(2), 10)
    return gaussian_atoms(site, np.ones(len(site)), np.full(len(site), 1.8), shape)


@pytest.fixture(scope="module")
def pure() -> np.ndarray:
    """Return the amplitudes of three lattices, flattened."""
    cells = ((11, 11, 60, 5), (9, 9, 90, 20), (12, 8, 90, 60))
    return window_amplitudes(np.stack([crystal(*cell, (64, 64)) for cell in cells])).reshape(3, -1)


def matched(found: np.ndarray, true: np.ndarray) -> float:
    """Return the largest difference of abundances for the order of the endmembers that fits best."""
    orders = permutations(range(true.shape[1]))
    return min(float(np.abs(found[:, list(order)] - true).max()) for order in orders)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_known_abundances_are_recovered_whatever_the_order(pure: np.ndarray, order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    true = np.concatenate([np.eye(3), rng.dirichlet(np.ones(3), 300)])[:, list(order)]
    spectra = true @ pure + rng.normal(0, 0.01 * pure.std(), (303, pure.shape[1]))
    shuffled = rng.permutation(303)
    simplex = pure_spectra(spectra[shuffled], 3, seed=2)
    found = abundances(simplex.project(spectra), simplex.corners)
    assert matched(found, true) < 0.05
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    assert found.min() >= 0
    assert simplex.explained > 0.99
    gaps = np.linalg.norm(simplex.endmembers[:, None] - pure, axis=-1) / np.linalg.norm(pure, axis=-1)
    assert gaps.min(axis=0).max() < 0.02


def test_corners_of_the_largest_triangle_are_found() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 7.0]])
    points = np.concatenate([rng.dirichlet(np.ones(3), 200) @ corners, corners])
    assert set(n_findr(points, 3)) == {200, 201, 202}
    far = points * 1e6 + 1e7  # neither scale nor place matter
    assert set(n_findr(far, 3)) == {200, 201, 202}


def test_a_point_outside_gets_the_nearest_mixture() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    points = np.random.default_rng(3).uniform(-4, 8, (20, 2))
    found = abundances(points, corners)
    for point, share in zip(points, found, strict=True):
        distance = lambda a, p=point: float(((a @ corners - p) ** 2).sum())  # noqa: E731
        whole = {"type": "eq", "fun": lambda a: a.sum() - 1}
        best = minimize(distance, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=whole, options={"ftol": 1e-12})
        assert distance(share) <= best.fun + 1e-4


@pytest.fixture(scope="module")
def two_phases() -> xr.DataArray:
    """Return three frames, hexagonal on the left and square on the right of a border that moves."""
    rng = np.random.default_rng(4)
    left, right = crystal(11, 11, 60, 10, (160, 256)), crystal(9, 9, 90, 33, (160, 256))
    frames = [np.where(np.arange(256) < border, left, right) for border in (64, 128, 192)]
    noisy = np.stack(frames) + rng.normal(0, 0.05, (3, 160, 256))
    return xr.DataArray(noisy, dims=("time", "y", "x"))


def test_two_phases_of_a_film(two_phases: xr.DataArray) -> None:
    found = unmix(two_phases, 2, window=64, step=16, seed=1)
    assert dict(found.sizes) == {"time": 3, "y": 7, "x": 13, "endmember": 2, "ky": 32, "kx": 16}
    middle = found["x"].values
    left = int(found["abundance"].isel(time=2, x=0).mean("y").values.argmax())  # which endmember is hexagonal
    hexagonal = found["abundance"].sel(endmember=left).values
    for frame, border in enumerate((64, 128, 192)):
        assert hexagonal[frame][:, middle < border - 40].min(initial=1) > 0.9
        assert hexagonal[frame][:, middle > border + 40].max(initial=0) < 0.1
        at = hexagonal[frame][:, np.abs(middle - border) < 9]
        assert np.abs(at - 0.5).max() < 0.25
    assert found["fraction"].values.mean(axis=0).argmax() == 0
    np.testing.assert_allclose(found["fraction"].sum("endmember"), 1, atol=1e-6)
    pure = np.abs(middle[None] - np.array([64, 128, 192])[:, None]) > 40
    assert found["residual"].values.transpose(0, 2, 1)[pure].max() < 0.3
    spectrum = found["spectrum"].sel(endmember=left)
    k = np.hypot(spectrum["ky"], spectrum["kx"]).values
    brightest = k.ravel()[np.where(k > 0.03, spectrum.values, 0).argmax()]
    assert abs(brightest - 1 / (11 * np.sin(np.pi / 3))) < 1 / 64


def test_the_same_seed_gives_the_same(two_phases: xr.DataArray) -> None:
    some = two_phases.isel(time=slice(2))
    xr.testing.assert_identical(unmix(some, 2, window=64, seed=3), unmix(some.chunk(time=1), 2, window=64, seed=3))


def test_what_cannot_be_unmixed_is_refused(two_phases: xr.DataArray) -> None:
    with pytest.raises(InputError, match="1 components were asked for"):
        unmix(two_phases, 1, window=64)
    with pytest.raises(InputError, match="differ in 2 ways"):
        unmix(np.ones((2, 96, 96)), 3, window=64)
    with pytest.raises(InputError, match="differ in 2 ways"):
        n_findr(np.column_stack([np.arange(9.0), np.zeros(9)]), 3)
