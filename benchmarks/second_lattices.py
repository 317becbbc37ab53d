"""How often a second grain, or a second layer, is listed, and how often one that is not there.

python benchmarks/second_lattices.py [-n IMAGES] [--seeds 77 303 601] [--layers PAIRS]

Grains: images of 384 px of the recipe book `broken`, of which the fault `grain` is a second one of the same lattice in
another orientation. Layers: images of 256 px of two hexagonal lattices on one another, with noise of half the image's
standard deviation; the second has 0.3 to 1 of the first's contrast, 0.8 to 1.3 of its spacing and any turn from 8° on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

import bravaismap as bm
from bravaismap.conventions import CLASSES, NONE
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.whole_image import WholeImage, measure_whole

SIDE = 256
#: Largest departure from the true basis, each component in units of the spacing.
TOLERANCE = 0.03


def look(image: NDArray[np.floating]) -> WholeImage:
    """Return what an image shows."""
    with torch.inference_mode():
        return measure_whole(torch.from_numpy(np.asarray(image, np.float32)))


def grains(number: int, seed: int) -> tuple[int, int, int, int]:
    """Return in how many images of how many with a grain one is listed, and of how many without."""
    data = bm.simulate(number, "broken", seed=seed, size=384)
    counts = np.zeros((2, 2), int)
    for image, label, faults in zip(data["image"].values, data["label"].values, data["faults"].values, strict=True):
        if CLASSES[int(label)] != NONE:
            counts[int("grain" not in str(faults))] += [len(look(image).lattices) > 1, 1]
    return tuple(counts.ravel().tolist())


def waves(basis: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the six first waves of a lattice and their harmonics, as atoms of a fifth of its spacing have them."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    reciprocal = np.linalg.inv(basis).T
    for h, k in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, 0), (0, 2)):
        wave = h * reciprocal[0] + k * reciprocal[1]
        size = np.exp(-2 * np.pi**2 * 0.2**2 * (wave @ wave) * np.linalg.norm(basis, axis=1).min() ** 2)
        image += size * np.cos(2 * np.pi * (wave[0] * y + wave[1] * x))
    return image / image.std()


def layers(number: int, seed: int) -> tuple[int, int]:
    """Return of how many pairs of layers both lattices are listed, and how many have no other."""
    rng, both, other = np.random.default_rng(seed), 0, 0
    for _ in range(number):
        a, angle, turn = rng.uniform(9, 16), *rng.uniform([0, 8], [60, 30])
        spacing = a * rng.uniform(0.8, 1.3)
        bases = [
            basis_from_cell(length, length, np.pi / 3, np.radians(degrees))
            for length, degrees in ((a, angle), (spacing, angle + turn))
        ]
        image = waves(bases[0]) + rng.uniform(0.3, 1) * waves(bases[1])
        image += 0.5 * image.std() * rng.standard_normal(image.shape)
        found = [any(_same(lattice.basis, basis) for lattice in look(image).lattices) for basis in bases]
        both, other = both + all(found), other + (not any(found))
    return both, other


def _same(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    relation = one @ np.linalg.inv(other)
    change = np.rint(relation)
    return bool(np.abs(relation - change).max() < TOLERANCE and abs(abs(np.linalg.det(change)) - 1) < 0.1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--number", type=int, default=60, help="images of broken crystals of each seed")
    parser.add_argument("--seeds", type=int, nargs="*", default=[77, 303, 601])
    parser.add_argument("--layers", type=int, default=20, help="pairs of layers")
    given = parser.parse_args(arguments)
    for seed in given.seeds:
        listed, with_grain, false, without = grains(given.number, seed)
        print(f"seed {seed}: a second grain listed in {listed} of {with_grain}, a false one in {false} of {without}")
    both, neither = layers(given.layers, 1)
    print(f"layers: both found in {both} of {given.layers}, neither in {neither}")


if __name__ == "__main__":
    main()
