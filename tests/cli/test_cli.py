"""The commands, on files that the tests write."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bravaismap import cli
from bravaismap.classify.models import NetworkClassifier, load_model
from bravaismap.conventions import CLASSES, class_name
from bravaismap.phases.image import classify
from bravaismap.phases.map import map_phases
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import mapped_frames, phase_table
from bravaismap.simulate.windows import simulate

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "dumb"}
Run = Callable[..., "object"]


def shell(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bravaismap.cli", *map(str, arguments)],
        capture_output=True, text=True, env=ENVIRONMENT, cwd=cwd, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a movie of four frames of 96 × 100 px."""
    path = tmp_path_factory.mktemp("film") / "film.npy"
    np.save(path, np.random.default_rng(0).poisson(20, (4, 96, 100)).astype(np.uint16))
    return path


# Start


def test_help_is_instant() -> None:
    code = (
        "import sys; sys.argv = ['bravaismap', '--help']\n"
        "from bravaismap.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "heavy = {'torch', 'numpy', 'xarray', 'zarr', 'dask', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "demo",
        "classify",
        "map",
        "export",
        "simulate",
        "train",
        "evaluate",
        "models",
        "reproduce",
        "watch",
    ):
        assert re.search(rf"\b{command}\b", done.stdout), command


@pytest.mark.parametrize(
    "command", ["classify", "map", "export", "simulate", "train", "evaluate", "models", "demo", "reproduce", "watch"]
)
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    assert f"bravaismap {command}" in done.out


def test_unicode_into_a_pipe_of_windows() -> None:
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "bravaismap.cli", "beam", "--element", "S"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "σ (barn)" in done.stdout.decode("utf-8")


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"bravaismap \d+\.\d+\.\d+\S*\n", done.out)


@pytest.mark.parametrize("arguments", [["classify"], ["map"], ["mapp", "x"], ["map", "x", "--window", "big"]])
def test_usage_errors_exit_with_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.out == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bravaismap", "--debug", "classify", "no.tif"])
    with pytest.raises(ValueError, match=r"no\.tif"):
        cli.main()
    monkeypatch.setattr("bravaismap.cli.start._debug", False)


def test_fault_of_ours_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.models"), "load_model", lambda *_: 1 / 0)
    done = run("models")
    assert done.code == 1
    assert done.err.startswith("error: unexpected ZeroDivisionError: division by zero; run `bravaismap --debug")
    assert len(done.err.strip().splitlines()) == 1


# classify


def test_classify(run: Run, quick: NetworkClassifier, weights: Path, windows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", windows[0])
    np.save(tmp_path / "few.npy", windows[1:4])
    done = run(
        "classify", tmp_path / "one.npy", tmp_path / "few.npy", "--model", weights, "--samples", 30, "--seed", 4,
        "--csv", tmp_path / "table.csv",
    )  # fmt: skip
    assert done.code == 0, done.err
    expected = classify(windows[:4], model=quick, samples=30, seed=4)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["one.npy", "few.npy [0]", "few.npy [1]", "few.npy [2]"]
    for i, row in enumerate(rows):
        assert row["phase"] == CLASSES[int(expected["label"][i])]
        for j, name in enumerate(CLASSES):
            assert float(row[name]) == pytest.approx(float(expected["probability"][i, j]), abs=1e-4)
            assert float(row[f"{name}_std"]) == pytest.approx(float(expected["probability_std"][i, j]), abs=1e-4)
        line = next(line for line in done.out.splitlines() if row["image"] in line)
        shares = [float(value) for value in re.findall(r"(\d+\.\d) ± \d+\.\d %", line)]
        np.testing.assert_allclose(shares, 100 * expected["probability"][i], atol=0.051)


def test_a_file_that_cannot_be_classified_does_not_take_the_others_along(
    run: Run, weights: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    good, tiny, table = tmp_path / "good.npy", tmp_path / "tiny.npy", tmp_path / "t.csv"
    np.save(good, windows[0])
    np.save(tiny, windows[0][:6, :6])
    options = "--model", weights, "--samples", 2, "--csv", table
    done = run("classify", good, tiny, tmp_path / "none.npy", good, *options)
    assert done.code == 2
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "none.npy" in errors[0]
    assert "tiny.npy" in errors[1]
    assert done.out.count("good.npy") >= 2
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["good.npy", "good.npy"]
    answer = run("classify", good, tiny, *options, "--json")
    assert answer.code == 2
    assert [image["image"] for image in json.loads(answer.out)["images"]] == ["good.npy"]
    table.unlink()
    for several in ((tiny,), (tiny, tmp_path / "none.npy")):
        refused = run("classify", *several, *options)
        assert refused.code == 2
        assert (refused.out, len(refused.err.splitlines())) == ("", len(several))
        assert not table.exists()


def test_classify_without_samples_and_with_a_preprocessing(
    run: Run, quick: NetworkClassifier, weights: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "one.npy", windows[3])
    for name in ("window", "paper"):
        done = run("classify", tmp_path / "one.npy", "--model", weights, "--samples", 0, "--preprocessing", name)
        assert "±" not in done.out
        expected = classify(windows[3], model=quick, samples=0, preprocessing=name)["probability"].values[0]
        shares = [float(value) for value in re.findall(r"(\d+\.\d) %", done.out)]
        np.testing.assert_allclose(shares, 100 * expected, atol=0.051)


# map and export


#: The film is mapped once, by one process, for all tests that read what was written.
reads_the_map = pytest.mark.xdist_group("shell_map")


@pytest.fixture(scope="module")
def shell_map(film: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Map the film in a process of its own; return the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("mapped")
    done = shell(
        "map", film, "--window", 48, "--step", 24, "--model", weights, "--samples", 10, "--pixel-size", 0.02,
        "--frame-time", 2.25, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "film-phases", done.stdout, done.stderr


@reads_the_map
def test_map_writes_a_result_a_table_and_figures(shell_map: tuple[Path, str, str], film: Path, weights: Path) -> None:
    folder, printed, _ = shell_map
    result = open_result(folder / "film.zarr")
    expected = map_phases(
        np.load(film), window=48, step=24, model=weights, samples=10, pixel_size=0.02, frame_time=2.25
    )
    xr.testing.assert_allclose(result, expected, atol=1e-6)
    assert result.attrs["input"] == str(film)
    assert phase_table(result) in printed
    assert "next: bravaismap export film-phases/film.zarr --video" in printed
    with (folder / "film_fractions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["time_s"]) for row in rows], [0, 2.25, 4.5, 6.75])
    for name in CLASSES:
        np.testing.assert_allclose([float(row[name]) for row in rows], result["fraction"].sel(lattice=name), atol=1e-4)
        spread = [float(row[f"{name}_std"]) for row in rows]
        np.testing.assert_allclose(spread, result["fraction_std"].sel(lattice=name), atol=1e-4)
    figures = sorted(path.name for path in folder.glob("*.png"))
    assert len(figures) >= 3
    assert all(name in printed for name in [*figures, "film_fractions.csv"])
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@reads_the_map
@pytest.mark.usefixtures("no_figures")
def test_map_leaves_a_complete_result_and_overwrites_when_asked(
    run: Run, shell_map: tuple[Path, str, str], film: Path, weights: Path
) -> None:
    target = shell_map[0] / "film.zarr"
    options = ["--window", 48, "--step", 24, "--model", weights, "--samples", 10, "--pixel-size", 0.02]
    before = open_result(target).load()
    marks = {path: path.stat().st_mtime_ns for path in target.rglob("c/*")}
    again = run("map", film, "-o", target, *options, "--frame-time", 2.25)
    assert again.code == 0
    assert "film.zarr is complete" in again.err
    assert {path: path.stat().st_mtime_ns for path in target.rglob("c/*")} == marks
    run("map", film, "-o", target, *options, "--frame-time", 3).refused("(--frame-time 2.25 s there, 3.0 s now)")
    xr.testing.assert_identical(open_result(target).load(), before)
    assert run("map", film, "-o", target, *options, "--frame-time", 2.25, "--overwrite").code == 0
    xr.testing.assert_identical(open_result(target).load(), before)


@reads_the_map
def test_export_of_a_result(run: Run, shell_map: tuple[Path, str, str], tmp_path: Path) -> None:
    result = shell_map[0] / "film.zarr"
    done = run("export", result, "-o", tmp_path / "tables", "--csv")
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["film_fractions.csv"]
    assert (tmp_path / "tables" / "film_fractions.csv").read_bytes() == (
        shell_map[0] / "film_fractions.csv"
    ).read_bytes()
    run("export", tmp_path / "no.zarr").refused("no.zarr", "no such result", "bravaismap map")
    run("export", tmp_path).refused(str(tmp_path), "not a result")


@pytest.mark.slow
@reads_the_map
def test_export_of_figures_and_video(run: Run, shell_map: tuple[Path, str, str], film: Path, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio_ffmpeg")
    done = run("export", shell_map[0] / "film.zarr", "-o", tmp_path, "--figures", "--video", "--movie", film)
    assert done.code == 0, done.err
    assert len(list(tmp_path.glob("*.png"))) >= 3
    count, _ = imageio.count_frames_and_secs(str(tmp_path / "film_probabilities.mp4"))
    assert count == 4


@pytest.mark.usefixtures("no_figures")
def test_interrupted_map_is_continued_in_this_process(
    run: Run, film: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bravaismap.result import store as module

    arguments = ["map", film, "--window", 48, "--step", 24, "--model", weights, "--samples", 10, "-o"]
    write = module.ResultStore.write_frame

    def interrupted(store: module.ResultStore, index: int, variables: dict[str, np.ndarray]) -> None:
        if index == 2:
            raise KeyboardInterrupt
        write(store, index, variables)

    with monkeypatch.context() as patched:
        patched.setattr(module.ResultStore, "write_frame", interrupted)
        done = run(*arguments, tmp_path / "parts.zarr")
    assert done.code == 130
    assert "interrupted; the same command continues where it stopped" in done.err
    assert "Traceback" not in done.err
    assert mapped_frames(open_result(tmp_path / "parts.zarr")).tolist() == [True, True, False, False]
    assert not (tmp_path / "parts-phases").exists()
    assert run(*arguments, tmp_path / "parts.zarr").code == 0
    assert run(*arguments, tmp_path / "whole.zarr").code == 0
    xr.testing.assert_identical(
        open_result(tmp_path / "parts.zarr").load(), open_result(tmp_path / "whole.zarr").load()
    )


def test_figures_that_an_interruption_prevented_are_made_by_the_same_command(
    run: Run, film: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("bravaismap.export.figure_files")
    arguments = ["map", film, "--window", 48, "--step", 48, "--model", weights, "--samples", 0, "-o"]
    drawn: list[Path] = []
    save = module.save_figure

    def interrupted(figure: object, stem: Path, *how: object) -> list[Path]:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(stem)
        return save(figure, stem, *how)

    with monkeypatch.context() as patched:
        patched.setattr(module, "save_figure", interrupted)
        done = run(*arguments, tmp_path / "a.zarr")
    assert (done.code, done.out) == (130, "")
    assert "the same command continues" in done.err
    before = open_result(tmp_path / "a.zarr").load()
    assert mapped_frames(before).all()
    folder = tmp_path / "a-phases"
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(stem.name for stem in drawn)
    assert run(*arguments, tmp_path / "a.zarr").code == 0
    assert {"a_fractions.csv", "a_fractions.png", "a_labels_0003.png"} <= {path.name for path in folder.iterdir()}
    xr.testing.assert_identical(open_result(tmp_path / "a.zarr").load(), before)


def test_an_image_is_no_movie_of_one_frame(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.load(film)[0])
    store = tmp_path / "image.zarr"
    done = run("map", tmp_path / "image.npy", "--model", weights, "--samples", 2, "--window", 48, "-o", store)
    assert done.code == 0, done.err
    assert done.err.startswith("image.npy: 96 × 100 px, pixel size unknown")
    assert re.search(r"phase +symbol +fraction\n", done.out)
    assert "frame" not in done.out.replace("image_labels", "")
    assert "--video" not in done.out
    names = {path.name for path in (tmp_path / "image-phases").iterdir()}
    assert "image_labels_0000.png" in names
    assert "image_fractions.png" not in names
    everything = run("export", store, "-o", tmp_path / "all")
    assert everything.code == 0, everything.err
    assert not list((tmp_path / "all").glob("*.mp4"))
    run("export", store, "--video").refused("--video", "a single image")
    run("fit", store).refused("a single image")
    assert run("export", store, "--report", "-o", tmp_path / "all").code == 0
    page = (tmp_path / "all" / "image_report.html").read_text(encoding="utf-8")
    assert "An image, " in page
    assert "1 of 1" not in page
    assert "1 frames" not in page


@pytest.mark.usefixtures("no_figures")
def test_two_results_in_one_folder_keep_their_tables_apart(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    arguments = ["map", film, "--model", weights, "--samples", 0, "--window", 48]
    assert run(*arguments, "--step", 48, "-o", tmp_path / "a.zarr").code == 0
    first = {path: path.read_bytes() for path in (tmp_path / "a-phases").iterdir()}
    assert run(*arguments, "--step", 24, "-o", tmp_path / "b.zarr").code == 0
    assert all(path.read_bytes() == content for path, content in first.items())
    for name in "ab":
        assert run("export", tmp_path / f"{name}.zarr", "--csv", "-o", tmp_path / "tables").code == 0
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"a_fractions.csv", "b_fractions.csv"}
    live = tmp_path / "in-live" / "in.zarr"
    (tmp_path / "a.zarr").rename(live.parent.mkdir() or live)
    assert run("export", live, "--csv").code == 0
    assert (tmp_path / "in-live" / "in_fractions.csv").exists()


@pytest.mark.usefixtures("no_figures")
def test_damaged_and_finished_results(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    arguments = [
        "map",
        film,
        "--window",
        48,
        "--step",
        24,
        "--model",
        weights,
        "--samples",
        0,
        "-o",
        tmp_path / "r.zarr",
    ]
    assert run(*arguments).code == 0
    whole = open_result(tmp_path / "r.zarr").load()
    (tmp_path / "r.zarr" / "label" / "c" / "2" / "0" / "0").write_bytes(b"damaged")
    again = run(*arguments)
    assert again.code == 0, again.err
    assert "1 frame is damaged (frame 2: not what was written), mapped again" in again.err
    xr.testing.assert_identical(open_result(tmp_path / "r.zarr").load(), whole)


def test_clusters_that_cannot_be(run: Run, film: Path, tmp_path: Path) -> None:
    for options, part in [(["--workers", 0], "0 workers"), (["--workers", 1, "--scheduler", "tcp://x:1"], "either")]:
        run("map", film, "--window", 48, "-o", tmp_path / "r.zarr", *options).refused(part)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_map_by_workers(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    arguments = ["map", film, "--window", "48", "--step", "24", "--model", weights, "--samples", "10"]
    done = shell(*arguments, "--workers", "2", "-o", tmp_path / "two.zarr")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert run(*arguments, "-o", tmp_path / "one.zarr").code == 0
    one, two = (open_result(tmp_path / f"{name}.zarr").load() for name in ("one", "two"))
    xr.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.usefixtures("no_figures")
def test_ctrl_c_leaves_a_result_that_the_same_command_continues(
    run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "long.npy", np.random.default_rng(0).poisson(20, (40, 128, 128)).astype(np.uint16))
    arguments = ["map", "long.npy", "--window", "64", "--step", "16", "--model", str(weights), "--samples", "40", "-o"]
    command = [sys.executable, "-m", "bravaismap.cli", *arguments, "parts.zarr"]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the tests themselves may run in the background
    started = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(tmp_path.glob("parts.zarr/frame_done/c/*"))) < 3:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    _, printed = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "interrupted; the same command continues where it stopped" in printed
    assert "Traceback" not in printed
    done = mapped_frames(open_result(tmp_path / "parts.zarr"))
    assert 3 <= done.sum() < 40
    monkeypatch.chdir(tmp_path)
    for target in ("parts.zarr", "whole.zarr"):
        finished = run(*arguments, target)
        assert finished.code == 0, finished.err
    parts, whole = (open_result(tmp_path / name).load() for name in ("parts.zarr", "whole.zarr"))
    assert mapped_frames(parts).all()
    xr.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)  # this process may use more threads
    assert parts.attrs == whole.attrs


@pytest.mark.usefixtures("no_figures")
def test_map_and_unmix(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    options = ("--window", 64, "--step", 16, "--model", weights, "--samples", 0)
    done = run("map", film, *options, "-o", tmp_path / "film.zarr", "--unmix", 2)
    assert done.code == 0, done.err
    folder = tmp_path / "film-phases"
    endings = ["unmixed.zarr", "unmixed_0000.png", "unmixed_0001.png", "unmixed_0003.png", "unmixed_fractions.png"]
    names = [f"film_{ending}" for ending in endings]
    assert all((folder / name).exists() and name in done.out for name in names)
    unmixed = xr.open_zarr(folder / "film_unmixed.zarr", consolidated=False)
    assert dict(unmixed["abundance"].sizes) == {"time": 4, "y": 3, "x": 4, "endmember": 2}
    again = run("map", film, *options, "-o", tmp_path / "film.zarr", "--unmix", 2, "--overwrite")
    assert again.code == 0, again.err
    assert run("map", film, *options, "-o", tmp_path / "other.zarr", "--unmix", 1).code == 2
    assert not (tmp_path / "other.zarr").exists()


# simulate, train, evaluate, models


def test_simulated_windows(run: Run, tmp_path: Path) -> None:
    done = run("simulate", "-o", tmp_path / "w.npz", "-n", 8, "--seed", 3, "--size", 48)
    assert done.code == 0, done.err
    with np.load(tmp_path / "w.npz") as stored:
        expected = simulate(8, seed=3, size=48)
        np.testing.assert_array_equal(stored["image"], expected["image"])
        np.testing.assert_array_equal(stored["label"], expected["label"])
        assert stored["classes"].tolist() == list(CLASSES)
    before = (tmp_path / "w.npz").read_bytes()
    run("simulate", "-o", tmp_path / "w.npz", "-n", 8).refused("w.npz", "exists", "--overwrite")
    assert (tmp_path / "w.npz").read_bytes() == before
    for book in ("realistic", "wide", "broken"):
        assert run("simulate", "-o", tmp_path / "w.npz", "-n", 2, "--overwrite", "--kind", book).code == 0
    assert (tmp_path / "w.npz").read_bytes() != before


def test_simulated_film_is_classified(run: Run, weights: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.tif"
    assert run("simulate", "-o", film, "--kind", "film", "-n", 2, "--size", 80).code == 0
    done = run("classify", film, "--model", weights, "--samples", 2)
    assert done.code == 0, done.err
    assert "film.tif [1]" in done.out


OWN = """
[wafer]
lattice = "square"
length = [8, 10]
noise = [0, 0.2]
disorder = [0, 0.03]
[noise]
length = [8, 10]
noise = [0, 0.2]
"""


@pytest.mark.usefixtures("no_figures")
def test_own_classes_from_a_recipe_to_a_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(OWN)
    done = run("train", "--recipes", "mine.toml", "--images", 150, "--epochs", 2, "--seed", 2, "--device", "cpu")
    assert done.code == 0, done.err
    assert "warning" not in done.err
    assert "next: bravaismap map MOVIE --model runs/mine.safetensors" in done.out
    card = load_model("runs/mine.safetensors").card
    assert (card.classes, card.name) == (("wafer", "noise"), "mine")
    accuracy = re.search(r"validation accuracy (\d+\.\d) %", done.out)
    assert accuracy is not None
    assert float(accuracy[1]) == pytest.approx(100 * card.accuracy["validation"], abs=0.05)
    again = run(*card.training["command"].split()[1:], "-o", "again", "--device", "cpu")
    assert again.code == 0, again.err
    assert load_model("again/mine.safetensors").record.weights_sha256 == card.weights_sha256

    assert run("simulate", "--recipes", "mine.toml", "-o", "w.npz", "-n", 20, "--seed", 9).code == 0
    scores = run("evaluate", "w.npz", "--model", "runs/mine.safetensors")
    assert scores.code == 0, scores.err
    assert scores.out.startswith("mine on w.npz")
    assert re.search(r"windows\s+20\n", scores.out)
    table = run("classify", "w.npz", "--dataset", "image", "--model", "runs/mine.safetensors", "--samples", 2)
    assert table.code == 0, table.err
    assert "wafer" in table.out
    with np.load("w.npz") as stored:
        np.save("film.npy", stored["image"][:2])
    mapped = run(
        "map", "film.npy", "--model", "runs/mine.safetensors", "--window", 64, "--step", 32, "--samples", 4,
        "-o", "out/film.zarr",
    )  # fmt: skip
    assert mapped.code == 0, mapped.err
    assert open_result("out/film.zarr")["lattice"].values.tolist() == ["wafer", "noise"]
    assert class_name("noise") == "none"  # an alias of a class of ours may name a user's own


def test_evaluate(run: Run, weights: Path, quick: NetworkClassifier, tmp_path: Path) -> None:
    run("simulate", "-o", tmp_path / "w.npz", "-n", 30, "--seed", 3)
    done = run("evaluate", tmp_path / "w.npz", "--model", weights)
    assert done.code == 0, done.err
    data = simulate(30, seed=3)
    right = quick.predict(data["image"].values, samples=0).probability.argmax(axis=1) == data["label"].values
    assert f"accuracy                     {100 * right.mean():.1f} %" in done.out


def test_models_are_listed(run: Run) -> None:
    done = run("models")
    assert done.code == 0, done.err
    names = [line.split(":")[0] for line in done.out.splitlines() if ":" in line]
    assert "dcnn-2018" in names
    assert "lattice" in names
    assert "default" in names
