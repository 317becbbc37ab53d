"""Settings of the posterior: its priors are densities, its shares add up, and each is read."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bravaismap.classify import likelihood, posterior_settings
from bravaismap.classify.posterior import class_probability
from bravaismap.classify.posterior_settings import SETTINGS

SOURCE = Path(posterior_settings.__file__).parent


def test_every_setting_is_read() -> None:
    text = "".join((SOURCE / f"{name}.py").read_text(encoding="utf-8") for name in ("likelihood", "posterior"))
    for group in (SETTINGS.prior, SETTINGS.errors, SETTINGS.distortion):
        for setting in fields(group):
            assert re.search(rf"\.{setting.name}\b", text), setting.name


def test_shares_add_up() -> None:
    prior, errors = SETTINGS.prior, SETTINGS.errors
    scales = [share for share, _ in errors.scales]
    for shares in (prior.rectangular_shares, prior.centred_shares, prior.oblique_shares, scales):
        assert sum(shares) == pytest.approx(1)


def test_priors_on_the_lines_are_densities_whatever_the_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    def mass(prior: str, low: float, high: float) -> float:
        density = getattr(likelihood, prior)
        grid = torch.linspace(low, high, 400_001, dtype=torch.float64)
        return float(torch.trapezoid(density(grid), grid))

    wider = replace(SETTINGS.prior, rectangular_ratio=3.0, centred_angles=(20.0, 60.0, 80.0))
    for settings in (SETTINGS, replace(SETTINGS, prior=wider)):
        monkeypatch.setattr(posterior_settings, "SETTINGS", settings)
        assert mass("_rectangular_prior", 0.0, 12.0) == pytest.approx(1, abs=1e-3)
        assert mass("_arc_prior", 0.0, 12.0) == pytest.approx(1, abs=1e-3)


def test_without_mistaken_lattices_a_clear_square_is_surer(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = (10 * np.eye(2)[None], 1e-4 * np.eye(4)[None], [90.0], 0.003)
    before = class_probability(*measured)[0, 0]
    errors = replace(SETTINGS.errors, least_mistaken=0.0, more_mistaken=0.0)
    monkeypatch.setattr(posterior_settings, "SETTINGS", replace(SETTINGS, errors=errors))
    assert class_probability(*measured)[0, 0] > before
