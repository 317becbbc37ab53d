"""Fitted growth for other programs: tables (CSV), everything at once (JSON), and the figure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.files import made_folder, replacing, save_figure, texts, write_table

__all__ = ["export_growth"]


def export_growth(
    growth: xr.Dataset,
    folder: str | os.PathLike[str],
    *,
    physical: xr.Dataset | None = None,
    laws: xr.Dataset | None = None,
    others: dict[str, xr.DataArray] | None = None,
) -> list[Path]:
    """Write fitted growth as tables, as JSON and as a figure.

    Parameters
    ----------
    growth : Dataset
        Of :func:`~bravaismap.fit_growth`.
    folder : str or path
        Made if it does not exist; files of the same name in it are replaced.
    physical : Dataset, optional
        Of :func:`bravaismap.kinetics.dose.physical_growth`.
    laws : Dataset, optional
        Of :func:`bravaismap.kinetics.growth.compare_laws`.
    others : dict of str to DataArray (time,), optional
        Fractions found in another way, drawn and written beside the fraction.

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
    beside = others or {}
    written = [
        write_table(folder / "kinetics.csv", _parameter_rows(growth, physical)),
        write_table(folder / "growth.csv", _frame_rows(growth, beside)),
    ]
    path = folder / "kinetics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_summary(growth, physical, laws), indent=1, ensure_ascii=False), "utf-8")
    return [*written, path, *save_figure(plot_growth(growth, beside), folder / "growth", (".png",))]


def _parameter_rows(growth: xr.Dataset, physical: xr.Dataset | None) -> Iterator[list[str]]:
    ends = ["low_68", "high_68", "low_95", "high_95"]
    drawn = "bootstrap_interval" in growth
    yield ["name", "unit", "value", "std", *ends, *([f"bootstrap_{end}" for end in ends] if drawn else [])]
    for name in growth["parameter"].values:
        one = growth.sel(parameter=name)
        numbers = [float(one["value"]), float(one["std"]), *one["interval"].values.ravel()]
        if drawn:
            numbers += list(one["bootstrap_interval"].values.ravel())
        yield [str(name), str(one["unit"].values), *texts(np.array(numbers))]
    if physical is None:
        return
    for name in physical["quantity"].values:
        one = physical.sel(quantity=name)
        numbers = [float(one["value"]), np.nan, *one["interval"].values.ravel(), *([np.nan] * 4 if drawn else [])]
        yield [str(name), str(one["unit"].values), *texts(np.array(numbers))]


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


def _entry(one: xr.Dataset) -> dict[str, Any]:
    entry: dict[str, Any] = {"value": _plain(one["value"]), "unit": str(one["unit"].values)}
    for name in ("interval", "bootstrap_interval"):
        if name in one:
            entry[name] = {
                f"{100 * float(level):.0f} %": [_plain(end) for end in one[name].sel(level=level).values]
                for level in one["level"].values
            }
    return entry


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; NaN is null."""
    value = np.asarray(value).tolist()
    return None if isinstance(value, float) and not np.isfinite(value) else value
