"""The command map, and the export of what it wrote; on files that the tests write."""

from __future__ import annotations

import csv
import importlib
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

from bravaismap.classify.models import NetworkClassifier
from bravaismap.cli.phases import device_of_map
from bravaismap.compute import device
from bravaismap.conventions import CLASSES
from bravaismap.phases.map import map_phases
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import mapped_frames, phase_table

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
    assert "frames are mapped" not in done.out


def test_export_of_an_unfinished_result_says_so(run: Run, film: Path, quick: NetworkClassifier, tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_phases(np.load(film), window=48, step=24, model=quick, samples=0, output=tmp_path / "r.zarr", progress=stop)
    done = run("export", tmp_path / "r.zarr", "-o", tmp_path / "tables", "--csv")
    assert done.code == 0, done.err
    count = int(mapped_frames(open_result(tmp_path / "r.zarr")).sum())  # the next ones may be done, too
    assert 0 < count < 4
    assert f"{count} of 4 frames are mapped; the others are not mapped yet, or were never measured (NaN)" in done.out


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
    (tmp_path / "r.zarr" / "label" / "c" / "0" / "0" / "0").write_bytes(b"damaged")
    again = run(*arguments)
    assert again.code == 0, again.err
    assert "4 frames are damaged (frame 0, 1, 2, 3: not what was written), mapped again" in again.err
    xr.testing.assert_identical(open_result(tmp_path / "r.zarr").load(), whole)


def test_clusters_that_cannot_be(run: Run, film: Path, tmp_path: Path) -> None:
    for options, part in [(["--workers", 0], "0 workers"), (["--workers", 1, "--scheduler", "tcp://x:1"], "either")]:
        run("map", film, "--window", 48, "-o", tmp_path / "r.zarr", *options).refused(part)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_map_takes_a_gpu_that_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "checked_device", lambda name: "cuda" if name == "auto" else name)
    for scheduler, workers, taken in (
        (None, None, "cuda"),
        (None, 1, "cuda"),
        (None, 2, "cpu"),
        ("tcp://x:1", None, "cpu"),
    ):
        assert device_of_map("auto", scheduler, workers) == taken
        assert device_of_map("cuda", scheduler, workers) == "cuda"


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
    while time.monotonic() < deadline and len(list(tmp_path.glob("parts.zarr/frame_done/*.safetensors"))) < 3:
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
