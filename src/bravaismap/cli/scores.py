"""The command that measures models: evaluate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.classify.settings import DEFAULT_MODEL, DEFAULTS
from bravaismap.cli.options import DeviceOption, DistortionOption, QuietOption, SamplesOption, SeedOption
from bravaismap.cli.reading import checked_table
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, progress
from bravaismap.errors import InputError

if TYPE_CHECKING:
    from bravaismap.evaluate.comparison import Compared

__all__ = ["evaluate"]


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Argument(help="Labelled images (.npz with image or image_0 …, label, classes).")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Model by name or a .safetensors file; again for another beside it.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    distortion: DistortionOption = None,
    device: DeviceOption = DEFAULTS.device,
    samples: SamplesOption = 0,
    seed: SeedOption = DEFAULTS.seed,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder for a reliability diagram of each data set.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write all figures to this table.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Measure models on labelled windows: accuracy, confusion, calibration, their cells, and how they differ."""
    from bravaismap.classify.models import load_model
    from bravaismap.evaluate.answers import answer
    from bravaismap.evaluate.comparison import compare, comparison_table, full_report
    from bravaismap.evaluate.labelled import read_labelled
    from bravaismap.evaluate.visible import visible_lattices

    checked_table(csv)
    chosen = model or [DEFAULT_MODEL]
    classifiers = [load_model(name, distortion, device) for name in chosen]
    names = _different([classifier.record.name for classifier in classifiers], chosen)
    rows: list[tuple[str, Compared]] = []
    stems = _different([path.stem for path in data], [f"{path.parent.name}_{path.stem}" for path in data])
    written = []
    for path, stem in zip(data, stems, strict=True):
        labelled = read_labelled(path)
        answers = []
        for name, classifier in zip(names, classifiers, strict=True):
            with progress(f"{name} on {path.name}", len(labelled.labels), "windows") as advance:
                model_answers = answer(classifier, labelled, samples=samples or 0, seed=seed, progress=advance)
            answers.append(replace(model_answers, model=name))
        compared = compare(answers, seed=seed, visible=visible_lattices(labelled))
        for scored in compared:
            at = "" if scored.distortion is None else f" at a distortion of {100 * scored.distortion:g} %"
            out.print(full_report(scored, f"{scored.model} on {path.name}{at}"), highlight=False, markup=False)
        out.print(comparison_table(compared), highlight=False, markup=False)
        rows += [(path.name, scored) for scored in compared]
        if figures is not None:
            from bravaismap.export.scores import export_reliability

            written += export_reliability(compared, figures, stem)
    if csv is not None:
        from bravaismap.export.scores import export_scores

        written.append(export_scores(rows, csv))
    for file in written:
        note(f"wrote {file}")


def _different(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Return the names, the longer ones where two are the same."""
    count = Counter(names)
    chosen = [long if count[name] > 1 else name for name, long in zip(names, longer, strict=True)]
    twice = [name for name, n in Counter(chosen).items() if n > 1]
    if twice:
        raise InputError(f"{', '.join(twice)} was given twice; give every model and every data set once")
    return chosen
