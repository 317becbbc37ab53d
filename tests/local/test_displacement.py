"""Displacement: known ones come back, and what is predicted is the crystal."""

from __future__ import annotations

import torch
from two_atoms import BASIS, motif

from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import Locked, lock, locked_basis, predicted


def locked_of(image: torch.Tensor, basis: torch.Tensor = BASIS) -> Locked:
    flat = image - image.mean()
    return lock(demodulate(flat, torch.ones_like(image), basis, lattice_nodes(basis), 22.0, 11))


def test_the_pattern_is_the_crystal_to_the_edges() -> None:
    image = motif((1.3, -2.1))
    left = image - image.mean() - predicted(locked_of(image), (150, 150))
    assert float(left.std() / image.std()) < 0.05


def test_displacements_come_back_modulo_the_lattice() -> None:
    first, second = locked_of(motif()), locked_of(motif((2.4, -1.7)))
    # the origin is that of the averaged cell: only what both have in common is told by its structure factors
    turn = torch.angle(second.structure * first.structure.conj())
    strong = first.structure.abs() > 0.2 * first.structure.abs().max()
    moved = (second.shift[7, 7] - first.shift[7, 7]) @ BASIS
    expected = torch.tensor([2.4, -1.7], dtype=torch.float64)
    phase = -2 * torch.pi * (first.waves.frequency[strong] @ (expected - moved))
    torch.testing.assert_close(torch.exp(1j * phase), torch.exp(1j * turn[strong]), atol=0.05, rtol=0)


def test_the_mean_strain_goes_into_the_basis() -> None:
    wrong = BASIS @ torch.tensor([[1.006, 0.003], [-0.002, 0.995]], dtype=torch.float64)
    better = locked_basis(locked_of(motif(), wrong))
    assert float((better - BASIS).abs().max()) < 0.2 * float((wrong - BASIS).abs().max())


def test_a_search_that_begins_near_ends_where_one_from_nothing_does() -> None:
    image = motif((2.0, 1.0))
    before = locked_of(image, BASIS @ torch.tensor([[1.004, 0.002], [-0.003, 0.997]], dtype=torch.float64))
    flat, order = image - image.mean(), lattice_nodes(BASIS)
    waves = demodulate(flat, torch.ones_like(image), locked_basis(before), order, 22.0, 11)
    near, anew = lock(waves, near=before), lock(waves)
    # the origin of the cell is free: what is predicted is the same
    torch.testing.assert_close(predicted(near, (150, 150)), predicted(anew, (150, 150)), atol=1e-3, rtol=0)
    torch.testing.assert_close(near.coherence, anew.coherence, atol=1e-3, rtol=0)
    torch.testing.assert_close(near.covariance, anew.covariance, atol=0, rtol=1e-2)
