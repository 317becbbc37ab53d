"""The measured lattice: known answers, invariances, honest errors, and no lattice where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lattice_images import CELLS, atoms, cell_basis
from numpy.typing import NDArray

from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell, reduce_basis
from bravaismap.lattice.shape import hyperbolic_distance, shape
from bravaismap.measure.indexing import distinct, index_spots, reduce_rows
from bravaismap.measure.measurement import Measurement, measure
from bravaismap.measure.nodes import node_orders
from bravaismap.measure.spots import Spots, find_spots, standardize, whitened_power


def measured(*images: NDArray[np.floating]) -> Measurement:
    return measure(torch.from_numpy(np.stack(images)))


def strain(found: torch.Tensor, true: NDArray[np.floating]) -> float:
    """Smallest relative difference of the two lattices as sets of points."""
    change = np.rint(found.numpy() @ np.linalg.inv(true))
    if abs(abs(np.linalg.det(change)) - 1) > 1e-6:
        return float("inf")
    return float(np.abs(np.linalg.solve(change @ true, found.numpy()) - np.eye(2)).max())


@pytest.mark.parametrize("name", CELLS)
def test_known_cells(name: str) -> None:
    basis = cell_basis(name)
    found = measured(atoms(basis))
    assert strain(found.basis[0], basis) < 2e-3
    assert found.evidence[0] > 60


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (150, 131), (256, 256)])
def test_any_window_size(size: tuple[int, int]) -> None:
    basis = cell_basis("oblique")
    found = measured(atoms(basis, size))
    assert strain(found.basis[0], basis) < 5e-3


def test_small_windows_work_and_smaller_ones_are_refused() -> None:
    basis = cell_basis("square", scale=0.5)
    assert strain(measured(atoms(basis, (32, 32))).basis[0], basis) < 0.03
    with pytest.raises(InputError, match="32 px"):
        measured(np.zeros((31, 40), np.float32))


@pytest.mark.parametrize("orientation", np.linspace(0, np.pi, 7)[:-1])
def test_rotation(orientation: float) -> None:
    basis = cell_basis("hexagonal", orientation)
    tau = shape(measured(atoms(basis)).basis[0].numpy())
    assert hyperbolic_distance(tau, shape(basis)) < 4e-3


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.3, 1.9])
def test_scale(scale: float) -> None:
    basis = cell_basis("rectangular", scale=scale)
    assert strain(measured(atoms(basis)).basis[0], basis) < 6e-3


def test_contrast_and_translation() -> None:
    basis = cell_basis("oblique")
    image = atoms(basis)
    found = measured(image, 1e4 - 37 * image, atoms(basis, origin=(8.1, 1.2), seed=5))
    np.testing.assert_allclose(found.basis[1], found.basis[0], rtol=1e-3)
    assert strain(found.basis[2], basis) < 2e-3


def test_background_and_integer_images() -> None:
    basis = cell_basis("square")
    slope = np.linspace(0, 8, 128)[:, None] + np.linspace(-3, 3, 128) ** 2
    image = atoms(basis) + slope
    whole = np.rint(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    assert strain(measure(torch.from_numpy(whole)[None]).basis[0], basis) < 3e-3


def test_motif_and_extinct_fundamental() -> None:
    basis = cell_basis("rectangular", scale=1.3)
    motif = ((0.0, 0.0, 1.0), (0.5, 0.5, 0.8), (0.25, 0.1, 0.5))
    found = measured(atoms(basis, motif=motif))
    assert strain(found.basis[0], basis) < 3e-3


def test_batching_does_not_matter() -> None:
    images = np.stack([atoms(cell_basis(n), seed=i, noise=1.0) for i, n in enumerate(CELLS)])
    images = np.concatenate([images, np.random.default_rng(0).uniform(size=(2, 128, 128)).astype(np.float32)])
    together = measure(torch.from_numpy(images))
    for i in range(len(images)):
        alone = measure(torch.from_numpy(images[i : i + 1]))
        np.testing.assert_allclose(alone.basis[0], together.basis[i], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(alone.evidence[0], together.evidence[i], rtol=1e-3, atol=1e-2)


def test_no_lattice() -> None:
    rng = np.random.default_rng(3)
    noise = rng.uniform(size=(20, 128, 128))
    counts = rng.poisson(3.0, (20, 128, 128))
    blurred = np.stack([np.convolve(rng.standard_normal(128 * 130), np.ones(5) / 5)[: 128 * 128] for _ in range(20)])
    images = np.concatenate([noise, counts, blurred.reshape(20, 128, 128)]).astype(np.float32)
    assert (measure(torch.from_numpy(images)).evidence < 20).all()


def test_a_constant_window_is_not_an_error() -> None:
    found = measured(np.full((64, 64), 7.0, np.float32))
    assert torch.isfinite(found.basis).all()
    assert found.evidence[0] == 0


def test_covariance_covers_the_truth() -> None:
    basis = cell_basis("oblique")
    images = np.stack([atoms(basis, disorder=0.5, noise=0.8, seed=s, origin=(s, 0.5 * s)) for s in range(60)])
    found = measure(torch.from_numpy(images))
    change = np.rint(found.basis.numpy() @ np.linalg.inv(basis))
    off = (found.basis.numpy() - change @ basis).reshape(-1, 4)
    assert np.abs(off).max() < 0.5
    squared = np.einsum("ni,nij,nj->n", off, np.linalg.inv(found.covariance.numpy()), off)
    assert 2.2 < np.median(squared) < 5.0  # χ² with 4 degrees of freedom: 3.36


def test_more_noise_means_larger_errors() -> None:
    basis = cell_basis("square")
    quiet, loud = measured(atoms(basis, noise=0.1), atoms(basis, noise=2.0)).covariance.diagonal(dim1=-2, dim2=-1)
    assert (loud > 4 * quiet).all()


def test_spots_lie_on_nodes() -> None:
    basis = cell_basis("hexagonal")
    spots = find_spots(whitened_power(standardize(torch.from_numpy(atoms(basis)[None]))))
    order = spots.position[0, spots.weight[0] > 30].numpy() / 128 @ basis.T
    assert len(order) >= 6
    np.testing.assert_allclose(order, np.rint(order), atol=0.04)


def test_indexing_finds_a_lattice_from_its_higher_orders() -> None:
    true = torch.tensor([[7.0, 2.0], [-3.0, 9.0]])
    order = torch.tensor([[2.0, 0.0], [3.0, 0.0], [1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [3.0, 1.0]])
    spots = Spots((order @ true)[None], torch.full((1, 6), 40.0), 0.25)
    found, _ = index_spots(spots, 3)
    change = found[0, 0] @ torch.linalg.inv(true)
    torch.testing.assert_close(change, change.round(), atol=0.02, rtol=0)
    assert abs(torch.linalg.det(change).abs() - 1) < 0.05


def test_reduction_agrees_with_the_reference() -> None:
    rng = np.random.default_rng(1)
    bases = rng.normal(size=(200, 2, 2)) * 10
    ours = reduce_rows(torch.from_numpy(bases)).numpy()
    np.testing.assert_allclose(np.linalg.norm(ours, axis=-1), np.linalg.norm(reduce_basis(bases), axis=-1), rtol=1e-9)


def test_distinct() -> None:
    basis = torch.tensor([[5.0, 0.0], [1.0, 8.0]])
    twice = torch.stack([basis, torch.tensor([[5.0, 0.0], [6.0, 8.0]]), 2 * basis])[None]
    _, score = distinct(twice, torch.tensor([[3.0, 2.0, 1.0]]), 3)
    assert score[0].tolist() == pytest.approx([3.0, 1.0, -998.0])


def test_rounding_chooses_none_of_equal_bases() -> None:
    bases = torch.tensor([[[5.0, 0.0], [1.0, 8.0]], [[-5.0, 0.0], [-1.0, -8.0]], [[4.0, 0.0], [0.0, 9.0]]])[None]
    for first, second in ((3.0, 3.0 + 1e-6), (3.0 + 1e-6, 3.0)):
        chosen, _ = distinct(bases, torch.tensor([[first, second, 3.5]]), 2)
        assert torch.equal(chosen[0], bases[0, [2, 0]])


def test_node_orders_fill_a_half_plane() -> None:
    orders = node_orders(3)
    assert len(orders) == (7 * 7 - 1) // 2
    everything = {tuple(v) for v in torch.cat([orders, -orders]).tolist()}
    assert len(everything) == 48


def test_rows_of_faint_nodes_are_part_of_the_lattice() -> None:
    basis = basis_from_cell(12.0, 17.0, np.radians(90), 0.3)
    images = [
        atoms(basis, noise=0.8, seed=seed, motif=((0.0, 0.0, 1.0), (0.5, 0.5, height)))
        for seed, height in enumerate((0.7, 0.75, 0.8, 0.65))
    ]
    found = measured(*images)
    assert [strain(b, basis) < 5e-3 for b in found.basis] == [True] * 4


def test_rows_of_noise_are_not() -> None:
    basis = cell_basis("hexagonal", scale=1.6)
    found = measured(*(atoms(basis, disorder=0.9, noise=0.5, seed=seed) for seed in range(16)))
    assert all(strain(b, basis) < 3e-2 for b in found.basis)


def test_no_error_is_smaller_than_a_scan_is_even() -> None:
    """Without noise σ of a reciprocal vector is still 1/10 000 of a bin."""
    side = 256
    images = [atoms(cell_basis(name), (side, side), noise=0.0) for name in ("square", "oblique")]
    found = measured(*images)
    for basis, covariance in zip(found.basis.numpy(), found.covariance.numpy(), strict=True):
        reciprocal = np.linalg.inv(basis).T
        slope = -np.einsum("ia,bj->ijba", reciprocal, reciprocal).reshape(4, 4)
        assert np.linalg.eigvalsh(slope @ covariance @ slope.T).min() > (0.99e-4 / side) ** 2
