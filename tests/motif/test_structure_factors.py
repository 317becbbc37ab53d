"""Structure factors, averaging, phase and translations against what was drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from patterns import Pattern

from bravaismap.errors import InputError
from bravaismap.lattice import reciprocal, reduce_basis
from bravaismap.motif.averaging import averaged_cell, fold_pixels, synthesis
from bravaismap.motif.belonging import belonging, local_strength
from bravaismap.motif.phase import LocalPhase, Region, half_plane, local_phase
from bravaismap.motif.structure_factors import PatternFit, error_covariance, fit_pattern, structure_factors, wilson
from bravaismap.motif.translations import fit_cell

WIDTH = 1.8


def coordinates_of(basis: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    g = reciprocal(basis)
    return g[:, 0, None, None] * y + g[:, 1, None, None] * x


def exact(drawn: Pattern, orders: np.ndarray, heights: dict[int, float], width: float = WIDTH) -> np.ndarray:
    """Return the structure factors of Gaussian atoms, from their definition."""
    square = ((orders @ np.linalg.inv(drawn.basis).T) ** 2).sum(axis=1)
    area = abs(np.linalg.det(drawn.basis))
    weight = np.array([heights[i] for i in range(len(drawn.atoms))])
    waves = np.exp(2j * np.pi * orders @ drawn.atoms.T) @ weight
    return 2 * np.pi * width**2 / area * np.exp(-2 * np.pi**2 * width**2 * square) * waves


def known_phase(drawn: Pattern) -> LocalPhase:
    return LocalPhase(coordinates_of(drawn.basis, drawn.image.shape), False, 0.0)


def test_structure_factors_are_those_of_the_atoms(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p2mg", [(0.13, 0.22)], heights=(1.0,))
    fit = fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape), known_phase(drawn))
    expected = exact(drawn, fit.orders, dict.fromkeys(range(4), 1.0))
    np.testing.assert_allclose(fit.factors, expected, atol=4e-4 * np.abs(expected).max())
    np.testing.assert_allclose(fit.background + fit.pattern + fit.residual, drawn.image, atol=1e-9)


@pytest.mark.parametrize(("counts", "noise"), [(20.0, 0.0), (None, 0.3)])
def test_errors_are_as_large_as_stated(pattern: Callable[..., Pattern], counts: float | None, noise: float) -> None:
    """χ² of the parts of F, with their covariance, over several draws; Poisson and additive noise."""
    totals, number = [], 0
    for seed in range(6):
        drawn = pattern("p2gg", [(0.13, 0.22)], heights=(1.0,), counts=counts, noise=noise, seed=seed, size=110)
        fit = fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape), known_phase(drawn))
        factors = structure_factors(fit)
        miss = factors.value - (counts or 1.0) * exact(drawn, factors.order, dict.fromkeys(range(4), 1.0))
        parts = np.concatenate([miss.real, miss.imag])
        totals.append(parts @ np.linalg.solve(factors.covariance, parts))
        number = len(parts)
        assert np.trace(factors.covariance) == pytest.approx((factors.std**2).sum())
        assert np.linalg.eigvalsh(factors.covariance).min() > 0
    assert np.mean(totals) / number == pytest.approx(1, abs=0.25)


def test_counts_correlate_structure_factors(pattern: Callable[..., Pattern]) -> None:
    """Where atoms are the only source of counts, F(h) and F(h') have errors in proportion to F(h − h')."""
    draws = []
    for seed in range(50):
        drawn = pattern("p1", [(0.2, 0.3)], heights=(1.0,), counts=10.0, size=80, seed=seed, width=2.5)
        fit = fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape), known_phase(drawn))
        draws.append(fit.factors[:4])
    empirical = np.cov(np.concatenate([np.real(draws), np.imag(draws)], axis=1).T)
    told = error_covariance(fit, fit.orders[:4], np.sqrt(fit.variance[:4]))
    scale = np.sqrt(np.outer(np.diag(empirical), np.diag(empirical)))
    between = ~np.eye(8, dtype=bool)
    found, stated = (empirical / scale)[between], (told / scale)[between]
    assert np.abs(found).max() > 0.4  # they are correlated
    assert np.corrcoef(found, stated)[0, 1] > 0.75
    assert np.mean(np.diag(told) / np.diag(empirical)) == pytest.approx(1, abs=0.5)


def test_rows_and_background_are_taken_off(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4gm", [(0.12, 0.22)], heights=(1.0,), noise=0.05, angle=0.0)  # rows along a
    rng = np.random.default_rng(4)
    y, x = np.mgrid[: len(drawn.image), : len(drawn.image)]
    spoilt = drawn.image + 0.4 * rng.normal(size=(len(drawn.image), 1)) + 3e-4 * (y - 40) ** 2 + 0.01 * x
    plain, other = (
        structure_factors(fit_pattern(image, drawn.basis, np.ones(image.shape), known_phase(drawn)))
        for image in (drawn.image, spoilt)
    )
    true = dict(zip(map(tuple, plain.order.tolist()), plain.value, strict=True))
    lined_up = 0
    for order, value, std in zip(map(tuple, other.order.tolist()), other.value, other.std, strict=True):
        if order in true:
            assert abs(value - true[order]) < 4 * std + 2e-3
            lined_up += 1
            if order[0]:
                assert std < 2e-3
            elif order[1] < 3:  # a wave straight down the image cannot be told from offsets of rows
                assert std > 5e-3
    assert lined_up > 10


def test_wilson_is_the_law_of_gaussian_atoms(pattern: Callable[..., Pattern]) -> None:
    """Intensities of atoms of one width fall as exp(−4π²s²k²) in the mean."""
    drawn = pattern(
        "p1", [(0.1, 0.2), (0.45, 0.35), (0.2, 0.7), (0.7, 0.6)], heights=(1, 1, 1, 1), noise=0.01, size=160
    )
    fit = fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape), known_phase(drawn))
    assert fit.law[1] == pytest.approx(4 * np.pi**2 * WIDTH**2, rel=0.25)
    level, fall = fit.law
    square = ((fit.orders @ reciprocal(fit.basis)) ** 2).sum(axis=1)
    np.testing.assert_allclose(wilson(fit, fit.orders), np.exp(level - fall * square))


def test_half_plane_has_one_of_each_pair() -> None:
    basis = np.array([[0.0, 9.0], [11.0, 3.0]])
    orders = half_plane(basis, 500)
    pairs = {tuple(order) for order in orders.tolist()}
    assert not pairs & {(-h, -k) for h, k in pairs}
    distance = np.linalg.norm(orders @ reciprocal(basis), axis=1)
    assert (np.diff(distance) >= 0).all()
    assert distance[-1] <= 0.46
    every = {(h, k) for h in range(-8, 9) for k in range(-8, 9) if (h, k) != (0, 0)}
    inside = {o for o in every if np.linalg.norm(np.array(o) @ reciprocal(basis)) <= 0.46}
    assert pairs | {(-h, -k) for h, k in pairs} == inside


def test_a_cell_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="expected vectors of 3 px or more"):
        fit_pattern(np.zeros((64, 64)), np.array([[0.0, 1.5], [1.6, 0.0]]), np.ones((64, 64)))


# phase


def test_phase_follows_a_drift(pattern: Callable[..., Pattern]) -> None:
    """A smooth strain of up to 4 %; coordinates follow it but for a constant."""

    def displace(r: np.ndarray) -> np.ndarray:
        return 0.3 * 22 * np.stack([np.sin(r[:, 0] / 160), 1 - np.cos(r[:, 1] / 160)], axis=-1)

    drawn = pattern("p4mm", [(0.12, 0.33), (0.5, 0.5)], size=256, noise=0.1, displace=displace)
    followed = local_phase(Region(drawn.image - drawn.image.mean(), np.ones(drawn.image.shape), drawn.basis))
    assert followed.followed
    y, x = np.mgrid[:256, :256].astype(float)
    place = np.stack([y.ravel(), x.ravel()], axis=-1)
    source = place.copy()
    for _ in range(6):
        source = place - displace(source)
    ideal = (source @ np.linalg.inv(drawn.basis)).T.reshape(2, 256, 256)
    apart = np.exp(2j * np.pi * (followed.coordinates - ideal))
    off = np.angle(apart / apart.mean(axis=(1, 2), keepdims=True)) / (2 * np.pi)
    assert np.sqrt((off[:, 20:-20, 20:-20] ** 2).mean()) < 0.02
    assert np.abs(off).max() < 0.15


def test_the_average_of_a_drifting_crystal_is_sharp(pattern: Callable[..., Pattern]) -> None:
    def displace(r: np.ndarray) -> np.ndarray:
        return 0.3 * 22 * np.stack([np.sin(r[:, 1] / 320), (r[:, 0] / 300) ** 2], axis=-1)

    still, moved = (
        pattern("p4mm", [(0.5, 0.5), (0.0, 0.0)], size=256, noise=0.1, displace=d) for d in (None, displace)
    )
    fits = [fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape)) for drawn in (still, moved)]
    first, second = (np.abs(fit.factors) for fit in fits)
    strong = first > 0.2 * first.max()
    np.testing.assert_allclose(second[strong], first[strong], rtol=0.1)
    blurred = fit_pattern(moved.image, moved.basis, np.ones(moved.image.shape), known_phase(moved))
    assert np.abs(blurred.factors)[strong].mean() < 0.7 * first[strong].mean()


def test_an_antiphase_boundary_does_not_cancel_the_motif(pattern: Callable[..., Pattern]) -> None:
    half = pattern("p2mg", size=256, noise=0.05)
    shifted = pattern("p2mg", size=256, noise=0.05, origin=(0.5, 0.0))
    image = np.where(np.arange(256) < 128, half.image, shifted.image)
    fits = [fit_pattern(picture, half.basis, np.ones(image.shape)) for picture in (half.image, image)]
    first, second = (np.abs(fit.factors) for fit in fits)
    strong = (first > 0.3 * first.max()) & (fits[0].orders[:, 0] % 2 == 1)
    assert strong.any()
    assert (second[strong] > 0.8 * first[strong]).all()


def test_a_still_lattice_is_left_as_it_is(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", [(0.0, 0.0)], heights=(1.0,), counts=0.05, size=96)
    phase = local_phase(Region(drawn.image - drawn.image.mean(), np.ones(drawn.image.shape), drawn.basis))
    if not phase.followed:
        np.testing.assert_array_equal(phase.coordinates, coordinates_of(drawn.basis, drawn.image.shape))
    uniform = phase.coordinates - coordinates_of(drawn.basis, drawn.image.shape)
    assert np.abs(uniform - uniform.mean(axis=(1, 2), keepdims=True)).max() < 0.1


# averaging


def test_folded_sums_are_fourier_sums() -> None:
    rng = np.random.default_rng(0)
    coordinates, values = rng.uniform(-4, 4, (2, 30, 40)), rng.normal(size=(30, 40))
    fold = fold_pixels(coordinates, 5)
    found = fold.transform(values)
    for order in ((0, 0), (1, 0), (2, -1), (-3, 4)):
        direct = (values * np.exp(2j * np.pi * np.tensordot(order, coordinates, 1))).sum()
        assert found[order] == pytest.approx(direct, abs=0.01 * np.abs(values).sum())
    orders, factors = np.array([[1, 0], [2, -3]]), np.array([0.7 - 0.2j, 0.1 + 0.5j])
    waves = np.exp(-2j * np.pi * np.tensordot(orders, coordinates, 1))
    np.testing.assert_allclose(
        fold.pattern(orders, factors), 2 * np.tensordot(factors, waves, 1).real.ravel(), atol=0.02
    )
    grid = synthesis(orders, factors, (8, 6))
    u, v = np.meshgrid(np.arange(8) / 8, np.arange(6) / 6, indexing="ij")
    phases = np.exp(-2j * np.pi * np.tensordot(orders, [u, v], 1))
    np.testing.assert_allclose(grid, 2 * np.tensordot(factors, phases, 1).real)


def test_the_averaged_cell_is_the_cell_with_its_errors(pattern: Callable[..., Pattern]) -> None:
    """Finer than the pixel, and of the stated σ about the noiseless average."""
    quiet, noisy = (pattern("p2mm", [(0.2, 0.3)], heights=(1.0,), noise=noise, size=200) for noise in (0.0, 0.4))
    place = coordinates_of(quiet.basis, quiet.image.shape)
    weight = np.ones(quiet.image.shape)
    true, cell = (
        averaged_cell(drawn.image, weight, place, drawn.basis, noisy.image - quiet.image) for drawn in (quiet, noisy)
    )
    assert cell.mean.shape[1] > 1.5 * 18
    assert cell.mean.shape[0] > 1.5 * 26
    assert cell.count.sum() == pytest.approx(weight.sum())
    z = (cell.mean - true.mean) / cell.std
    assert np.std(z) == pytest.approx(1, abs=0.12)
    v, u = np.unravel_index(np.argmax(true.mean), true.mean.shape)
    peak = np.array([u / true.mean.shape[1], v / true.mean.shape[0]])
    assert np.abs((peak - quiet.atoms + 0.5) % 1.0 - 0.5).max(axis=1).min() < 0.03


# translations


def test_a_cell_measured_twice_too_large_is_halved(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4gm", [(0.12, 0.22)], heights=(1.0,), counts=30.0)
    for change in ([[2, 0], [0, 1]], [[1, 1], [-1, 1]], [[1, 0], [0, 3]]):
        fit = fit_cell(drawn.image, np.array(change) @ drawn.basis, np.ones(drawn.image.shape))
        assert abs(np.linalg.det(fit.basis)) == pytest.approx(22**2, rel=1e-6)


def test_a_cell_measured_too_small_is_doubled(pattern: Callable[..., Pattern]) -> None:
    """Two columns that differ a little: the small cell has the strong spots, the true one the weak ones as well."""
    drawn = pattern("p4mm", [(0.0, 0.0), (0.5, 0.5)], heights=(1.0, 0.85), counts=100.0)
    small = np.array([[0.5, 0.5], [-0.5, 0.5]]) @ drawn.basis
    fit = fit_cell(drawn.image, small, np.ones(drawn.image.shape))
    assert abs(np.linalg.det(fit.basis)) == pytest.approx(22**2, rel=1e-6)
    alike = pattern("p4mm", [(0.0, 0.0), (0.5, 0.5)], heights=(1.0, 1.0), counts=100.0)
    assert abs(np.linalg.det(fit_cell(alike.image, small, np.ones(alike.image.shape)).basis)) < 250
    allowed = fit_cell(drawn.image, small, np.ones(drawn.image.shape), systematic=0.3)
    assert abs(np.linalg.det(allowed.basis)) < 250


# belonging


def test_voids_are_left_out(pattern: Callable[..., Pattern]) -> None:
    def present(r: np.ndarray) -> np.ndarray:
        return np.hypot(r[:, 0] - 100, r[:, 1] - 90) > 45

    drawn = pattern("p6mm", [(1 / 3, 2 / 3)], heights=(1.0,), size=200, noise=0.1, present=present)
    fit = fit_pattern(drawn.image, reduce_basis(drawn.basis), np.ones(drawn.image.shape))
    kept = belonging(fit) > 0
    y, x = np.mgrid[:200, :200]
    distance = np.hypot(y - 100, x - 90)
    assert not kept[distance < 30].any()
    assert kept[distance > 65].mean() > 0.99
    strength, std = local_strength(fit)
    assert np.median(strength[distance > 70]) == pytest.approx(1, abs=0.5)
    assert (std > 0).all()


def test_nothing_is_left_out_where_noise_hides_it(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p6mm", [(1 / 3, 2 / 3)], heights=(1.0,), noise=3.0)
    fit: PatternFit = fit_pattern(drawn.image, reduce_basis(drawn.basis), np.ones(drawn.image.shape))
    assert belonging(fit).mean() > 0.999
