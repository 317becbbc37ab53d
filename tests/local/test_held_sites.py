"""Held sites: vacancies and other atoms in the amplitudes of a crystal, alone and among others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bravaismap.compute import together as records
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.amplitude import Noise
from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import Locked, lock
from bravaismap.local.held_sites import FEWEST_SITES, SeenCrystal, held_sites
from bravaismap.local.populations import OCCUPIED, SUBSTITUTED, VACANT
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, CELL, STEP = 192, 12.0, 2
NARROW = 0.2 * CELL  # px, of a Gaussian that sees nothing of the neighbours
BASIS = basis_from_cell(CELL, CELL, np.pi / 2, 0.3)


def places() -> np.ndarray:
    index = np.stack(np.meshgrid(*2 * [np.arange(-40, 40)], indexing="ij"), -1).reshape(-1, 2)
    sites = index @ BASIS + [5.3, 7.1]
    return sites[((sites > -CELL) & (sites < SIZE + CELL)).all(1)]


def drawn(heights: np.ndarray, width: float) -> Tensor:
    atoms = gaussian_atoms(places(), heights, np.full(len(heights), width), (SIZE, SIZE))
    return torch.from_numpy(atoms.astype(np.float32))


def seen(size: int = SIZE) -> tuple[SeenCrystal, np.ndarray]:
    """A crystal whose amplitude is 0 at every tenth site and 1.6 at every seventh other, and what each site holds."""
    held = np.full(len(places()), OCCUPIED)
    held[::7], held[::10] = SUBSTITUTED, VACANT
    locked = locked_crystal()
    excess = np.choose(held, [-1.0, 0.0, 0.6])
    rng = np.random.default_rng(3)
    amplitude = (1 + drawn(excess, 0.35 * CELL))[:size:STEP, :size:STEP]
    amplitude = amplitude + 0.03 * torch.from_numpy(rng.standard_normal(amplitude.shape).astype(np.float32))
    one = torch.ones_like(amplitude)
    noise, level = Noise(1.0, 0.0, 1.0), torch.tensor(0.5)
    return SeenCrystal(locked, amplitude, 0.03 * one, one, 0 * one, one, STEP, NARROW, noise, level), held


def locked_crystal() -> Locked:
    image = drawn(np.ones(len(places())), 2.0)
    basis = torch.from_numpy(BASIS.astype(np.float32))
    return lock(demodulate(image - image.mean(), torch.ones_like(image), basis, lattice_nodes(basis), 28.0, 14))


def test_vacancies_and_other_atoms_are_told_at_their_sites() -> None:
    crystal, held = seen()
    answer = held_sites([crystal], dark=False)[0]
    assert len(answer.origins) == len(answer.populations) == 1
    assert answer.tells_vacancies
    populations = answer.populations[0]
    assert populations is not None
    assert float(populations.share[VACANT]) == pytest.approx((held == VACANT).mean(), abs=0.04)
    assert float(populations.amplitude[SUBSTITUTED]) == pytest.approx(1.6)
    near = np.rint(places() / STEP).astype(int)
    inside = ((near >= 2) & (near < SIZE // STEP - 2)).all(1)
    near, held = near[inside], held[inside]
    vacant, other = (field.numpy()[near[:, 0], near[:, 1]] for field in (answer.vacant, answer.substituted))
    assert ((vacant > 0.5) == (held == VACANT)).mean() > 0.97
    assert ((other > 0.5) == (held == SUBSTITUTED)).mean() > 0.97


def test_too_few_sites_tell_nothing() -> None:
    crystal, _ = seen(int(CELL * (FEWEST_SITES / 2) ** 0.5))
    answer = held_sites([crystal], dark=False)[0]
    assert answer.populations == (None,)
    assert not answer.tells_vacancies
    assert float(answer.vacant.max()) == float(answer.substituted.max()) == 0


def test_a_crystal_has_the_same_answer_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal, _ = seen()
    few = replace(crystal, own=crystal.own * (torch.arange(SIZE // STEP) < 60))
    alone = [held_sites([one], dark=False)[0] for one in (crystal, few)]
    monkeypatch.setattr(records, "_gains", lambda device: True)
    for one, other in zip(alone, held_sites([crystal, few], dark=False), strict=True):
        torch.testing.assert_close(one.substituted, other.substituted, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.vacant, other.vacant, atol=1e-4, rtol=0)


@pytest.mark.parametrize("error", [0.1, 0.45])
def test_vacancies_are_told_if_their_share_stands_out_of_the_flank_of_the_atoms(error: float) -> None:
    crystal, held = seen()
    rng = np.random.default_rng(4)
    shaken = crystal.amplitude + error * torch.from_numpy(rng.standard_normal(crystal.amplitude.shape)).float()
    answer = held_sites([replace(crystal, amplitude=shaken, std=torch.full_like(shaken, error))], dark=False)[0]
    assert answer.tells_vacancies == (error < 0.3)
    share = float(answer.vacant.mean())
    assert share == (pytest.approx((held == VACANT).mean(), rel=0.25) if answer.tells_vacancies else 0.0)
