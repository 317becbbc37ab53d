"""Commands about the models: simulate, train, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bravaismap.cli.options import OverwriteOption, QuietOption, SeedOption, SimulationKind
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, progress, stages

__all__ = ["models", "simulate", "train"]


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
        typer.Option(help="Side in px.", show_default="128, broken: 384, film: 512"),
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate labelled windows, or the movie of a film that decomposes, with the truth stored beside it."""
    from bravaismap.simulate.writing import write_film, write_windows

    with progress("simulate", number, "frames" if kind is SimulationKind.FILM else "windows") as advance:
        if kind is SimulationKind.FILM and recipes is None:
            from bravaismap.simulate.film import simulate_film

            write_film(simulate_film(number, size or 512, seed=seed, progress=advance), output, overwrite=overwrite)
        else:
            from bravaismap.simulate.windows import simulate as simulate_windows

            windows = simulate_windows(number, recipes or kind.value, seed=seed, size=size, progress=advance)
            write_windows(windows, output, overwrite=overwrite)
    note(f"wrote {output}")


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
    images: Annotated[
        int | None, typer.Option(help="Number of simulated windows.", show_default="the preset's")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Number of epochs of a preset that has them.", show_default="the preset's")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Time to learn for, instead of a number of windows: dcnn only. Windows held out come on top."
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder of the checkpoint.", show_default="that of the output")
    ] = None,
    seed: SeedOption = 0,
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda.", show_default="the GPU when there is one"),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a network on simulated windows; the same command continues an interrupted training."""
    from dataclasses import replace

    from bravaismap.errors import InputError
    from bravaismap.train.plan import StreamPlan
    from bravaismap.train.streaming import train_on_stream
    from bravaismap.train.training import train as train_in_epochs
    from bravaismap.train.training import training_plan

    if output.suffix == ".safetensors":
        raise InputError(f"--output {output} is a folder, in which --name names the files; give the two apart")
    plan = training_plan(preset)
    called = name or (Path(recipes).stem if recipes else preset)
    given = {"recipes": recipes, "images": images, "epochs": epochs, "minutes": minutes}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    settings = {"preset": preset, **changes, "name": called, "seed": seed}
    command = " ".join(["bravaismap train", *(f"--{key} {value}" for key, value in settings.items())])
    with stages() as advance:
        if isinstance(plan, StreamPlan):
            if epochs is not None:
                raise InputError(f"--epochs {epochs}: {preset} sees no window twice; give --images or --minutes")
            kinds = tuple(recipes.split("+")) if recipes else plan.kinds
            plan = replace(plan, kinds=kinds, windows=plan.windows if images is None else images)
            card = train_on_stream(
                plan, output, name=called, seed=seed, device=device, minutes=minutes, checkpoints=checkpoints,
                command=command, progress=advance,
            )  # fmt: skip
        else:
            if minutes is not None or checkpoints is not None:
                raise InputError(f"{preset} is trained in epochs; give --epochs instead of --minutes or --checkpoints")
            card = train_in_epochs(
                replace(plan, **changes), output, name=called, seed=seed, device=device, command=command,
                progress=advance,
            )  # fmt: skip
    note(f"wrote {output / called}.safetensors and .json")
    kept = card.training.get("kept", f"{card.training.get('windows', 0)} windows")
    out.print(f"validation accuracy {100 * card.accuracy['validation']:.1f} % ({kept})", highlight=False)
    note(f"next: bravaismap map MOVIE --model {output / called}.safetensors")


@app.command()
def models() -> None:
    """List the models by name, with what their cards say."""
    from bravaismap.classify.models import MODELS, load_model

    for name in MODELS:
        model = load_model(name).record
        out.print(f"{name}: {model.description}", highlight=False)
