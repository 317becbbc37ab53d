"""Commands from an image or a movie to its phases: classify, map, export, demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.classify.settings import AUTO, DEFAULT_MODEL, DEFAULTS, Settings
from bravaismap.cli.answers import classification_answer, map_answer
from bravaismap.cli.options import (
    DEFAULT_NAN,
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    DeviceOption,
    DistortionOption,
    FramesOption,
    FrameTimeOption,
    JsonOption,
    ModelOption,
    NanOption,
    OverwriteOption,
    PixelOption,
    QuietOption,
    SamplesOption,
    SchedulerOption,
    SeedOption,
    SpectrumChoice,
    StepOption,
    WindowOption,
    WorkersOption,
)
from bravaismap.cli.reading import Reading, default_output
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, opening, out, print_classification, print_json, progress
from bravaismap.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.movie import NanPolicy
    from bravaismap.result.phase_map import PhaseMap

__all__ = ["classify", "demo", "export", "map_movie"]


@app.command()
def classify(
    images: Annotated[list[str], typer.Argument(help="Image files; a movie's frames are classified one by one.")],
    model: ModelOption = DEFAULT_MODEL,
    distortion: DistortionOption = DEFAULTS.distortion,
    device: DeviceOption = DEFAULTS.device,
    samples: SamplesOption = DEFAULTS.samples,
    seed: SeedOption = DEFAULTS.seed,
    preprocessing: Annotated[
        SpectrumChoice, typer.Option(help="Reach of a network's spectrum; `paper`: the central quarter.")
    ] = SpectrumChoice.AUTO,
    pixel_size: PixelOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    nan: NanOption = DEFAULT_NAN,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Also write the table to this file."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Classify whole images: each class's probability ± σ, the primitive cell, and what decides."""
    from bravaismap.classify.models import load_model
    from bravaismap.phases.image import classify as classify_images

    classifier = load_model(model, distortion, device)
    rows: list[tuple[str, PhaseMap, int]] = []
    read = Reading(dataset, channel, frames, crop, bin, pixel_size)
    for source in images:
        movie = read(source, timed=False)
        with _naming(source):
            result = classify_images(
                movie, model=classifier, samples=samples, seed=seed, preprocessing=preprocessing.value, nan=nan.value
            )
        name = Path(source).name
        several = result.sizes["image"] > 1
        rows += [(f"{name} [{i}]" if several else name, result, i) for i in range(result.sizes["image"])]
    if csv is not None:
        from bravaismap.export.tables import export_classification

        export_classification([(name, result.isel(image=i)) for name, result, i in rows], csv)
    if json:
        print_json(classification_answer(rows))
    else:
        print_classification(rows)
    if csv is not None:
        note(f"wrote {csv}")


@app.command(name="map")
def map_movie(
    movie: Annotated[str, typer.Argument(help="Movie or image file, folder or glob of images.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result folder (.zarr).", show_default="NAME-phases/NAME.zarr"),
    ] = None,
    window: WindowOption = AUTO,
    step: StepOption = DEFAULTS.step,
    model: ModelOption = DEFAULT_MODEL,
    distortion: DistortionOption = DEFAULTS.distortion,
    device: DeviceOption = DEFAULTS.device,
    samples: SamplesOption = DEFAULTS.samples,
    seed: SeedOption = DEFAULTS.seed,
    pixel_size: PixelOption = None,
    frame_time: FrameTimeOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    nan: NanOption = DEFAULT_NAN,
    unmix: Annotated[
        int | None,
        typer.Option("--unmix", min=2, help="Also unmix the spectra into so many pure ones.", show_default=False),
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Follow the drift of the specimen and map the area common to all frames.")
    ] = False,
    max_shift: Annotated[
        float | None,
        typer.Option(
            "--max-shift",
            help="With --align: largest departure in px from the drift so far.",
            show_default="an eighth of the shorter side",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Map the phases of a movie: a zarr result, and beside it fractions.csv and figures."""
    from bravaismap.classify.models import chosen_model
    from bravaismap.phases.first_look import settled

    if max_shift is not None and not align:
        raise InputError(f"--max-shift {max_shift:g} was given without --align; it is the bound of the registration")
    with _naming(movie):
        settings = Settings(window, step, model, distortion, device, samples, seed, nan.value)
    settings = replace(settings, model=chosen_model(settings))
    images = Reading(dataset, channel, frames, crop, bin, pixel_size, frame_time)(movie)
    target = output or default_output(movie)
    written: list[Path] = []
    with _naming(movie):
        if align:
            images, written = _at_rest(images, target.parent, max_shift, nan.value)
        settings = settled(settings, images)
        if settings.window_reason:
            opening(f"window {settings.window} px, step {settings.step}: {settings.window_reason}")
        result = _map(images, target, settings, overwrite=overwrite, scheduler=scheduler, workers=workers)
    written += _write_tables_and_figures(result, target.parent, images)
    if unmix is not None:
        with _naming(movie):
            written += _unmix(images, unmix, target.parent, settings)
    if json:
        print_json(map_answer(result, target, written))
        return
    out.print(_table_of(result), highlight=False)
    note(f"\nwrote {target} and, beside it, {', '.join(sorted(path.name for path in written))}")
    note(f"next: bravaismap export {target} --video")


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="Result folder (.zarr).")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write to.", show_default="beside the result"),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Fractions as a table.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Label map, probability maps, fraction curves.")] = False,
    strain: Annotated[
        bool, typer.Option("--strain", help="Strain and rotation against a reference lattice: figures and a table.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="Region of the reference lattice for --strain, y0:y1,x0:x1 in the unit of the result.",
            show_default="all windows",
        ),
    ] = None,
    domains: Annotated[
        bool,
        typer.Option(
            "--domains",
            help="Connected regions of each class, followed through time, as a table, with --figures also drawn; "
            "with --movie pixel by pixel.",
        ),
    ] = False,
    areas: Annotated[
        bool,
        typer.Option(
            "--areas",
            help="Share of the frame that each class covers, asked pixel by pixel: a table, maps, pixels.nc; "
            "needs --movie.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="All of it on one HTML page that needs nothing else, to put beside a paper."),
    ] = False,
    video: Annotated[bool, typer.Option("--video", help="Movie of the probability maps of all classes (mp4).")] = False,
    movie: Annotated[
        str | None,
        typer.Option("--movie", help="The movie that was mapped, to show its frames beside the maps."),
    ] = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of the video.")] = 8.0,
    hspy: Annotated[bool, typer.Option("--hspy", help="A HyperSpy signal (.hspy) for each map and curve.")] = False,
    ome_tiff: Annotated[bool, typer.Option("--ome-tiff", help="Labels and probabilities as OME-TIFF.")] = False,
    netcdf: Annotated[bool, typer.Option("--netcdf", help="The whole result as one NetCDF file.")] = False,
) -> None:
    """Export a result as tables, figures and video (these three when nothing is named), or in the named forms."""
    from bravaismap.export.figures import export_figures
    from bravaismap.export.report import export_report
    from bravaismap.export.tables import export_csv
    from bravaismap.export.video import export_video
    from bravaismap.result.open import open_result

    region = _region(reference)
    if region and not strain:
        raise InputError(f"--reference {reference} was given without --strain; it is the reference of a strain map")
    if areas and movie is None:
        raise InputError("--areas was given without --movie; name the movie that was mapped, whose pixels are asked")
    phases = open_result(result)
    folder = output or result.resolve().parent
    exchanged = _exchange_formats(hspy, ome_tiff, netcdf)
    everything = not (csv or figures or report or video or strain or domains or areas or exchanged)
    images = None if movie is None else Reading(dataset, channel, frames, crop, bin)(movie, timed=False)
    written: list[Path] = []
    if csv or everything:
        written += export_csv(phases, folder)
    if figures or everything:
        written += export_figures(phases, folder, images=images)
    if strain:
        written += _export_strain(phases, folder, region)
    if domains:
        written += _export_domains(phases, folder, images, draw=figures)
    if areas and images is not None:
        written += _export_areas(phases, folder, images)
    if report:
        written += export_report(phases, folder, images=images)
    if video or everything:
        with progress("video", phases.sizes["time"], "frames") as advance:
            written += export_video(phases, folder / "probabilities.mp4", images=images, fps=fps, progress=advance)
    for write in exchanged:
        written += write(phases, folder)
    for path in written:
        note(f"wrote {path}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("bravaismap-demo"),
    frames: Annotated[int, typer.Option(help="Number of frames.")] = 30,
    size: Annotated[int, typer.Option(help="Side of a frame in px.")] = 512,
    seed: SeedOption = DEFAULTS.seed,
) -> None:
    """Run the whole pipeline on a simulated film that decomposes under the beam."""
    from bravaismap.export.video import export_video
    from bravaismap.read.reading import read
    from bravaismap.simulate.film import simulate_film
    from bravaismap.simulate.writing import write_film

    output.mkdir(parents=True, exist_ok=True)
    film = output / "film.h5"
    with progress("simulate", frames, "frames") as advance:
        truth = simulate_film(frames, size, seed=seed, progress=advance)
    write_film(truth, film, overwrite=True)
    movie = read(film, dataset="image")
    result = _map(movie, output / "film.zarr", Settings(seed=seed), overwrite=True)
    written = _write_tables_and_figures(result, output, movie, truth["void_fraction"])
    with progress("video", frames, "frames") as advance:
        written += export_video(result, output / "probabilities.mp4", images=movie, progress=advance)
    out.print(_table_of(result), highlight=False)
    true = 100 * truth["void_fraction"].values
    out.print(f"\ntrue share of voids: {true[0]:.1f} % at the start, {true[-1]:.1f} % at the end", highlight=False)
    out.print(f"wrote {output}: film.h5, film.zarr, {', '.join(sorted(p.name for p in written))}", highlight=False)
    out.print(
        f"next: look at {output / 'fractions.png'}, {output / f'labels_{frames - 1:04d}.png'} and "
        f"{output / 'probabilities.mp4'}, then map your own movie:\n      bravaismap map MOVIE",
        highlight=False,
        soft_wrap=True,
    )


def _map(
    frames: xr.DataArray,
    target: Path,
    settings: Settings,
    *,
    overwrite: bool,
    scheduler: str | None = None,
    workers: int | None = None,
) -> PhaseMap:
    """Map with a progress bar that counts windows."""
    from bravaismap.phases.first_look import grid_of
    from bravaismap.phases.map import map_movie

    per_frame = grid_of(settings, frames).count
    with progress("map", len(frames) * per_frame, "windows") as advance:
        return map_movie(
            frames, settings, output=target, overwrite=overwrite, scheduler=scheduler, workers=workers,
            progress=lambda done, _: advance(done * per_frame),
        )  # fmt: skip


def _unmix(frames: xr.DataArray, components: int, folder: Path, settings: Settings) -> list[Path]:
    """Unmix with a progress bar, and write the components."""
    from bravaismap.export.figures import export_unmixing
    from bravaismap.phases.first_look import grid_of
    from bravaismap.unmixing import unmix

    grid = grid_of(settings, frames)
    with progress("unmix", len(frames), "frames") as advance:
        unmixed = unmix(
            frames, components, window=grid.window, step=grid.step, seed=settings.seed, nan=settings.nan,
            progress=lambda done, _: advance(done),
        )  # fmt: skip
    return export_unmixing(unmixed, folder)


def _at_rest(
    movie: xr.DataArray, folder: Path, max_shift: float | None, nan: NanPolicy
) -> tuple[xr.DataArray, list[Path]]:
    """Register and align a movie; write and print how the specimen drifts."""
    from bravaismap.drift.alignment import align, drift_summary, register
    from bravaismap.export.drift_track import export_track

    with progress("register", len(movie), "frames") as advance:
        track = register(movie, max_shift, nan=nan, progress=advance)
    written = export_track(track, folder)
    moved = align(movie, track)
    height, width = moved.shape[1:]
    drift = drift_summary(track)
    doubtful = drift.doubtful_frames
    note(
        f"drift: up to {drift.largest:.1f} px from the first frame (σ of the last {drift.last_std:.2g} px); "
        f"{height} × {width} px are common to all frames"
        + (f"; {doubtful} frames may be off by a lattice vector, see drift.csv" if doubtful else "")
    )
    return moved, written


def _write_tables_and_figures(
    result: PhaseMap, folder: Path, movie: xr.DataArray, void: xr.DataArray | None = None
) -> list[Path]:
    from bravaismap.export.figures import export_figures
    from bravaismap.export.tables import export_csv

    return [*export_csv(result, folder), *export_figures(result, folder, images=movie, void=void)]


def _region(text: str | None) -> dict[str, slice]:
    """Return the region that ``y0:y1,x0:x1`` means; an end left out is that of the map."""
    if text is None:
        return {}
    try:
        ends = [[float(end) if end.strip() else None for end in part.split(":")] for part in text.split(",")]
        (y0, y1), (x0, x1) = ends
    except ValueError:
        raise InputError(
            f"--reference {text} was given; expected y0:y1,x0:x1 in the unit of the result, such as 0:5,0:10"
        ) from None
    return {"y": slice(y0, y1), "x": slice(x0, x1)}


def _export_strain(result: PhaseMap, folder: Path, region: dict[str, slice]) -> list[Path]:
    from bravaismap.conventions import display_name
    from bravaismap.export.figures import export_strain
    from bravaismap.phases.strain import reference_lattice, strain_map

    strain = strain_map(result, region or None)
    reference = reference_lattice(strain)
    out.print(
        f"reference: {display_name(reference.lattice)}, a {reference.a:.5g} {reference.unit}, "
        f"b {reference.b:.5g} {reference.unit}, γ {reference.gamma:.2f}°, from {reference.windows} windows; "
        f"its own error: ε {reference.strain_std:.2g} %, rotation {reference.rotation_std:.2g}°",
        highlight=False,
        soft_wrap=True,
    )
    return export_strain(strain, folder)


def _export_domains(result: PhaseMap, folder: Path, images: xr.DataArray | None, draw: bool) -> list[Path]:
    """Find the domains, say how the voids compare with the mean probability, and write them."""
    from bravaismap.domains.finding import domain_count, domain_maps, find_domains
    from bravaismap.domains.void_area import last_void_share
    from bravaismap.export.figures import export_domains
    from bravaismap.show.axes import drawn_frames

    domains = find_domains(result, movie=images)
    frames = set(domains["frame"].values.tolist())
    out.print(f"{domain_count(domains)} domains in {len(frames)} frames", highlight=False)
    voids = last_void_share(result, domains) if images is None else None
    if voids is not None:
        out.print(
            f"voids in the last frame: mean probability {100 * voids.mean_probability:.1f} %, corrected for the window "
            f"{100 * voids.corrected:.1f} % (compact voids of more than 0.4 windows in radius)",
            highlight=False,
        )
    maps = domain_maps(result, drawn_frames(result), movie=images) if draw else None
    return export_domains(domains, folder, maps=maps, images=images)


def _export_areas(result: PhaseMap, folder: Path, images: xr.DataArray) -> list[Path]:
    """Ask every pixel, print the areas of the first and the last frame beside the mean probabilities, and write all."""
    from bravaismap.export.figures import export_pixels
    from bravaismap.phases.pixels import pixel_map
    from bravaismap.result.phase_map import area_table

    with progress("pixels", len(images), "frames") as advance:
        pixels = pixel_map(result, images, progress=advance)
    out.print(area_table(pixels, result), highlight=False)
    return export_pixels(pixels, folder, result, images)


def _exchange_formats(hspy: bool, ome_tiff: bool, netcdf: bool) -> list[Callable[[PhaseMap, Path], list[Path]]]:
    """Return the functions that write the formats of other programs that were asked for."""
    from bravaismap.export.exchange import export_hspy, export_netcdf, export_ome_tiff

    asked = ((hspy, export_hspy), (ome_tiff, export_ome_tiff), (netcdf, export_netcdf))
    return [write for wanted, write in asked if wanted]


def _table_of(result: PhaseMap) -> str:
    from bravaismap.result.phase_map import phase_summary

    return phase_summary(result)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Prefix an error about the content of a file with the name of the file."""
    try:
        yield
    except InputError as error:
        if source in str(error):
            raise
        raise InputError(f"{source}: {error}") from error
