"""Crystals whose contrast changes sign over the frame, as in HRTEM: which share of them is none, and of what is none.

python benchmarks/reversed_contrast.py [--images 2] [--size 288] [--json FILE]

An image is a sum of the waves of a lattice, each with an amplitude that changes slowly: all of them together, as across
a bend or where the thickness changes, abruptly, or each by its own transfer, as where the defocus does. There is white
noise and amorphous matter over all of it; some have a hole, and some end at amorphous matter as strong as the crystal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from machine import parser, write_figures
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import bravaismap as bm

HEIGHT = np.sqrt(0.75)
CELLS = {  # primitive vectors (y, x), and the atoms (u, v, height)
    "hexagonal": ([[0, 1], [HEIGHT, -0.5]], [(0, 0, 1)]),
    "honeycomb": ([[0, 1], [HEIGHT, -0.5]], [(1 / 3, 2 / 3, 1), (2 / 3, 1 / 3, 0.6)]),
    "square": ([[1, 0], [0, 1]], [(0, 0, 1)]),
    "centred": ([[0.7, 0.5], [0.7, -0.5]], [(0, 0, 1)]),
    "rectangular": ([[1.3, 0], [0, 1]], [(0, 0, 1), (0.4, 0.5, 0.5)]),
}
CHANGES = ("none", "together", "abruptly", "each wave")
BESIDES = ("crystal", "hole", "amorphous")
CELL, WHITE, AMORPHOUS = 11.0, 0.5, 0.36  # px; standard deviations over that of the crystal
ORDERS, HIGHEST = 4, 0.42  # indices of the waves, and their highest frequency in cycles per px
ATOM, SPECKLE = 0.18, 0.17  # standard deviations in cells

Image = NDArray[np.floating]


@dataclass(frozen=True)
class Crystal:
    """An image, and where it truly shows no crystal."""

    image: Image
    none: NDArray[np.bool_]


def speckle(random: np.random.Generator, size: int) -> Image:
    """Return amorphous matter of standard deviation 1."""
    noise = gaussian_filter(random.standard_normal((size, size)), SPECKLE * CELL)
    return noise / noise.std()


def crystal(kind: str, change: str, beside: str, seed: int, size: int) -> Crystal:
    """Return a crystal whose waves change, with what is beside it."""
    random = np.random.default_rng([seed, CHANGES.index(change), list(CELLS).index(kind)])
    cell, atoms = CELLS[kind]
    turn, direction, start = random.uniform(0, np.pi), *random.uniform(0, 2 * np.pi, 2)
    c, s = np.cos(turn), np.sin(turn)
    reciprocal = np.linalg.inv(CELL * np.array(cell) @ np.array([[c, -s], [s, c]])).T
    y, x = np.mgrid[:size, :size].astype(float)
    across = (y * np.sin(direction) + x * np.cos(direction)) / size
    across -= across.mean()
    image = np.zeros((size, size))
    for h, k in ((h, k) for k in range(ORDERS + 1) for h in range(-ORDERS, ORDERS + 1) if (k, h) > (0, 0)):
        frequency = np.array([h, k]) @ reciprocal
        length = float(np.hypot(*frequency))
        if length > HIGHEST:
            continue
        factor = sum(z * np.exp(-2j * np.pi * (h * u + k * v)) for u, v, z in atoms)
        factor *= np.exp(-2 * (np.pi * length * ATOM * CELL) ** 2)
        amplitude = {
            "none": np.ones_like(across),
            "together": np.cos(np.pi * across + start),
            "abruptly": np.tanh(across * size / (1.5 * CELL)),
            "each wave": np.sin(np.pi * (1.6 * across + 0.5) * 0.75 * (length * CELL) ** 2),
        }[change]
        image += 2 * np.real(factor * np.exp(2j * np.pi * (frequency[0] * y + frequency[1] * x))) * amplitude
    image /= image.std()
    none = np.zeros((size, size), bool)
    if beside == "hole":
        middle = random.uniform(0.35, 0.65, 2) * size
        none = np.hypot(y - middle[0], x - middle[1]) < 0.16 * size
    elif beside == "amorphous":
        none = np.cos(direction) * (y - size / 2) - np.sin(direction) * (x - size / 2) > 0.15 * size
    image = np.where(none, speckle(random, size) * (beside == "amorphous"), image)
    return Crystal(image + AMORPHOUS * speckle(random, size) + WHITE * random.standard_normal(image.shape), none)


def main(arguments: Sequence[str] | None = None) -> None:
    """Map the images and print what share of the crystals, and of what is beside them, is called none."""
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=2, help="of each kind")
    options.add_argument("--size", type=int, default=288)
    chosen = options.parse_args(arguments)
    rows: dict[str, dict[str, float]] = {}
    print(f"{'contrast changes':18s}{'cell':13s}{'none in the crystal':>21s}{'in holes':>10s}{'in amorphous':>14s}")
    for change in CHANGES:
        for kind in CELLS:
            shares: dict[str, list[float]] = {name: [] for name in BESIDES}
            for seed in range(chosen.images):
                for beside in BESIDES:
                    made = crystal(kind, change, beside, seed, chosen.size)
                    result = bm.map_phases(made.image, samples=0)
                    called = result["phase"].values[0] == bm.conventions.CLASSES.index(bm.conventions.NONE)
                    step = int(result.attrs["pixel_step"])
                    true = made.none[::step, ::step]
                    shares["crystal"].append(float(called[~true].mean()))
                    if true.any():
                        shares[beside].append(float(called[true].mean()))
            means = {name: float(np.mean(values)) for name, values in shares.items()}
            rows[f"{change}, {kind}"] = means
            crystals, holes, amorphous = (100 * means[name] for name in BESIDES)
            print(f"{change:18s}{kind:13s}{crystals:19.1f} %{holes:8.1f} %{amorphous:12.1f} %", flush=True)
    write_figures(chosen.json, "reversed_contrast", {"size": chosen.size, "images": chosen.images, "rows": rows})


if __name__ == "__main__":
    main()
