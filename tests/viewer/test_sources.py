"""Frames and maps from a result on disk or in memory, or from a movie that is mapped meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bravaismap.classify.settings import Settings
from bravaismap.errors import InputError
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import AXES, variables_of
from bravaismap.result.store import ResultStore
from bravaismap.viewer.movie_source import MappedMovie, open_source
from bravaismap.viewer.result_source import HeldResult, StoredResult

SIZE, WINDOW, STEP, PIXEL = 160, 64, 40, 0.05


def store_of(result: PhaseMap, path: Path, frames: int) -> ResultStore:
    """Write the first frames of a result as `map` does."""
    coords = {dim: result[dim] for dim in AXES if dim in result.coords}
    store = ResultStore(path, coords, result.attrs, variables=variables_of(result))
    for index in range(frames):
        write(store, result, index)
    return store


def write(store: ResultStore, result: PhaseMap, index: int) -> None:
    store.write_frame(index, {str(name): values.values[index] for name, values in result.data_vars.items()})


def test_a_growing_result(result: PhaseMap, movie: xr.DataArray, tmp_path: Path) -> None:
    store = store_of(result, tmp_path / "film.zarr", 0)
    source = StoredResult(tmp_path / "film.zarr", movie)
    assert not source.update()
    assert source.frame(0) is None
    assert not source.done.any()
    version = source.version
    assert not source.update()
    assert source.version == version  # nothing new, nothing read
    write(store, result, 1)
    source.update()
    assert source.done.tolist() == [False, True]
    assert source.frame(0) is None
    np.testing.assert_array_equal(source.frame(1)["label"].values[0], result["label"].values[1])
    assert np.isnan(source.fraction[0]).all()
    write(store, result, 0)
    source.update()
    assert source.done.all()
    np.testing.assert_array_equal(source.fraction, result["area_fraction"].values)
    store.close()


def test_a_result_is_followed_in_the_background(result: PhaseMap, tmp_path: Path, until: Callable[..., None]) -> None:
    store = store_of(result, tmp_path / "film.zarr", 1)
    source = StoredResult(tmp_path / "film.zarr")
    source.start()
    until(lambda: source.done.tolist() == [True, False])
    write(store, result, 1)
    until(lambda: source.done.all())
    assert source.close()
    store.close()


def test_a_live_result_grows_longer(result: PhaseMap, tmp_path: Path) -> None:
    from bravaismap.result.live_store import LiveStore

    card = {key: value for key, value in result.attrs.items() if key != "input_sha256"} | {"frame_time_s": 1.5}
    store = LiveStore(tmp_path / "live.zarr", result.isel(time=[0]), card)
    store.append(result.isel(time=[0]), "a.tif")
    source = StoredResult(tmp_path / "live.zarr")
    source.update()
    assert len(source.time) == 1
    store.append(result.isel(time=[1]), "b.tif")
    source.update()
    np.testing.assert_allclose(source.time, [0, 1.5])
    np.testing.assert_allclose(source.fraction, result["area_fraction"].values)
    store.close()


def test_a_result_is_read_frame_by_frame(result: PhaseMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bravaismap.result.zarr_store._MOST_TOGETHER", 1)
    store_of(result, tmp_path / "film.zarr", 2).close()
    for name in ("probability", "basis", "label", "phase"):
        shutil.rmtree(tmp_path / "film.zarr" / name / "c" / "1")
    source = StoredResult(tmp_path / "film.zarr")
    assert source.frame(0) is not None
    (tmp_path / "film.zarr" / "label" / "c" / "1" / "0").mkdir(parents=True)
    (tmp_path / "film.zarr" / "label" / "c" / "1" / "0" / "0").write_bytes(b"no chunk")
    assert source.frame(1) is None
    assert "damaged" in source.problem


def test_a_movie_is_mapped_from_the_frame_that_is_looked_at(movie: xr.DataArray, result: PhaseMap) -> None:
    source = MappedMovie(movie, settings=Settings(window=WINDOW, step=STEP))
    source.want(1)
    assert source.map_next() == 1
    assert source.done.tolist() == [False, True]
    assert source.frame(0) is None
    assert source.map_next() == 0
    assert source.map_next() is None
    for index in (0, 1):
        for name in ("probability", "a", "fraction"):
            np.testing.assert_array_equal(source.frame(index)[name].values[0], result[name].values[index])
    assert {key: source.card[key] for key in source.card} == {key: result.attrs[key] for key in source.card}


def test_a_frame_that_cannot_be_mapped_is_left_out(movie: xr.DataArray) -> None:
    pixels = movie.values.astype(float)
    pixels[0, 3, 4] = np.nan
    source = MappedMovie(pixels, settings=Settings(window=WINDOW, step=STEP, nan="raise"))
    while source.map_next() is not None:
        pass
    assert source.done.tolist() == [False, True]
    assert "frame 0" in source.problem
    assert "NaN" in source.problem


def test_sources_by_what_is_given(result: PhaseMap, movie: xr.DataArray, tmp_path: Path) -> None:
    store_of(result, tmp_path / "film.zarr", 2).close()
    np.save(tmp_path / "film.npy", movie.values)
    assert isinstance(open_source(result), HeldResult)
    assert isinstance(open_source(str(tmp_path / "film.zarr")), StoredResult)
    mapped = open_source(tmp_path / "film.npy", window=WINDOW, pixel_size=PIXEL, model=None)
    assert isinstance(mapped, MappedMovie)
    assert (mapped.card["window"], mapped.card["pixel_size_nm"]) == (WINDOW, PIXEL)
    assert open_source(tmp_path / "film.zarr").movie is None  # never the path of the run card
    assert open_source(tmp_path / "film.zarr", tmp_path / "film.npy").pixels(1).shape == (SIZE, SIZE)


def test_what_does_not_go_together_is_refused(result: PhaseMap, movie: xr.DataArray, tmp_path: Path) -> None:
    store_of(result, tmp_path / "film.zarr", 1).close()
    np.save(tmp_path / "film.npy", movie.values)
    wrong = (
        ((tmp_path / "no.zarr",), {}, "no such result"),
        ((tmp_path / "no.tif",), {}, "no.tif"),
        ((tmp_path / "film.zarr",), {"window": 64}, "mapped already"),
        ((tmp_path / "film.npy", tmp_path / "film.npy"), {}, "not a result"),
        ((tmp_path / "film.zarr", movie[:, 1:]), {}, r"frames of 159 × 160 px, the result of 160 × 160 px"),
        ((tmp_path / "film.zarr", movie[:1]), {}, "1 frame, the result 2"),
        ((result[["a"]],), {}, "no map of phases"),
    )
    for given, options, said in wrong:
        with pytest.raises(InputError, match=said):
            open_source(*given, **options)


def test_another_movie_of_the_same_size_is_noticed(result: PhaseMap, movie: xr.DataArray) -> None:
    assert HeldResult(result, movie).problem == ""
    assert "not the one that was mapped" in HeldResult(result, movie + 1).problem
