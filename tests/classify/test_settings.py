"""Settings: what they refuse, where their defaults are shown, and the run cards that they write."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import bravaismap as bm
from bravaismap.classify.classifier import ModelRecord
from bravaismap.classify.models import LatticeClassifier, NetworkClassifier, chosen_model, load_model
from bravaismap.classify.settings import (
    DEFAULT_DISTORTION,
    DEFAULTS,
    IMAGE_SAMPLES,
    MOVIE_DEVICE,
    PAPER_STEP,
    PAPER_WINDOW,
    Settings,
)
from bravaismap.cli import live, phases, scores
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.interop.napari import map_layer
from bravaismap.live.watching import StackSource, watch
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_movie
from bravaismap.unmixing import unmix

RECORD = ModelRecord("mine", CLASSES, "abc", "a model", 16, 25, measures_cells=True, settings={"distortion": 0.01})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"distortion": 0.51}, "distortion of 0.51 .* between 0 and 0.5"),
        ({"distortion": float("nan")}, "distortion of nan"),
        ({"samples": 1}, "1 samples .* at least 2, or 0"),
        ({"samples": -3}, "-3 samples"),
        ({"samples": 2.5}, "samples = 2.5 .* whole number"),
        ({"seed": -1}, r"seed of -1 .* from 0 to 2\*\*63 - 1"),
        ({"seed": 2**63}, "seed of 9223372036854775808"),
        ({"seed": 0.5}, "seed = 0.5 .* whole number"),
        ({"window": 64.0}, "window = 64.0 .* whole number"),
        ({"step": "16"}, "step = '16' .* whole number"),
        ({"nan": "ignore"}, "nan = 'ignore' .* 'missing' or 'fill' or 'raise'"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Settings(**wrong)


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULTS.seed = 3  # type: ignore[misc]
    assert replace(DEFAULTS, seed=3) == Settings(seed=3)


def test_whole_numbers_of_numpy_fit_into_a_run_card() -> None:
    settings = Settings(window=np.int32(64), step=np.int64(8), seed=np.uint8(3), samples=np.int16(20))
    assert settings == Settings(64, 8, seed=3, samples=20)
    json.dumps(settings.map_card(RECORD, {}))


def test_typing_errors_are_not_swallowed(tmp_path: Path) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: bm.map_phases(np.ones((64, 64)), windw=64),
        lambda: StackSource(tmp_path / "s.npy", pixelsize=0.1),
        lambda: watch(StackSource(tmp_path / "s.npy"), tmp_path / "r.zarr", windw=64),
        lambda: Settings(windw=64),
    )
    for call in calls:
        with pytest.raises(TypeError, match=r"windw|pixelsize"):
            call()


@pytest.mark.parametrize(
    "function",
    [
        bm.classify, bm.map_phases, bm.reclassify, bm.load_model, watch, unmix, map_layer, LatticeClassifier,
        phases.classify, phases.map_movie, phases.demo, live.watch, scores.evaluate,
    ],
)  # fmt: skip
def test_every_signature_shows_the_same_defaults(function: Callable[..., object]) -> None:
    parameters = inspect.signature(function).parameters
    expected = {name: getattr(DEFAULTS, name) for name in Settings.__dataclass_fields__}
    if function is unmix:  # of the paper: nothing is measured before
        expected |= {"window": PAPER_WINDOW, "step": PAPER_STEP}
    if function in {phases.map_movie, live.watch}:  # thousands of windows
        expected["device"] = MOVIE_DEVICE
    if function is scores.evaluate:  # one answer without draws is what is scored
        del expected["model"], expected["samples"]
    if function in (bm.reclassify, LatticeClassifier):  # what a measured lattice is allowed
        expected["distortion"] = DEFAULT_DISTORTION
    shared = set(parameters) & set(expected)
    assert shared
    for name in shared:
        assert parameters[name].default == expected[name], name


def test_options_of_the_view_command_say_the_defaults() -> None:
    from bravaismap.cli.view import view

    for name in ("window", "model", "distortion", "nan"):
        (option,) = inspect.signature(view, eval_str=True).parameters[name].annotation.__metadata__
        assert isinstance(option, typer.models.OptionInfo)
        assert option.show_default == (
            f"{100 * DEFAULT_DISTORTION:g}%, or that of the result"
            if name == "distortion"
            else str(getattr(DEFAULTS, name))
        )


def test_model_by_name_or_as_it_is(quick: NetworkClassifier) -> None:
    assert chosen_model(Settings(distortion=0.003)) == load_model("default", 0.003)
    assert chosen_model(Settings(model=quick, distortion=0.003)) is quick


def test_run_cards() -> None:
    settings = Settings(window=64, step=8, distortion=0.3, seed=7)
    card = settings.map_card(RECORD, {"input": "film.dm4"})
    version = card.pop("version")
    assert version
    assert card == {
        "model": "mine", "weights_sha256": "abc", "samples": 25, "seed": 7, "distortion": 0.01, "input": "film.dm4",
        "window": 64, "step": 8, "nan": "missing",
    }  # fmt: skip
    assert replace(settings, samples=0).map_card(RECORD, {})["samples"] == 0
    image = settings.image_card(RECORD, 1, 40, 50)
    assert (image["samples"], image["seed"], image["size"]) == (IMAGE_SAMPLES, 7, [40, 50])
    assert "window" not in image
    assert replace(settings, samples=9).image_card(replace(RECORD, measures_cells=False), 1, 40, 40)["size"] == 40
    assert replace(settings, samples=9).image_card(RECORD, 1500, 40, 40)["samples"] == 9


def test_samples_of_many_images_end() -> None:
    record = replace(RECORD, movie_samples=30)
    assert [Settings().image_samples(record, count) for count in (1, 10, 20, 1500)] == [5000, 5000, 2500, 33]
    assert Settings().image_samples(record, 100_000) == 30
    assert Settings(samples=0).image_samples(record, 3) == 0


def test_live_run_and_map_write_the_same_card(quick: NetworkClassifier, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.random.default_rng(0).normal(0, 1, (2, 40, 44)))
    options: dict[str, Any] = {"window": 32, "step": 8, "samples": 5, "seed": 11, "nan": "fill"}
    list(
        watch(StackSource(tmp_path / "s.npy", settle=0.0), tmp_path / "r.zarr", until_idle=0.3, model=quick, **options)
    )
    lived = bm.open_result(tmp_path / "r.zarr").attrs
    mapped = map_movie(as_movie(np.load(tmp_path / "s.npy")), Settings(model=quick, **options)).attrs
    assert lived["input"] == str(tmp_path / "s.npy")
    assert {k: v for k, v in lived.items() if k != "input"} == {
        k: v for k, v in mapped.items() if k not in ("input", "input_sha256")
    }
