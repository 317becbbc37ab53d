"""Refinement of a reciprocal basis: known waves, invariances, and a covariance that repeated measurements confirm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lattice_images import cell_basis, plane_waves

from bravaismap.measure.refinement import Refined, refine
from bravaismap.measure.tapered_tiles import tapered_tiles

ORDERS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
#: Waves of `plane_waves`: the first three of `ORDERS`, so that the other two hold noise alone.
THERE = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
SIZES = [(128, 128), (96, 128), (125, 131)]


def reciprocal_bins(basis: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return g₁, g₂ in bins (y, x) of a window."""
    return torch.from_numpy(np.linalg.inv(basis).T * np.array(size)).float()


def refined(images: np.ndarray, start: torch.Tensor, steps: int = 3) -> Refined:
    count = len(images)
    tensors = tapered_tiles(torch.from_numpy(images).float())
    return refine(tensors, start.expand(count, 2, 2), ORDERS.expand(count, -1, 2), THERE.expand(count, -1), steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["hexagonal", "oblique", "rectangular"])
def test_waves_without_noise_are_found_from_a_near_start(name: str, size: tuple[int, int]) -> None:
    basis = cell_basis(name)
    true = reciprocal_bins(basis, size)
    start = true + torch.tensor([[0.2, -0.15], [-0.1, 0.2]])
    found = refined(plane_waves(basis, size, noise=0.0)[None], start)
    np.testing.assert_allclose(found.basis[0], true, atol=5e-3)  # of a bin
    np.testing.assert_allclose(found.amplitude[0].abs()[:3], 0.5, atol=0.01)  # cos = (e^iφ + e^−iφ) / 2
    assert float(found.amplitude[0].abs()[3:].max()) < 0.01


def test_contrast_and_negative_of_the_image_do_not_matter() -> None:
    basis, size = cell_basis("oblique"), (128, 128)
    image, start = plane_waves(basis, size, noise=0.5), reciprocal_bins(basis, size) + 0.1
    plain = refined(np.stack([image]), start)
    for factor in (7.0, -1.0):
        other = refined(np.stack([factor * image]), start)
        np.testing.assert_allclose(other.basis, plain.basis, atol=1e-4)
        np.testing.assert_allclose(other.covariance, plain.covariance, rtol=1e-2, atol=1e-8)
        np.testing.assert_allclose(other.amplitude, factor * plain.amplitude, atol=1e-3 * abs(factor))
        np.testing.assert_allclose(other.noise, factor**2 * plain.noise, rtol=1e-2)


def test_axes_exchange_with_the_image() -> None:
    basis, size = cell_basis("oblique"), (96, 128)
    image, start = plane_waves(basis, size, noise=0.3), reciprocal_bins(basis, size) + 0.1
    plain, turned = refined(image[None], start), refined(image.T[None].copy(), start.flip(1))
    np.testing.assert_allclose(turned.basis.flip(2), plain.basis, atol=1e-4)
    order = [1, 0, 3, 2]
    np.testing.assert_allclose(turned.covariance[0][order][:, order], plain.covariance[0], rtol=2e-2, atol=1e-8)


def test_windows_of_a_batch_do_not_see_each_other() -> None:
    basis, size = cell_basis("hexagonal"), (128, 128)
    images, start = np.stack([plane_waves(basis, size, seed=i) for i in range(3)]), reciprocal_bins(basis, size) + 0.1
    together = refined(images, start)
    for i in range(3):
        np.testing.assert_allclose(refined(images[i : i + 1], start).basis[0], together.basis[i], atol=1e-4)


def test_covariance_and_noise_are_those_of_repeated_measurements() -> None:
    basis, size, sigma, count = cell_basis("oblique"), (128, 128), 2.0, 200
    true = reciprocal_bins(basis, size)
    images = np.stack([plane_waves(basis, size, noise=sigma, seed=i) for i in range(count)])
    found = refined(images, true + 0.05)
    error = (found.basis - true).reshape(count, 4).double()
    measured, stated = error.T @ error / count, found.covariance.double().mean(dim=0)
    assert float(error.mean(dim=0).abs().max()) < 4 * float(measured.diagonal().sqrt().max()) / count**0.5
    np.testing.assert_allclose(stated.diagonal().sqrt(), measured.diagonal().sqrt(), rtol=0.25)
    squared = torch.einsum("ni,nij,nj->n", error, torch.linalg.inv(found.covariance.double()), error)
    assert 2.5 < float(squared.median()) < 5.0  # 3.4 for χ² of 4 degrees of freedom
    radial = found.amplitude[:, :3].abs().var(dim=0).mean()  # half of the power of the noise is in the phase
    assert float(found.noise[:, :3].mean()) == pytest.approx(2 * float(radial), rel=0.2)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_may_have_phases_of_their_own(groups: int) -> None:
    basis, size, count = cell_basis("oblique"), (128, 128), 120
    true, rng = reciprocal_bins(basis, size), np.random.default_rng(4)
    side = size[0] // groups
    images = np.stack([plane_waves(basis, (3 * size[0], 3 * size[0]), noise=1.0, seed=i) for i in range(count)])
    cut = np.empty((count, *size), np.float32)
    for row in range(groups):
        for column in range(groups):
            # the same lattice from elsewhere, so that the phases of every wave jump between groups
            top, left = rng.integers(0, size[0], 2) + np.array([row * side, column * side])
            at = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
            cut[:, *at] = images[:, top : top + side, left : left + side]
    tensors = tapered_tiles(torch.from_numpy(cut))
    orders, weight = ORDERS.expand(count, -1, 2), THERE.expand(count, -1)
    found = refine(tensors, (true + 0.05).expand(count, 2, 2), orders, weight, groups=groups)
    error = (found.basis - true).reshape(count, 4).double()
    squared = torch.einsum("ni,nij,nj->n", error, torch.linalg.inv(found.covariance.double()), error)
    assert float(error.abs().max()) < 0.3 * groups**2  # bins
    assert 2.0 < float(squared.median()) < 6.0  # 3.4 for χ² of 4 degrees of freedom
    assert float(found.signal[:, :3].median()) > 10
    assert float(found.signal[:, 3:].median()) < 1.5  # of nodes that hold noise alone


def test_errors_grow_with_the_noise() -> None:
    basis, size = cell_basis("hexagonal"), (128, 128)
    images = np.stack([plane_waves(basis, size, noise=noise, seed=1) for noise in (0.25, 0.5, 1.0, 2.0)])
    spread = refined(images, reciprocal_bins(basis, size)).covariance.diagonal(dim1=1, dim2=2).sum(1).sqrt()
    ratio = (spread[1:] / spread[:-1]).numpy()
    np.testing.assert_allclose(ratio, 2.0, rtol=0.15)


def test_no_node_moves_further_than_it_may() -> None:
    basis, size = cell_basis("hexagonal"), (128, 128)
    start = reciprocal_bins(basis, size) + 0.4
    found = refined(np.random.default_rng(0).normal(size=(8, *size)).astype(np.float32), start, steps=12)
    moved = (ORDERS[:3] @ (found.basis - start)).norm(dim=-1)
    assert torch.isfinite(found.covariance).all()
    assert float(moved.max()) <= 2 * 0.7 + 1e-4  # 0.7 bins in each of two passes
