"""Commands about what happens in time, and what the beam can do: fit, beam."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bravaismap.cli.answers import beam_answer, growth_answer
from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    FramesOption,
    FrameTimeOption,
    JsonOption,
    PixelOption,
    QuietOption,
    SeedOption,
)
from bravaismap.cli.reading import Reading
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, print_json
from bravaismap.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["beam", "fit"]


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
    movie: Annotated[
        str | None, typer.Option("--movie", help="The movie that was mapped: threshold its intensity beside the fit.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Intensity below which it is void.", show_default="Otsu's"),
    ] = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write to.", show_default="beside the result")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a law of growth to a fraction: parameters with intervals, in nm² where the pixel size is known."""
    from bravaismap.export.growth import export_growth
    from bravaismap.kinetics.dose import frame_area, physical_growth
    from bravaismap.kinetics.growth import compare_laws, fit_growth
    from bravaismap.kinetics.laws import LAWS, growth_law
    from bravaismap.result.open import open_result

    if law != "auto":
        growth_law(law, onset)
    if threshold is not None and movie is None:
        raise InputError(f"--threshold {threshold:g} was given without --movie, whose intensity it is of")
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
    read = Reading(dataset, channel, frames, crop, bin)
    others = {} if movie is None else {"thresholded": _thresholded(movie, read, phases, threshold, fraction)}
    folder = output or result.resolve().parent
    written = export_growth(growth, folder, physical=physical, laws=laws, others=others)
    if json:
        print_json(growth_answer(growth, physical, laws, written))
        return
    _print_growth(growth, physical, laws)
    for path in written:
        note(f"wrote {path}")


@app.command()
def beam(
    element: Annotated[
        list[str] | None,
        typer.Option("--element", help="Symbol; again for another.", show_default="all whose threshold is known"),
    ] = None,
    energy: Annotated[float, typer.Option("--energy", help="Of the electrons in keV.")] = 100.0,
    displacement_energy: Annotated[
        float | None, typer.Option("--displacement-energy", help="In eV, for the element.", show_default=False)
    ] = None,
    dose: Annotated[
        float | None, typer.Option("--dose", help="In e⁻/Å²: displacements per atom too.", show_default=False)
    ] = None,
    dose_rate: Annotated[
        float | None,
        typer.Option("--dose-rate", help="In e⁻/(Å² s): displacements per atom and second.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what the beam can do: largest energy transfer, knock-on threshold, cross-section, displacements per atom."""
    from rich.table import Table

    from bravaismap.kinetics.knock_on import displacement_table, displacements_per_atom

    for name, given in (("--dose", dose), ("--dose-rate", dose_rate)):
        if given is not None and not given > 0:
            raise InputError(f"{name} {given:g} was given; expected a positive number")
    found = displacement_table(element, energy, displacement_energy)
    if json:
        print_json(beam_answer(found, dose, dose_rate))
        return
    table = Table("", "in", "T_d (eV)", "T_max (eV)", "threshold (kV)", "σ (barn)")
    for name, given in (("dpa", dose), ("dpa/s", dose_rate)):
        if given is not None:
            table.add_column(name)
    for i in range(found.sizes["case"]):
        one = found.isel(case=i)
        area = float(one["cross_section"])
        cells = [f"{float(one[name]):.4g}" for name in ("displacement_energy", "energy_transfer", "threshold")]
        cells[0] += "" if bool(one["confirmed"]) else " ?"
        dpa = [f"{float(displacements_per_atom(area, given)):.3g}" for given in (dose, dose_rate) if given is not None]
        table.add_row(str(one["element"].values), str(one["compound"].values), *cells, f"{area:.3g}", *dpa)
    out.print(table)
    for source in dict.fromkeys(str(source) for source in found["source"].values if source != "given"):
        cases = found.isel(case=(found["source"] == source).values)
        names = ", ".join(dict.fromkeys(str(name) for name in cases["compound"].values))
        kind = "" if not bool(cases["two_dimensional"].any()) else " (one layer)"
        out.print(f"T_d of {names}{kind}: {source}", highlight=False)
    if not bool(found["confirmed"].all()):
        out.print(
            "?: not compared with the printed page; look it up before you publish, and give it with "
            "--displacement-energy if it differs",
            highlight=False,
            soft_wrap=True,
        )
    out.print("atoms at rest, collisions only: vibration and electronic excitation displace more", highlight=False)


def _curves(phases: Any, lattice: str, frame_time: float | None, rate: float | None) -> tuple[Any, Any, float]:
    """Return a fraction and its σ over time or dose, and what the time was multiplied with."""
    from bravaismap.conventions import ALIASES, nearest_names
    from bravaismap.kinetics.dose import over_dose

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


def _thresholded(movie: str, read: Reading, phases: Any, level: float | None, fraction: xr.DataArray) -> xr.DataArray:
    """Return the fraction below a threshold of intensity, and print how it agrees with the classifier's."""
    from bravaismap.domains.thresholding import agreement, spacing_of, threshold_voids

    frames = read(movie, timed=False)
    if len(frames) != fraction.size:
        raise InputError(
            f"{movie} has {len(frames)} frames, the result {fraction.size}; give the movie that was mapped"
        )
    voids, chosen = threshold_voids(frames.values, spacing_of(phases), level)
    dark = fraction.copy(data=voids.mean(axis=(1, 2)))
    found = agreement(fraction.values, dark.values)
    relative = "" if found.relative is None else f", {100 * found.relative:.0f} % of the latter"
    note(
        f"intensity below {chosen:.4g} ({'Otsu' if level is None else 'given'}): the classifier's fraction differs by "
        f"{100 * found.mean:+.2f} % of the frame on average, {100 * found.rms:.2f} % rms{relative}; they "
        f"correlate at {found.correlation:.3f}"
    )
    return dark


def _rate(dose_rate: float | None, current: float | None, area: float | None) -> float | None:
    from bravaismap.kinetics import dose

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
        ends = ["–".join(f"{end:.4g}" for end in pair) for pair in one["interval"].values]
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
        cells = [f"{float(one['difference']):.1f}", f"{float(one['weight']):.2f}"]
        if refused:
            cells = [f"{refused.partition(' ')[0]} not determined", ""]
        choice.add_row(str(one["law"].values), str(int(one["parameters"])), *cells)
    out.print(choice)
    if physical is None:
        out.print("areas in nm² need the pixel size: give it in nm with --pixel-size", highlight=False)
