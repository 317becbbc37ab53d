"""How far the area of voids is from the truth, pixel by pixel and by the mean probability of windows, and whether σ is.

python benchmarks/pixel_areas.py [--doses 30 3 1] [--films 4] [--frames 8] [--size 384] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.simulate.film import Specimen

WINDOW, STEP, FIRST_SEED = 64, 16, 20
BINS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.6)


def measured(dose: float, films: int, frames: int, size: int) -> tuple[np.ndarray, float]:
    """Return true fraction, area, σ and mean probability of every frame; and time of pixels over that of windows."""
    rows, seconds = [], np.zeros(2)
    for seed in range(FIRST_SEED, FIRST_SEED + films):
        film = bm.simulate_film(frames, size, seed=seed, specimen=Specimen(dose=dose))
        start = time.perf_counter()
        result = bm.map_phases(film["image"], window=WINDOW, step=STEP)
        middle = time.perf_counter()
        pixels = bm.pixel_map(result, film["image"])
        seconds += middle - start, time.perf_counter() - middle
        none = [pixels[name].sel(lattice="none").values for name in ("area_fraction", "area_fraction_std")]
        rows.append(np.stack([film["void_fraction"].values, *none, result["fraction"].sel(lattice="none").values]))
    return np.concatenate(rows, axis=1), float(seconds[1] / seconds[0])


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--doses", type=float, nargs="+", default=[30.0, 3.0, 1.0], help="counts at a metal atom")
    options.add_argument("--films", type=int, default=4)
    options.add_argument("--frames", type=int, default=8)
    options.add_argument("--size", type=int, default=384, help="side of a frame in px")
    asked = options.parse_args(arguments)
    print(machine())
    rows: list[dict] = []
    for dose in asked.doses:
        (true, area, std, mean), cost = measured(dose, asked.films, asked.frames, asked.size)
        within = [float((np.abs(area - true) < times * std).mean()) for times in (1, 2)]
        print(
            f"{dose:g} counts: measured / true − 1, mean ± standard deviation over frames; true within σ in "
            f"{100 * within[0]:.0f} %, 2σ in {100 * within[1]:.0f} %; pixels take {cost:.1f} times as long as windows"
        )
        for low, high in pairwise(BINS):
            inside = (true >= low) & (true < high)
            if not inside.any():
                continue
            row = {"dose": dose, "from": low, "to": high, "frames": int(inside.sum()), "within": within, "cost": cost}
            texts = []
            for name, values in (("area", area), ("mean_probability", mean)):
                ratio = values[inside] / true[inside] - 1
                row |= {name: float(ratio.mean()), f"{name}_scatter": float(ratio.std())}
                texts.append(f"{100 * ratio.mean():+.0f} ± {100 * ratio.std():.0f} %")
            rows.append(row)
            print(f"  {100 * low:g}–{100 * high:g} %: area {texts[0]}, mean probability {texts[1]}", flush=True)
    settings = {"films": asked.films, "frames": asked.frames, "size": asked.size, "window": WINDOW, "step": STEP}
    write_figures(asked.json, "pixel_areas", settings | {"rows": rows})


if __name__ == "__main__":
    main()
