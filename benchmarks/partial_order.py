"""How often a superlattice that a part of an image shows is told, with which share, and one that is not there.

python benchmarks/partial_order.py [-n IMAGES] [--seed SEED] [--amplitudes 0.05 0.1 0.2]

Images of 384 px of a hexagonal or a square crystal of 8 to 13 px, with noise of 0.2 to 0.6 of the image's standard
deviation. On one side of a wavy line, in 25 to 65 % of the image, a wave of a superlattice (√3, 2 × 1, 2 × 2, 3 × 3,
√13 or c(2 × 2), √5) changes the height of the atoms: its satellites have so much of the amplitude of the crystal's
spots. The same crystal without order, and ordered everywhere, are asked too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.whole_image import measure_whole
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SIDE = 384
HEXAGONAL = {
    "√3 × √3": [[1, 1], [-1, 2]],
    "2 × 1": [[2, 0], [0, 1]],
    "2 × 2": [[2, 0], [0, 2]],
    "3 × 3": [[3, 0], [0, 3]],
    "√13 × √13": [[4, -1], [1, 3]],
}
SQUARE = {
    "c(2 × 2)": [[1, 1], [-1, 1]],
    "2 × 1": [[2, 0], [0, 1]],
    "2 × 2": [[2, 0], [0, 2]],
    "√5 × √5": [[2, 1], [-1, 2]],
    "3 × 3": [[3, 0], [0, 3]],
}


@dataclass(frozen=True)
class Sample:
    """An image, the basis of its lattice, the superlattice of a part of it, and how large that part is."""

    image: NDArray[np.floating]
    basis: NDArray[np.floating]
    name: str
    matrix: NDArray[np.integer]
    share: float


def side_of_line(rng: np.random.Generator, size: int, share: float) -> NDArray[np.bool_]:
    """Return the pixels on one side of a wavy line across an image, of which they are a share."""
    y, x = np.mgrid[:size, :size]
    turn = rng.uniform(0, 2 * np.pi)
    across, along = x * np.cos(turn) + y * np.sin(turn), x * np.sin(turn) - y * np.cos(turn)
    away = across + 0.05 * size * np.sin(2 * np.pi * (1.7 * along / size + rng.uniform()))
    return np.asarray(away < np.quantile(away, share))


def sample(seed: int, amplitude: float, share: float | None = None) -> Sample:
    """Return an image whose satellites have an amplitude over that of the spots; of any share if none is given."""
    rng = np.random.default_rng([seed, 77])
    kind, gamma = ((HEXAGONAL, np.pi / 3), (SQUARE, np.pi / 2))[rng.integers(2)]
    name = list(kind)[rng.integers(len(kind))]
    a, turn = rng.uniform(8, 13), rng.uniform(0, np.pi)
    basis = basis_from_cell(a, a * rng.uniform(0.985, 1.015), gamma + rng.normal(0, 0.01), turn)
    part, noise = rng.uniform(0.25, 0.65), rng.uniform(0.2, 0.6)
    sites = lattice_sites(basis, (SIDE, SIDE), rng.uniform(0, SIDE, 2), 2 * a)
    sites = sites + rng.normal(0, 0.015 * a, sites.shape)
    inside = side_of_line(rng, SIDE, part if share is None else share)
    within = inside[tuple(np.clip(np.rint(sites).astype(int), 0, SIDE - 1).T)]
    waves = np.linalg.inv(np.array(kind[name]) @ basis).T
    waves = waves[:1] if name == "2 × 1" else np.concatenate([waves, waves.sum(0, keepdims=True)])
    if kind is SQUARE:
        waves = waves[:2]
    change = np.cos(2 * np.pi * (sites @ waves.T + rng.uniform(size=len(waves)))).sum(1)
    height = (1 + 2 * amplitude * change * within).clip(0)
    image = gaussian_atoms(sites, height, np.full(len(sites), 0.19 * a), (SIDE, SIDE))
    image = image + noise * image.std() * rng.standard_normal(image.shape)
    return Sample(image.astype(np.float32), basis, name, np.array(kind[name]), float(inside.mean()))


def same(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    """Return whether two bases are of one lattice."""
    change = one @ np.linalg.inv(other)
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < 0.1 and abs(abs(np.linalg.det(whole)) - 1) < 0.1)


def told(given: Sample) -> tuple[bool, list[float], int, bool]:
    """Return if the finer lattice is told, shares of the superlattice, how many others, if it is that of all."""
    with torch.inference_mode():
        answer = measure_whole(torch.from_numpy(given.image))
    larger = given.matrix @ given.basis
    if not answer.lattices:
        return False, [], 0, False
    first = answer.lattices[0].basis
    right = [region.share for region in answer.regions if same(region.matrix @ first, larger)]
    everywhere = same(first, larger)
    others = len(answer.regions) - len(right) + (answer.order is not None and not everywhere)
    return same(first, given.basis), right, others, everywhere


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--number", type=int, default=20, help="images of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first image")
    parser.add_argument("--amplitudes", type=float, nargs="*", default=[0.05, 0.1, 0.2])
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + given.number)
    for amplitude in given.amplitudes:
        samples = [sample(seed, amplitude) for seed in seeds]
        answers = [told(own) for own in samples]
        found = [
            (own.share, shares[0])
            for own, (right, shares, _, _) in zip(samples, answers, strict=True)
            if right and shares
        ]
        error = [abs(share - true) for true, share in found]
        print(
            f"satellites of {100 * amplitude:.0f} % in a part: told in {len(found)} of {len(seeds)}, share within "
            f"{np.mean(error or [np.nan]):.3f} on average ({np.max(error or [np.nan]):.3f} at most), another one in "
            f"{sum(others > 0 for _, _, others, _ in answers)}"
        )
        everywhere = [told(sample(seed, amplitude, share=1.0)) for seed in seeds]
        print(
            f"  everywhere: told in {sum(own[3] for own in everywhere)}, as that of a part in "
            f"{sum(bool(own[1]) for own in everywhere)}, another one in {sum(own[2] > 0 for own in everywhere)}"
        )
    without = [told(sample(seed, 0.0)) for seed in seeds]
    print(f"without order: one is told in {sum(own[2] > 0 or bool(own[1]) or own[3] for own in without)}")


if __name__ == "__main__":
    main()
