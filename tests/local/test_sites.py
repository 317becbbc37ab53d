"""Sites: where the averaged cell has its atoms, and the way to the nearest one."""

from __future__ import annotations

import numpy as np
import torch

from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import lock
from bravaismap.local.sites import at_places, averaged_motif, fractional, sublattices, to_nearest_site
from bravaismap.simulate.crystal import gaussian_atoms

BASIS = np.array([[0.7, 12.6], [11.9, -1.3]])
SECOND = np.array([0.45, 0.4])  # the other atom of the cell, in fractions of its vectors
SIZE = 160


def places() -> tuple[np.ndarray, np.ndarray]:
    index = np.stack(np.meshgrid(*[np.arange(-40, 40)] * 2, indexing="ij"), -1).reshape(-1, 2)
    first = index @ BASIS + [3.3, 5.8]
    return first, first + SECOND @ BASIS


def crystal():
    first, second = places()
    position = np.concatenate([first, second])
    height = np.repeat([1.0, 0.6], len(first))
    image = torch.from_numpy(gaussian_atoms(position, height, np.full(len(height), 2.0), (SIZE, SIZE)).astype(float))
    basis = torch.from_numpy(BASIS)
    waves = demodulate(image - image.mean(), torch.ones_like(image), basis, lattice_nodes(basis), 28.0, 14)
    return lock(waves)


def test_both_atoms_of_the_cell_are_sublattices_the_higher_first() -> None:
    locked = crystal()
    origins = sublattices(locked)
    assert origins.shape == (2, 2)
    apart = (origins[1] - origins[0]).numpy() - SECOND
    assert np.abs((apart - np.rint(apart)) @ BASIS).max() < 0.3
    heights = averaged_motif(locked, origins)
    assert heights[0] > heights[1] > 0


def test_sites_lie_at_the_atoms() -> None:
    locked = crystal()
    origins = sublattices(locked)
    for number, atoms in enumerate(places()):
        inner = atoms[((atoms > 5) & (atoms < SIZE - 5)).all(axis=1)][::9]
        for y, x in inner:
            pixel = torch.tensor([y]), torch.tensor([x])
            way, which = to_nearest_site(locked, origins, *pixel)
            assert int(which) == number
            assert float(way.norm()) < 0.35
            apart = fractional(locked, *pixel)[0, 0] - origins[number]
            assert float(((apart - apart.round()) @ locked.waves.basis).norm()) < 0.35


def test_the_way_leads_to_the_nearest_of_all_atoms() -> None:
    locked = crystal()
    rows, columns = torch.arange(20.0, 120.0, 7.0).double(), torch.arange(20.0, 120.0, 9.0).double()
    way, _ = to_nearest_site(locked, sublattices(locked), rows, columns)
    atoms = np.concatenate(places())
    grid = np.stack(np.meshgrid(rows.numpy(), columns.numpy(), indexing="ij"), -1)
    distance = np.linalg.norm(grid[:, :, None] - atoms, axis=-1).min(axis=-1)
    np.testing.assert_allclose(way.norm(dim=-1), distance, atol=0.4)


def test_a_plane_is_interpolated_exactly_and_goes_on_at_the_edge() -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    field = 2 * y - 0.5 * x
    asked = torch.tensor([[1.25, 3.5], [4.9, 7.1], [-2.0, 3.0]])
    expected = torch.tensor([2 * 1.25 - 1.75, 9.8 - 3.55, -1.5])
    torch.testing.assert_close(at_places(field, asked), expected, atol=1e-5, rtol=0)
