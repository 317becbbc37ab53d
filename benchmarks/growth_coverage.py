"""How well growth is recovered: the paper's curve simulated again and again, and how often intervals hold the truth.

python benchmarks/growth_coverage.py [--repeats 500] [--bootstrap 200] [--json FILE]
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from machine import machine, parser, write_figures

import bravaismap as bm

FRAMES, FRAME_TIME = 90, 2.25
TRUTH = {"A0": 1.85e-5, "rho": 0.0417, "C": 0.059}
FRAME_AREA = 216.0  # nm²
NOISE = 0.004  # of a fraction from frame to frame, about that of the paper's curve


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=500)
    options.add_argument("--bootstrap", type=int, default=200)
    asked = options.parse_args(arguments)
    print(machine())
    rows: list[dict] = []
    warnings.simplefilter("ignore", UserWarning)
    seconds = np.arange(FRAMES) * FRAME_TIME
    grown = TRUTH["A0"] * np.exp(TRUTH["rho"] * seconds) + TRUTH["C"]
    true = np.array(list(TRUTH.values()))
    for baseline in ((0.0, 100.0), None):
        values, profile, drawn = [], [], []
        started = time.perf_counter()
        for seed in range(asked.repeats):
            noisy = grown + np.random.default_rng([seed, 59]).normal(0, NOISE, FRAMES)
            fraction = xr.DataArray(noisy, {"time": ("time", seconds, {"units": "s"})}, ("time",))
            growth = bm.fit_growth(fraction, baseline=baseline, bootstrap=asked.bootstrap, seed=seed)
            values.append(growth["value"].values)
            profile.append(growth["interval"].values)
            drawn.append(growth["bootstrap_interval"].values)
        spent = (time.perf_counter() - started) / asked.repeats
        print(
            f"\nC from {'the mean of ' + str(baseline) + ' s' if baseline else 'the fit'}; {1e3 * spent:.0f} ms a curve"
        )
        print("parameter        true      median   68 % profile   95 % profile   68 % bootstrap   95 % bootstrap")
        held = [
            ((np.array(ends)[..., 0] <= true[:, None]) & (true[:, None] <= np.array(ends)[..., 1])).mean(axis=0)
            for ends in (profile, drawn)
        ]
        levels = ("profile_68", "profile_95", "bootstrap_68", "bootstrap_95")
        for i, name in enumerate(TRUTH):
            shares = "".join(f"{100 * share:15.1f}" for share in (*held[0][i], *held[1][i]))
            print(f"{name:<10} {true[i]:10.4g} {np.median(np.array(values)[:, i]):11.4g} {shares}")
            row = {"baseline": baseline, "parameter": name, "true": true[i]}
            row |= {"median": float(np.median(np.array(values)[:, i]))}
            rows.append(row | {k: float(v) for k, v in zip(levels, (*held[0][i], *held[1][i]), strict=True)})
        median = np.median(np.array(values), axis=0)
        print(f"smallest void {median[0] * FRAME_AREA:.2g} nm², rate {median[1] * FRAME_AREA:.3g} nm²/s")
    write_figures(asked.json, "growth_coverage", {"repeats": asked.repeats, "rows": rows})


if __name__ == "__main__":
    main()
