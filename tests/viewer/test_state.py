"""What the viewer shows, without a page: clicks, regions, sources, pictures, windows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.classify.settings import Settings
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell, reciprocal
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import variables_of
from bravaismap.result.store import ResultStore
from bravaismap.viewer import state
from bravaismap.viewer.curves import Curves, fit_of
from bravaismap.viewer.mapped import MappedMovie, open_source
from bravaismap.viewer.pictures import contrast, grey, overlay, scale_bar
from bravaismap.viewer.source import HeldResult, StoredResult
from bravaismap.viewer.window import cut, indexed_spots, spectrum_plane, window_view
from bravaismap.windows import cut_windows, window_grid

SIZE, WINDOW, STEP, PIXEL = 160, 64, 40, 0.05


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    """Simulate a film of two frames, calibrated."""
    return bm.simulate_film(2, SIZE, seed=1, pixel_size=PIXEL)["image"]


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> PhaseMap:
    """Map it: the last window along each axis lies nearer than the others."""
    return bm.map_phases(movie, window=WINDOW, step=STEP)


def store_of(result: PhaseMap, path: Path, frames: int) -> ResultStore:
    """Write the first frames of a result as `map` does."""
    coords = {dim: result[dim] for dim in ("time", "y", "x", "lattice")}
    store = ResultStore(path, coords, result.attrs, variables=variables_of(result))
    for index in range(frames):
        write(store, result, index)
    return store


def write(store: ResultStore, result: PhaseMap, index: int) -> None:
    store.write_frame(index, {str(name): values.values[index] for name, values in result.data_vars.items()})


# clicks and regions


def test_a_click_chooses_the_nearest_window(result: PhaseMap) -> None:
    source = HeldResult(result)
    y, x = result["y"].values, result["x"].values
    assert state.window_at(y[2], x[1], y, x, source.extent) == (2, 1)
    assert state.window_at(y[2] + 0.4 * STEP * PIXEL, x[1] - 0.4 * STEP * PIXEL, y, x, source.extent)[1] == 1
    assert state.window_at(0.0, 0.0, y, x, source.extent) == (0, 0)  # a margin belongs to the window at the edge
    for outside in ((-1.0, 1.0), (1.0, SIZE * PIXEL + 0.1)):
        assert state.window_at(*outside, y, x, source.extent) is None


def test_window_and_frame_lie_where_their_pixels_do(movie: xr.DataArray, result: PhaseMap) -> None:
    source = HeldResult(result, movie)
    grid = window_grid((SIZE, SIZE), WINDOW, STEP)
    expected = cut_windows(movie.values[0], grid).reshape(*grid.shape, WINDOW, WINDOW)
    assert source.extent.y0 == pytest.approx(-PIXEL / 2)
    assert source.extent.x1 == pytest.approx((SIZE - 0.5) * PIXEL)
    for row, column in ((0, 0), (1, 2), (grid.shape[0] - 1, grid.shape[1] - 1)):
        bounds = state.window_bounds(row, column, source.y, source.x, WINDOW, PIXEL)
        found = cut(source.pixels(0), bounds, source.extent, PIXEL)
        np.testing.assert_array_equal(found, expected[row, column])


def test_the_origin_of_an_aligned_movie_is_kept(movie: xr.DataArray) -> None:
    later = movie.isel(y=slice(16, None), x=slice(10, None))
    source = HeldResult(bm.map_phases(later[:1], window=WINDOW, step=STEP), later)
    assert source.extent.y0 == pytest.approx(15.5 * PIXEL)
    bounds = state.window_bounds(0, 0, source.y, source.x, WINDOW, PIXEL)
    np.testing.assert_array_equal(cut(source.pixels(0), bounds, source.extent, PIXEL), later[0, :WINDOW, :WINDOW])


def test_nearest_frame() -> None:
    times = np.array([0.0, 2.0, 4.0])
    assert [state.frame_at(t, times) for t in (-5, 0.9, 1.1, 99)] == [0, 0, 1, 2]
    assert state.time_text(times, 1, "s") == "frame 1 of 0 to 2 · t = 2 s"
    assert state.time_text(times, 1, "frame") == "frame 1 of 0 to 2"


def test_region_in_words(result: PhaseMap) -> None:
    y, x = result["y"].values, result["x"].values
    assert state.parse_region(" ", y, x) is None
    region = state.parse_region("3:1, :2.5", y, x)
    assert (region.y0, region.y1, region.x1) == (1, 3, 2.5)
    assert region.x0 < x[0]
    again = state.parse_region(str(region), y, x)
    assert again is not None
    assert (again.y0, again.y1, again.x1) == (1, 3, 2.5)
    for text, said in (("here", "expected y0:y1,x0:x1"), ("0:0.1,0:0.1", "larger"), ("1:2", "expected")):
        with pytest.raises(InputError, match=said):
            state.parse_region(text, y, x)


def test_region_statistics(result: PhaseMap) -> None:
    frame = result.isel(time=[1])
    y, x = result["y"].values, result["x"].values
    region = state.Region(y[0] - 0.01, y[1] + 0.01, x[1] - 0.01, x[2] + 0.01)
    found = state.region_statistics(frame, region)
    inside = result.isel(time=1, y=slice(0, 2), x=slice(1, 3))
    assert found.windows == 4
    np.testing.assert_allclose(found.fraction, inside["probability"].mean(("y", "x")), rtol=1e-6)
    np.testing.assert_array_equal(found.count, [(inside["label"] == i).sum() for i in range(len(CLASSES))])
    best = int(found.count.argmax())
    chosen = inside["a"].values[inside["label"].values == best]
    assert found.cell["a"][best] == pytest.approx(np.median(chosen), rel=1e-6)
    assert found.spread["a"][best] == pytest.approx(chosen.std(ddof=1), rel=1e-4)
    table = state.region_table(found, "nm")
    assert table[0][:4] == ["phase", "windows", "fraction", "a (nm)"]
    assert len(table) == 1 + len(CLASSES)


def test_region_of_the_whole_frame_is_the_frame(result: PhaseMap) -> None:
    found = state.region_statistics(result.isel(time=[0]), None)
    np.testing.assert_allclose(found.fraction, result["fraction"][0], atol=1e-6)
    np.testing.assert_allclose(found.fraction_std, result["fraction_std"][0], atol=1e-6)


def test_orientations_about_the_end_of_their_period_have_a_median(result: PhaseMap) -> None:
    frame = result.isel(time=[0]).copy(deep=True)
    frame["label"][:] = CLASSES.index("hexagonal")
    turned = np.where(np.arange(frame["label"].size).reshape(frame["label"].shape) % 2, 59.0, 121.5)
    frame["orientation"][:] = turned
    found = state.region_statistics(frame, None)
    i = CLASSES.index("hexagonal")
    expected = np.median(np.where(turned == 59.0, 59.0, 61.5)) % 60
    assert found.cell["orientation"][i] == pytest.approx(expected, abs=0.01)
    assert found.spread["orientation"][i] < 2


# another distortion


def test_classified_anew_is_reclassify(result: PhaseMap) -> None:
    expected = bm.reclassify(result, 0.004)
    frame = state.anew(result.isel(time=[1]), 0.004)
    for name in ("probability", "label", "entropy", "a", "gamma", "deviation", "fraction", "fraction_std"):
        np.testing.assert_array_equal(frame[name].values[0], expected[name].values[1], err_msg=name)
    assert frame.attrs == expected.attrs
    one = state.one_window(result.isel(time=[1]), 1, 2, 0.004)
    # draws are worked out in single precision, and a window alone in other vectors than among others
    np.testing.assert_allclose(one["probability_std"], expected["probability_std"][1, 1, 2], rtol=1e-6, atol=1e-8)
    same = result.isel(time=[0])
    assert state.anew(same, result.attrs["distortion"]) is same


def test_curves_are_classified_anew_in_the_background(result: PhaseMap) -> None:
    source = HeldResult(result)
    curves = Curves(source)
    np.testing.assert_array_equal(curves.values()[0], result["fraction"].values)
    curves.change(0.004)
    until(lambda: curves.left() == 0)
    expected = bm.reclassify(result, 0.004)
    np.testing.assert_array_equal(curves.values()[0], expected["fraction"].values)
    np.testing.assert_array_equal(curves.values()[1], expected["fraction_std"].values)
    curves.change(result.attrs["distortion"])
    assert curves.left() == 0
    np.testing.assert_array_equal(curves.dataset()["fraction"].values, result["fraction"].values)
    curves.close()


# growth


def curve(values: np.ndarray) -> xr.Dataset:
    time = ("time", np.arange(len(values)) * 2.0, {"units": "s"})
    both = np.stack([1 - values, values], axis=1)
    return xr.Dataset(
        {"fraction": (("time", "lattice"), both), "fraction_std": (("time", "lattice"), np.full_like(both, 0.01))},
        coords={"time": time, "lattice": ["hexagonal", "none"]},
    )


def test_a_fit_says_its_parameters() -> None:
    noise = np.random.default_rng(1).normal(0, 0.003, 40)
    fit = fit_of(curve(0.02 * np.exp(0.025 * np.arange(40) * 2.0) + noise), "none", "exponential")
    assert fit.text.startswith("none = A0 exp(rho t) + C: A0 = ")
    rate = float(fit.growth["value"].sel(parameter="rho"))
    assert rate == pytest.approx(0.025, rel=0.1)
    assert f"rho = {rate:.3g} (" in fit.text
    assert "1/s" in fit.text
    assert len(fit.curve) == 40


@pytest.mark.parametrize(
    ("baseline", "said"), [("", "rho is not determined"), ("x", "expected t0:t1"), ("0:1", "expected at least 2")]
)
def test_a_refused_fit_says_why(baseline: str, said: str) -> None:
    flat = 0.1 + np.random.default_rng(0).normal(0, 0.01, 20)
    fit = fit_of(curve(flat), "none", "exponential", baseline)
    assert fit.text.startswith("none: no fit: ")
    assert said in fit.text
    assert fit.growth is None
    assert not len(fit.curve)


# sources


def until(true: object, patience: float = 30.0) -> None:
    """Wait until a function returns something true."""
    end = time.monotonic() + patience
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


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
    np.testing.assert_array_equal(source.fraction, result["fraction"].values)
    store.close()


def test_a_result_is_followed_in_the_background(result: PhaseMap, tmp_path: Path) -> None:
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
    np.testing.assert_allclose(source.fraction, result["fraction"].values)
    store.close()


def test_a_result_is_read_frame_by_frame(result: PhaseMap, tmp_path: Path) -> None:
    store_of(result, tmp_path / "film.zarr", 2).close()
    for name in ("probability", "basis", "label"):
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
        ((tmp_path / "film.zarr", movie[:1]), {}, "1 frames, the result 2"),
        ((result[["a"]],), {}, "no map of phases"),
    )
    for given, options, said in wrong:
        with pytest.raises(InputError, match=said):
            open_source(*given, **options)


def test_another_movie_of_the_same_size_is_noticed(result: PhaseMap, movie: xr.DataArray) -> None:
    assert HeldResult(result, movie).problem == ""
    assert "not the one that was mapped" in HeldResult(result, movie + 1).problem


@pytest.mark.parametrize(
    ("state_of", "said"),
    [
        ({"done": 0, "growing": True}, "No frame is mapped yet. This page follows"),
        ({"done": 0, "growing": True, "mapping": True}, "being mapped"),
        ({"done": 0}, "map the movie"),
        ({"done": 3, "growing": True}, "not mapped yet (3 of 5 are)"),
        ({"done": 5, "frame_done": True}, ""),
        ({"done": 5, "frame_done": True, "problem": "no disk"}, "no disk"),
    ],
)
def test_messages(state_of: dict[str, object], said: str) -> None:
    usual = {"total": 5, "growing": False, "mapping": False, "problem": "", "frame_done": False}
    text = state.empty_message(**(usual | state_of))
    assert said in text
    assert bool(text) == bool(said)


# pictures


def test_grey_values_and_scale_bar() -> None:
    frame = np.linspace(0, 1, 64).reshape(8, 8)
    picture = grey(frame, (0.25, 0.75))
    assert picture.dtype == np.uint8
    assert (picture[0, 0], picture[-1, -1]) == (0, 255)
    assert grey(np.zeros((2500, 2100)), (0, 1)).shape == (833, 700)
    assert contrast([np.full((9, 9), 3.0)]) == (3.0, 4.0)
    assert [scale_bar(width) for width in (14.7, 512, 0.9)] == pytest.approx([2, 100, 0.2])


def test_overlays(result: PhaseMap) -> None:
    frame = result.isel(time=[0])
    classes = overlay(frame, "label")
    assert (classes.low, classes.high, len(classes.palette)) == (-0.5, 5.5, 6)
    bounds = classes.bounds
    assert bounds.y0 < float(result["y"][0]) < float(result["y"][-1]) < bounds.y1
    # on a regular grid, each window has the share of the map that lies nearest to it
    rows = len(classes.values)
    for i, y in enumerate(result["y"].values):
        place = int((y - bounds.y0) / (bounds.y1 - bounds.y0) * rows)
        place_x = int((float(result["x"][0]) - bounds.x0) / (bounds.x1 - bounds.x0) * classes.values.shape[1])
        assert classes.values[place, place_x] == int(frame["label"][0, i, 0])
    probability = overlay(frame, "probability:hexagonal")
    assert (probability.low, probability.high) == (0, 1)
    assert overlay(frame, "entropy").high == pytest.approx(np.log(6))
    assert overlay(frame, "deviation:square").unit == "%"
    turned = overlay(frame, "orientation")
    assert np.nanmax(turned.values) <= turned.high
    keys = [key for group in state.layers_of(set(result.variables), CLASSES).values() for key in group.values()]
    assert len(keys) == 1 + 6 + 5 + 4
    for key in keys:
        assert np.isfinite(overlay(frame, key).low)


# one window


def test_spots_are_indexed_by_the_cell() -> None:
    basis = basis_from_cell(9.0, 12.0, np.radians(80), 0.3)
    y, x = np.mgrid[:96, :96]
    image = np.zeros((96, 96))
    nodes = {(1, 0): 1.0, (0, 1): 0.8, (1, 1): 0.6, (2, 0): 0.4}
    for (h, k), height in nodes.items():
        g = h * reciprocal(basis)[0] + k * reciprocal(basis)[1]
        image += height * np.cos(2 * np.pi * (g[0] * y + g[1] * x))
    image += 0.5 * np.cos(2 * np.pi * (0.31 * y + 0.02 * x)) + np.random.default_rng(0).normal(0, 0.3, image.shape)
    spots = indexed_spots(image, basis)
    known = spots.indexed
    found = {(int(h) * s, int(k) * s) for h, k in zip(spots.h[known], spots.k[known], strict=True) for s in (1, -1)}
    assert set(nodes) <= found
    stray = np.hypot(abs(spots.k_y) - 0.31, abs(spots.k_x) - 0.02).argmin()
    assert not spots.indexed[stray]
    measured = indexed_spots(image, None)
    assert measured.indexed.sum() >= 4


def test_spectrum_is_that_of_the_package() -> None:
    y, x = np.mgrid[:64, :64]
    plane = spectrum_plane(np.cos(2 * np.pi * (8 * x + 4 * y) / 64))
    row, column = np.unravel_index(plane.argmax(), plane.shape)
    assert {(row - 32, column - 32), (32 - row, 32 - column)} == {(4, 8), (-4, -8)}


def test_window_view(result: PhaseMap, movie: xr.DataArray) -> None:
    frame = result.isel(time=[0])
    row = state.one_window(frame, 0, 1, result.attrs["distortion"])
    pixels = movie.values[0, :WINDOW, STEP : STEP + WINDOW]
    view = window_view(row, pixels, PIXEL)
    assert view.label == CLASSES[int(frame["label"][0, 0, 1])]
    lines = dict(view.lines)
    assert lines["a"].startswith(f"{float(frame['a'][0, 0, 1]):.3f}"[:4])
    assert " ± " in lines["γ"]
    assert "hexagonal" in lines["deviation"]
    assert view.tau.imag >= 0.86
    assert view.spots.indexed.any()
    assert window_view(row, None, PIXEL).plane is None
