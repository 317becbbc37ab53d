"""The benchmarks run, in a setting too small to measure anything, and write down what they print."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from bravaismap.measure.spots import standardize
from bravaismap.result.schema import as_variables, map_variables
from bravaismap.train.plan import StreamPlan

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a benchmark by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def written(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_cost_of_being_killed(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--frames", "6", "--size", "96", "--window", "64", "--step", "16", "--repeats", "1")
    benchmark("resume").main([*size, "--json", str(tmp_path / "new" / "resume.json")])
    found = written(tmp_path / "new" / "resume.json")
    assert found["benchmark"] == "resume"
    assert (found["frames"], found["windows"]) == (6, 9)
    assert 3 <= found["frames_done_when_killed"] <= 6
    assert found["lost"] == pytest.approx(found["until_killed"] + found["continued"] - found["uninterrupted"])
    assert 0 < found["checksum_per_frame"] < found["check_per_frame"]
    assert 0 < found["open"] < found["checked_again"]
    arrays = 37 + 2 + 6  # variables, the checksum and the mark, axes: each has its metadata and one block
    assert found["files"] == 2 * arrays + 1
    printed = capsys.readouterr().out
    for what in (f"{found['lost']:.2f} s", f"{1e3 * found['check_per_frame']:.1f} ms", "Python"):
        assert what in printed


def test_frames_are_written_and_checked(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("resume")
    values = np.arange(12.0).reshape(2, 2, 3)
    dims = {"y": np.arange(2.0), "x": np.arange(3.0), "time": np.arange(2.0), "lattice": ["square", "none"]}
    shapes = {variable.name: [len(dims[dim]) for dim in variable.dims] for variable in map_variables(cells=False)}
    whole = {name: np.zeros(shape) for name, shape in shapes.items()} | {"entropy": values}
    result = xr.Dataset(as_variables(map_variables(cells=False), whole), coords=dims)
    spent = module.seconds_written(result, tmp_path)
    assert all(seconds > 0 for seconds in spent.values())
    assert module.marked(tmp_path / "r.zarr") == 2
    assert module.marked(tmp_path / "none.zarr") == 0
    import zarr

    np.testing.assert_array_equal(zarr.open_group(tmp_path / "r.zarr", mode="r")["entropy"][:], values)


def test_frames_that_wait_and_that_appear_are_watched(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    size = ("--frames", "2", "--warm", "3", "--size", "160", "--step", "32", "--settle", "0.05")
    benchmark("watch").main([*size, "--json", str(tmp_path / "watch.json")])
    found = written(tmp_path / "watch.json")
    assert (found["frames"], found["windows"]) == (2, 4)
    assert [row["pixels"] for row in found["rows"]] == [True, False]
    for row in found["rows"]:
        assert row["rate"] == pytest.approx(2 / (2 * row["median"]))
        assert row["median"] <= row["longest"]
        assert 0.05 < row["delay"] <= row["longest_delay"]
        assert row["processor"] > 0


def test_where_there_is_no_card_none_is_measured(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = benchmark("gpu")
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    module.main(["--json", str(tmp_path / "gpu.json")])
    assert "not measured here" in capsys.readouterr().out
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.slow
def test_all_sections_of_a_device_are_measured_and_one_that_fails_is_named(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = benchmark("gpu")
    size = ("--windows", "8", "--frames", "1", "--size", "144", "--json", str(tmp_path / "gpu.json"))
    monkeypatch.setattr(module, "DIFFERENT", 1)
    monkeypatch.setattr(module, "batches", lambda *_, **__: 1 / 0)
    module.main(["--device", "cpu:0", *size])  # a processor that does not go by the name of one
    found = written(tmp_path / "gpu.json")
    assert {name: "error" in found[name] for name in module.SECTIONS} == dict.fromkeys(module.SECTIONS, False) | {
        "simulation": True
    }
    assert found["answers"]["film"]["largest_difference"] < 1e-6
    assert found["answers"]["wide"]["windows"] == 12
    assert found["pixels"]["pixels of another phase"] == 0
    assert all(part["windows_per_second"] > 0 for part in found["map"].values() if isinstance(part, dict))
    assert found["kernels"]["pixels of 1 frames"]["launches"] == 0
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_operations_are_counted_by_the_module_that_asks(benchmark: Callable[[str], ModuleType]) -> None:
    module = benchmark("launches")
    values = torch.rand(3, 4)
    with module.Counted() as operations:
        (values.T @ values).sum().item()  # a product, a sum and a wait; the transpose is a view
        standardize(values[None])
    found = operations.figures()
    assert found["modules"]["other"] == 3
    assert found["waits"] == 1
    assert found["modules"]["measure/spots.py"] == found["operations"] - 3 > 2


@pytest.mark.slow
def test_operations_of_all_parts_are_counted(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("launches")
    module.main(["--frames", "2", "--simulated", "48", "--size", "144", "--json", str(tmp_path / "launches.json")])
    parts = written(tmp_path / "launches.json")["parts"]
    assert set(parts) == {"4 windows", "pixels of 2 frames", "48 simulated windows"}
    assert all(part["operations"] == sum(part["modules"].values()) > part["waits"] > 0 for part in parts.values())


def test_even_draws_are_worth_more_than_as_many_random_ones(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = benchmark("draws")
    monkeypatch.setattr(module, "EVEN", (60, 300))
    monkeypatch.setattr(module, "RANDOM", 300)
    monkeypatch.setattr(module, "REFERENCE", 5000)
    module.main(["--windows", "12", "--repeats", "3", "--json", str(tmp_path / "draws.json")])
    found = written(tmp_path / "draws.json")
    assert found["even 300"] < found["even 60"]
    assert found["even 300"] < 0.7 * found["random 300"]


def test_windows_of_a_micrograph(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).standard_normal((96, 128))
    np.save(tmp_path / "noise.npy", noise.astype(np.float32))
    module = benchmark("micrograph_windows")
    module.main([str(tmp_path / "noise.npy"), "--window", "32", "--scale", "0.5"])
    assert capsys.readouterr().out == "noise.npy: 15 windows of 32 px: none 100.0 %\n"
    module.main([str(tmp_path / "noise.npy"), "--window", "64", "--most", "4"])
    assert "4 windows of 64 px" in capsys.readouterr().out


@pytest.mark.slow
def test_pickup(benchmark: Callable[[str], ModuleType]) -> None:
    lines = benchmark("pickup").report(count=6, size=128, seed=5, strength=0.7, false=6)
    assert lines[0].startswith("the wave is taken out of ")
    assert [line.split(":")[0] for line in lines[1:3]] == ["left in", "taken out"]
    assert [line.split(",")[0] for line in lines[3:5]] == 2 * ["two frequencies without a crystal"]
    kinds = ("simulated", "realistic", "broken", "wide")
    assert lines[5:] == [f"{kind} crystals without it: something is taken out of 0 of 5" for kind in kinds]


@pytest.mark.slow
def test_second_lattices(benchmark: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    module = benchmark("second_lattices")
    module.main(["-n", "6", "--seeds", "77", "--layers", "1"])
    grains, layers = capsys.readouterr().out.splitlines()
    assert grains == "seed 77: a second grain listed in 1 of 1, a false one in 0 of 4"
    assert layers == "layers: both found in 1 of 1, neither in 0"


@pytest.mark.slow
def test_areas_of_pixels(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--doses", "30", "--films", "1", "--frames", "3", "--size", "160")
    benchmark("pixel_areas").main([*size, "--json", str(tmp_path / "areas.json")])
    found = written(tmp_path / "areas.json")
    assert found["benchmark"] == "pixel_areas"
    assert found["rows"]
    for row in found["rows"]:
        assert abs(row["area"]) < 0.5
        assert abs(row["area"]) < abs(row["mean_probability"]) + 0.1
        assert 0 <= row["within"][0] <= row["within"][1] <= 1
    assert f"area {100 * found['rows'][-1]['area']:+.0f}" in capsys.readouterr().out


@pytest.mark.slow
def test_workers_of_real_and_of_simulated_cost(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--frames", "2", "--workers", "1", "--steps", "128", "96", "--simulated", "2", "--cost", "0.2"]
    benchmark("scaling").main([*options, "--json", str(tmp_path / "scaling.json")])
    found = written(tmp_path / "scaling.json")
    rows = [(row["way"], row["windows"], row["pixels"]) for row in found["rows"]]
    assert rows == [
        (way, windows, pixels)
        for windows, pixels in ((16, False), (25, False), (16, True))
        for way in ("processes", "dask")
    ]
    assert all(row["worked"] > 0 and row["speedup"] == row["speedup_if_alone"] == 1 for row in found["rows"])
    (simulated,) = found["simulated"]
    assert simulated["seconds"] >= 0.9 * simulated["frames"] * 0.2 / 2
    assert 0 < simulated["efficiency"] < 1.1
    assert "ms a frame" in capsys.readouterr().out


def test_simulation_is_timed_in_turns(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = benchmark("simulation")
    size = ("--side", "32", "--windows", "24", "--repeats", "1", "--kinds", "simulated", "broken", "--threads", "1")
    module.main([*size, "--json", str(tmp_path / "simulation.json")])
    found = written(tmp_path / "simulation.json")
    assert list(found["kinds"]) == ["simulated", "broken"]
    for figures in found["kinds"].values():
        assert figures["ratio"] == pytest.approx(figures["stream"] / figures["simulate"])
        assert 0 < figures["stream_busy"] < 1e3
    assert "broken" in capsys.readouterr().out
    monkeypatch.setattr(module, "LARGEST_BATCH", 4)
    card = module.card_figures("simulated", 32, "cpu", 1)  # the processor in place of a card
    assert (card["largest_difference"], card["share_apart"]) == (0, 0)


@pytest.mark.slow
def test_grains_by_each_method(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("grains.json", "grains.png")}
    size = ("--images", "1", "--size", "256", "--json", str(paths["grains.json"]), "--figure", str(paths["grains.png"]))
    benchmark("grain_areas").main(size)
    rows = {row["method"]: row for row in written(paths["grains.json"])["rows"]}
    assert list(rows) == ["pixels", "windows alone", "unmixing", "thresholding"]
    assert rows["pixels"]["right"] > 0.94  # of a small image with long boundaries
    assert all(row["right"] < rows["pixels"]["right"] for name, row in rows.items() if name != "pixels")
    assert paths["grains.png"].stat().st_size > 10_000


def test_labels_are_matched_with_the_truth_in_the_best_way(benchmark: Callable[[str], ModuleType]) -> None:
    module = benchmark("grain_areas")
    truth = np.repeat([[0, 1, 2, 3]], 4, axis=0).repeat(8, axis=1)
    renamed = module.best_match(np.choose(truth, [7, 5, 5, -1]), truth)
    np.testing.assert_array_equal(renamed, np.choose(truth, [0, 1, 1, 3]))
    sample = module.Grains(truth.astype(float), truth, 3.0, 10.0)
    found = module.scores(renamed, sample)
    assert found["right"] == 0.75
    assert found["worst_area"] == 0.25
    assert found["wrong_far"] == 1 / 32  # the one column of 32 that is more than three px from both boundaries


def test_sources_are_compared_by_the_fastest_of_their_turns(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, turns = benchmark("throughput"), iter([(0.004, 0.006), (0.002, 0.004), (0.003, 0.008), (0.001, 0.002)])
    sources = []

    def run(command: list[Any], env: dict[str, str], **_: object) -> SimpleNamespace:
        sources.append(env["PYTHONPATH"])
        with np.load(command[-1]) as frames:
            assert frames["film"].shape == (1, 512, 512)
            assert frames["tiles"].shape == (2, 512, 512)
        return SimpleNamespace(stdout=json.dumps({"a kind": next(turns)}))

    monkeypatch.setattr(module.subprocess, "run", run)
    module.main(["--against", "elsewhere", "--frames", "1", "--repeats", "2"])
    assert sources == ["elsewhere", str(FOLDER.parent / "src")] * 2
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.split() == ["a", "kind", "333", "1000", "3.00", "3.00"]


def test_proposals_of_the_network_on_few_windows(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--kinds", "broken", "-n", "18", "--seed", "511", "--weights", "0")
    benchmark("network_proposals").main([*size, "--json", str(tmp_path / "proposals.json")])
    rows = written(tmp_path / "proposals.json")["broken"]
    assert set(rows) == {"lattice", "default", "dcnn", "weight 0"}
    assert rows["default"]["NLL"] != rows["weight 0"]["NLL"]
    printed = capsys.readouterr().out
    counted = [int(line.split("windows")[0].split()[-1]) for line in printed.splitlines() if "windows, right" in line]
    assert sum(counted) == 18


def test_prior_of_distortion_on_few_windows(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("distortion_prior")
    module.main(["-n", "60", "--seed", "3", "--json", str(tmp_path / "prior.json")])
    rows = written(tmp_path / "prior.json")
    for kind in module.KINDS:
        assert set(rows[kind]) == set(module.LINES)
        assert len({row["NLL"] for row in rows[kind].values()}) == len(module.LINES)  # each changes something


@pytest.mark.slow
def test_ways_of_being_unsure_on_few_windows(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("network_uncertainty")
    module.main(["-n", "24", "--size", "64", "--json", str(tmp_path / "unsure.json")])
    sets = written(tmp_path / "unsure.json")["sets"]
    assert set(module.BOOKS) < set(sets)
    for name, rows in sets.items():
        assert len(rows) == 5, name
        assert 0 <= rows["unexplained waves"]["doubted"] <= 1
    assert sets["quasicrystals"]["one network"]["information"] == 0.5  # one pass disagrees with none
    assert sets["simulated"]["ensemble"]["accuracy"] > 0.4


def test_what_is_unlike_is_told_by_entropy_and_by_disagreement(benchmark: Callable[[str], ModuleType]) -> None:
    module = benchmark("network_uncertainty")
    sure, torn, even = [[0.98, 0.02], [0.98, 0.02]], [[0.99, 0.01], [0.01, 0.99]], [[0.5, 0.5], [0.5, 0.5]]
    inside = np.array([sure, even])
    assert module.unlike(inside, np.array([torn, torn])) == {"entropy": 0.75, "information": 1.0}
    assert module.unlike(inside, np.array([even])) == {"entropy": 0.75, "information": 0.5}


def test_a_quasicrystal_has_the_spots_of_its_fold(benchmark: Callable[[str], ModuleType]) -> None:
    module = benchmark("network_uncertainty")
    for fold, image in zip(module.FOLDS, module.quasicrystals(3, 256, np.random.default_rng(3)), strict=True):
        power = np.abs(np.fft.fftshift(np.fft.fft2((image - image.mean()) * np.outer(*[np.hanning(256)] * 2)))) ** 2
        row, column = np.unravel_index(power.argmax(), power.shape)
        radius, first = np.hypot(row - 128, column - 128), np.arctan2(row - 128, column - 128)
        at = [first + 2 * np.pi * i / fold for i in range(fold)]
        places = [np.rint(128 + radius * np.array([np.sin(a), np.cos(a)])).astype(int) for a in at]
        spots = [power[y - 2 : y + 3, x - 2 : x + 3].max() for y, x in places]
        assert min(spots) > 50 * np.median(power)


@pytest.mark.slow
def test_groups_of_tokens_are_hidden(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("network_tokens")
    module.main(["-n", "24", "--size", "64", "--json", str(tmp_path / "tokens.json")])
    rows = written(tmp_path / "tokens.json")["rows"]
    assert set(module.GROUPS) < set(rows)
    nll = {name: row["negative log likelihood"] for name, row in rows.items()}
    assert nll["all tokens"] < nll["without spots"]
    assert nll["all tokens"] < nll["without any candidate"]


@pytest.mark.slow
def test_models_of_few_windows_of_distorted_scans(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = benchmark("distorted_scans")
    module.main(["-n", "60", "--seed", "3", "--scans", "0.003", "0.02", "--json", str(tmp_path / "scans.json")])
    rows = written(tmp_path / "scans.json")
    kinds = [kind for kind in rows if kind.startswith("realistic, 128 px")]
    assert len(kinds) == 3 * len(module.APART)
    largest = rows["realistic, 128 px, no lattice nearer than 0.1, scans of 0.02"]
    assert largest["default"] == pytest.approx(largest["default, told"])  # 0.02 is what is allowed for
    assert largest["dcnn"]["right"] + 10 < min(largest["default"]["right"], largest["dcnn, told"]["right"])
    together = rows["realistic, 128 px, no lattice nearer than 0.1, all scans together"]
    straight = rows["realistic, 128 px, no lattice nearer than 0.1, scans of 0.003"]
    assert together["dcnn"]["right"] == pytest.approx((largest["dcnn"]["right"] + straight["dcnn"]["right"]) / 2)


def test_calibration_error_by_chance_is_that_of_calibrated_answers(benchmark: Callable[[str], ModuleType]) -> None:
    module, rng = benchmark("distorted_scans"), np.random.default_rng(4)
    answers = rng.dirichlet(np.ones(6), 500)
    labels = np.array([rng.choice(6, p=answer) for answer in answers])
    row = module.figures(answers, labels)
    assert row["ECE"] == pytest.approx(row["by chance"], rel=0.5)
    assert 0.02 < row["by chance"] < 0.08
    assert row["stated"] == pytest.approx(100 * answers.max(axis=1).mean())


@pytest.mark.slow
def test_speed_and_memory_of_a_training(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = benchmark("training")
    monkeypatch.setattr(module, "StreamPlan", lambda: StreamPlan(sides=(32,), draw=16, batch=4, pool=48, windows=1600))
    module.main(["--draws", "2", "--pool", "48", "--json", str(tmp_path / "training.json")])
    found = written(tmp_path / "training.json")
    assert found["hours"] == pytest.approx(100 * found["draw_s"] / 3600)
    assert found["peak_gb"] > 0.1


@pytest.mark.slow
def test_modulations(benchmark: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("modulations").main(["-n", "2", "--seed", "1", "--amplitudes", "0.1", "--kinds", "three waves", "none"])
    waves, without = capsys.readouterr().out.splitlines()
    assert waves.startswith("three waves, satellites of 10 %: ")
    assert "false" not in waves
    assert without == "no wave: 2 lattice alone"


@pytest.mark.slow
def test_partial_order(benchmark: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("partial_order").main(["-n", "2", "--amplitudes", "0.2"])
    part, everywhere, without = capsys.readouterr().out.splitlines()
    assert part.startswith("satellites of 20 % in a part: told in 2 of 2, share within 0.0")
    assert everywhere == "  everywhere: told in 2, as that of a part in 0, another one in 0"
    assert without == "without order: one is told in 0"


@pytest.mark.slow
def test_small_turns(benchmark: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("small_turns").main(["-n", "1", "--turns", "4"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("4°: map tells two in 1 of 1, pixels right 99")
    assert line.endswith("classify in 1, shares within 0.01; in bent ones map 0, classify 0")
