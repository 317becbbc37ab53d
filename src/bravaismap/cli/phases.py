"""Commands from an image or a movie to its phases: classify, map, demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bravaismap.classify.settings import AUTO, DEFAULT_MODEL, DEFAULTS, MOVIE_DEVICE, Settings
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
    PixelsOption,
    QuietOption,
    SamplesOption,
    SchedulerOption,
    SeedOption,
    SpectrumChoice,
    StepOption,
    WindowOption,
    WorkersOption,
)
from bravaismap.cli.reading import Reading, checked_table, checked_target, default_output, destination
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, opening, out, print_classification, print_error, print_json, progress
from bravaismap.errors import BravaismapError, InputError

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.files import Destination
    from bravaismap.movie import NanPolicy
    from bravaismap.result.phase_map import PhaseMap


__all__ = ["classify", "demo", "map_movie"]


@app.command()
def classify(
    images: Annotated[list[str], typer.Argument(help="Image files; a movie's frames are classified one by one.")],
    model: ModelOption = DEFAULT_MODEL,
    distortion: DistortionOption = None,
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
    """Classify whole images: each class's probability ± what another image would change, the cell, what decides."""
    from bravaismap.classify.models import load_model
    from bravaismap.phases.image import classify as classify_images

    checked_table(csv)
    classifier = load_model(model, distortion, device)
    rows: list[tuple[str, PhaseMap, int]] = []
    read = Reading(dataset, channel, frames, crop, bin, pixel_size)
    refused: dict[str, BravaismapError | OSError] = {}  # by the file; the others are classified all the same
    count, readable = 0, []
    for source in images:
        with _refusing(source, refused):
            count += read.count(source)
            readable.append(source)
    with _naming(images[0]):
        samples = Settings(samples=samples).image_samples(classifier.record, max(count, 1))
    with progress("classify", count, "images") as advance:
        for source in readable:
            with _refusing(source, refused):
                movie = read(source, timed=False)
                result = classify_images(
                    movie, model=classifier, samples=samples, seed=seed, preprocessing=preprocessing.value,
                    nan=nan.value, progress=partial(_advance_by, advance, len(rows)),
                )  # fmt: skip
                name = Path(source).name
                several = result.sizes["image"] > 1
                rows += [(f"{name} [{i}]" if several else name, result, i) for i in range(result.sizes["image"])]
    if not rows and len(refused) == 1:
        raise next(iter(refused.values()))
    if not rows:
        _end_with(refused)
    if csv is not None:
        from bravaismap.export.tables import export_classification

        export_classification([(name, result.isel(image=i)) for name, result, i in rows], csv)
    if json:
        print_json(classification_answer(rows))
    else:
        print_classification(rows)
    if csv is not None:
        note(f"wrote {csv}")
    if refused:
        _end_with(refused)


def _end_with(refused: dict[str, BravaismapError | OSError]) -> NoReturn:
    """Print why files were refused, and end as an error does."""
    for error in refused.values():
        print_error(str(error))
    raise typer.Exit(2)


def _advance_by(advance: Callable[[int], object], before: int, done: int, _: int) -> None:
    advance(before + done)


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
    distortion: DistortionOption = None,
    device: DeviceOption = MOVIE_DEVICE,
    samples: SamplesOption = DEFAULTS.samples,
    seed: SeedOption = DEFAULTS.seed,
    pixels: PixelsOption = DEFAULTS.pixels,
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
    """Map the phases of a movie: a zarr result, and tables and figures named after it."""
    from bravaismap.classify.models import chosen_model
    from bravaismap.phases.first_look import settled, window_line

    if max_shift is not None and not align:
        raise InputError(f"--max-shift {max_shift:g} was given without --align; it is the bound of the registration")
    device = device_of_map(device, scheduler, workers)
    with _naming(movie):
        settings = Settings(window, step, model, distortion, device, samples, seed, nan.value, pixels)
    settings = replace(settings, model=chosen_model(settings))
    target = default_output(movie) if output is None else checked_target(output)
    images = Reading(dataset, channel, frames, crop, bin, pixel_size, frame_time)(movie)
    place = destination(target)
    written: list[Path] = []
    with _naming(movie):
        if align:
            images, written = _at_rest(images, place, max_shift, nan.value)
        settings = settled(settings, images)
        if settings.window_reason:
            opening(window_line(settings))
        result = _map(images, target, settings, overwrite=overwrite, scheduler=scheduler, workers=workers)
    written += _write_tables_and_figures(result, place, images)
    if unmix is not None:
        with _naming(movie):
            written += _unmix(images, unmix, place, settings)
    if json:
        print_json(map_answer(result, target, written))
        return
    out.print(_table_of(result), highlight=False)
    note(f"\nwrote {target} and, in {place.folder}, {', '.join(sorted(path.name for path in written))}")
    note(f"next: bravaismap export {target} {'--report' if len(images) == 1 else '--video'}")


def device_of_map(device: str, scheduler: str | None, workers: int | None) -> str:
    """Return the device of a map: for ``auto`` no GPU where others than this process map, which may have none."""
    from bravaismap.compute.device import PROCESSOR, checked_device

    alone = scheduler is None and workers in (None, 1)
    return PROCESSOR if device == "auto" and not alone else checked_device(device)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("bravaismap-demo"),
    frames: Annotated[int, typer.Option(help="Number of frames.")] = 30,
    size: Annotated[int, typer.Option(help="Side of a frame in px.")] = 512,
    seed: SeedOption = DEFAULTS.seed,
    quiet: QuietOption = False,
) -> None:
    """Run the whole pipeline on a simulated film that decomposes under the beam."""
    from bravaismap.export.figures import export_pixels
    from bravaismap.export.sites import export_sites
    from bravaismap.export.video import export_video
    from bravaismap.phases.first_look import settled
    from bravaismap.phases.pixels import pixel_map
    from bravaismap.phases.sites import find_sites
    from bravaismap.read.reading import read
    from bravaismap.simulate.film import simulate_film
    from bravaismap.simulate.writing import write_film

    output.mkdir(parents=True, exist_ok=True)
    film = output / "film.h5"
    place = destination(output / "film.zarr")
    with progress("simulate", frames, "frames") as advance:
        truth = simulate_film(frames, size, seed=seed, progress=advance)
    write_film(truth, film, overwrite=True)
    movie = read(film, dataset="image")
    result = _map(movie, output / "film.zarr", settled(Settings(seed=seed), movie), overwrite=True)
    written = _write_tables_and_figures(result, place, movie, truth["void_fraction"])
    with progress("video", frames, "frames") as advance:
        written += export_video(result, place / "probabilities.mp4", images=movie, progress=advance)
    ends = sorted({0, frames - 1})
    written += export_pixels(pixel_map(result, frames=ends), place, result, movie.isel(time=ends))
    written += export_sites(find_sites(result, movie, frames=ends[-1:]), place, movie)
    out.print(_table_of(result), highlight=False)
    true = 100 * truth["void_fraction"].values
    out.print(f"\ntrue share of voids: {true[0]:.1f} % at the start, {true[-1]:.1f} % at the end", highlight=False)
    names = ", ".join(sorted({path.name for path in written}))
    note(f"wrote film.h5 and film.zarr to {output} and, to {place.folder}, {names}")
    note(
        f"next: look at {place / 'fractions.png'}, {place / f'pixels_{frames - 1:04d}.png'} and "
        f"{place / 'probabilities.mp4'}, then map your own movie:\n      bravaismap map MOVIE"
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
    steps: list[int] = []
    with progress("map", len(frames) * per_frame, "windows") as advance:

        def count(done: int, _: int) -> None:
            steps.append(done)
            advance(done * per_frame)

        result = map_movie(
            frames, settings, output=target, overwrite=overwrite, scheduler=scheduler,
            workers="auto" if workers is None and scheduler is None else workers, progress=count, tell=opening,
        )  # fmt: skip
    if steps == [len(frames)]:
        opening(f"{target} is complete and was made so: its tables and figures are made again; --overwrite maps anew")
    return result


def _unmix(frames: xr.DataArray, components: int, folder: Destination, settings: Settings) -> list[Path]:
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
    movie: xr.DataArray, folder: Destination, max_shift: float | None, nan: NanPolicy
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
        + (f"; {doubtful} frames may be off by a lattice vector, see {folder / 'drift.csv'}" if doubtful else "")
    )
    return moved, written


def _write_tables_and_figures(
    result: PhaseMap, folder: Destination, movie: xr.DataArray, void: xr.DataArray | None = None
) -> list[Path]:
    from bravaismap.export.figures import export_figures
    from bravaismap.export.tables import export_csv

    return [*export_csv(result, folder), *export_figures(result, folder, images=movie, void=void)]


def _table_of(result: PhaseMap) -> str:
    from bravaismap.result.phase_map import phase_summary

    return phase_summary(result)


@contextmanager
def _refusing(source: str, refused: dict[str, BravaismapError | OSError]) -> Iterator[None]:
    """Note an error about a file instead of raising it."""
    try:
        with _naming(source):
            yield
    except (BravaismapError, OSError) as error:
        refused[source] = error


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Prefix an error about the content of a file with the name of the file."""
    try:
        yield
    except InputError as error:
        if source in str(error):
            raise
        raise InputError(f"{source}: {error}") from error
