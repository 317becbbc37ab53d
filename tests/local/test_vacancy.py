"""Vacancy: what the fit of an amplitude sees where an atom was left out of a simulated crystal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.amplitude import Noise, amplitude_std, fit_amplitude
from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import Locked, lock, predicted
from bravaismap.local.sites import sublattices
from bravaismap.local.vacancy import vacant_site
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, CELL, MIDDLE = 240, 12.0, 120


def crystal(gamma: float, missing: bool, height: float = 1.0) -> torch.Tensor:
    """An image of a crystal with an atom, or a vacancy, at its middle, and atoms of a width of 2 px."""
    index = np.stack(np.meshgrid(*2 * [np.arange(-40, 41)], indexing="ij"), -1).reshape(-1, 2)
    index = index[(index != 0).any(1) | ~np.array(missing)]
    sites = index @ basis_from_cell(CELL, CELL, np.deg2rad(gamma), 0.3) + MIDDLE
    sites = sites[((sites > -CELL) & (sites < SIZE + CELL)).all(1)]
    atoms = gaussian_atoms(sites, np.full(len(sites), height), np.full(len(sites), 2.0), (SIZE, SIZE))
    return torch.from_numpy(atoms.astype(np.float32))


def locked(gamma: float, height: float = 1.0) -> Locked:
    image = crystal(gamma, missing=False, height=height)
    basis = torch.from_numpy(basis_from_cell(CELL, CELL, np.deg2rad(gamma), 0.3).astype(np.float32))
    return lock(demodulate(image - image.mean(), torch.ones_like(image), basis, lattice_nodes(basis), 28.0, 14))


@pytest.mark.parametrize("gamma", [60.0, 90.0])
@pytest.mark.parametrize("sigma", [0.4 * CELL, 0.5 * CELL])
def test_it_is_what_is_seen_around_a_vacancy(gamma: float, sigma: float) -> None:
    whole, image = locked(gamma), crystal(gamma, missing=True)
    pattern = predicted(whole, (SIZE, SIZE))[None]
    valid = torch.ones_like(image)
    seen = fit_amplitude(image, pattern, valid, sigma, 1).amplitude[0, MIDDLE, MIDDLE]
    noise, level = Noise(0.0, 1.0, 1.0), image.mean()
    told = vacant_site(whole, sublattices(whole), 0, sigma, noise, level, dark=False)
    assert float(told.amplitude) == pytest.approx(float(seen), abs=0.02)
    around = [crystal(gamma, missing=True), crystal(gamma, missing=False)]
    fit = fit_amplitude(image, pattern, valid, sigma, 1)
    errors = [float(amplitude_std(fit, pattern, valid, own, 1.0)[0, MIDDLE, MIDDLE]) for own in around]
    assert float(told.noise) == pytest.approx(errors[0] / errors[1], abs=0.05)


def test_even_noise_does_not_ask_what_is_there() -> None:
    whole = locked(60.0)
    told = vacant_site(whole, sublattices(whole), 0, 0.4 * CELL, Noise(2.0, 0.0, 1.0), torch.tensor(0.0), dark=False)
    assert float(told.noise) == pytest.approx(1, abs=1e-5)


def test_a_dark_atom_leaves_what_a_bright_one_leaves() -> None:
    noise, level = Noise(1.0, 0.0, 1.0), torch.tensor(0.0)
    bright, dark = locked(60.0), locked(60.0, -1.0)
    ways = [(bright, False), (dark, True)]
    told = [vacant_site(own, sublattices(own, way), 0, 0.4 * CELL, noise, level, dark=way) for own, way in ways]
    assert float(told[0].amplitude) == pytest.approx(float(told[1].amplitude), abs=1e-3)
