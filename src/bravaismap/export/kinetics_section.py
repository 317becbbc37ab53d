"""The section on kinetics of the report: the law of growth of the class without a lattice, and how the laws compare."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.conventions import NONE
from bravaismap.errors import InputError
from bravaismap.export.html_page import bullets, cell, heading, paragraph, picture, png_of, table
from bravaismap.kinetics.dose import fraction_curve, frame_area, physical_growth, title_of
from bravaismap.kinetics.growth import compare_laws, fit_growth, refusal
from bravaismap.kinetics.laws import printed
from bravaismap.result.shares import MEAN_PROBABILITY
from bravaismap.show.growth import plot_growth

__all__ = ["kinetics_section"]


def kinetics_section(result: xr.Dataset) -> list[str]:
    """Return the section on kinetics of a report, as HTML: nothing of an image, and the reason where no law fits."""
    names = [str(name) for name in result["lattice"].values]
    if result.sizes["time"] == 1:
        return []
    parts = [heading("Kinetics")]
    if NONE not in names:
        return [*parts, paragraph("No class is called none, whose growth would be fitted; fit another one with "
                                  "bravaismap fit --lattice.")]  # fmt: skip
    curve = fraction_curve(result, NONE)
    what = f"{'mean probability' if curve.quantity == MEAN_PROBABILITY else 'area'} of none"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            growth = fit_growth(curve.fraction, std=curve.weighing_std)
        except InputError as error:
            return [*parts, paragraph(f"No law of growth was fitted to the {what}: {error}.")]
        try:
            laws = compare_laws(curve.fraction, std=curve.weighing_std)
            choice = [paragraph(_choice(laws)), _law_table(laws)]
        except InputError as error:  # the longest law needs more frames than this one
            choice = [paragraph(f"The laws were not compared: {error}.")]
    size, shape = (_numbers(result.attrs.get(name)) for name in ("pixel_size_nm", "frame_size"))
    calibrated = size.shape == () and shape.shape == (2,) and size > 0 and (shape > 0).all()
    physical = physical_growth(growth, frame_area(result.attrs)) if calibrated else None
    about = growth.attrs
    text = (
        f"{printed(about['formula'])} fitted to the {what}, t in {about['time_unit']}, C from all frames; intervals: "
        f"{about['interval_method']}; reduced χ² {about['reduced_chi_square']:.2f}; residuals of neighbouring frames "
        f"correlate at {printed(format(about['residual_autocorrelation'], '.2f'))}. "
        + ("Windows blur small holes, so this rate can be too high; a" if curve.quantity == MEAN_PROBABILITY else "A")
        + " baseline, other laws and doses: bravaismap fit."
    )
    notes = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    parts += [paragraph(text), *bullets(list(dict.fromkeys(notes))), _growth_table(growth, physical)]
    if physical is None:
        parts.append(paragraph("Areas in nm² need the pixel size, which is not known."))
    figure = picture(png_of(plot_growth(growth)), f"The {what} with the fitted law, and the residuals over σ.")
    return [*parts, figure, *choice]


def _growth_table(growth: xr.Dataset, physical: xr.Dataset | None) -> str:
    estimates = [(str(n), growth.sel(parameter=n)) for n in growth["parameter"].values]
    if physical is not None:
        estimates += [(title_of(str(n)), physical.sel(quantity=n)) for n in physical["quantity"].values]
    rows = []
    for name, estimate in estimates:
        ends = [printed(" to ".join(f"{end:.4g}" for end in pair)) for pair in estimate["interval"].values]
        unit = str(estimate["unit"].values)
        rows.append([
            cell(printed(name), number=False),
            cell(printed(f"{float(estimate['value']):.4g}")),
            *(cell("" if "nan" in text else text) for text in ends), cell("" if unit == "1" else unit),
        ])  # fmt: skip
    return table(["", "value", "68 %", "95 %", "unit"], rows)


def _choice(laws: xr.Dataset) -> str:
    """Return a sentence on the law that the criterion prefers."""
    text = "Laws compared by Akaike's criterion, corrected for few frames (AICc). "
    behind = float(laws["difference"].sel(law="exponential"))
    if not behind > 2:
        return text + "None is clearly better than the exponential above."
    return (
        text + f"The curve prefers the law {laws['law'].values[0]!s}: the exponential above is {behind:.0f} behind it."
    )


def _law_table(laws: xr.Dataset) -> str:
    rows = []
    for law in (laws.sel(law=name) for name in laws["law"].values):
        first = [cell(str(law["law"].values), number=False), cell(str(int(law["parameters"])))]
        if refused := refusal(law):
            rows.append([*first, cell(refused, number=False, span=2)])
        else:
            rows.append([*first, cell(f"{float(law['difference']):.1f}"), cell(f"{float(law['weight']):.2f}")])
    return table(["law", "parameters", "ΔAICc", "weight"], rows)


def _numbers(value: Any) -> np.ndarray:
    """Return an entry of a run card as numbers; NaN where it is none."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        return np.array(np.nan)
