"""Commands about what happens in time, and what the beam can do: fit, beam."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bravaismap.cli.options import FrameTimeOption, PixelOption, SeedOption
from bravaismap.cli.start import app
from bravaismap.errors import InputError
from bravaismap.terminal import out

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["fit"]


@app.command()
def fit(
    result: Annotated[Path, typer.Argument(help="Result folder (.zarr).")],
    law: Annotated[
        str, typer.Option("--law", help="exponential, linear, power, logistic, avrami; auto: the least AICc.")
    ] = "exponential",
    onset: Annotated[bool, typer.Option("--onset", help="Fit the time before which nothing grows too.")] = False,
    lattice: Annotated[str, typer.Option("--lattice", help="The class that grows.")] = "none",
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", help="Times t0:t1 whose mean gives C, in the unit of the result.", show_default="C is fitted"
        ),
    ] = None,
    pixel_size: PixelOption = None,
    frame_time: FrameTimeOption = None,
    dose_rate: Annotated[
        float | None, typer.Option("--dose-rate", help="In e⁻/(Å² s): fit over dose, not time.", show_default=False)
    ] = None,
    beam_current: Annotated[
        float | None,
        typer.Option("--beam-current", help="In pA, for the dose rate over the whole frame.", show_default=False),
    ] = None,
    voids: Annotated[
        int | None, typer.Option("--voids", help="Number of growing voids, for the rate of one.", show_default=False)
    ] = None,
    bootstrap: Annotated[int, typer.Option("--bootstrap", help="Draws of a bootstrap over frames; 0 for none.")] = 0,
    seed: SeedOption = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write to.", show_default="beside the result")
    ] = None,
) -> None:
    """Fit a law of growth to a fraction: parameters with intervals, in nm² where the pixel size is known."""
    from bravaismap.dose import frame_area, physical_growth
    from bravaismap.growthlaws import LAWS, growth_law
    from bravaismap.io.growth import export_growth
    from bravaismap.io.result import open_result
    from bravaismap.kinetics import compare_laws, fit_growth

    if law != "auto":
        growth_law(law, onset)
    phases = open_result(result)
    known = pixel_size is not None or phases.attrs.get("pixel_size_nm") is not None
    area = frame_area(phases.attrs, pixel_size) if known or beam_current is not None or voids is not None else None
    fraction, std, rate = _curves(phases, lattice, frame_time, _rate(dose_rate, beam_current, area))
    interval = _interval(baseline, rate)
    laws = compare_laws(fraction, laws=LAWS, baseline=interval, std=std)
    if law == "auto":
        law, _, with_onset = str(laws["law"].values[0]).partition(" ")
        onset = bool(with_onset)
    growth = fit_growth(
        fraction, law=law, onset=onset, baseline=interval, std=std, bootstrap=bootstrap, seed=seed
    )  # fmt: skip
    physical = None if area is None else physical_growth(growth, area, voids)
    written = export_growth(growth, output or result.resolve().parent, physical=physical, laws=laws)
    _print_growth(growth, physical, laws)
    for path in written:
        out.print(f"wrote {path}", highlight=False)


def _curves(phases: Any, lattice: str, frame_time: float | None, rate: float | None) -> tuple[Any, Any, float]:
    """Return a fraction and its σ over time or dose, and what the time was multiplied with."""
    from bravaismap.conventions import ALIASES, nearest_names
    from bravaismap.dose import over_dose

    names = [str(name) for name in phases["lattice"].values]
    chosen = lattice if lattice in names else ALIASES.get(lattice, lattice)
    if chosen not in names:
        raise InputError(f"no class of the result is called {lattice!r}; the nearest names are "
                         f"{nearest_names(lattice, names)}")  # fmt: skip
    curves = phases[["fraction", "fraction_std"]].sel(lattice=chosen).load()
    if frame_time is not None:
        if phases["time"].attrs.get("units", "frame") != "frame":
            raise InputError("--frame-time was given, but the result has its time in s already")
        curves = curves.assign_coords(time=("time", phases["time"].values * frame_time, {"units": "s"}))
    if rate is None:
        return curves["fraction"], curves["fraction_std"], 1.0
    return over_dose(curves["fraction"], rate), curves["fraction_std"], rate


def _rate(dose_rate: float | None, current: float | None, area: float | None) -> float | None:
    from bravaismap import dose

    if dose_rate is not None and current is not None:
        raise InputError("--dose-rate and --beam-current were both given; give one of them")
    return dose_rate if current is None or area is None else dose.dose_rate(current, area)


def _interval(text: str | None, rate: float) -> tuple[float, float] | None:
    """Return what ``t0:t1`` means on the axis of the fit."""
    if text is None:
        return None
    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--baseline {text} was given; expected t0:t1, such as 0:100") from None
    if not first < last:
        raise InputError(f"--baseline {text} was given; expected the earlier time first")
    return first * rate, last * rate


def _print_growth(growth: xr.Dataset, physical: xr.Dataset | None, laws: xr.Dataset) -> None:
    from rich.table import Table

    about = growth.attrs
    out.print(f"{about['formula']}, t in {about['time_unit']}, {about['frames_fitted']} frames", highlight=False)
    table = Table("", "value", "68 %", "95 %", "unit")
    rows = [growth.sel(parameter=n) for n in growth["parameter"].values]
    rows += [] if physical is None else [physical.sel(quantity=n) for n in physical["quantity"].values]
    for one in rows:
        name = str(one["parameter"].values if "parameter" in one.coords else one["quantity"].values)
        ends = [" to ".join(f"{end:.4g}" for end in pair) for pair in one["interval"].values]
        unit = str(one["unit"].values)
        ends = ["" if "nan" in end else end for end in ends]
        table.add_row(name.replace("_", " "), f"{float(one['value']):.4g}", *ends, "" if unit == "1" else unit)
    out.print(table)
    names = [str(name) for name in growth["parameter"].values]
    pairs = [
        f"{a}, {b} {float(growth['correlation'][i, j]):.3f}"
        for i, a in enumerate(names)
        for j, b in enumerate(names[:i])
    ]
    out.print(f"correlations: {'; '.join(pairs)}", highlight=False)
    out.print(
        f"intervals: {about['interval_method']}; reduced χ² {about['reduced_chi_square']:.2f}; residuals of "
        f"neighbouring frames correlate at {about['residual_autocorrelation']:.2f}",
        highlight=False,
    )
    choice = Table("law", "parameters", "ΔAICc", "weight")
    for one in (laws.sel(law=name) for name in laws["law"].values):
        refused = str(one["refused"].values)
        cells = [refused, ""] if refused else [f"{float(one['difference']):.1f}", f"{float(one['weight']):.2f}"]
        choice.add_row(str(one["law"].values), str(int(one["parameters"])), *cells)
    out.print(choice)
    if physical is None:
        out.print("areas in nm² need the pixel size: give it in nm with --pixel-size", highlight=False)
