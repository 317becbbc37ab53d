"""Candidates: lattices are found from exact and from disturbed spots, whatever their orientation and scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.classify.candidates import distinct, find_candidates, score_candidates, shape_of, strains_to_symmetry
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.shape import hyperbolic_distance, shape


def spots_of(basis: np.ndarray, rng: np.random.Generator, error: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the spots of a reciprocal lattice in a half plane, nearest first, and weights that fall outwards."""
    orders = np.array([(h, k) for h in range(-3, 4) for k in range(-3, 4) if h > 0 or (h == 0 and k > 0)])
    position = orders @ basis
    position = position[np.argsort(np.linalg.norm(position, axis=1))][:16]
    weight = 40 * np.exp(-((np.linalg.norm(position, axis=1) / 20) ** 2))
    position = position + error * rng.standard_normal(position.shape)
    return torch.tensor(position[None], dtype=torch.float32), torch.tensor(weight[None], dtype=torch.float32)


def lattices(rng: np.random.Generator, count: int) -> np.ndarray:
    angle, turn = np.radians(rng.uniform(55, 90, count)), rng.uniform(0, np.pi, count)
    length = rng.uniform(6, 12, (2, count))
    rows = [[length[i] * np.sin(turn + i * angle), length[i] * np.cos(turn + i * angle)] for i in (0, 1)]
    return np.array(rows).transpose(2, 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_lattice_of_exact_spots(seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = lattices(rng, 1)[0]
    candidates = find_candidates(*spots_of(basis, rng), 3)
    assert hyperbolic_distance(shape(candidates.basis[0, 0].numpy()), shape(basis)) < 1e-3
    assert abs(np.linalg.det(candidates.basis[0, 0].numpy())) == pytest.approx(abs(np.linalg.det(basis)), rel=1e-3)
    assert candidates.explained[0, 0] > 0.99
    assert candidates.score[0, 0] > candidates.score[0, 1]
    assert candidates.spots[0, 0] == pytest.approx(16, abs=0.1)


def test_errors_of_spots_give_the_covariance_of_the_basis() -> None:
    rng = np.random.default_rng(3)
    basis = reduce_basis(lattices(rng, 1)[0])
    position, weight = spots_of(basis, rng)
    spread = (0.3 / weight + 1e-4).sqrt()
    noise = torch.from_numpy(rng.standard_normal((400, *position.shape[1:]))).float()
    found = find_candidates(position + spread[..., None] * noise, weight.expand(400, -1), 1)
    flat = found.basis[:, 0].numpy() * np.sign((found.basis[:, 0].numpy() * basis).sum(-1, keepdims=True))
    measured = np.cov(flat[:, 0, 0], flat[:, 1, 0])
    expected = found.covariance[:, 0].mean(0).numpy()
    np.testing.assert_allclose(np.diag(measured), np.diag(expected), rtol=0.35)
    assert 0.3 < float(found.misfit[:, 0].mean()) < 1.1  # far spots are not counted in full


def test_noise_is_explained_by_no_lattice_as_a_crystal_is() -> None:
    rng = np.random.default_rng(0)
    crystal = find_candidates(*spots_of(lattices(rng, 1)[0], rng, 0.05), 1)
    scattered = torch.from_numpy(rng.uniform(-30, 30, (50, 16, 2))).float()
    noise = find_candidates(scattered, torch.full((50, 16), 20.0), 1)
    assert (noise.score[:, 0] < 0.6 * crystal.score[0, 0]).all()


def test_a_window_without_spots_has_no_candidate() -> None:
    candidates = find_candidates(torch.zeros(2, 16, 2), torch.zeros(2, 16), 4)
    assert not candidates.score.any()
    assert all(bool(getattr(candidates, name).isfinite().all()) for name in ("basis", "covariance", "misfit"))


def test_one_lattice_in_two_bases_is_kept_once() -> None:
    basis = torch.tensor([[[[7.0, 0.0], [0.0, 9.0]], [[7.02, 0.0], [0.0, 9.0]], [[5.0, 1.0], [0.0, 9.0]]]])
    kept = distinct(basis, torch.tensor([[3.0, 5.0, 1.0]]))
    assert kept.isfinite().tolist() == [[False, True, True]]


def test_score_is_that_of_the_search() -> None:
    rng = np.random.default_rng(1)
    position, weight = spots_of(lattices(rng, 1)[0], rng, 0.02)
    found = find_candidates(position, weight, 2)
    again = score_candidates(found.basis, position, weight)
    assert float(again[0, 0]) == pytest.approx(float(found.score[0, 0]), rel=0.05)


def test_strains_are_those_of_the_deviation() -> None:
    rng = np.random.default_rng(2)
    basis = reduce_basis(lattices(rng, 100))
    x, y = shape_of(torch.from_numpy(basis))
    tau = shape(basis)
    np.testing.assert_allclose(x.numpy() + 1j * y.numpy(), tau, atol=1e-9)
    strains, expected = strains_to_symmetry(x, y).abs().numpy(), deviation(tau)
    np.testing.assert_allclose(strains[:, 0], expected[:, 1], atol=1e-7)
    np.testing.assert_allclose(strains[:, 1:3].min(1), expected[:, 2], atol=1e-7)
    np.testing.assert_allclose(strains[:, 3], expected[:, 0], atol=1e-7)
    np.testing.assert_allclose(strains[:, 4], expected[:, 3], atol=1e-7)


@pytest.mark.parametrize("seed", [22, 62, 153, 159, 184])
def test_bright_spots_in_one_row_make_no_lattice(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    along = torch.randint(1, 9, (12, 1), generator=rng) * torch.tensor([3.7, 11.2])
    position = along + 0.02 * torch.randn(12, 2, generator=rng)
    candidates = find_candidates(position[None], torch.full((1, 12), 4e4), 4)
    assert float(candidates.basis.abs().max()) < 100
    assert candidates.score.tolist() == [[0.0] * 4]
