"""How often a modulation that fits no cells is told as one, and one that fits them as a superlattice.

python benchmarks/modulations.py [-n IMAGES] [--seed SEED] [--side SIDE] [--amplitudes 0.05 0.1 0.2]

Images of a hexagonal, square or rectangular crystal of 8 to 13 px, with noise of 0.2 to 0.6 of the image's standard
deviation. A wave changes the height of the atoms, or displaces them along it, so that the satellites have so much of
the amplitude of the crystal's spots. Incommensurate: one wave in any direction, one along a reciprocal vector, or three
at 120° as in charge density waves, of 2.5 to 12 rows of atoms. Commensurate: n × 1 of up to 8 cells, and two waves of
√3, 2 × 2, 3 × 3, √13 or c(2 × 2), √5. The same crystals without a wave are asked too.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.modulation import Modulation
from bravaismap.measure.settings import SETTINGS
from bravaismap.measure.whole_image import WholeImage, measure_whole
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

INCOMMENSURATE = ("any direction", "along a*", "three waves")
COMMENSURATE = ("n × 1", "two waves")
HEXAGONAL = ([[1, 1], [-1, 2]], [[2, 0], [0, 2]], [[3, 0], [0, 3]], [[4, -1], [1, 3]])
SQUARE = ([[1, 1], [-1, 1]], [[2, 0], [0, 2]], [[2, 1], [-1, 2]], [[3, 0], [0, 3]])
#: Least distance of a wave that counts as incommensurate from rational fractions of few cells, in reciprocal vectors.
LEAST_DISTANCE, FEW_CELLS = 0.01, 6


@dataclass(frozen=True)
class Sample:
    """An image, the basis of its lattice, and the waves of its modulation in the reciprocal basis, (waves, 2)."""

    image: NDArray[np.floating]
    basis: NDArray[np.floating]
    waves: NDArray[np.floating]
    commensurate: bool


def rational_distance(wave: NDArray[np.floating]) -> float:
    """Return how far a wave is from the nearest fraction of few cells, in reciprocal vectors."""
    return min(float(np.abs(n * wave - np.rint(n * wave)).max()) / n for n in range(1, FEW_CELLS + 1))


def waves_of(kind: str, hexagonal: bool, basis: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Return the waves of a kind of modulation in the reciprocal basis, (waves, 2)."""
    if kind == "n × 1":
        return np.array([[1 / rng.integers(2, 9), 0.0]])
    if kind == "two waves":
        choices = HEXAGONAL if hexagonal else SQUARE
        return np.linalg.inv(np.array(choices[rng.integers(len(choices))])).T
    reciprocal = np.linalg.inv(basis).T
    while True:
        rows = rng.uniform(2.5, 12)
        if kind == "along a*":
            wave = np.array([1 / rows, 0.0])
        else:
            turn = rng.uniform(0, np.pi)
            length = np.linalg.norm(reciprocal, axis=1).min() / rows
            wave = length * np.array([np.sin(turn), np.cos(turn)]) @ np.linalg.inv(reciprocal)
        if rational_distance(wave) > LEAST_DISTANCE:
            break
    if kind != "three waves":
        return wave[None]
    cartesian = wave @ reciprocal
    angle = 2 * np.pi / 3
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.array([cartesian, cartesian @ turned, cartesian @ turned.T]) @ np.linalg.inv(reciprocal)


def sample(seed: int, kind: str, amplitude: float, side: int) -> Sample:
    """Return an image whose satellites have an amplitude over that of the spots."""
    rng = np.random.default_rng([seed, 91])
    ratio, gamma = ((1.0, 60.0), (1.0, 90.0), (rng.uniform(1.15, 1.5), 90.0))[rng.integers(3)]
    if kind == "three waves":
        ratio, gamma = 1.0, 60.0
    a, turn = rng.uniform(8, 13), rng.uniform(0, np.pi)
    basis = basis_from_cell(a, a * ratio * rng.uniform(0.985, 1.015), np.radians(gamma) + rng.normal(0, 0.01), turn)
    waves = waves_of(kind, gamma == 60.0, basis, rng)
    noise, displacive = rng.uniform(0.2, 0.6), rng.uniform() < 0.4
    sites = lattice_sites(basis, (side, side), rng.uniform(0, side, 2), 2 * a)
    sites = sites + rng.normal(0, 0.015 * a, sites.shape)
    k = waves @ np.linalg.inv(basis).T
    phase = 2 * np.pi * (sites @ k.T + rng.uniform(size=len(k)))
    height = np.ones(len(sites))
    if displacive:
        # a displacement u gives the first satellites of a spot of |k| the amplitude π |k| u
        size = amplitude * np.linalg.norm(basis, axis=1).min() / np.pi
        sites = sites + size * np.sin(phase) @ (k / np.linalg.norm(k, axis=1)[:, None])
    else:
        height = (1 + 2 * amplitude * np.cos(phase).sum(1)).clip(0)
    image = gaussian_atoms(sites, height, np.full(len(sites), 0.19 * a), (side, side))
    image = image + noise * image.std() * rng.standard_normal(image.shape)
    return Sample(image.astype(np.float32), basis, waves, kind in COMMENSURATE)


def same(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    """Return whether two bases are of one lattice."""
    change = one @ np.linalg.inv(other)
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < 0.1 and abs(abs(np.linalg.det(whole)) - 1) < 0.1)


def told(given: Sample) -> str:
    """Return what is said of an image: a superlattice (or its matrix in a part), a modulation, a doubt, or nothing."""
    with torch.inference_mode():
        answer = measure_whole(torch.from_numpy(given.image))
    if not answer.lattices:
        return "none"
    first = answer.lattices[0].basis
    return said(answer, same(first, given.basis), first, given)


def said(look: WholeImage, finer: bool, first: NDArray[np.floating], given: Sample) -> str:
    """Return which of the things that can be told of a modulation is told."""
    if (modulation := look.modulation) is not None:
        if not finer:
            return "another lattice"
        limits = SETTINGS.satellites
        doubt = modulation.commensurate > limits.incommensurate
        fits = modulation.commensurate >= limits.commensurate
        answer = "commensurate" if fits else "doubt" if doubt else "modulation"
        return answer if agrees(modulation, first, given) else f"{answer} of another q"
    larger = first
    if look.order is None and look.regions:
        larger = look.regions[0].matrix @ first
    index = np.linalg.inv(larger).T @ given.basis.T
    node = given.waves @ np.linalg.inv(index)
    fits = given.commensurate and bool(np.abs(node - np.rint(node)).max() < 0.05)
    if fits and not same(larger, given.basis):
        return "superlattice"
    if look.order is not None or look.regions:
        return "false superlattice"
    return "lattice alone" if finer else "another lattice"


def agrees(modulation: Modulation, first: NDArray[np.floating], given: Sample) -> bool:
    """Return whether each wave vector is one of the true ones, or a sum or multiple of them, within 4 σ."""
    change = np.linalg.inv(given.basis).T @ np.linalg.inv(np.linalg.inv(first).T)
    true = given.waves @ np.rint(change)
    if len(true) == 2:
        true = np.concatenate([true, true.sum(0, keepdims=True), true[:1] - true[1:]])
    true = np.concatenate([true, -true, 2 * true, -2 * true])
    for wave, covariance in zip(modulation.waves, modulation.covariances, strict=True):
        away = wave - true
        away -= np.rint(away)
        if np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away).min() > 16:
            return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--number", type=int, default=20, help="images of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first image")
    parser.add_argument("--side", type=int, default=256, help="of the images in px")
    parser.add_argument("--amplitudes", type=float, nargs="*", default=[0.05, 0.1, 0.2])
    parser.add_argument("--kinds", nargs="*", default=[*INCOMMENSURATE, *COMMENSURATE, "none"])
    given = parser.parse_args(arguments)
    for kind in given.kinds:
        for amplitude in given.amplitudes if kind != "none" else [0.0]:
            wave = INCOMMENSURATE[0] if kind == "none" else kind
            seeds = range(given.seed, given.seed + given.number)
            counts = Counter(told(sample(seed, wave, amplitude, given.side)) for seed in seeds)
            text = ", ".join(f"{number} {answer}" for answer, number in counts.most_common())
            name = "no wave" if kind == "none" else f"{kind}, satellites of {100 * amplitude:.0f} %"
            print(f"{name}: {text}", flush=True)


if __name__ == "__main__":
    main()
