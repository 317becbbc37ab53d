"""What a long movie costs: the rates that are read from figures, and the hours that follow."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
ABOUT = {"date": "2026-01-02", "machine": "a machine"}


def row(way: str, workers: int, windows: int, pixels: bool = False) -> dict[str, Any]:
    """Return figures of 1 ms a window, 20 ms a frame, 0.5 s for its pixels, and 0.9 of each of two workers."""
    seconds = (windows * 1e-3 + 0.02 + 0.5 * pixels) / (1.0 if workers == 1 else 0.9)
    return {
        "way": way, "workers": workers, "windows": windows, "pixels": pixels, "frames": 10, "worked": 10 * seconds,
        "seconds": 10 * seconds, "own": 0.1 + 0.03 * 10 * seconds,
        "speedup_if_alone": workers * (1.0 if workers == 1 else 0.9),
    }  # fmt: skip


SCALING = ABOUT | {
    "benchmark": "scaling",
    "side": 512,
    "rows": [
        row(way, workers, windows, pixels)
        for way in ("processes", "dask")
        for windows, pixels in ((49, False), (169, False), (49, True))
        for workers in (1, 2)
    ],
}
GPU = ABOUT | {
    "benchmark": "gpu",
    "device": "A card",
    "map": {
        "default, all outputs": {"windows_per_second": 2500.0},
        "default, without pixels": {"windows_per_second": 10_000.0},
        "section seconds": 3.0,
    },
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("long_movie")


def test_rates_are_those_of_the_figures(module: ModuleType) -> None:
    rates = module.processor_rates(SCALING, "processes")
    assert rates.window_seconds == pytest.approx(1e-3)
    assert rates.frame_seconds == pytest.approx(0.02)
    assert rates.pixel_seconds == pytest.approx(0.5)
    assert rates.parent_seconds == pytest.approx(0.01)
    assert rates.efficiency == pytest.approx(0.9)
    gpu = module.gpu_rates(GPU)
    assert (gpu.window_seconds, gpu.pixel_seconds) == pytest.approx((1e-4, 625 / 2500 - 625 / 10_000))


def test_hours_of_a_movie(module: ModuleType) -> None:
    movie = module.Movie(1024, 3600, 128, 64)
    assert movie.windows == 225
    rates = module.processor_rates(SCALING, "dask")
    frame = 0.225 + 4 * 0.02
    assert rates.hours(movie, 1, False) == pytest.approx(frame)
    assert rates.hours(movie, 1, True) == pytest.approx(frame + 4 * 0.5)
    assert rates.hours(movie, 4, True) == pytest.approx((frame + 4 * 0.5) / (4 * 0.9))
    assert rates.hours(movie, 1000, True) == pytest.approx(4 * 0.01)  # the parent can do no more


def test_page_is_written_between_its_marks(module: ModuleType, tmp_path: Path) -> None:
    for data in (SCALING, GPU):
        (tmp_path / f"{data['benchmark']}.json").write_text(json.dumps(data))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n")
    for _ in range(2):
        module.main([str(tmp_path), "--page", str(page), "--side", "1024", "--frames", "3600", "--step", "64"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| one core | 2.3 h | 18 min |" in text
    assert f"| a node with one A card | {60 * (225e-4 + 4 * 0.1875):.0f} min | {60 * 225e-4:.0f} min |" in text


def test_what_is_missing_is_said(module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gpu.json").write_text(json.dumps(GPU))
    with pytest.raises(SystemExit, match="no figures of scaling"):
        module.main([str(tmp_path)])
    (tmp_path / "gpu.json").unlink()
    (tmp_path / "scaling.json").write_text(json.dumps(SCALING))
    module.main([str(tmp_path)])
    assert "| a node with one GPU | not measured | not measured |" in capsys.readouterr().out
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(SystemExit, match="the marks"):
        module.main([str(tmp_path), "--page", str(tmp_path / "page.md")])
