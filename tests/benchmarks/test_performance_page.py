"""The page of measured figures: a pure function of the JSON that the benchmarks write."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
ABOUT = {"date": "2031-05-06", "machine": "A processor, 2 cores, Python 3.99", "load": 0.25}

THROUGHPUT: dict[str, Any] = ABOUT | {
    "frames": 4,
    "windows": 600,
    "threads": 2,
    "seconds_per_frame": 2.0,
    "stages": {"read": 0.0034, "measurement": 1.5, "the rest": 0.4966},
    "fft": 0.1,
    "on_all_threads": 1.0,
    "paper_frames": 90,
    "paper_seconds": 202.5,
    "paper_samples": 5000,
    "with_paper_samples": 2.1,
    "parts": [{"part": "spectrum", "windows": 6, "windows_per_second": 8000.0}],
}
MEMORY: dict[str, Any] = ABOUT | {
    "side": 512,
    "files": [{"frames": 50, "peak_megabytes": 502.3, "megabytes_on_disk": 52.4}],
    "lazy": {"frames_of_the_whole": 95367, "gigabytes": 99.99},
    "passed": [{"frames": frames, "peak_megabytes": 628.0, "seconds": frames / 10} for frames in (0, 5, 10)],
    "megabytes_per_frame": 0.0012,
    "seconds_per_frame": 0.1,
}
SCALING: dict[str, Any] = ABOUT | {
    "side": 512,
    "rows": [
        {"frames": 12, "windows": 169, "workers": n, "seconds": 8.0 / n, "worked": 6.0, "speedup": n * 1.0}
        | {"speedup_if_alone": 1.9, "way": "dask", "pixels": n == 2, "own": 0.12}
        for n in (1, 2)
    ],
    "simulated": [{"workers": 16, "frames": 64, "seconds": 6.4, "efficiency": 0.94, "own": 0.32, "cost": 1.5}],
}
RESUME: dict[str, Any] = ABOUT | {
    "frames": 20,
    "size": 512,
    "windows": 625,
    "repeats": 3,
    "frames_done_when_killed": 10,
    "uninterrupted": 21.0,
    "until_killed": 12.0,
    "continued": 13.5,
    "lost": 4.5,
    "checked_again": 3.7,
    "open": 0.044,
    "check_per_frame": 0.012,
    "checksum_per_frame": 0.0002,
    "write_per_frame": 0.0276,
    "write_single_per_frame": 0.0061,
    "files": 83,
}
WATCH: dict[str, Any] = ABOUT | {
    "frames": 30,
    "warm": 30,
    "size": 512,
    "windows": 169,
    "settle": 0.1,
    "rows": [
        {
            "pixels": True,
            "rate": 4.12,
            "median": 0.24,
            "longest": 0.4,
            "processor": 0.47,
            "delay": 0.36,
            "longest_delay": 0.5,
        },
        {
            "pixels": False,
            "rate": 9.5,
            "median": 0.1,
            "longest": 0.2,
            "processor": 0.15,
            "delay": 0.21,
            "longest_delay": 0.3,
        },
    ],
}
MONTE_CARLO: dict[str, Any] = ABOUT | {
    "passes": 5000,
    "repeats": 5,
    "batched": 0.93,
    "looped": 5.7,
    "ratio": 6.13,
    "lowest_ratio": 5.9,
    "means_apart": 1.31,
    "deviations_apart": 0.0004,
}
SIMULATION: dict[str, Any] = ABOUT | {
    "side": 128,
    "repeats": 3,
    "card": "A card",
    "kinds": {
        "wide": {"simulate": 400.0, "stream": 1400.0, "ratio": 3.5, "busy_ratio": 1.9}
        | {"card": 61000.0, "median_difference": 2e-5, "share_apart": 3e-6}
    },
}
RECORDS = {
    "throughput": THROUGHPUT,
    "memory": MEMORY,
    "scaling": SCALING,
    "resume": RESUME,
    "watch": WATCH,
    "monte_carlo": MONTE_CARLO,
    "simulation": SIMULATION,
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("performance_page")


@pytest.mark.parametrize(
    "line",
    [
        "`benchmarks/throughput.py`, 2031-05-06: A processor, 2 cores, Python 3.99. Load before the run: 0.2.",
        "| read | 3.4 | 0.2 % |",
        "| measurement | 1500 | 75.0 % |",
        "| **all** | **2000** | 300 windows/s |",
        "| spectrum | 8000 | 0.125 |",
        "| HDF5, 50 frames of 512² float32, 52 MB | all | 502 MB |",
        "| 100 GB, 95367 frames of 512² float32, made as it is read | 5 frames | 628 MB |",
        "| dask | 169 and pixels | 2 | 507 | 2.00 (1.90 by processor time) | 0.50 s |",
        "| 16 | 10.0 | 0.94 | 5 ms |",
        "| killed (`kill -9`) with 10 frames done, after | 12 s |",
        "| **lost by being killed** | **4.5 s** |",
        "| reading a frame and comparing it with its checksum | 12 |",
        "| of it the checksum | 0.2 |",
        "| all outputs | 4.1 | 0.24 s (0.4 s) | 0.47 s | 0.36 s (0.5 s) |",
        "| `--no-pixels` | 9.5 | 0.1 s (0.2 s) | 0.15 s | 0.21 s (0.3 s) |",
        "In a process that runs already; the whole result is 83 files:",
        "| in batches, as `classify` does | 0.93 s |",
        "| ratio (lowest of the repeats) | 6.1 (5.9) |",
        "| wide | 400 | 1400 | 3.5 | 1.9 |",
        "| wide | 61000 | 2e-05 | 3e-06 |",
        "| all parts | not measured here |",
    ],
)
def test_figures_stand_in_the_page(module: ModuleType, line: str) -> None:
    assert line in module.page(RECORDS).splitlines()


def test_sentences_work_out_what_follows(module: ModuleType) -> None:
    text = module.page(RECORDS)
    assert "take 100 ms a frame: the whole is 20 times that. On 2 threads it maps 600 windows/s" in text
    assert "recorded in 202.5 s, would take 90 s, projected from 4 frames; with 5000 draws" in text
    assert "the number of the paper's passes, 189 s." in text
    alone = module.page(RECORDS | {"throughput": THROUGHPUT | {"threads": 1, "parts": []}})
    assert "On 1 thread it maps" in alone
    assert "| part" not in alone
    assert "A card" not in module.page({"simulation": SIMULATION | {"card": None}})
    assert "Load" not in module.page({"memory": MEMORY | {"load": None}})


def test_tables_are_whole(module: ModuleType) -> None:
    for block in module.page(RECORDS).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        if rows:
            assert len(rows) == len(block.splitlines()) >= 3
            assert len({row.count("|") for row in rows}) == 1


def test_what_is_missing_is_said(module: ModuleType) -> None:
    text = module.page({"resume": RESUME})
    assert text.count("Not measured here:") == 6
    assert "Not measured here: `python benchmarks/scaling.py --json FILE`." in text
    for name in module.SECTIONS:
        assert (FOLDER / f"{name}.py").exists()


def test_gpu(module: ModuleType) -> None:
    gpu = ABOUT | {
        "device": "A card",
        "classifier": {"5000 windows, 60 draws": 9000.0, "5000 windows, bytes per pixel": 80.0, "section seconds": 3.0},
        "map": {"default, all outputs": {"windows_per_second": 700.0}, "section seconds": 3.0},
        "networks": {"error": "none", "section seconds": 0.0},
        "answers": {
            "film": {"largest_difference": 3.2e-5},
            "wide": {"largest_difference": 1e-6},
            "section seconds": 1.0,
        },
    }
    text = module.page({"gpu": gpu})
    assert "| `default` alone, 5000 windows, 60 draws | 9000 |" in text.splitlines()
    assert "| `map`, default, all outputs | 700 |" in text.splitlines()
    assert "On one A card. No probability differs from the processor's by more than 3e-05." in text.splitlines()
    assert "not measured here |" not in text


def test_operations_that_a_gpu_is_asked_for(module: ModuleType) -> None:
    modules = {"local/mixture.py": 60, "local/area.py": 20, "other": 10, "local/sites.py": 7, "local/strain.py": 3}
    parts = {"pixels of 4 frames": {"operations": 100, "waits": 8, "modules": modules}}
    lines = module.page({"launches": ABOUT | {"parts": parts}}).splitlines()
    assert "| pixels of 4 frames | 100 | 8 | local/mixture 60, local/area 20, other 10, local/sites 7 |" in lines
    assert "| all parts | not measured here |" in lines


def test_command_prints_what_a_folder_holds(
    module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="no figures"):
        module.main([str(tmp_path)])
    for name, found in RECORDS.items():
        (tmp_path / f"of_{name}.json").write_text(json.dumps({"benchmark": name} | found), encoding="utf-8")
    (tmp_path / "growth.json").write_text(json.dumps({"benchmark": "growth_coverage"}), encoding="utf-8")
    module.main([str(tmp_path)])
    assert capsys.readouterr().out == module.page(RECORDS)
    (tmp_path / "again.json").write_text(json.dumps({"benchmark": "resume"} | RESUME), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"of_resume\.json: the figures of resume are there twice"):
        module.main([str(tmp_path)])
    (tmp_path / "again.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"again\.json: not written by a benchmark"):
        module.main([str(tmp_path)])


def test_parts_that_are_not_measured_anew_stay_as_they_are(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    launched = ABOUT | {"parts": {"a frame": {"operations": 100, "waits": 8, "modules": {"local/turns.py": 60}}}}
    before = RECORDS | {"launches": launched}
    path.write_text(module.page(before).replace("Memory\n\n", "Memory\n\nA remark.\n\n"), encoding="utf-8")
    faster = WATCH | {"rows": [row | {"rate": 9.5} for row in WATCH["rows"]]}
    (tmp_path / "watch.json").write_text(json.dumps({"benchmark": "watch"} | faster), encoding="utf-8")
    module.main([str(tmp_path), "--page", str(path)])
    expected = module.page(before | {"watch": faster}).replace("Memory\n\n", "Memory\n\nA remark.\n\n")
    assert path.read_text(encoding="utf-8") == expected
    path.unlink()
    module.main([str(tmp_path), "--page", str(path)])
    assert path.read_text(encoding="utf-8") == module.page({"watch": faster})
