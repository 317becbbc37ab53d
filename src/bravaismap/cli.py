"""Commands. Heavy imports live inside the command bodies, so that ``--help`` is instant."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bravaismap.errors import BravaismapError, InputError
from bravaismap.terminal import err, out, print_classification, progress, show_warning, stages

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.phases import PhaseMap

__all__ = ["app", "main"]

app = typer.Typer(
    name="bravaismap",
    help="Bravais-lattice phase maps with uncertainty from atom-resolved STM and STEM images and movies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_debug = False
_INTERRUPTED = 130  # what a shell expects of a program stopped by Ctrl-C; Typer exits with it


class Nan(StrEnum):
    """What to do with NaN and infinite pixels."""

    RAISE = "raise"
    FILL = "fill"


class SpectrumChoice(StrEnum):
    """How a whole image becomes a spectrum."""

    AUTO = "auto"
    WINDOW = "window"
    PAPER = "paper"


class SimulationKind(StrEnum):
    """What to simulate besides the windows of a recipe book."""

    SIMULATED = "simulated"
    REALISTIC = "realistic"
    FILM = "film"


ModelOption = Annotated[str, typer.Option("--model", help="Model by name (see `models`) or a .safetensors file.")]
SamplesOption = Annotated[
    int | None,
    typer.Option("--samples", help="Draws, or passes of Monte-Carlo dropout; 0 for none.", show_default=False),
]
DistortionOption = Annotated[
    float,
    typer.Option("--distortion", help="Distortion of the scan: σ of each component of its linear map (0.02 is 2 %)."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all randomness.")]
PixelOption = Annotated[
    float | None,
    typer.Option("--pixel-size", help="Side of a pixel in nm.", show_default=False),
]
FrameTimeOption = Annotated[
    float | None,
    typer.Option("--frame-time", help="Time between frames in s.", show_default=False),
]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Which image of a file that holds several (HDF5 path, npz key, channel)."),
]
NanOption = Annotated[Nan, typer.Option("--nan", help="What to do with NaN and infinite pixels.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")]


@app.callback(invoke_without_command=True)
def _global(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    global _debug
    _debug = debug
    if show_version:
        from importlib.metadata import version

        out.print(f"bravaismap {version('bravaismap')}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print(context.get_help(), highlight=False)


@app.command()
def classify(
    images: Annotated[list[str], typer.Argument(help="Image files; a movie's frames are classified one by one.")],
    model: ModelOption = "default",
    distortion: DistortionOption = 0.02,
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    preprocessing: Annotated[
        SpectrumChoice, typer.Option(help="Reach of a network's spectrum; `paper`: the central quarter.")
    ] = SpectrumChoice.AUTO,
    pixel_size: PixelOption = None,
    dataset: DatasetOption = None,
    nan: NanOption = Nan.RAISE,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Also write the table to this file."),
    ] = None,
) -> None:
    """Classify whole images: each class's probability ± σ, the primitive cell, and what decides."""
    from bravaismap.io.read import read
    from bravaismap.models import load_model
    from bravaismap.predict import classify as classify_images

    classifier = load_model(model, distortion)
    rows: list[tuple[str, PhaseMap, int]] = []
    for source in images:
        movie = read(source, dataset=dataset, pixel_size=pixel_size)
        with _naming(source):
            result = classify_images(
                movie, model=classifier, samples=samples, seed=seed, preprocessing=preprocessing.value, nan=nan.value
            )
        name = Path(source).name
        several = result.sizes["image"] > 1
        rows += [(f"{name} [{i}]" if several else name, result, i) for i in range(result.sizes["image"])]
    print_classification(rows)
    if csv is not None:
        from bravaismap.io.export import export_classification

        export_classification([(name, result.isel(image=i)) for name, result, i in rows], csv)
        out.print(f"wrote {csv}", highlight=False)


@app.command(name="map")
def map_movie(
    movie: Annotated[str, typer.Argument(help="Movie or image file, folder or glob of images.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result folder (.zarr).", show_default="NAME-phases/NAME.zarr"),
    ] = None,
    window: Annotated[int, typer.Option(help="Side of a window in px.")] = 128,
    step: Annotated[int, typer.Option(help="Distance between windows in px.")] = 16,
    model: ModelOption = "default",
    distortion: DistortionOption = 0.02,
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    pixel_size: PixelOption = None,
    frame_time: FrameTimeOption = None,
    dataset: DatasetOption = None,
    nan: NanOption = Nan.RAISE,
    overwrite: OverwriteOption = False,
) -> None:
    """Map the phases of a movie: a zarr result, and beside it fractions.csv and figures."""
    from bravaismap.io.read import read

    frames = read(movie, dataset=dataset, pixel_size=pixel_size, frame_time=frame_time)
    name = _name_of(movie)
    target = output or Path(f"{name}-phases") / f"{name}.zarr"
    with _naming(movie):
        result = _map(
            frames, target, window=window, step=step, model=model, distortion=distortion, samples=samples, seed=seed,
            nan=nan.value, overwrite=overwrite,
        )  # fmt: skip
    written = _write_tables_and_figures(result, target.parent, frames)
    out.print(_table_of(result), highlight=False)
    out.print(f"\nwrote {target} and, beside it, {', '.join(sorted(path.name for path in written))}", highlight=False)
    out.print(f"next: bravaismap export {target} --video", highlight=False)


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="Result folder (.zarr).")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write to.", show_default="beside the result"),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Fractions as a table.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Label map, probability maps, fraction curves.")] = False,
    video: Annotated[bool, typer.Option("--video", help="Movie of the probability maps of all classes (mp4).")] = False,
    movie: Annotated[
        str | None,
        typer.Option("--movie", help="The movie that was mapped, to show its frames beside the maps."),
    ] = None,
    dataset: DatasetOption = None,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of the video.")] = 8.0,
) -> None:
    """Export a result as tables, figures and video (all of them when none is named)."""
    from bravaismap.io.export import export_csv, export_figures, export_video
    from bravaismap.io.read import read
    from bravaismap.io.result import open_result

    phases = open_result(result)
    folder = output or result.resolve().parent
    everything = not (csv or figures or video)
    images = None if movie is None else read(movie, dataset=dataset)
    written: list[Path] = []
    if csv or everything:
        written += export_csv(phases, folder)
    if figures or everything:
        written += export_figures(phases, folder, images=images)
    if video or everything:
        with progress("video", phases.sizes["time"], "frames") as advance:
            written += export_video(phases, folder / "probabilities.mp4", images=images, fps=fps, progress=advance)
    for path in written:
        out.print(f"wrote {path}", highlight=False)


@app.command()
def simulate(
    output: Annotated[Path, typer.Option("-o", "--output", help="File: .npz; a film also .h5, .zarr, .tif.")],
    kind: Annotated[SimulationKind, typer.Option(help="Windows of a recipe book, or a decomposing film.")] = (
        SimulationKind.SIMULATED
    ),
    recipes: Annotated[
        Path | None,
        typer.Option("--recipes", help="TOML file of your own classes, instead of a book by name."),
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", help="Number of windows, or of frames of a film.")] = 30,
    size: Annotated[
        int | None,
        typer.Option(help="Side in px.", show_default="128, film: 512"),
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate labelled windows, or the movie of a film that decomposes, with the truth stored beside it."""
    from bravaismap.io.simulated import write_film, write_windows

    with progress("simulate", number, "frames" if kind is SimulationKind.FILM else "windows") as advance:
        if kind is SimulationKind.FILM and recipes is None:
            from bravaismap.film import simulate_film

            write_film(simulate_film(number, size or 512, seed=seed, progress=advance), output, overwrite=overwrite)
        else:
            from bravaismap.simulation import simulate as simulate_windows

            windows = simulate_windows(number, recipes or kind.value, seed=seed, size=size or 128, progress=advance)
            write_windows(windows, output, overwrite=overwrite)
    out.print(f"wrote {output}", highlight=False)


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="Training plan by name.")] = "dcnn-2018",
    recipes: Annotated[
        str | None,
        typer.Option("--recipes", "--classes", help="Recipe book by name, or a TOML file of your own classes."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for weights, card and checkpoints.")] = Path(
        "runs"
    ),
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the model.", show_default="the preset's"),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Number of simulated windows.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.")] = None,
    seed: SeedOption = 0,
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda.", show_default="the GPU when there is one"),
    ] = None,
) -> None:
    """Train a network on simulated windows; the same command continues an interrupted training."""
    from dataclasses import replace

    from bravaismap.train import train as train_network
    from bravaismap.train import training_plan

    changes: dict[str, Any] = {"recipes": recipes, "images": images, "epochs": epochs}
    plan = replace(training_plan(preset), **{key: value for key, value in changes.items() if value is not None})
    called = name or (Path(recipes).stem if recipes else preset)
    command = " ".join(
        ["bravaismap train", f"--preset {preset}"]
        + [f"--{key} {value}" for key, value in changes.items() if value is not None]
        + [f"--name {called}", f"--seed {seed}"]
    )
    with stages() as advance:
        card = train_network(
            plan, output, name=called, seed=seed, device=device, command=command, progress=advance
        )  # fmt: skip
    out.print(f"wrote {output / called}.safetensors and .json", highlight=False)
    accuracy = card.accuracy["validation"]
    out.print(f"validation accuracy {100 * accuracy:.1f} % ({card.training['kept']})", highlight=False)
    out.print(f"next: bravaismap map MOVIE --model {output / called}.safetensors", highlight=False)


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Argument(help="Labelled windows (.npz with image, label, classes).")],
    model: ModelOption = "default",
    distortion: DistortionOption = 0.02,
    samples: SamplesOption = 0,
    seed: SeedOption = 0,
) -> None:
    """Measure a model on labelled windows: accuracy, confusion, calibration, and its cells where they are known."""
    from bravaismap.evaluate import evaluate as evaluate_model
    from bravaismap.evaluate import read_labelled, report
    from bravaismap.models import load_model

    classifier = load_model(model, distortion)
    at = f" at a distortion of {100 * distortion:g} %" if classifier.measures_cells else ""
    for path in data:
        labelled = read_labelled(path)
        with progress(path.name, len(labelled.labels), "windows") as advance:
            scores = evaluate_model(classifier, labelled, samples=samples or 0, seed=seed, progress=advance)
        out.print(report(scores, title=f"{classifier.name} on {path.name}{at}"), highlight=False)


@app.command()
def models() -> None:
    """List the models by name, with what their cards say."""
    from bravaismap.models import MODELS, load_model

    for name in MODELS:
        model = load_model(name)
        alias = "" if model.name == name else f" (is {model.name})"
        out.print(f"{name}{alias}: {model.description}", highlight=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("bravaismap-demo"),
    frames: Annotated[int, typer.Option(help="Number of frames.")] = 30,
    size: Annotated[int, typer.Option(help="Side of a frame in px.")] = 512,
    seed: SeedOption = 0,
) -> None:
    """Run the whole pipeline on a simulated film that decomposes under the beam."""
    from bravaismap.film import simulate_film
    from bravaismap.io.export import export_video
    from bravaismap.io.read import read
    from bravaismap.io.simulated import write_film

    output.mkdir(parents=True, exist_ok=True)
    film = output / "film.h5"
    with progress("simulate", frames, "frames") as advance:
        truth = simulate_film(frames, size, seed=seed, progress=advance)
    write_film(truth, film, overwrite=True)
    movie = read(film, dataset="image")
    result = _map(movie, output / "film.zarr", overwrite=True, seed=seed)
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


def main() -> None:
    """Run the command line; errors become one line and exit code 2."""
    warnings.showwarning = show_warning
    try:
        app(standalone_mode=True)
    except BravaismapError as error:
        _fail(str(error), error)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _fail("interrupted; the same command continues where it stopped", end, code=_INTERRUPTED)
        raise
    except KeyboardInterrupt as error:
        _fail("interrupted; the same command continues where it stopped", error, code=_INTERRUPTED)
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        _fail(f"{error.filename or 'input or output'}: {what}", error)
    except MemoryError as error:
        _fail("out of memory; map fewer or smaller frames at once", error)
    except Exception as error:  # a fault of ours: say so in one line, with the way to see more
        _fail(f"unexpected {type(error).__name__}: {error}; run `bravaismap --debug …` to see where", error, code=1)


def _fail(message: str, error: BaseException, code: int = 2) -> None:
    if _debug:
        raise error
    err.print(f"error: {' '.join(message.split())}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def _map(frames: xr.DataArray, target: Path, **options: Any) -> PhaseMap:
    """Map with a progress bar that counts windows."""
    from bravaismap.predict import map_phases
    from bravaismap.windows import window_grid

    grid = window_grid(
        (frames.sizes["y"], frames.sizes["x"]), options.get("window", 128), options.get("step", 16)
    )  # fmt: skip
    per_frame = grid.shape[0] * grid.shape[1]
    with progress("map", len(frames) * per_frame, "windows") as advance:
        return map_phases(
            frames, output=target, progress=lambda done, _: advance(done * per_frame), **options
        )  # fmt: skip


def _name_of(movie: str) -> str:
    """Return what to call the result of a movie: the file's name without its ending, or the folder's for a glob."""
    path = Path(movie)
    if any(letter in path.name for letter in "*?["):
        path = path.parent
    return path.resolve().stem if path.exists() else path.stem or "movie"


def _write_tables_and_figures(
    result: PhaseMap, folder: Path, movie: xr.DataArray, void: xr.DataArray | None = None
) -> list[Path]:
    from bravaismap.io.export import export_csv, export_figures

    return [*export_csv(result, folder), *export_figures(result, folder, images=movie, void=void)]


def _table_of(result: PhaseMap) -> str:
    from bravaismap.phases import phase_table

    return phase_table(result)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Prefix an error about the content of a file with the name of the file."""
    try:
        yield
    except InputError as error:
        if source in str(error):
            raise
        raise InputError(f"{source}: {error}") from error


if __name__ == "__main__":
    main()
