"""The figure of a fitted growth law: the fraction with the curve, and the residuals below.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bravaismap.conventions import COLORS, NONE, Floats
from bravaismap.kinetics.laws import growth_law, printed
from bravaismap.show.axes import sized
from bravaismap.show.curves import curve_axes, time_axis
from bravaismap.show.style import PAGE, Style

__all__ = ["plot_growth"]

_POINTS = 400  # at which the curve is drawn, more than dots across the figure can tell apart
#: What the laws of growth are called.
_IN_WORDS = {
    "exponential": "exponential growth",
    "linear": "linear growth",
    "power": "power law",
    "logistic": "logistic growth",
    "avrami": "Avrami law",
}


def plot_growth(growth: xr.Dataset, others: dict[str, xr.DataArray] | None = None, *, style: Style = PAGE) -> Figure:
    """Draw a fraction with ± σ and the law fitted to it, and the residuals over σ.

    Parameters
    ----------
    growth : Dataset
        Of :func:`~bravaismap.fit_growth`.
    others : dict of str to DataArray (time,), optional
        Fractions determined by other methods, by the name in the legend; over the same axis.
    style : Style
    """
    figure = Figure(figsize=(style.width, style.curve_height(4.2)), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    time, unit = growth["time"].values, str(growth.attrs["time_unit"])
    color = COLORS["hexagonal"]
    word = str(growth["fraction"].attrs.get("long_name", "fraction"))
    curve = upper.errorbar(
        time,
        growth["fraction"],
        growth["sigma"],
        fmt="o",
        ms=3,
        lw=0.7,
        color=COLORS[NONE],
        label=f"{word} ± σ of the fit",
    )
    entries: list[Any] = [curve, *upper.plot(*_fine_curve(growth), color=color, lw=1.6, label=_legend(growth))]
    baseline = growth.attrs["baseline"]
    if not isinstance(baseline, str):
        spans = [
            ax.axvspan(max(baseline[0], time[0]), baseline[1], color="0.93", zorder=0, label="baseline")
            for ax in (upper, lower)
        ]
        entries.append(spans[0])
    for marker, (name, other) in zip("sd^v", (others or {}).items(), strict=False):
        entries += upper.plot(other["time"], other, marker, ms=3, mfc="none", color=COLORS["rectangular"], label=name)
    lower.axhline(0, color=color, lw=1.2)
    lower.plot(time, growth["residual"] / growth["sigma"], "o", ms=3, color=COLORS[NONE])
    limit = 1.1 * max(float(np.abs(growth["residual"] / growth["sigma"]).max()), 3.0)
    lower.set(ylim=(-limit, limit), ylabel="residual / σ")
    time_axis(lower, unit)
    upper.set(ylabel="area (share of the frame)" if word == "area" else word)
    upper.legend(handles=entries, frameon=False, fontsize=style.legend_text)
    for ax in (upper, lower):
        curve_axes(ax)
    return sized(figure, style.text)


def _fine_curve(growth: xr.Dataset) -> tuple[Floats, Floats]:
    """Return the fitted law at many times between the frames, and at those of the frames."""
    time, values = growth["time"].values, growth["value"].values
    law = growth_law(growth.attrs["law"], growth.attrs["onset"] == "fitted")
    fine = np.union1d(np.linspace(time.min(), time.max(), _POINTS), time)
    return fine, values[0] * law.relative(fine, None, tuple(values[1:-1])) + values[-1]


def _legend(growth: xr.Dataset) -> str:
    names = [printed(str(name)) for name in growth["parameter"].values]
    numbers = [f"{float(value):.3g}".replace("-", "−") for value in growth["value"]]
    values = [f"{name} = {number}" for name, number in zip(names, numbers, strict=True)]
    law = str(growth.attrs["law"])
    onset = " with onset" if growth.attrs["onset"] == "fitted" else ""
    return f"{_IN_WORDS.get(law, law)}{onset}: {printed(growth.attrs['formula'])}\n{', '.join(values)}"
