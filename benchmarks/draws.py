"""How many evenly spread draws are worth 5000 random ones: the error of the σ of a probability, for both.

The reference is the σ from 60 000 evenly spread draws with another seed, none of them interpolated. As many even draws
as there are random ones are interpolated, as wherever they are asked for.

python benchmarks/draws.py [--windows 150] [--repeats 4] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify import posterior
from bravaismap.classify.answer import Cells

EVEN = (60, 120, 250, 500, 1000, 5000)
RANDOM = 5000
REFERENCE = 60_000
DISTORTION = 0.02


def random_draws(samples: int, seed: int) -> np.ndarray:
    """Return standard normal draws, independent of each other."""
    return np.random.default_rng(seed).standard_normal((samples, 2))


def error(
    cells: Cells, samples: int, repeats: int, exact: np.ndarray, draws: Callable[[int, int], np.ndarray]
) -> float:
    """Return the root mean square error of σ over windows, classes and seeds."""
    with mock.patch.object(posterior, "_draws", draws):
        spreads = [spread(cells, samples, seed) for seed in range(repeats)]
    return float(np.sqrt(np.mean((np.stack(spreads) - exact) ** 2)))


def spread(cells: Cells, samples: int, seed: int) -> np.ndarray:
    """Return the σ of each probability, (windows, classes)."""
    return posterior.sample_probability(cells.basis, cells.covariance, cells.evidence, DISTORTION, samples, seed).std


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--windows", type=int, default=150)
    options.add_argument("--repeats", type=int, default=4)
    asked = options.parse_args(arguments)
    print(machine())
    images = bm.simulate(asked.windows, "realistic", seed=1)["image"].values.astype(np.float32)
    cells = bm.load_model("lattice").predict(images, samples=0).cells
    with mock.patch.object(posterior, "_INTERPOLATED", np.inf):
        exact = spread(cells, REFERENCE, asked.repeats)
    figures = {f"even {n}": error(cells, n, asked.repeats, exact, posterior._draws) for n in EVEN}
    figures[f"random {RANDOM}"] = error(cells, RANDOM, asked.repeats, exact, random_draws)
    for name, value in figures.items():
        kind, number = name.split()
        print(f"{number:>6} {kind:<6} draws: error of σ {value:.1e}")
    write_figures(asked.json, "draws", {"windows": asked.windows, "distortion": DISTORTION} | figures)


if __name__ == "__main__":
    main()
