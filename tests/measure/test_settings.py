"""Settings of the measurement: each is read, and a replaced one is what the next measurement uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure import image_settings, instrument_settings, settings, window_settings
from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.settings import MeasurementSettings

SOURCE = Path(settings.__file__).parent
Draw = Callable[..., np.ndarray]


@contextmanager
def replaced(group: str, **values: Any) -> Iterator[None]:
    changed = replace(getattr(settings.SETTINGS, group), **values)
    with mock.patch.object(settings, "SETTINGS", replace(settings.SETTINGS, **{group: changed})):
        yield


@pytest.fixture
def image(crystal: Draw) -> torch.Tensor:
    rng = np.random.default_rng(1)
    drawn = crystal((128, 128), basis_from_cell(12.0, 17.0, np.radians(78.0), 0.3)) + 0.5 * rng.normal(size=(128, 128))
    return torch.from_numpy(drawn.astype(np.float32))[None]


def test_every_setting_is_read() -> None:
    modules = (path for path in SOURCE.parent.rglob("*.py") if "settings" not in path.name)
    text = "".join(path.read_text(encoding="utf-8") for path in modules)
    for group in fields(MeasurementSettings):
        assert f"SETTINGS.{group.name}" in text
        for setting in fields(getattr(settings.SETTINGS, group.name)):
            assert re.search(rf"\.{setting.name}\b", text), f"{group.name}.{setting.name}"


def test_every_setting_says_what_it_is() -> None:
    for group in fields(MeasurementSettings):
        doc = getattr(settings.SETTINGS, group.name).__doc__
        assert "judgement" in doc or "itted" in doc or "set between" in doc
    for module in (window_settings, instrument_settings, image_settings):
        lines = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
        settings_of_stage = [i for i, line in enumerate(lines) if re.match(r"    [a-z_]+: ", line)]
        assert settings_of_stage
        for i in settings_of_stage:  # a field follows its comment, or the field that shares it
            assert lines[i - 1].startswith(("    #:", "    ")), lines[i]


def test_the_factor_on_the_covariance_is_the_replaced_one(image: torch.Tensor) -> None:
    plain = measure(image)
    with replaced("covariance", factor=2 * settings.SETTINGS.covariance.factor):
        wider = measure(image)
    torch.testing.assert_close(wider.covariance, 2 * plain.covariance)
    assert torch.equal(wider.basis, plain.basis)


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("refinement", {"correlated_tiles": 1}),
        ("refinement", {"tiles": 4}),
        ("search", {"refined_nodes": 6}),
        ("nodes", {"highest_index": 2}),
    ],
)
def test_what_was_measured_before_does_not_matter(image: torch.Tensor, group: str, values: dict[str, Any]) -> None:
    before = measure(image)
    with replaced(group, **values):
        changed = measure(image)
    after = measure(image)
    assert not torch.equal(changed.covariance, before.covariance)
    assert torch.equal(after.covariance, before.covariance)
    assert torch.equal(after.evidence, before.evidence)


def test_odds_are_even_where_the_settings_say() -> None:
    assert float(none_probability(settings.SETTINGS.odds.even_evidence)) == 0.5
    with replaced("odds", even_evidence=10.0, slope=1.0):
        assert float(none_probability(11.0)) == pytest.approx(1 / (1 + np.e))
