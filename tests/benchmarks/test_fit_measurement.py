"""The fit of the measurement's settings finds what synthetic errors and evidences were drawn with, and runs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("fit_measurement")


def test_the_factor_that_errors_were_drawn_with_is_found(fit: ModuleType) -> None:
    rng = np.random.default_rng(1)
    cells = np.exp(rng.uniform(np.log(5), np.log(200), 8000))
    tail = np.where(rng.random(8000) < 0.03, 6.0, 1.0)
    squares = 1.4 * (1 + 6 / cells) * tail * rng.chisquare(4, 8000)
    factor, few_cells = fit.fitted_factor(squares, cells)
    assert factor == pytest.approx(1.4, rel=0.05)
    assert few_cells == pytest.approx(6, rel=0.15)


def test_the_odds_that_windows_were_drawn_with_are_found(fit: ModuleType) -> None:
    rng = np.random.default_rng(2)
    evidence = rng.uniform(0, 50, 20_000)
    odds = np.exp(0.4 * (evidence - 20)) + 0.05
    even, slope, floor = fit.fitted_odds(evidence, rng.random(20_000) < odds / (1 + odds))
    assert even == pytest.approx(20, abs=0.5)
    assert slope == pytest.approx(0.4, rel=0.07)
    assert floor == pytest.approx(0.05, rel=0.2)


def test_windows_that_are_separated_have_no_odds(fit: ModuleType) -> None:
    assert fit.fitted_odds(np.array([3.0, 5.0, 60.0]), np.array([False, False, True])) is None


def test_false_alarms_of_an_exponential_tail_are_found(fit: ModuleType) -> None:
    evidence = np.random.default_rng(3).exponential(1 / 0.4, 200_000)
    even, slope = fit.false_alarm_odds(evidence)
    assert even == pytest.approx(np.log(1000) / 0.4, rel=0.04)
    assert slope == pytest.approx(0.4, rel=0.05)


def test_it_runs_and_writes_what_it_prints(fit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main(["--windows", "24", "--without", "40", "--sides", "64", "--json", str(tmp_path / "fit.json")])
    figures = json.loads((tmp_path / "fit.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert f"simulated, 64 px: factor {figures['simulated, 64 px: factor']:.2f}" in printed
    assert f"above {figures['64 px: false alarms above']:.1f}, and the share" in printed
    assert "in use: factor 1.1 (1 + 3/n)" in printed
