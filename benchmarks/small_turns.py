"""How small a turn between two grains may be for `map` and `classify` to tell them apart.

python benchmarks/small_turns.py [-n IMAGES] [--seed SEED] [--turns 1.5 2 2.5 3 4 5 6 8]

Images of 512 px of two grains of a hexagonal or a square crystal of 8 to 14 px, on the two sides of a wavy line, in
noise of 0.2 to 0.8 of the image's standard deviation. Of the pixels of `map` it is counted how many are given to the
right one of two lattices; of `classify`, in how many images both grains are told, and their shares. Beside them are
crystals bent by the same angle, evenly from one side of the image to the other, in which two grains are false.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from partial_order import side_of_line
from scipy.spatial import cKDTree

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.whole_image import measure_whole
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SIDE = 512


def drawn(sites: NDArray[np.floating], a: float, noise: float, rng: np.random.Generator) -> NDArray[np.floating]:
    """Return an image of atoms, of two that are too close one, each a little off its site."""
    close = cKDTree(sites).query_pairs(0.5 * a, output_type="ndarray")
    sites = np.delete(sites, np.unique(close[:, 1]), axis=0)
    sites = sites + rng.normal(0, 0.02 * a, sites.shape)
    image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 0.19 * a), (SIDE, SIDE))
    image = image + noise * image.std() * rng.standard_normal(image.shape)
    return np.asarray(image, np.float32)


def grains(seed: int, turn: float) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return an image of two grains that are turned by so many degrees, and which pixels are the first's."""
    rng = np.random.default_rng([seed, 78])
    gamma, a = (np.pi / 3, np.pi / 2)[rng.integers(2)], rng.uniform(8, 14)
    angle, share, noise = rng.uniform(0, np.pi), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.8)
    first = side_of_line(rng, SIDE, share)
    sites = []
    for own, turned in ((first, angle), (~first, angle + np.radians(turn))):
        every = lattice_sites(basis_from_cell(a, a, gamma, turned), (SIDE, SIDE), rng.uniform(0, SIDE, 2), 2 * a)
        sites.append(every[own[tuple(np.clip(np.rint(every).astype(int), 0, SIDE - 1).T)]])
    return drawn(np.concatenate(sites), a, noise, rng), first


def bent(seed: int, turn: float) -> NDArray[np.floating]:
    """Return an image of one crystal whose lattice turns by so many degrees evenly from left to right."""
    rng = np.random.default_rng([seed, 79])
    gamma, a = (np.pi / 3, np.pi / 2)[rng.integers(2)], rng.uniform(8, 14)
    noise, basis = rng.uniform(0.2, 0.8), basis_from_cell(a, a, gamma, rng.uniform(0, np.pi))
    y, x = (lattice_sites(basis, (SIDE, SIDE), rng.uniform(0, SIDE, 2), SIDE / 4) - SIDE / 2).T
    rate = np.radians(turn) / SIDE  # u = (−x², 2 x y) rate / 2 along (y, x): dilatation ±y rate, rotation x rate
    sites = np.stack([y - rate * x**2 / 2, x + rate * x * y], axis=-1) + SIDE / 2
    return drawn(sites, a, noise, rng)


def right_pixels(image: NDArray[np.floating], first: NDArray[np.bool_]) -> tuple[float, int]:
    """Return the share of the pixels of `map` that are right, and how many lattices hold 5 % of them."""
    result = bm.map_phases(image, samples=0)
    held = result["frame_lattice"].values[0].astype(int)
    truth = first[np.ix_(result["py"].values.astype(int), result["px"].values.astype(int))]
    numbers = [number for number in np.unique(held) if number >= 0]
    pairs = ((one, other) for one in numbers for other in numbers if one != other)
    right = [((held == one) & truth).mean() + ((held == other) & ~truth).mean() for one, other in pairs]
    lattices = sum((held == number).mean() > 0.05 for number in numbers)
    return float(max(right, default=max(truth.mean(), 1 - truth.mean()))), lattices


def shares(image: NDArray[np.floating]) -> list[float]:
    """Return the shares of the lattices that `classify` tells."""
    with torch.inference_mode():
        return [lattice.share for lattice in measure_whole(torch.from_numpy(image)).lattices]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--number", type=int, default=10, help="images of each turn")
    parser.add_argument("--seed", type=int, default=0, help="of the first image")
    parser.add_argument("--turns", type=float, nargs="*", default=[1.5, 2, 2.5, 3, 4, 5, 6, 8], help="degrees")
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + given.number)
    for turn in given.turns:
        samples = [grains(seed, turn) for seed in seeds]
        pixels = [right_pixels(*own) for own in samples]
        told = [(shares(image), first.mean()) for image, first in samples]
        error = [abs(own[0] - max(first, 1 - first)) for own, first in told if len(own) == 2]
        curved = [bent(seed, turn) for seed in seeds]
        usual = np.median([right for right, _ in pixels])
        false = [sum(right_pixels(own, own > 0)[1] > 1 for own in curved), sum(len(shares(own)) > 1 for own in curved)]
        print(
            f"{turn:g}°: map tells two in {sum(count == 2 for _, count in pixels)} of {len(seeds)}, pixels right "
            f"{100 * usual:.1f} % (median); classify in {len(error)}, shares within {np.mean(error or [np.nan]):.2f}; "
            f"in bent ones map {false[0]}, classify {false[1]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
