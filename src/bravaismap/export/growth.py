"""A fitted growth law as tables (CSV), as one JSON file, and as a figure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.files import made_folder, replacing, texts, write_table

__all__ = ["export_growth"]


def export_growth(
    growth: xr.Dataset,
    folder: str | os.PathLike[str],
    *,
    physical: xr.Dataset | None = None,
    laws: xr.Dataset | None = None,
    others: dict[str, xr.DataArray] | None = None,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write a fitted growth law as tables, as JSON and as a figure.

    Parameters
    ----------
    growth : Dataset
        Of :func:`~bravaismap.fit_growth`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    physical : Dataset, optional
        Of :func:`bravaismap.kinetics.dose.physical_growth`.
    laws : Dataset, optional
        Of :func:`bravaismap.kinetics.growth.compare_laws`.
    others : dict of str to DataArray (time,), optional
        Fractions determined by other methods, drawn and written beside the fraction.
    files : FigureFiles
        Style, formats and resolution of the figure.

    Returns
    -------
    list of Path
        ``kinetics.csv``, a line per parameter and quantity with its unit and intervals; ``growth.csv``, a line per
        frame with fraction, σ, curve and residual; ``kinetics.json``; ``growth.png``.

    Raises
    ------
    OutputError
        If one of them cannot be written.
    """
    from bravaismap.show.growth import plot_growth

    folder = made_folder(folder)
    comparisons = others or {}
    written = [
        write_table(folder / "kinetics.csv", _parameter_rows(growth, physical)),
        write_table(folder / "growth.csv", _frame_rows(growth, comparisons)),
    ]
    path = folder / "kinetics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_summary(growth, physical, laws), indent=1, ensure_ascii=False), "utf-8")
    figure = plot_growth(growth, comparisons, style=files.style)
    return [*written, path, *files.save(figure, folder / "growth")]


def _parameter_rows(growth: xr.Dataset, physical: xr.Dataset | None) -> Iterator[list[str]]:
    ends = ["low_68", "high_68", "low_95", "high_95"]
    bootstrap = "bootstrap_interval" in growth
    yield ["name", "unit", "value", "std", *ends, *([f"bootstrap_{end}" for end in ends] if bootstrap else [])]
    for name in growth["parameter"].values:
        entry = growth.sel(parameter=name)
        numbers = [float(entry["value"]), float(entry["std"]), *entry["interval"].values.ravel()]
        if bootstrap:
            numbers += list(entry["bootstrap_interval"].values.ravel())
        yield [str(name), str(entry["unit"].values), *texts(np.array(numbers))]
    if physical is None:
        return
    for name in physical["quantity"].values:
        entry = physical.sel(quantity=name)
        numbers = [
            float(entry["value"]),
            np.nan,
            *entry["interval"].values.ravel(),
            *([np.nan] * 4 if bootstrap else []),
        ]
        yield [str(name), str(entry["unit"].values), *texts(np.array(numbers))]


def _frame_rows(growth: xr.Dataset, others: dict[str, xr.DataArray]) -> Iterator[list[str]]:
    unit = str(growth.attrs["time_unit"])
    axis = {"frame": "frame", "e⁻/Å²": "dose_e_per_A2"}.get(unit, f"time_{unit}")
    yield [axis, "fraction", "sigma", "curve", "residual", *others]
    columns = [growth[name].values for name in ("time", "fraction", "sigma", "curve", "residual")]
    columns += [other.sel(time=growth["time"].values).values for other in others.values()]
    yield from (texts(np.array(row)) for row in zip(*columns, strict=True))


def _summary(growth: xr.Dataset, physical: xr.Dataset | None, laws: xr.Dataset | None) -> dict[str, Any]:
    summary: dict[str, Any] = {name: _plain(value) for name, value in growth.attrs.items()}
    summary["parameters"] = {str(n): _entry(growth.sel(parameter=n)) for n in growth["parameter"].values}
    summary["correlation"] = {
        str(n): {str(m): _plain(growth["correlation"].sel(parameter=n, other=m)) for m in growth["other"].values}
        for n in growth["parameter"].values
    }
    if physical is not None:
        summary["frame_area_nm2"] = physical.attrs["frame_area_nm2"]
        summary["quantities"] = {str(n): _entry(physical.sel(quantity=n)) for n in physical["quantity"].values}
    if laws is not None:
        names = ("aicc", "difference", "weight", "parameters", "reduced_chi_square", "refused")
        summary["laws"] = {
            str(law): {name: _plain(laws[name].sel(law=law)) for name in names} for law in laws["law"].values
        }
    return summary


def _entry(estimate: xr.Dataset) -> dict[str, Any]:
    """Return the value, the unit and the intervals of a parameter or a quantity, as JSON holds them."""
    entry: dict[str, Any] = {"value": _plain(estimate["value"]), "unit": str(estimate["unit"].values)}
    for name in ("interval", "bootstrap_interval"):
        if name in estimate:
            entry[name] = {
                f"{100 * float(level):.0f} %": [_plain(end) for end in estimate[name].sel(level=level).values]
                for level in estimate["level"].values
            }
    return entry


def _plain(value: Any) -> Any:
    """Return a value of a JSON type; NaN becomes null."""
    value = np.asarray(value).tolist()
    return None if isinstance(value, float) and not np.isfinite(value) else value
