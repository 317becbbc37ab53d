"""How often hum over a lattice spoils the windows of a map, with and without a look at the whole frame.

python benchmarks/pickup.py [-n IMAGES] [--size PX] [--seed SEED] [--strength S] [--false N]

Crystals of the recipe book `realistic` with one wave as strong as S times their contrast, of 2 to 20 periods a row and
any phase from row to row, in half of them with a harmonic, mapped as `map` does. A window is right if its primitive
vectors are whole-number combinations of the true ones, within 0.15, that span the same lattice. Then the wave is looked
for in N crystals of each recipe book without one. Half as many images of noise are classified with two such waves.
"""

from __future__ import annotations

import argparse
import warnings
from unittest import mock

import numpy as np
import torch
from machine import machine

import bravaismap as bm
from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import BravaismapWarning
from bravaismap.measure.pickup import Quiet, without_pickup

_SAME_CELL = 0.15


def with_hum(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return an image with a wave, and perhaps its harmonic, of `strength` times its standard deviation."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    k_y, k_x = rng.uniform(-0.5, 0.5), rng.uniform(2, 20) / image.shape[1]
    phase = 2 * np.pi * (k_y * y + k_x * x) + rng.uniform(0, 2 * np.pi)
    wave = np.sin(phase) + rng.choice([0, 0.5]) * np.sin(2 * phase + 1)
    return np.asarray(image + strength * image.std() * wave / wave.std())


def wrong_cells(image: np.ndarray, vectors: np.ndarray) -> tuple[int, int]:
    """Return how many windows of the map of an image show another lattice, and how many there are."""
    result = bm.map_phases(image, samples=0, pixels=False)
    basis = result["basis"].values[0].reshape(-1, 2, 2).astype(float)
    relation = basis @ np.linalg.inv(vectors)
    change = np.rint(relation)
    same = (np.abs(relation - change).max((1, 2)) < _SAME_CELL) & (np.abs(np.abs(np.linalg.det(change)) - 1) < 0.1)
    shown = result["label"].values.ravel() != CLASSES.index(NONE)
    return int((shown & ~same).sum()), len(basis)


def crystals(kind: str, count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of crystals of a recipe book, and their primitive vectors in px."""
    data = bm.simulate(count, kind, size=size, seed=seed)
    lattice = data["label"].values != CLASSES.index(NONE)
    return data["image"].values[lattice].astype(float), data["primitive_vectors_px"].values[lattice].astype(float)


def report(count: int, size: int, seed: int, strength: float, false: int) -> list[str]:
    """Return the lines that are printed."""
    warnings.simplefilter("ignore", BravaismapWarning)
    rng, lines = np.random.default_rng(seed), []
    images, vectors = crystals("realistic", count, size, seed)
    heard = np.array([with_hum(image, strength, rng) for image in images])
    taken = sum(without_pickup(torch.from_numpy(image).float()).length > 0 for image in heard)
    lines.append(f"the wave is taken out of {taken} of {len(images)} images of {size} px")
    as_it_is = mock.patch("bravaismap.phases.undoing.undisturbed", Quiet)
    whole = mock.patch("bravaismap.measure.whole_image.without_pickup", Quiet)
    for name, patches in (("left in", (as_it_is, whole)), ("taken out", ())):
        for patch in patches:
            patch.start()
        counts = np.array([wrong_cells(image, own) for image, own in zip(heard, vectors, strict=True)])
        mock.patch.stopall()
        wrong, every = counts.sum(0)
        spoilt = int((counts[:, 0] > 0.05 * counts[:, 1]).sum())
        lines.append(
            f"{name}: {wrong} of {every} windows ({100 * wrong / every:.1f} %) show another lattice, more than 5 % of "
            f"them in {spoilt} images"
        )
    crossing = [with_hum(with_hum(rng.standard_normal((size, size)), 1.5, rng), 0.7, rng) for _ in range(count // 2)]
    for name, patches in (("left in", (whole,)), ("taken out", ())):
        for patch in patches:
            patch.start()
        labels = np.array([int(bm.classify(image, samples=0)["label"][0]) for image in crossing])
        mock.patch.stopall()
        none = int((labels == CLASSES.index(NONE)).sum())
        lines.append(f"two frequencies without a crystal, {name}: none in {none} of {len(crossing)} images")
    for kind in ("simulated", "realistic", "broken", "wide"):
        images, _ = crystals(kind, false, size, seed + 1)
        taken = sum(without_pickup(torch.from_numpy(image).float()).length > 0 for image in images)
        lines.append(f"{kind} crystals without it: something is taken out of {taken} of {len(images)}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=48)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--strength", type=float, default=0.7)
    parser.add_argument("--false", type=int, default=300)
    chosen = parser.parse_args()
    print(machine())
    print(*report(chosen.n, chosen.size, chosen.seed, chosen.strength, chosen.false), sep="\n")


if __name__ == "__main__":
    main()
