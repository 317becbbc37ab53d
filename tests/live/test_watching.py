"""Live runs on files that appear while they are watched."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from bravaismap.classify.models import NetworkClassifier
from bravaismap.errors import InputError, OutputError
from bravaismap.live.alarms import Alarm, parse_rule
from bravaismap.live.watching import FolderSource, StackSource, watch
from bravaismap.phases.map import map_phases
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.live_store import LiveStore
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap

OPTIONS: dict[str, Any] = {"window": 32, "step": 8, "samples": 5}
MOVIE = np.random.default_rng(0).poisson(20, (6, 40, 44)).astype(np.uint16)


def run_on(source: FolderSource | StackSource, output: Path, model: NetworkClassifier, idle: float = 0.5) -> list[str]:
    frames = watch(source, output, until_idle=idle, model=model, **OPTIONS)
    return [frame.line["source"] for frame in frames]


def folder(path: Path, **options: Any) -> FolderSource:
    return FolderSource(path, settle=0.15, **options)


def as_mapped(output: Path, model: NetworkClassifier, movie: np.ndarray) -> None:
    """Assert that a live result holds what `map_phases` says of these frames."""
    found, expected = open_result(output).load(), map_phases(movie, model=model, **OPTIONS)
    assert isinstance(found, PhaseMap)
    xr.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # threads change what is rounded
    assert set(found.attrs) == set(expected.attrs) - {"input_sha256"}


@pytest.mark.parametrize("stack", [False, True])
def test_the_card_says_where_the_movie_is_from_any_folder(
    quick: NetworkClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: bool
) -> None:
    place = tmp_path / "in" / "film.npy" if stack else tmp_path / "in"
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "film.npy", MOVIE[:2])
    monkeypatch.chdir(tmp_path)
    given = place.relative_to(tmp_path)
    run_on(StackSource(given, settle=0.1) if stack else folder(given), tmp_path / "live.zarr", quick)
    assert open_result(tmp_path / "live.zarr").attrs["input"] == str(place)


@pytest.mark.parametrize("stack", [False, True])
def test_what_is_read_is_told_once(quick: NetworkClassifier, tmp_path: Path, stack: bool) -> None:
    source = tmp_path / "in"
    source.mkdir()
    np.savez(source / "film.npz", image=MOVIE[:2], pixel_size_nm=0.03)
    told: list[str] = []
    reader = StackSource(source / "film.npz", settle=0.1) if stack else folder(source)
    list(watch(reader, tmp_path / "r.zarr", until_idle=1.0, model=quick, tell=told.append, samples=0))
    line, window = told
    assert line == "film.npz: 40 × 44 px, 0.03 nm/px (from the file)"
    assert window.startswith("window 40 px, step 10: no lattice in the image")


def test_slow_and_half_written_files_in_natural_order(quick: NetworkClassifier, tmp_path: Path) -> None:
    names = ["f10", "f2", "f1", "f11", "f9", "f3"]  # as they appear
    order = ["f1", "f2", "f3", "f9", "f10", "f11"]
    source, output = tmp_path / "in", tmp_path / "out" / "r.zarr"
    source.mkdir()
    np.save(tmp_path / "all.npy", MOVIE[0])

    def write() -> None:
        for name in names:
            np.save(tmp_path / "one.npy", MOVIE[order.index(name)])
            whole = (tmp_path / "one.npy").read_bytes()
            with (source / f"{name}.npy").open("wb") as file:
                for part in range(0, len(whole), 1500):
                    file.write(whole[part : part + 1500])
                    file.flush()
                    time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)
    seen = run_on(folder(source), output, quick, idle=0.8)
    writer.join()
    assert sorted(seen) == sorted(f"{name}.npy" for name in order)  # each once, none lost
    result = open_result(output)
    assert result.sizes["time"] == 6
    as_mapped(output, quick, MOVIE[[order.index(name.removesuffix(".npy")) for name in seen]])


def test_file_that_stays_half_written_is_left_out_by_name_and_taken_when_complete(
    quick: NetworkClassifier, tmp_path: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    for i in range(3):
        np.save(source / f"f{i}.npy", MOVIE[i])
    whole = (source / "f1.npy").read_bytes()
    (source / "f1.npy").write_bytes(whole[:900])
    watched = folder(source, patience=0.4)
    frames = watch(watched, output, until_idle=1.5, model=quick, **OPTIONS)
    with pytest.warns(UserWarning, match=r"left out: .*f1\.npy: truncated"):
        assert [next(frames).line["source"] for _ in range(2)] == ["f0.npy", "f2.npy"]
    (source / "f1.npy").write_bytes(whole)
    assert [frame.line["source"] for frame in frames] == ["f1.npy"]
    as_mapped(output, quick, MOVIE[[0, 2, 1]])


def test_a_file_that_is_waited_for_is_no_idleness(quick: NetworkClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    (source / "f0.npy").write_bytes(b"junk")
    np.save(source / "f1.npy", MOVIE[1])
    with pytest.warns(UserWarning, match=r"left out: .*f0\.npy"):
        assert run_on(folder(source, patience=0.9), output, quick, 0.3) == ["f1.npy"]


def test_frame_that_does_not_fit_is_left_out(quick: NetworkClassifier, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    np.save(source / "f0.npy", MOVIE[0])
    np.save(source / "f1.npy", MOVIE[1, :, :40])
    np.save(source / "f2.npy", np.where(np.eye(40, 44) > 0, np.nan, MOVIE[2]))
    np.save(source / "f3.npy", MOVIE[3])
    (source / "notes.txt").write_text("not a frame")
    with pytest.warns(UserWarning, match="left out") as said:
        assert run_on(folder(source, patience=0.2), tmp_path / "r.zarr", quick, 0.9) == ["f0.npy", "f2.npy", "f3.npy"]
    text = " ".join(str(one.message) for one in said)
    assert "40 × 40 px, but those before have 40 × 44 px" in text


def test_a_first_frame_that_cannot_be_mapped_sets_no_size(quick: NetworkClassifier, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    np.save(source / "f0.npy", MOVIE[0, :20, :20])
    np.save(source / "f1.npy", MOVIE[1])
    np.save(source / "f2.npy", MOVIE[2])
    with pytest.warns(UserWarning, match="left out: the window of 32 × 32 px does not fit into the frame of 20 × 20"):
        assert run_on(folder(source, patience=0.2), tmp_path / "r.zarr", quick, 0.9) == ["f1.npy", "f2.npy"]


def test_stopped_and_started_again_without_loss_or_duplication(quick: NetworkClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    np.save(source / "f0.npy", MOVIE[:2])  # two frames in one file
    for i in range(1, 4):
        np.save(source / f"f{i}.npy", MOVIE[i + 1])
    first = watch(folder(source), output, model=quick, **OPTIONS)
    assert [next(first).line["source"] for _ in range(3)] == ["f0.npy [0]", "f0.npy [1]", "f1.npy"]
    first.close()
    with (output / JOURNAL).open("a") as file:
        file.write('{"frame": 3, "sou')  # a crash within a line
    np.save(source / "f4.npy", MOVIE[5])
    assert run_on(folder(source), output, quick) == ["f2.npy", "f3.npy", "f4.npy"]
    assert run_on(folder(source), output, quick) == []
    as_mapped(output, quick, MOVIE)
    assert [line["source"] for line in journal_of(output)][-1] == "f4.npy"


def test_other_settings_and_other_results_are_refused(quick: NetworkClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    np.save(source / "f0.npy", MOVIE[0])
    run_on(folder(source), output, quick)
    others = [
        ({"step": 4}, r"\(--step 8 px there, 4 px now\)"),
        ({"window": 40, "step": None}, r"\(--window 32 px there, 40 px now, --step 8 px there, 10 px now\)"),
        ({"frame_time": 2.0}, r"\(--frame-time not given there, 2.0 s now\)"),
    ]
    for other, difference in others:  # before a new frame comes, for which this would wait without end
        with pytest.raises(OutputError, match="made differently " + difference):
            next(watch(folder(source), output, model=quick, **OPTIONS | other))
    other_size = r"\(--pixel-size not given there, 0\.06 nm now\)"
    for given in (FolderSource(source, pixel_size=0.03, bin=2), StackSource(source / "f0.npy", pixel_size=0.03, bin=2)):
        with pytest.raises(OutputError, match="made differently " + other_size):
            next(watch(given, output, model=quick, **OPTIONS))
    left_open = OPTIONS | {"window": "auto", "step": None}
    for same in ({"step": None}, {"nan": "fill"}, left_open):
        assert list(watch(folder(source), output, until_idle=0.3, model=quick, **OPTIONS | same)) == []
    np.save(source / "f1.npy", MOVIE[1])
    map_phases(MOVIE, model=quick, output=tmp_path / "map.zarr", **OPTIONS)
    with pytest.raises(OutputError, match="not a result of `bravaismap watch`"):
        run_on(folder(source), tmp_path / "map.zarr", quick)
    with pytest.raises(InputError, match="no such folder"):
        FolderSource(tmp_path / "nowhere")


def first_map(quick: NetworkClassifier) -> tuple[PhaseMap, dict[str, Any]]:
    phases = map_phases(MOVIE[0], model=quick, **OPTIONS)
    return phases, {k: v for k, v in phases.attrs.items() if k != "input_sha256"}


def test_second_process_is_refused(quick: NetworkClassifier, tmp_path: Path) -> None:
    phases, card = first_map(quick)
    store = LiveStore(tmp_path / "r.zarr", phases, card)
    refused = rf"r\.zarr is being written by process {os.getpid()} on this computer since"
    with pytest.raises(OutputError, match=refused):
        LiveStore(tmp_path / "r.zarr", phases, card)
    with pytest.raises(OutputError, match=refused):
        map_phases(MOVIE, model=quick, output=tmp_path / "r.zarr", overwrite=True, **OPTIONS)
    store.append(phases, "f0")
    store.close()
    LiveStore(tmp_path / "r.zarr", phases, card).close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.zarr"]


def test_lock_of_a_dead_process_is_taken_over_and_of_another_computer_named(
    quick: NetworkClassifier, tmp_path: Path
) -> None:
    phases, card = first_map(quick)
    lock = tmp_path / ".r.zarr.lock"
    held = {"pid": os.getpid(), "host": platform.node(), "process_start": "another", "since": "noon"}
    lock.write_text(json.dumps(held))
    LiveStore(tmp_path / "r.zarr", phases, card).close()
    assert not lock.exists()
    lock.write_text(json.dumps(held | {"host": "microscope"}))
    with pytest.raises(OutputError, match=r"on microscope since noon.*remove .*\.r\.zarr\.lock"):
        LiveStore(tmp_path / "r.zarr", phases, card)
    assert lock.exists()


def test_lock_is_given_back_when_the_output_is_refused(quick: NetworkClassifier, tmp_path: Path) -> None:
    phases, card = first_map(quick)
    LiveStore(tmp_path / "r.zarr", phases, card).close()
    with pytest.raises(OutputError, match="made differently"):
        LiveStore(tmp_path / "r.zarr", phases, card | {"step": 4})
    (tmp_path / "file.zarr").write_text("no result")
    with pytest.raises(OutputError, match="not a result of `bravaismap watch`"):
        LiveStore(tmp_path / "file.zarr", phases, card)
    with pytest.raises(OutputError, match="cannot be written"):
        LiveStore(tmp_path / "file.zarr" / "r.zarr", phases, card)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.zarr", "r.zarr"]


def test_frames_that_another_process_added_are_not_added_twice(
    quick: NetworkClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    for i in range(3):
        np.save(source / f"f{i}.npy", MOVIE[i])
    assert len(run_on(folder(source), output, quick)) == 3
    monkeypatch.setattr("bravaismap.live.watching.journal_of", lambda path: journal_of(path)[:1])
    with pytest.raises(OutputError, match="another process has added frames"):
        run_on(folder(source), output, quick)
    assert len(journal_of(output)) == 3


def test_growing_result_opens_at_any_time_and_without_a_warning(quick: NetworkClassifier, tmp_path: Path) -> None:
    phases, card = first_map(quick)
    store = LiveStore(tmp_path / "r.zarr", phases, card | {"frame_time_s": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(66):  # beyond one block
            store.append(phases, f"f{i}")
            if i in (0, 63, 65):
                result = open_result(tmp_path / "r.zarr")
                assert result.sizes["time"] == i + 1
                assert np.isfinite(result["probability"].values).all()
        label = zarr.open_group(tmp_path / "r.zarr")["label"]
        label.resize((200, *label.shape[1:]))  # a crash while the arrays grow
        assert open_result(tmp_path / "r.zarr").sizes["time"] == 66
        store.close()
        plain = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    assert plain.sizes["time"] == 66
    assert plain["frame_done"].values.all()
    assert (float(plain["time"][65]), plain["time"].attrs["units"]) == (32.5, "s")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no fork on this system")
def test_killed_at_any_moment_and_started_again(weights: Path, quick: NetworkClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "r.zarr"
    source.mkdir()
    for i in range(24):
        np.save(source / f"f{i}.npy", MOVIE[i % 6])
    goals = (2, 7, 12, 17)
    killing = subprocess.run(
        [sys.executable, Path(__file__).with_name("repeated_kills.py"), source, weights, output, *map(str, goals)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert killing.returncode == 0, killing.stderr
    for goal, count in zip(goals, map(int, killing.stdout.split()), strict=True):
        assert goal <= count < 24
    run_on(FolderSource(source, settle=0.05), output, quick, idle=1.0)
    assert [line["source"] for line in journal_of(output)] == [f"f{i}.npy" for i in range(24)]
    as_mapped(output, quick, MOVIE[np.arange(24) % 6])


# A stack that grows


def grow_npy(path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(MOVIE)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # announces all six frames
        for frame in MOVIE:
            for half in np.array_split(frame, 2):
                file.write(half.tobytes())
                file.flush()
                time.sleep(0.03)


def grow_hdf5(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("movie", (0, 40, 44), MOVIE.dtype, maxshape=(None, 40, 44), chunks=(1, 40, 44))
        file.swmr_mode = True
        for i, frame in enumerate(MOVIE):
            data.resize(i + 1, axis=0)
            data.flush()  # the frame is there, but blank
            time.sleep(0.03)
            data[i] = frame
            data.flush()
            time.sleep(0.03)


def grow_tiff(path: Path) -> None:
    import tifffile

    for frame in MOVIE:
        tifffile.imwrite(path, frame, append=True)
        time.sleep(0.05)


@pytest.mark.parametrize(("name", "grow"), [("stack.npy", grow_npy), ("stack.h5", grow_hdf5), ("stack.tif", grow_tiff)])
def test_growing_stack(name: str, grow: Callable[[Path], None], quick: NetworkClassifier, tmp_path: Path) -> None:
    path, output = tmp_path / name, tmp_path / "r.zarr"
    writer = threading.Thread(target=grow, args=(path,))
    writer.start()
    seen = run_on(StackSource(path, settle=0.2), output, quick, idle=0.8)
    writer.join()
    assert seen == [f"{name} [{i}]" for i in range(6)]
    as_mapped(output, quick, MOVIE)
    assert run_on(StackSource(path, settle=0.1), output, quick) == []


# Alarms and the command


def test_alarm_is_written_down_once(quick: NetworkClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = tmp_path / "in", tmp_path / "out" / "r.zarr"
    source.mkdir()
    for i in range(6):
        np.save(source / f"f{i}.npy", np.full((40, 44), 5.0) + (i > 99))

    def growing(*_: Any) -> PhaseMap:
        phases = map_phases(MOVIE[0], model=quick, **OPTIONS)
        growing.share += 0.02  # type: ignore[attr-defined]
        phases["fraction"].values[:, -1] = growing.share  # type: ignore[attr-defined]
        return phases

    growing.share = 0.02  # type: ignore[attr-defined]
    monkeypatch.setattr("bravaismap.live.mapping.map_movie", growing)
    seen = []
    for _ in range(2):  # the second run has nothing new
        alarms = [Alarm(parse_rule("none>0.05"), 3)]
        seen += [frame.alarms for frame in watch(folder(source), output, alarms=alarms, until_idle=1.0)]
    assert [len(one) for one in seen] == [0, 0, 0, 1, 0, 0]
    (line,) = [json.loads(text) for text in (output.parent / "alarms.jsonl").read_text().splitlines()]
    assert (line["alarm"], line["frame"], line["source"]) == ("none above 5 % and growing", 3, "f3.npy")
    assert (line["fraction"], line["per_frame"]) == (pytest.approx(0.10), pytest.approx(0.02))


def test_command(run: Callable[..., Any], weights: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for i in range(3):
        np.save(source / f"f{i}.npy", MOVIE[i])
    options = ("--model", weights, "--samples", 0, "--window", 32, "--step", 8, "--until-idle", 0.4, "--settle", 0.1)
    done = run("watch", source, "-o", tmp_path / "out" / "r.zarr", "--alarm", "none>0.05", *options)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if ".npy" in line]
    assert [line.split()[:2] for line in lines] == [[str(i), f"f{i}.npy"] for i in range(3)]
    assert all(" %" in line for line in lines)
    assert "3 frames classified" in done.out
    run("watch", *options).refused("either a folder to watch or --follow FILE")
    run("watch", source, "--alarm", "none", *options).refused("the alarm 'none' was given")


def crystals() -> np.ndarray:
    """Return two frames of a square crystal with a void that grows."""
    rows, columns = np.mgrid[:96, :96]
    clean = (2 + np.cos(2 * np.pi * rows / 9) + np.cos(2 * np.pi * columns / 9)) / 4
    void = np.hypot(rows - 48, columns - 40)
    frames = np.stack([np.where(void < radius, 0.0, clean) for radius in (14, 24)])
    return np.random.default_rng(2).poisson(30 * frames + 2).astype(np.uint16)


def test_pixels_of_live_frames_are_those_of_a_map_and_their_areas_are_told(tmp_path: Path) -> None:
    source, movie = tmp_path / "in", crystals()
    source.mkdir()
    for i, frame in enumerate(movie):
        np.save(source / f"f{i}.npy", frame)
    options: dict[str, Any] = {"window": 48, "step": 12, "samples": 0}
    told = list(watch(folder(source), tmp_path / "r.zarr", until_idle=0.8, **options))
    live, mapped = open_result(tmp_path / "r.zarr").load(), map_phases(movie, **options)
    for name in ("phase", "frame_lattice", "amplitude", "displacement", "area_fraction", "py"):
        np.testing.assert_allclose(live[name], mapped[name], atol=0.02)
    area = mapped["area_fraction"].sel(lattice="none").values
    sites = np.hypot(*(np.stack(np.meshgrid(np.arange(0, 96, 9), np.arange(0, 96, 9))) - [[[40]], [[48]]]))
    cells = [(sites < radius).sum() * 9**2 / 96**2 for radius in (14, 24)]  # of the atoms that are missing
    np.testing.assert_allclose(area, cells, atol=0.02)
    assert [frame.line["fraction"]["none"] for frame in told] == pytest.approx(area.tolist(), abs=1e-5)


def test_a_live_result_without_pixels_goes_on_without_them(tmp_path: Path) -> None:
    source, movie = tmp_path / "in", crystals()
    source.mkdir()
    np.save(source / "f0.npy", movie[0])
    options: dict[str, Any] = {"window": 48, "step": 24, "samples": 0, "until_idle": 0.8}
    list(watch(folder(source), tmp_path / "r.zarr", pixels=False, **options))
    np.save(source / "f1.npy", movie[1])
    list(watch(folder(source), tmp_path / "r.zarr", **options))
    live = open_result(tmp_path / "r.zarr")
    assert live.sizes["time"] == 2
    assert "phase" not in live
    assert np.isfinite(live["fraction"].values).all()
