"""How far void fractions are from the truth: mean probability, corrected for the window, by pixel, and by intensity.

python benchmarks/void_area.py [--fit] [--frames 10] [--size 512] [--json FILE]

With --fit it first fits the constants of bravaismap.domains.void_area to films with one void each.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from machine import machine, parser, write_figures
from scipy.stats import linregress

import bravaismap as bm
from bravaismap.domains.finding import find_domains
from bravaismap.domains.thresholding import threshold_voids
from bravaismap.domains.void_area import corrected_fraction
from bravaismap.simulate.film import Specimen
from bravaismap.simulate.voids import VoidKinetics

WINDOW, STEP = 128, 16
CASES = {
    "one void": VoidKinetics(runaway=1, baseline=0, final_fraction=0.4),
    "two voids": VoidKinetics(runaway=2, baseline=0, final_fraction=0.4),
    "two voids, healing ones": VoidKinetics(runaway=2, baseline=0.025, final_fraction=0.34),
}
BINS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6)


def fit() -> None:
    """Fit the radius of a void over its apparent one."""
    apparent, true = [], []
    for seed in range(6):
        kinetics = VoidKinetics(runaway=1, baseline=0, final_fraction=0.5, growth_rate=3.4 / 27)
        film = bm.simulate_film(12, 384, seed=seed, kinetics=kinetics, specimen=Specimen(drift=0.0))
        result = bm.map_phases(film["image"], window=WINDOW, step=STEP, samples=0)
        domains = find_domains(result, draws=0)
        voids = domains.isel(row=(domains["lattice"] == "none").values)
        size = film.attrs["pixel_size_nm"]
        seen = np.bincount(voids["frame"], voids["expected_area"], 12)
        apparent += list(np.sqrt(seen / np.pi) / (WINDOW * size))
        true += list(np.sqrt(film["void"].values.sum(axis=(1, 2)) / np.pi) / WINDOW)
    shown = np.array(apparent) > 0.08
    line = linregress(np.array(apparent)[shown], np.array(true)[shown])
    scatter = np.std(np.array(true)[shown] - line.intercept - line.slope * np.array(apparent)[shown])
    print(f"R/w = {line.intercept:.3f} + {line.slope:.3f} r/w, scatter {scatter:.3f}, {shown.sum()} voids")
    print(f"largest void that is not seen: R/w = {np.array(true)[~shown].max():.2f}\n")


def fractions(film: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the void fraction in every frame by each method."""
    result = bm.map_phases(film["image"], window=WINDOW, step=STEP, samples=0)
    refined = find_domains(result, draws=0, movie=film["image"])
    refined = refined.isel(row=(refined["lattice"] == "none").values)
    area = film["image"][0].size * film.attrs["pixel_size_nm"] ** 2
    spacing = film.attrs["a_nm"] / film.attrs["pixel_size_nm"]
    return {
        "mean probability": result["fraction"].sel(lattice="none").values,
        "corrected": corrected_fraction(result, find_domains(result, draws=0)).values,
        "by pixel": np.bincount(refined["frame"], refined["area"], film.sizes["time"]) / area,
        "intensity alone": threshold_voids(film["image"].values, spacing)[0].mean(axis=(1, 2)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--fit", action="store_true", help="first fit the constants of bravaismap.domains.void_area")
    options.add_argument("--frames", type=int, default=10)
    options.add_argument("--size", type=int, default=512, help="side of a frame in px")
    asked = options.parse_args(arguments)
    print(machine())
    rows: list[dict] = []
    warnings.simplefilter("ignore", UserWarning)
    if asked.fit:
        fit()
    for name, kinetics in CASES.items():
        true, measured = [], []
        for seed in (101, 102):
            film = bm.simulate_film(asked.frames, asked.size, seed=seed, kinetics=kinetics)
            true.append(film["void_fraction"].values)
            measured.append(fractions(film))
        truth = np.concatenate(true)
        print(f"{name}: mean of measured / true − 1 ± its standard deviation, by the true fraction")
        print(f"{'true':<18}" + "".join(f"{f'{100 * a:g}–{100 * b:g} %':>16}" for a, b in pairwise(BINS)))
        for method in measured[0]:
            ratio = np.concatenate([fraction[method] for fraction in measured]) / np.maximum(truth, 1e-9) - 1
            cells = []
            for low, high in pairwise(BINS):
                inside = ratio[(truth >= low) & (truth < high)]
                if not len(inside):
                    cells.append("")
                    continue
                mean, std = float(inside.mean()), float(inside.std())
                cells.append(f"{100 * mean:+.0f} ± {100 * std:.0f} %")
                rows.append({"case": name, "method": method, "from": low, "to": high, "mean": mean, "std": std})
            print(f"{method:<18}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    write_figures(asked.json, "void_area", {"frames": asked.frames, "size": asked.size, "rows": rows})


if __name__ == "__main__":
    main()
