"""Commands about what happens in time, and what the beam can do: fit, beam."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bravaismap.cli.answers import beam_answer, growth_answer
from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    DpiOption,
    FormatOption,
    FramesOption,
    FrameTimeOption,
    JsonOption,
    PixelOption,
    QuietOption,
    SeedOption,
    StyleOption,
)
from bravaismap.cli.reading import Reading, destination
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, print_json, print_table
from bravaismap.conventions import FIGURE_DPI, counted
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
    windows: Annotated[
        bool, typer.Option("--windows", help="Fit the mean probability over windows, as the paper, and not the area.")
    ] = False,
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
        Path | None, typer.Option("-o", "--output", help="Folder to write to.", show_default="NAME-phases")
    ] = None,
    formats: FormatOption = "png",
    dpi: DpiOption = FIGURE_DPI,
    style: StyleOption = "page",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a law of growth to an area: parameters with intervals, in nm² where the pixel size is known."""
    from bravaismap.export.figure_files import figure_files
    from bravaismap.export.growth import export_growth
    from bravaismap.kinetics.dose import fraction_curve, frame_area, physical_growth
    from bravaismap.kinetics.doubt import growth_doubts
    from bravaismap.kinetics.growth import best_law, compare_laws, fit_growth
    from bravaismap.kinetics.laws import LAWS, growth_law
    from bravaismap.result.open import open_result
    from bravaismap.result.shares import AREA, MEAN_PROBABILITY, Quantity

    files = figure_files(style, None, formats, dpi)
    if law != "auto":
        growth_law(law, onset)
    if threshold is not None and movie is None:
        raise InputError(f"--threshold {threshold:g} was given without --movie, whose intensity it is of")
    phases = open_result(result)
    if phases.sizes["time"] == 1:
        raise InputError(f"{result} is of a single image; growth needs a movie")
    calibrated = pixel_size is not None or phases.attrs.get("pixel_size_nm") is not None
    area = frame_area(phases.attrs, pixel_size) if calibrated or beam_current is not None or voids is not None else None
    rate = _rate(dose_rate, beam_current, area)
    quantity: Quantity | None = MEAN_PROBABILITY if windows else None
    curve = fraction_curve(phases, lattice, quantity=quantity, frame_time=frame_time, rate=rate)
    means = fraction_curve(phases, lattice, quantity=MEAN_PROBABILITY, frame_time=frame_time, rate=rate)
    times = _interval(baseline)
    interval = None if times is None else curve.interval(*times)
    laws = compare_laws(curve.fraction, laws=LAWS, baseline=interval, std=curve.weighing_std)
    if law == "auto":
        law, onset = best_law(laws)
    growth = fit_growth(
        curve.fraction, law=law, onset=onset, baseline=interval, std=curve.weighing_std, bootstrap=bootstrap, seed=seed
    )  # fmt: skip
    physical = None if area is None else physical_growth(growth, area, voids)
    read = Reading(dataset, channel, frames, crop, bin)
    curves = {} if curve.quantity != AREA else {"mean probability": means.fraction}
    if movie is not None:
        curves["thresholded"] = _thresholded(movie, read, phases, threshold, curve.fraction)
    folder = destination(result, output)
    written = export_growth(growth, folder, physical=physical, laws=laws, others=curves, files=files)
    doubts = growth_doubts(growth, physical, laws)
    if json:
        print_json(growth_answer(growth, curve.quantity, physical, laws, written) | {"doubt": doubts})
        return
    out.print(f"{curve.quantity} of {curve.fraction['lattice'].item()}", highlight=False)
    _print_growth(growth, physical, laws)
    for doubt in doubts:
        out.print(f"doubt: {doubt}", highlight=False, markup=False, soft_wrap=True)
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
    quiet: QuietOption = False,
) -> None:
    """Say what the beam can do: largest energy transfer, knock-on threshold, cross-section, displacements per atom."""
    from rich.table import Table

    from bravaismap.kinetics.knock_on import displacement_table, displacements_per_atom

    for name, value in (("--dose", dose), ("--dose-rate", dose_rate)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} {value:g} was given; expected a positive number")
    symbols = None if element is None else [symbol.strip().capitalize() for symbol in element]
    displacements = displacement_table(symbols, energy, displacement_energy)
    if json:
        print_json(beam_answer(displacements, dose, dose_rate))
        return
    table = Table("", "in", "T_d (eV)", "T_max (eV)", "threshold (kV)", "σ (barn)")
    for name, value in (("dpa", dose), ("dpa/s", dose_rate)):
        if value is not None:
            table.add_column(name)
    for i in range(displacements.sizes["case"]):
        case = displacements.isel(case=i)
        area = float(case["cross_section"])
        cells = [f"{float(case[name]):.4g}" for name in ("displacement_energy", "energy_transfer", "threshold")]
        cells[0] += "" if bool(case["confirmed"]) else " ?"
        dpa = [f"{float(displacements_per_atom(area, value)):.3g}" for value in (dose, dose_rate) if value is not None]
        table.add_row(str(case["element"].values), str(case["compound"].values), *cells, f"{area:.3g}", *dpa)
    print_table(table)
    for source in dict.fromkeys(str(source) for source in displacements["source"].values if source != "given"):
        cases = displacements.isel(case=(displacements["source"] == source).values)
        names = ", ".join(dict.fromkeys(str(name) for name in cases["compound"].values))
        kind = "" if not bool(cases["two_dimensional"].any()) else " (one layer)"
        out.print(f"T_d of {names}{kind}: {source}", highlight=False)
    if not bool(displacements["confirmed"].all()):
        out.print(
            "?: T_d as others quote it, not compared with the page of its source. Good for choosing a voltage. Before "
            "you publish a rate, open the source above, and give the T_d that you find with --displacement-energy",
            highlight=False,
            soft_wrap=True,
        )
    out.print("atoms at rest, collisions only: vibration and electronic excitation displace more", highlight=False)


def _thresholded(movie: str, read: Reading, phases: Any, level: float | None, fraction: xr.DataArray) -> xr.DataArray:
    """Return the fraction below a threshold of intensity, and print how it agrees with the classifier's."""
    import numpy as np

    from bravaismap.domains.thresholding import thresholded_fraction
    from bravaismap.kinetics.laws import printed

    images = read(movie, timed=False, result=phases, growing=True)
    dark = thresholded_fraction(phases, images, fraction, level)
    agreement = dark.agreement
    mean = printed(f"{100 * agreement.mean:+.2f}")
    relative = "" if agreement.relative is None else f", {100 * agreement.relative:.0f} % of the latter"
    if float(np.ptp(dark.fraction.values)) == 0:
        raise InputError(
            f"the same share of every frame, {100 * float(dark.fraction[0]):.1f} %, has an intensity below "
            f"{dark.level:.4g}; the first frame goes from {float(images[0].min()):.4g} to "
            f"{float(images[0].max()):.4g}: give a --threshold between them"
        )
    note(
        f"intensity below {dark.level:.4g} ({'Otsu' if level is None else 'given'}): the classifier's fraction differs "
        f"by {mean} % of the frame on average, {100 * agreement.rms:.2f} % rms{relative}; they "
        f"correlate at {printed(format(agreement.correlation, '.3f'))}"
    )
    return dark.fraction


def _rate(dose_rate: float | None, current: float | None, area: float | None) -> float | None:
    from bravaismap.kinetics import dose

    if dose_rate is not None and current is not None:
        raise InputError("--dose-rate and --beam-current were both given; give one of them")
    return dose_rate if current is None or area is None else dose.dose_rate(current, area)


def _interval(text: str | None) -> tuple[float, float] | None:
    """Return the times that ``t0:t1`` means."""
    if text is None:
        return None
    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--baseline {text} was given; expected t0:t1, such as 0:100") from None
    if not first < last:
        raise InputError(f"--baseline {text} was given; expected the earlier time first")
    return first, last


def _print_growth(growth: xr.Dataset, physical: xr.Dataset | None, laws: xr.Dataset) -> None:
    from rich.table import Table

    from bravaismap.kinetics.dose import title_of
    from bravaismap.kinetics.growth import refusal
    from bravaismap.kinetics.laws import printed

    card = growth.attrs
    frames = counted(card["frames_fitted"], "frame")
    out.print(f"{printed(card['formula'])}, t in {card['time_unit']}, {frames}", highlight=False)
    table = Table("", "value", "68 %", "95 %", "unit")
    rows = [growth.sel(parameter=n) for n in growth["parameter"].values]
    rows += [] if physical is None else [physical.sel(quantity=n) for n in physical["quantity"].values]
    for row in rows:
        name = str(row["parameter"].values if "parameter" in row.coords else row["quantity"].values)
        ends = [" to ".join(printed(f"{end:.4g}") for end in pair) for pair in row["interval"].values]
        label = printed(name) if "parameter" in row.coords else title_of(name)
        unit = str(row["unit"].values)
        ends = ["" if "nan" in end else end for end in ends]
        table.add_row(label, printed(f"{float(row['value']):.4g}"), *ends, "" if unit == "1" else unit)
    print_table(table)
    names = [str(name) for name in growth["parameter"].values]
    pairs = [
        f"{printed(a)}, {printed(b)} {float(growth['correlation'][i, j]):.3f}".replace(" -", " −")
        for i, a in enumerate(names)
        for j, b in enumerate(names[:i])
    ]
    out.print(f"correlations: {'; '.join(pairs)}", highlight=False)
    out.print(
        f"intervals: {card['interval_method']}; reduced χ² {card['reduced_chi_square']:.2f}; residuals of "
        f"neighbouring frames correlate at {printed(format(card['residual_autocorrelation'], '.2f'))}",
        highlight=False,
    )
    choice = Table("law", "parameters", "ΔAICc", "weight")
    for fitted in (laws.sel(law=name) for name in laws["law"].values):
        refused = refusal(fitted)
        cells = [refused, ""] if refused else [f"{float(fitted['difference']):.1f}", f"{float(fitted['weight']):.2f}"]
        choice.add_row(str(fitted["law"].values), str(int(fitted["parameters"])), *cells)
    print_table(choice)
    if physical is None:
        out.print("areas in nm² need the pixel size: give it in nm with --pixel-size", highlight=False)
