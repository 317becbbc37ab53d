"""Turns of lattices and pixels: what the second one knows that the first one does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.displacement import locked_basis
from bravaismap.local.flattening import flattened, prepared_frame
from bravaismap.local.pixels import PixelSettings
from bravaismap.local.turns import at_points_of, in_each, levelled, refined, turned, with_shares
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SIZE, A = 128, 10.0


def test_a_second_turn_refines_the_lattice_and_takes_out_the_offsets_of_rows() -> None:
    true = basis_from_cell(A, A, np.pi / 3, 0.2)
    sites = lattice_sites(true, (SIZE, SIZE), np.array([3.0, 4.0]), 2 * A)
    image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 0.17 * A), (SIZE, SIZE))
    rng = np.random.default_rng(1)
    offsets = rng.normal(0, 0.2, (SIZE, 1))
    noisy = torch.from_numpy(image + offsets + rng.normal(0, 0.1, image.shape)).float()
    near = torch.from_numpy(1.004 * true).float()[None]
    frame, wide, sought = prepared_frame(noisy, near, PixelSettings(step=2), None, alone=True)
    frames = [flattened(frame, wide)]
    first = [with_shares(frames[0], told) for told in turned(frames, [sought], [None])]
    again = in_each(refined, [sought], [turn.locked for turn in first])
    np.testing.assert_allclose(again[0][0].basis.numpy(), true, rtol=2e-3, atol=0.02)
    torch.testing.assert_close(again[0][0].basis, locked_basis(first[0].locked[0]))
    frames = [levelled(frames[0], first[0])]
    left = (frame.image - frames[0].flat - frames[0].background).mean(1)
    assert np.corrcoef(left.numpy(), offsets[:, 0])[0, 1] > 0.98
    second = with_shares(frames[0], turned(frames, again, first)[0])
    assert float(second.noise.variance(frames[0].level.mean()) ** 0.5) == pytest.approx(0.1, rel=0.15)
    assert float(second.std.median()) < 0.5
    assert float(second.probability[0].mean()) > 0.98


def test_probabilities_of_the_first_turns_hold_at_the_points_that_the_last_one_shares_with_them() -> None:
    true = basis_from_cell(12.0, 12.0, np.pi / 2, 0.3)
    sites = lattice_sites(true, (SIZE, SIZE - 5), np.array([3.0, 4.0]), 2 * A)
    sites = sites[sites[:, 1] < 70]
    image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (SIZE, SIZE - 5))
    bases = torch.from_numpy(true).float()[None]
    frame, wide, sought = prepared_frame(
        torch.from_numpy(image).float(), bases, PixelSettings(step=2), None, alone=True
    )
    frame = flattened(frame, wide)
    turn = with_shares(frame, turned([frame], [sought], [None])[0])
    assert turn.probability.shape[1:] == (32, 31)
    finer = at_points_of(replace(frame, grid=frame.last_grid), turn).probability
    assert finer.shape[1:] == (64, 62)
    torch.testing.assert_close(finer[:, ::2, ::2], turn.probability)
    middle = (turn.probability[:, 1:, :] + turn.probability[:, :-1, :]) / 2
    assert float((finer[:, 1:-1:2, ::2] - middle).abs().max()) < 0.15
