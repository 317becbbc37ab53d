"""Grains, another phase, a void and amorphous matter in one image: how many pixels each method gives to the right one.

python benchmarks/grain_areas.py [--images 10] [--size 512] [--figure FILE] [--json FILE]

Beside the pixels of `map`: its windows alone, unmixing without training (sliding FFT, N-FINDR), and a threshold of the
intensity. Their labels are matched with the true ones in the best way there is, so that no method is asked for names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, parser, write_figures
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

import bravaismap as bm
from bravaismap.domains.thresholding import threshold_voids
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.phases.frame_pixels import frame_lattices
from bravaismap.phases.pixels import frame_windows
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites
from bravaismap.unmixing import unmix

WINDOW, STEP, FIRST_SEED = 64, 16, 100
CRYSTALS = 3  # two hexagonal grains and a square phase; what is left is none
COUNTS = (3.0, 30.0)  # at the peak of an atom, log-uniform
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#999999")

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Grains:
    """An image, and which of its parts each pixel truly is: a crystal by its number, or `CRYSTALS` for none."""

    image: NDArray[np.floating]
    truth: Labels
    cell: float  # px, side of a cell
    counts: float


def grains(seed: int, size: int) -> Grains:
    """Return an image of two hexagonal grains, a square phase, two voids and a patch of amorphous matter."""
    rng = np.random.default_rng([seed, 14])
    a, counts = rng.uniform(9.0, 14.0), float(np.exp(rng.uniform(*np.log(COUNTS))))
    y, x = np.mgrid[:size, :size].astype(float)
    place = rng.uniform(0.45, 0.6) * size
    left = x + rng.uniform(-0.4, 0.4) * (y - size / 2) + 0.04 * size * np.sin(2 * np.pi * y / size / 0.5) < place
    lower = ~left & (y + rng.uniform(-0.3, 0.3) * (x - size / 2) > rng.uniform(0.5, 0.65) * size)
    truth = np.where(left, 0, np.where(lower, 2, 1))

    def disc(across: tuple[float, float], down: tuple[float, float], radius: float) -> NDArray[np.bool_]:
        """Return a disc of a radius, anywhere within limits, all in sizes of the image."""
        return np.asarray(np.hypot(y - rng.uniform(*down) * size, x - rng.uniform(*across) * size) < radius * size)

    glass = disc((0.2, 0.3), (0.7, 0.8), rng.uniform(0.08, 0.13))
    void = disc((0.15, 0.35), (0.2, 0.4), rng.uniform(0.06, 0.1)) | disc((0.75, 0.9), (0.7, 0.9), 0.03)
    truth[glass | void] = CRYSTALS
    first, turn = rng.uniform(0, np.pi / 3), rng.uniform(np.deg2rad(12), np.deg2rad(30))
    angles = (np.pi / 3, np.pi / 3, np.pi / 2)
    bases = [basis_from_cell(a, a, g, t) for g, t in zip(angles, (first, first + turn, first + 0.2), strict=True)]
    places = []
    for number, basis in enumerate(bases):
        sites = lattice_sites(basis, (size, size), rng.uniform(0, size, 2), 2 * a)
        nearest = np.clip(np.rint(sites).astype(int), 0, size - 1)
        places.append(sites[truth[tuple(nearest.T)] == number])
    random = rng.uniform(0, size, (int(size**2 / a**2), 2))
    random = random[glass[tuple(random.astype(int).T)]]
    kept: list[int] = []
    for i in range(len(random)):  # atoms do not overlap
        if not kept or np.linalg.norm(random[kept] - random[i], axis=1).min() > 0.6 * a:
            kept.append(i)
    atoms = np.concatenate([*places, random[kept]])
    rng.shuffle(atoms)  # of two that are too close, either goes
    close = cKDTree(atoms).query_pairs(0.4 * a, output_type="ndarray")
    atoms = np.delete(atoms, np.unique(close[:, 1]), axis=0)
    atoms = atoms + rng.normal(0, 0.03 * a, atoms.shape)
    image = gaussian_atoms(atoms, np.ones(len(atoms)), np.full(len(atoms), 0.17 * a), (size, size))
    noisy = rng.poisson(counts * (image + 0.1 * gaussian_filter(1.0 * ~void, 0.2 * a) + 0.02))
    return Grains(noisy.astype(np.float32), truth, float(a), counts)


def at_pixels(labels: Labels, y: NDArray[Any], x: NDArray[Any], size: int) -> Labels:
    """Return labels (y, x) of places in px at every pixel of a frame, by the nearest place."""
    every = np.arange(size)
    rows, columns = (np.abs(every[:, None] - np.asarray(axis, float)).argmin(1) for axis in (y, x))
    return np.asarray(labels[rows][:, columns])


def labelled(sample: Grains) -> dict[str, Labels]:
    """Return the labels that each method gives to the pixels."""
    size = len(sample.image)
    result = bm.map_phases(sample.image, window=WINDOW, step=STEP, samples=0)
    pixels = result["frame_lattice"].values[0].astype(int)
    windows = frame_lattices(frame_windows(result, 0), 1.0).window.reshape(result.sizes["y"], result.sizes["x"])
    unmixed = unmix(sample.image, CRYSTALS + 1, window=WINDOW, step=STEP, seed=0)
    shares = unmixed["abundance"].values[0].argmax(-1)
    return {
        "pixels": at_pixels(pixels, result["py"].values, result["px"].values, size),
        "windows alone": at_pixels(windows, result["y"].values, result["x"].values, size),
        "unmixing": at_pixels(shares, unmixed["y"].values, unmixed["x"].values, size),
        "thresholding": threshold_voids(sample.image[None], sample.cell)[0][0].astype(int),
    }


def best_match(labels: Labels, truth: Labels) -> Labels:
    """Return labels renamed so that most pixels are right; what is left without a name is −1."""
    names = np.unique(labels)
    table = np.array([[((labels == name) & (truth == k)).sum() for k in range(CRYSTALS + 1)] for name in names])
    rows, columns = linear_sum_assignment(-table)
    renamed = np.full(truth.shape, -1)
    for row, column in zip(rows, columns, strict=True):
        renamed[labels == names[row]] = column
    return renamed


def scores(renamed: Labels, sample: Grains) -> dict[str, float]:
    """Return the share of pixels that are right, of those wrong far from a boundary, and the errors of the areas."""
    wrong = renamed != sample.truth
    boundary = np.zeros(wrong.shape, bool)
    for axis in (0, 1):
        step = np.diff(sample.truth, axis=axis) != 0
        boundary |= np.pad(step, [(0, 1) if i == axis else (0, 0) for i in (0, 1)])
    far = distance_transform_edt(~boundary) > sample.cell
    areas = [float((renamed == k).mean() - (sample.truth == k).mean()) for k in range(CRYSTALS + 1)]
    return {
        "right": float(1 - wrong.mean()),
        "wrong_far": float((wrong & far).mean()),
        "worst_area": float(np.abs(areas).max()),
        "none_area": areas[CRYSTALS],
    }


def draw(sample: Grains, renamed: dict[str, Labels], path: Path) -> None:
    """Draw an image, its truth, and what each method makes of it."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.1 * (2 + len(renamed)), 2.7), layout="constrained")
    axes = figure.subplots(1, 2 + len(renamed))
    axes[0].imshow(sample.image, cmap="gray")
    axes[0].set_title(f"{sample.counts:.0f} counts at an atom", size=10)
    colours = ListedColormap(["black", *COLOURS])
    for ax, (name, labels) in zip(axes[1:], {"truth": sample.truth, **renamed}.items(), strict=True):
        ax.imshow(labels, cmap=colours, vmin=-1, vmax=CRYSTALS, interpolation="nearest")
        right = f"\n{100 * (labels == sample.truth).mean():.1f} % right" if name != "truth" else ""
        ax.set_title(f"{name}{right}", size=10)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def measured(images: int, size: int, figure: Path | None, told: Callable[[str], object] = print) -> list[dict]:
    """Return the scores of each method for each image; the first one is drawn."""
    rows: list[dict] = []
    for seed in range(FIRST_SEED, FIRST_SEED + images):
        sample = grains(seed, size)
        renamed = {name: best_match(labels, sample.truth) for name, labels in labelled(sample).items()}
        for name, labels in renamed.items():
            rows.append({"seed": seed, "counts": sample.counts, "method": name, **scores(labels, sample)})
        shown = ", ".join(f"{row['method']} {100 * row['right']:.1f} %" for row in rows[-len(renamed) :])
        told(f"  seed {seed}, {sample.counts:.1f} counts: {shown}")
        if figure is not None and seed == FIRST_SEED:
            draw(sample, renamed, figure)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=10)
    options.add_argument("--size", type=int, default=512, help="side of an image in px")
    options.add_argument("--figure", type=Path, metavar="FILE", help="draw the first image and its maps")
    asked = options.parse_args(arguments)
    print(machine())
    rows = measured(asked.images, asked.size, asked.figure)
    print(
        "right; wrong and more than a cell from a boundary; worst and mean error of an area of the four, in % of frame"
    )
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        right, far, worst, none = (
            100 * np.array([row[key] for row in own]) for key in ("right", "wrong_far", "worst_area", "none_area")
        )
        print(
            f"  {name:<14}{right.mean():6.2f} (least {right.min():.1f}); {far.mean():.2f}; {worst.max():.2f}, "
            f"{worst.mean():.2f}; none {none.mean():+.2f}"
        )
    settings = {"images": asked.images, "size": asked.size, "window": WINDOW, "step": STEP}
    write_figures(asked.json, "grain_areas", settings | {"rows": rows})


if __name__ == "__main__":
    main()
