"""Class probabilities from a measured cell: known answers, invariance, an independent integration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import entr

from bravaismap.classify import likelihood, posterior_settings
from bravaismap.classify.posterior import (
    cell,
    class_probability,
    sample_probability,
    shape_covariance,
)
from bravaismap.classify.posterior_settings import SETTINGS
from bravaismap.classify.tiling import LINES, WORDS, distinct_words, images, seen_from_line
from bravaismap.conventions import CLASSES, LATTICES
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.shape import hyperbolic_distance, shape

CELLS = {
    "square": (10.0, 10.0, 90.0),
    "rectangular": (10.0, 14.0, 90.0),
    "centered_rectangular": (10.0, 10.0, 75.0),
    "hexagonal": (10.0, 10.0, 60.0),
    "oblique": (10.0, 14.0, 77.0),
}


def bases(**cells: tuple[float, float, float]) -> NDArray[np.floating]:
    a, b, gamma = np.array(list(cells.values())).T
    return basis_from_cell(a, b, np.radians(gamma), 0.4)


def isotropic(n: int, sigma: float) -> NDArray[np.floating]:
    return np.broadcast_to(sigma**2 * np.eye(4), (n, 4, 4))


SURE = np.full(5, 300.0)


def nowhere_far(x: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.zeros_like(x)


def every_image(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    window, word = torch.meshgrid(torch.arange(count), torch.arange(len(WORDS)), indexing="ij")
    return window.flatten(), word.flatten()


@pytest.mark.parametrize("distortion", [0.0, 0.003, 0.01])
def test_perfect_cells_get_their_class(distortion: float) -> None:
    p = class_probability(bases(**CELLS), isotropic(5, 0.02), SURE, distortion)
    assert p.shape == (5, 6)
    np.testing.assert_allclose(p.sum(-1), 1)
    assert [CLASSES[i] for i in p.argmax(-1)] == list(LATTICES)
    assert (p.max(-1) > 0.6).all()


def test_distortion_tips_a_sheared_hexagonal_cell() -> None:
    basis = bases(x=(10.0, 10.25, 61.5))
    strict = class_probability(basis, isotropic(1, 0.01), [300.0], 0.0)[0]
    lax = class_probability(basis, isotropic(1, 0.01), [300.0], 0.03)[0]
    assert CLASSES[strict.argmax()] == "oblique"
    assert CLASSES[lax.argmax()] == "hexagonal"


def test_no_evidence_means_none() -> None:
    p = class_probability(bases(**CELLS), isotropic(5, 0.02), np.zeros(5), 0.01)
    assert (p[:, -1] > 0.995).all()


def test_basis_scale_and_rotation_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    basis = bases(**CELLS) + rng.normal(0, 0.1, (5, 2, 2))
    root = rng.normal(0, 0.05, (5, 4, 4))
    covariance = root @ root.transpose(0, 2, 1) + 1e-3 * np.eye(4)
    expected = class_probability(basis, covariance, SURE, 0.01)
    for change in ([[1, 1], [0, 1]], [[2, 1], [1, 1]], [[0, 1], [1, 0]], [[1, 0], [3, -1]]):
        wide = np.kron(np.array(change), np.eye(2))
        other = class_probability(np.array(change) @ basis, wide @ covariance @ wide.T, SURE, 0.01)
        np.testing.assert_allclose(other, expected, atol=1e-6)
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    wide = 3 * np.kron(np.eye(2), turn.T)
    other = class_probability(3 * basis @ turn, wide @ covariance @ wide.T, SURE, 0.01)
    np.testing.assert_allclose(other, expected, atol=1e-6)


def test_shape_covariance_against_simulation() -> None:
    rng = np.random.default_rng(2)
    basis = bases(x=(10.0, 13.0, 80.0))
    tau, scatter = shape_covariance(basis, isotropic(1, 0.05), 0.004)
    draws = basis + 0.05 * rng.standard_normal((40000, 2, 2))
    draws = draws @ (np.eye(2) + 0.004 * rng.standard_normal((40000, 2, 2)))
    moved, _ = shape_covariance(draws, isotropic(40000, 0.05))
    off = (moved - tau) / tau.imag
    found = np.cov(off.real, off.imag)
    np.testing.assert_allclose(found, scatter[0], rtol=0.06, atol=2e-6)


@pytest.mark.parametrize("distortion", [0.003, 0.02])
def test_against_an_independent_integration(distortion: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw true lattices from each prior, scatter them, and count those that come near the measured shape.

    Beyond a calibrated scan a quarter of the images are calibrated, and of lattices that nearly have a symmetry one in
    five is drawn. The lattices are those around one that no other cell within the even priors describes.
    """
    even = replace(SETTINGS.prior, rectangular_shares=(1.0, 0.0), oblique_shares=(1.0, 0.0, 0.0))
    monkeypatch.setattr(posterior_settings, "SETTINGS", replace(SETTINGS, prior=even))
    rng = np.random.default_rng(4)
    n, reach, wide = 400_000, 2.5 * (distortion - 0.003), 7 * distortion
    sigma = np.where(rng.random(n) < 0.25, 0.003, distortion)[:, None, None]
    ratio = rng.uniform(1.85 - wide, 1.85 + wide, n)
    gamma = {"rectangular": np.full(n, np.pi / 2), "oblique": np.pi / 2 - rng.uniform(0, wide, n)}
    prior = {"rectangular": 2 * wide / 1.2, "oblique": 2 * wide * wide / np.radians(40)}
    measured = basis_from_cell(1.0, 1.85, np.pi / 2 - distortion)[None]
    at, _ = shape_covariance(measured, isotropic(1, 1e-6))
    density = {}
    for name, angle in gamma.items():
        true = basis_from_cell(np.ones(n), ratio, angle)
        miss = deviation(shape(true))
        nearest = miss[:, 0] if name == "rectangular" else miss[:, 1:3].min(-1)
        drawn = (nearest > reach) | (rng.random(n) < 0.2)
        tau, _ = shape_covariance(true @ (np.eye(2) + sigma * rng.standard_normal((n, 2, 2))), isotropic(n, 1e-6))
        tau = np.abs(tau.real) + 1j * tau.imag
        density[name] = prior[name] * (drawn & (hyperbolic_distance(tau, at) < 0.4 * distortion)).mean()
        assert density[name] * n > 500 * prior[name]
    p = class_probability(measured, isotropic(1, 1e-6), [1e4], distortion)[0]
    assert p[1] / p[4] == pytest.approx(density["rectangular"] / density["oblique"], rel=0.1)
    assert p[3] < 0.01  # hexagonal is far


def test_a_cell_nearer_to_a_symmetry_is_surer_and_one_as_far_as_the_distortion_is_doubtful() -> None:
    gammas = (60.0, 60.3, 61.0, 62.0, 63.5)
    basis = bases(**{str(gamma): (10.0, 10.0, gamma) for gamma in gammas})
    hexagonal = class_probability(basis, isotropic(5, 0.003), SURE, 0.02)[:, LATTICES.index("hexagonal")]
    assert (np.diff(hexagonal) < 0).all()
    assert hexagonal[0] > 0.99
    assert hexagonal[3] < 0.9


def test_the_probabilities_go_over_into_those_of_a_calibrated_scan() -> None:
    basis = bases(**CELLS) @ np.array([[1.004, 0.003], [-0.002, 0.997]])
    measured = basis, isotropic(5, 0.02), SURE
    np.testing.assert_allclose(
        class_probability(*measured, 0.003 + 1e-9), class_probability(*measured, 0.003), atol=1e-6
    )


def test_no_distortion_is_too_large() -> None:
    p = class_probability(bases(**CELLS), isotropic(5, 0.02), SURE, 0.2)
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(-1), 1)


def test_cell_and_its_errors() -> None:
    rng = np.random.default_rng(6)
    basis = bases(x=(10.0, 13.0, 80.0))
    found = cell(basis, isotropic(1, 0.03))
    assert found.a[0] == pytest.approx(10)
    assert found.b[0] == pytest.approx(13)
    assert np.degrees(found.gamma[0]) == pytest.approx(80)
    many = cell(basis + 0.03 * rng.standard_normal((20000, 2, 2)), isotropic(20000, 0.03))
    for name in ("a", "b", "gamma", "orientation"):
        assert getattr(many, name).std() == pytest.approx(getattr(found, f"{name}_std")[0], rel=0.05)
    assert found.deviation.shape == (1, 5)
    assert found.deviation[0, 4] == 0


def test_samples_do_not_depend_on_the_batch_and_agree_with_the_closed_form() -> None:
    basis, covariance = bases(**CELLS), isotropic(5, 0.03)
    evidence = np.array([300.0, 200.0, 24.0, 100.0, 60.0])
    repeated = sample_probability(basis, covariance, evidence, 0.01, samples=500, seed=3)
    mean, std, entropy = repeated.mean, repeated.std, repeated.entropy
    np.testing.assert_allclose(mean.sum(-1), 1)
    assert (std >= 0).all()
    assert (entropy <= entr(mean).sum(-1) + 1e-9).all()
    alone = sample_probability(basis[2:3], covariance[2:3], evidence[2:3], 0.01, samples=500, seed=3)
    np.testing.assert_allclose(alone.mean[0], mean[2], atol=1e-12)
    np.testing.assert_allclose(alone.std[0], std[2], atol=1e-12)
    closed = class_probability(basis, covariance, evidence, 0.01)
    np.testing.assert_allclose(repeated.probability, closed, atol=1e-12)
    sure = [0, 1, 3, 4]
    assert (mean[sure].argmax(-1) == closed[sure].argmax(-1)).all()
    assert std[2, -1] > 0.1 > std[0, -1]


def test_few_draws_give_the_spread_of_many() -> None:
    basis, covariance = bases(**CELLS), isotropic(5, 0.03)
    evidence = np.array([300.0, 200.0, 30.0, 100.0, 60.0])
    few = sample_probability(basis, covariance, evidence, 0.002, samples=100, seed=3)
    many = sample_probability(basis, covariance, evidence, 0.002, samples=5000, seed=4)
    np.testing.assert_allclose(few.mean, many.mean, atol=0.02)
    np.testing.assert_allclose(few.std, many.std, atol=0.02)


def test_images_left_out_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    basis = basis_from_cell(np.ones(60), rng.uniform(1, 2.5, 60), np.radians(rng.uniform(60, 90, 60)), 0.3)
    for sigma, distortion in ((1e-3, 0.0), (5e-3, 0.02), (0.05, 0.05)):
        some = class_probability(basis, isotropic(60, sigma), np.full(60, 300.0), distortion)
        with monkeypatch.context() as patched:
            patched.setattr(likelihood, "near_images", lambda tau, *_: every_image(len(tau)))
            patched.setattr(likelihood, "_distances", nowhere_far)
            every = class_probability(basis, isotropic(60, sigma), np.full(60, 300.0), distortion)
        np.testing.assert_allclose(some, every, atol=1e-9)


def test_a_relative_of_half_the_cell_is_the_second_guess() -> None:
    basis = bases(x=(10.0, 10.0 * np.sqrt(3), 90.0), y=(10.0, 15.0, 90.0))
    p = class_probability(basis, isotropic(2, 0.02), np.full(2, 200.0), 0.0)
    hexagonal = LATTICES.index("hexagonal")
    assert [CLASSES[i] for i in p.argmax(-1)] == ["rectangular", "rectangular"]
    assert np.argsort(p[0])[-2] == hexagonal
    assert p[0, hexagonal] > 20 * p[1, hexagonal]


def test_little_evidence_is_less_sure_of_the_lattice() -> None:
    evidence = np.array([50.0, 100.0, 200.0, 500.0])
    basis = bases(**{str(i): (10.0, 12.0, 77.0) for i in range(4)})
    p = class_probability(basis, isotropic(4, 0.01), evidence, 0.0)
    assert (np.diff(p.max(-1)) >= 0).all()
    assert p[0].max() < 0.9 < p[-1].max()


def test_images_that_repeat_one_another_count_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images that a mirror line or a point of symmetry makes equal one is looked at: the sum is that over all."""
    rng = np.random.default_rng(9)
    basis = np.concatenate([bases(**CELLS), bases(**CELLS) + rng.normal(0, 0.3, (5, 2, 2))])
    covariance, evidence = isotropic(10, 0.05), np.full(10, 300.0)
    once = class_probability(basis, covariance, evidence, 0.01)
    all_words = (torch.ones(len(WORDS), dtype=torch.bool), 1)
    monkeypatch.setattr(likelihood, "_LOCI", dict.fromkeys(likelihood._LOCI, all_words))
    np.testing.assert_allclose(once, class_probability(basis, covariance, evidence, 0.01), atol=1e-9)


def test_order_of_the_symmetry_of_points_and_lines() -> None:
    for point, order in ((1j, 4), (0.5 + 1j * np.sqrt(0.75), 6), (None, 2)):
        chosen, repeated = distinct_words(point)
        assert repeated == order
        assert len(WORDS) / order <= int(chosen.sum()) < len(WORDS)


@pytest.mark.parametrize("distortion", [0.005, 0.02])
def test_a_long_centred_cell_that_hits_its_symmetry_is_no_oblique_one(distortion: float) -> None:
    """Centred cells of b/a from 1.7 to 2 in the reduced setting, 0.05 % from their symmetry."""
    angles = np.radians([29.5, 31.0, 33.0, 34.5])
    basis = basis_from_cell(12.0, 12.01, angles, 0.4)
    p = class_probability(basis, isotropic(4, 0.005), np.full(4, 300.0), distortion)
    assert (p[:, LATTICES.index("centered_rectangular")] > 0.9).all()


def test_lines_are_seen_as_the_imaginary_axis() -> None:
    """Lattices on a mirror line have x = 0 from there, ln y is the length along it, and errors keep their size."""
    along = torch.linspace(0.1, 0.5, 5, dtype=torch.float64)
    angle = torch.linspace(1.1, 1.5, 5, dtype=torch.float64)
    on = {
        "upright": (torch.zeros_like(along), along.exp()),
        "tall": (torch.full_like(along, 0.5), along.exp()),
        "arc": (angle.cos(), angle.sin()),
    }
    scatter = torch.tensor([[3.0, 0.5, 1.0]], dtype=torch.float64).expand(5, 3)
    for line in LINES:
        x, y = on[line]
        seen = images(
            x[:, None], y[:, None], scatter, seen_from_line(line)[WORDS.eq(torch.tensor([1, 0, 0, 1, 0])).all(1)]
        )
        np.testing.assert_allclose(seen.x, 0, atol=1e-12)
        if line == "arc":
            np.testing.assert_allclose(seen.y[:, 0].log(), torch.log(1 / torch.tan(angle / 2)), atol=1e-12)
        np.testing.assert_allclose(seen.xx + seen.yy, 4.0)
        np.testing.assert_allclose(seen.xx * seen.yy - seen.xy**2, 2.75)
