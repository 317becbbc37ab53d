"""Own motif: crystals of reversed contrast are crystal throughout, and neither holes nor amorphous matter is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.local.deformation import local_deformation
from bravaismap.local.demodulation import Demodulated, demodulate, wave_amplitudes
from bravaismap.local.flattening import FlatFrame, SoughtLattice, prepared_frame
from bravaismap.local.frame import pixel_phases
from bravaismap.local.own_motif import frequencies_beside, lattice_log_odds
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.local.site_table import frame_sites

SIDE, CELL = 192, 9.0
BASIS = CELL * np.array([[0.0, 1.0], [np.sqrt(0.75), -0.5]])
NOISE = 0.5


def waves(side: int = SIDE) -> np.ndarray:
    """Return a hexagonal crystal of bright atoms, of standard deviation 1."""
    y, x = np.mgrid[:side, :side].astype(float)
    nodes = np.array([[0, 1], [1, 0], [1, -1]]) @ np.linalg.inv(BASIS).T
    crystal = sum(np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in nodes)
    return np.asarray(crystal / np.std(crystal))


def asked(image: np.ndarray) -> PixelPhases:
    bases = torch.from_numpy(BASIS).float()[None]
    return pixel_phases(torch.from_numpy(image).float(), bases, PixelSettings(step=2))


def prepared(image: torch.Tensor) -> tuple[FlatFrame, SoughtLattice, Demodulated]:
    """Return an image as a frame, the lattice of the crystal, and its waves."""
    bases = torch.from_numpy(BASIS).float()[None]
    frame, _, (lattice,) = prepared_frame(image, bases, PixelSettings(), None, alone=True)
    return frame, lattice, demodulate(image, frame.valid, lattice.basis, lattice.order, lattice.sigma, lattice.step)


def reversed_crystal(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a crystal whose contrast is reversed across a line, and its distance from the line in px."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    across = (y - SIDE / 2) * 0.8 + (x - SIDE / 2) * 0.6
    noise = NOISE * np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    return waves() * np.tanh(across / CELL) + noise, across


@pytest.fixture(scope="module")
def pixels() -> PixelPhases:
    return asked(reversed_crystal(0)[0])


def test_a_crystal_whose_contrast_is_reversed_is_crystal_on_both_sides(pixels: PixelPhases) -> None:
    across = reversed_crystal(0)[1][::2, ::2]
    none = (pixels.phase == 1).numpy()
    assert none[np.abs(across) > 2 * CELL].mean() < 0.01
    assert none.mean() < 0.1


def test_only_one_of_the_sides_has_the_averaged_cell_and_with_it_displacement_and_sites(pixels: PixelPhases) -> None:
    image, across = reversed_crystal(0)
    another = pixels.another_motif[0].numpy()
    sides = [another[side * across[::2, ::2] > 5 * CELL].mean() for side in (-1, 1)]
    assert sorted(sides) == pytest.approx([0, 1], abs=0.02)
    shares = pixels.averaged_shares(torch.ones(SIDE, SIDE))
    averaged = float(np.argmin(sides)) * 2 - 1  # the sign of the distance there
    assert float(shares[0][torch.from_numpy(-averaged * across > 3 * CELL)].max()) < 0.02
    sites = frame_sites(pixels, torch.from_numpy(image).float())
    y, x = sites.position.T
    place = averaged * ((y - SIDE / 2) * 0.8 + (x - SIDE / 2) * 0.6)
    assert (place > 0).all()
    assert (place > 3 * CELL).sum() > 100


def test_strain_beside_the_line_is_none_of_the_crystal(pixels: PixelPhases) -> None:
    image, _ = reversed_crystal(0)
    shares = pixels.averaged_shares(torch.ones(SIDE, SIDE))
    flat = torch.from_numpy(image - image.mean()).float()
    field = local_deformation(flat, shares[0], pixels.crystals[0].locked, pixels.noise, 0.0, 2.5 * CELL)
    rows, columns = (torch.arange(points) * field.step for points in field.gradient.shape[:2])
    inside = shares[0][rows.clamp_max(SIDE - 1)][:, columns.clamp_max(SIDE - 1)] > 0.5
    assert int(inside.sum()) > 30
    assert float(field.gradient[inside].abs().flatten(1).amax(1).quantile(0.9)) < 0.02


def test_holes_of_such_a_crystal_stay_holes() -> None:
    image, across = reversed_crystal(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    hole = np.hypot(y - 60, x - 60) < 25
    noise = NOISE * np.random.default_rng(2).standard_normal(image.shape)
    none = (asked(np.where(hole, noise, image)).phase == 1).numpy()
    true = hole[::2, ::2]
    assert none[true].mean() > 0.9
    assert none[~true & (np.abs(across[::2, ::2]) > 2 * CELL)].mean() < 0.05


@pytest.mark.parametrize("strength", [0.7, 1.5])
def test_amorphous_matter_beside_a_crystal_is_none(strength: float) -> None:
    random = np.random.default_rng(3)
    speckle = gaussian_filter(random.standard_normal((SIDE, SIDE)), 0.17 * CELL)
    speckle *= strength / speckle.std()
    image, across = reversed_crystal(4)
    _, x = np.mgrid[:SIDE, :SIDE]
    amorphous = x > 0.6 * SIDE
    image = np.where(amorphous, speckle + NOISE * random.standard_normal(image.shape), image)
    none = (asked(image).phase == 1).numpy()
    far = np.abs(x - 0.6 * SIDE)[::2, ::2] > CELL
    assert none[amorphous[::2, ::2] & far].mean() > 0.95
    assert none[~amorphous[::2, ::2] & far & (np.abs(across[::2, ::2]) > 2 * CELL)].mean() < 0.2


def test_a_crystal_with_a_hole_has_the_averaged_cell_alone() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    hole = np.hypot(y - 90, x - 80) < 45
    noise = NOISE * np.random.default_rng(5).standard_normal((SIDE, SIDE))
    found = asked(np.where(hole, 0.0, waves()) + noise)
    assert all(crystal.locked.own is None for crystal in found.crystals)
    assert float(found.probability[1].mean()) == pytest.approx(hole.mean(), abs=0.006)


def test_waves_beside_the_nodes_see_white_noise_and_not_the_crystal() -> None:
    image = torch.from_numpy(waves() + np.random.default_rng(6).standard_normal((SIDE, SIDE))).float()
    frame, lattice, seen = prepared(image)
    beside = frequencies_beside(seen.frequency, lattice.basis)
    torch.testing.assert_close(
        torch.linalg.vector_norm(beside, dim=-1),
        torch.linalg.vector_norm(seen.frequency, dim=-1)[:, None].expand(beside.shape[:2]),
    )
    power = wave_amplitudes(frame.image, beside.flatten(0, 1), lattice.sigma, lattice.step).abs() ** 2
    inner = slice(3, -3)
    ratio = (power / seen.variance)[:, inner, inner]
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.15)


def test_log_odds_are_those_of_two_complex_normal_deviates() -> None:
    image = torch.from_numpy(waves() + 4 * np.random.default_rng(7).standard_normal((SIDE, SIDE))).float()
    frame, lattice, seen = prepared(image)
    beside = frequencies_beside(seen.frequency, lattice.basis)
    noise = sum(
        demodulate(
            frame.image, frame.valid, lattice.basis, own @ lattice.basis.mT, lattice.sigma, lattice.step
        ).amplitude.abs().double() ** 2
        for own in beside.unbind(1)
    ) / beside.shape[1]  # fmt: skip
    power = seen.amplitude.abs().double() ** 2
    structure = torch.full((len(lattice.order),), 0.003 + 0.004j)
    structure[:6] = 0.3 + 0.4j
    with_lattice = noise + 0.25
    density = [-(power / own) - own.log() for own in (with_lattice, noise)]
    expected = (density[0] - density[1])[:6].sum(0)
    odds = lattice_log_odds(frame.image, frame.valid, lattice, structure).double()
    torch.testing.assert_close(odds, expected, rtol=1e-3, atol=1e-2)
