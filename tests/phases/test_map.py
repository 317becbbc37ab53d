"""`classify` and `map_phases`: what they return, and that nothing depends on how the work is cut."""

from __future__ import annotations

import importlib
import warnings
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.classify.models import MODELS, WHOLE_IMAGE_SIDE, NetworkClassifier, load_model
from bravaismap.classify.settings import IMAGE_SAMPLES
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.phases.image import classify
from bravaismap.phases.map import map_phases
from bravaismap.result.schema import map_variables
from bravaismap.simulate.film import simulate_film
from bravaismap.windows import cut_windows, window_grid

NONE = CLASSES.index("none")


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    """Return three frames of 80 × 100 px."""
    return simulate_film(3, 100, seed=1, pixel_size=0.03)["image"].values[:, :80]


def mapped(movie: Any, quick: NetworkClassifier, **options: Any) -> xr.Dataset:
    return map_phases(movie, model=quick, **{"window": 48, "step": 16, "samples": 20, **options})


# classify


def test_classified_images(quick: NetworkClassifier, windows: np.ndarray) -> None:
    one = classify(windows, model=quick, samples=40, seed=2)
    assert one["probability"].dims == one["probability_std"].dims == ("image", "lattice")
    assert one["lattice"].values.tolist() == list(CLASSES)
    np.testing.assert_allclose(one["probability"].sum("lattice"), 1)
    np.testing.assert_array_equal(one["label"], one["probability"].argmax("lattice"))
    expected = quick.predict(windows, samples=40, seed=2)
    for name in ("probability", "probability_std", "entropy", "mutual_information"):
        np.testing.assert_allclose(one[name], getattr(expected, name), atol=1e-12)
    card = {"model": "quick", "weights_sha256": quick.record.weights_sha256, "samples": 40, "seed": 2}
    assert one.attrs.items() >= (card | {"preprocessing": "window", "size": 128}).items()
    assert one.attrs["version"]


def test_one_image_is_a_set_of_one(quick: NetworkClassifier, windows: np.ndarray) -> None:
    one = classify(windows[3], model=quick, samples=20)
    assert one.sizes == {"image": 1, "lattice": 6}
    np.testing.assert_allclose(
        one["probability"][0], classify(windows, model=quick, samples=20)["probability"][3], atol=1e-6
    )


def test_defaults_are_those_of_the_paper() -> None:
    assert IMAGE_SAMPLES == 5000
    for name in MODELS:
        assert 2 <= load_model(name).record.movie_samples < IMAGE_SAMPLES


def test_image_that_is_not_square_is_cropped_to_its_centre(quick: NetworkClassifier, windows: np.ndarray) -> None:
    wide = np.pad(windows[:2], ((0, 0), (0, 0), (20, 21)), constant_values=255)
    for images in (wide, wide.transpose(0, 2, 1)):
        square = images[:, :, 20:148] if images.shape[2] > 128 else images[:, 20:148]
        cropped, expected = classify(images, model=quick, samples=0), classify(square, model=quick, samples=0)
        np.testing.assert_array_equal(cropped["probability"], expected["probability"])


@pytest.mark.parametrize(("side", "name"), [(WHOLE_IMAGE_SIDE, "window"), (WHOLE_IMAGE_SIDE + 1, "paper")])
def test_large_images_take_the_preprocessing_of_the_paper(quick: NetworkClassifier, side: int, name: str) -> None:
    image = np.random.default_rng(0).normal(0, 1, (side, side))
    one = classify(image, model=quick, samples=0)
    assert one.attrs["preprocessing"] == name
    chosen = classify(image, model=quick, samples=0, preprocessing=name)
    np.testing.assert_array_equal(one["probability"], chosen["probability"])


@pytest.mark.parametrize("samples", [0, 10])
def test_constant_image_has_no_lattice(quick: NetworkClassifier, windows: np.ndarray, samples: int) -> None:
    images = windows[:5].copy()
    images[[1, 3]] = 7
    with pytest.warns(UserWarning, match=r"2 images are constant \(image 1, 3\)"):
        one = classify(images, model=quick, samples=samples, seed=1)
    assert one["label"].values[[1, 3]].tolist() == [NONE, NONE]
    np.testing.assert_array_equal(one["probability"].values[[1, 3]], np.eye(6)[[NONE, NONE]])
    assert (one["entropy"].values[[1, 3]] == 0).all()
    others = classify(images[[0, 2, 4]], model=quick, samples=samples, seed=1)
    np.testing.assert_allclose(one["probability"].values[[0, 2, 4]], others["probability"], atol=1e-6)
    assert np.isnan(one["probability_std"].values).all() == (samples == 0)
    if samples:
        assert (one["probability_std"].values[[1, 3]] == 0).all()
    with pytest.warns(UserWarning, match="1 image is constant"):
        alone = classify(np.full((40, 40), 3.0), model=quick, samples=samples)
    assert alone["probability"].values[0, NONE] == 1


@pytest.mark.parametrize("samples", [1, -3])
def test_numbers_of_samples_that_cannot_be(quick: NetworkClassifier, windows: np.ndarray, samples: int) -> None:
    with pytest.raises(InputError, match=f"{samples} samples.*at least 2, or 0 for none"):
        classify(windows, model=quick, samples=samples)
    with pytest.raises(InputError, match=f"{samples} samples"):
        mapped(windows[0], quick, samples=samples)


def test_images_too_small_or_damaged(quick: NetworkClassifier, windows: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"15 × 40 px.*quick.*at least 16 × 16"):
        classify(np.random.default_rng(0).random((15, 40)), model=quick)
    damaged = windows[:2].astype(float)
    damaged[1, 5, 5] = np.nan
    with pytest.raises(InputError, match=r"1 NaN.*frame 1"):
        classify(damaged, model=quick, nan="raise")
    filled = classify(damaged, model=quick, nan="fill", samples=0)
    np.testing.assert_allclose(
        filled["probability"][0], classify(windows[0], model=quick, samples=0)["probability"][0], atol=1e-6
    )
    assert np.isfinite(filled["probability"]).all()


# map_phases


def test_mapped_is_classified_window_by_window(film: np.ndarray, quick: NetworkClassifier) -> None:
    result = mapped(film, quick, seed=5)
    grid = window_grid((80, 100), 48, 16)
    assert dict(result.sizes) == {"time": 3, "y": 3, "x": 5, "lattice": 6}
    assert set(result.data_vars) == {variable.name for variable in map_variables(cells=False)}
    for frame in range(3):
        expected = quick.predict(cut_windows(film[frame], grid), samples=20, seed=5)
        for name in ("probability", "probability_std", "entropy", "mutual_information"):
            found = result[name].values[frame].reshape(15, *result[name].shape[3:])
            np.testing.assert_allclose(found, getattr(expected, name), atol=1e-6)
        np.testing.assert_array_equal(result["label"].values[frame].ravel(), expected.probability.argmax(axis=1))
        np.testing.assert_allclose(result["fraction"][frame], expected.probability.mean(axis=0), atol=1e-6)
        spread = (expected.pass_total / 15).std(axis=0, ddof=1)
        np.testing.assert_allclose(result["fraction_std"][frame], spread, atol=1e-6)
    for v in map_variables(cells=False):
        array = result[v.name]
        assert (array.dims, array.dtype, array.attrs) == (v.dims, np.dtype(v.dtype), v.attributes)
    np.testing.assert_allclose(result["fraction"].sum("lattice"), 1)


def test_coordinates_are_window_centres(film: np.ndarray, quick: NetworkClassifier) -> None:
    result = mapped(film, quick, samples=0, pixel_size=0.05, frame_time=2.0)
    np.testing.assert_allclose(result["y"], 0.05 * np.array([23.5, 39.5, 55.5]))
    np.testing.assert_allclose(result["x"], 0.05 * np.array([23.5, 39.5, 55.5, 71.5, 75.5]))
    np.testing.assert_allclose(result["time"], [0, 2, 4])
    assert [result[dim].attrs["units"] for dim in ("time", "y", "x")] == ["s", "nm", "nm"]
    pixels = mapped(film, quick, samples=0)
    np.testing.assert_allclose(pixels["x"], [23.5, 39.5, 55.5, 71.5, 75.5])
    assert [pixels[dim].attrs["units"] for dim in ("time", "y", "x")] == ["frame", "px", "px"]


def test_part_of_a_movie_keeps_its_place(film: np.ndarray, quick: NetworkClassifier) -> None:
    movie = as_movie(film, pixel_size=0.05, frame_time=2.0)
    whole = mapped(movie, quick, samples=0)
    part = mapped(movie.isel(time=slice(1, 3), x=slice(16, 80)), quick, samples=0)
    np.testing.assert_allclose(part["x"], whole["x"][1:3])
    np.testing.assert_allclose(part["time"], whole["time"][1:])
    np.testing.assert_allclose(part["probability"], whole["probability"][1:, :, 1:3], atol=1e-6)


def test_run_card(film: np.ndarray, quick: NetworkClassifier) -> None:
    card = mapped(as_movie(film, pixel_size=0.05, attrs={"source": "film.dm4"}), quick, seed=5).attrs
    expected = {
        "model": "quick", "weights_sha256": quick.record.weights_sha256, "samples": 20, "seed": 5, "window": 48,
        "step": 16, "nan": "missing", "input": "film.dm4", "frame_size": [80, 100], "frame_time_s": None,
    }  # fmt: skip
    assert card.items() >= expected.items()
    assert card["pixel_size_nm"] == pytest.approx(0.05)
    assert card["version"]
    for changed in (film[:2], film[:, :, ::-1], film.astype(float)):
        assert mapped(changed, quick, samples=0).attrs["input_sha256"] != card["input_sha256"]
    assert mapped(film.copy(), quick, samples=0).attrs["input_sha256"] == card["input_sha256"]


@pytest.mark.parametrize("chunks", [(1, 80, 100), (2, 80, 100), (3, 33, 41)])
def test_lazy_movies_give_the_same(film: np.ndarray, quick: NetworkClassifier, chunks: tuple[int, ...]) -> None:
    xr.testing.assert_equal(mapped(da.from_array(film, chunks=chunks), quick), mapped(film, quick))


def test_frames_do_not_know_of_each_other(film: np.ndarray, quick: NetworkClassifier) -> None:
    whole = mapped(film, quick)
    backwards = mapped(film[::-1], quick)
    for name in ("probability", "fraction", "fraction_std"):
        np.testing.assert_array_equal(backwards[name][::-1], whole[name])
        np.testing.assert_array_equal(mapped(film[1], quick)[name][0], whole[name][1])


def test_batches_do_not_matter(film: np.ndarray, quick: NetworkClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mapped(film, quick)
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.dropout"), "_SAMPLES_PER_BATCH", 33)
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.models"), "_SPECTRA_PER_BATCH", 4)
    xr.testing.assert_allclose(mapped(film, quick), whole, atol=1e-6)


def test_seed_of_the_passes(film: np.ndarray, quick: NetworkClassifier) -> None:
    first = mapped(film[:1], quick, seed=1)
    xr.testing.assert_identical(mapped(film[:1], quick, seed=1), first)
    assert np.abs(mapped(film[:1], quick, seed=2)["probability"] - first["probability"]).max() > 1e-3


def test_without_samples_there_is_no_spread(film: np.ndarray, quick: NetworkClassifier) -> None:
    result = mapped(film[:1], quick, samples=0)
    for name in ("probability_std", "mutual_information", "fraction_std"):
        assert np.isnan(result[name]).all()
    assert np.isfinite(result["probability"]).all()


def test_constant_frame_is_none_and_said(film: np.ndarray, quick: NetworkClassifier) -> None:
    film = film.copy()
    film[1] = 12
    with pytest.warns(UserWarning, match=r"constant.*none") as caught:
        result = mapped(film, quick)
    assert len(caught) == 1
    assert (result["label"].values[1] == NONE).all()
    np.testing.assert_array_equal(result["fraction"][1], np.eye(6)[NONE])
    np.testing.assert_array_equal(result["fraction_std"][1], 0)


def test_constant_windows_in_a_frame(film: np.ndarray, quick: NetworkClassifier) -> None:
    frame = film[0].copy()
    frame[:, :50] = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = mapped(frame, quick)
    assert (result["label"].values[0, :, 0] == NONE).all()
    np.testing.assert_allclose(result["fraction"][0], result["probability"][0].mean(("y", "x")), atol=1e-6)
    seen = quick.predict(
        cut_windows(frame, window_grid((80, 100), 48, 16))[[i for i in range(15) if i % 5]], samples=20
    )
    spread = ((seen.pass_total + 3 * np.eye(6)[NONE]) / 15).std(axis=0, ddof=1)
    np.testing.assert_allclose(result["fraction_std"][0], spread, atol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_that_are_not_finite(film: np.ndarray, quick: NetworkClassifier, lazy: bool) -> None:
    damaged = film.astype(np.float32)
    damaged[2, 3, 4:7] = np.inf
    movie = da.from_array(damaged, chunks=(1, 80, 100)) if lazy else damaged
    with pytest.raises(InputError, match=r"3 NaN or infinite pixels in 1 of \d frames \(frame 2\)"):
        mapped(movie, quick, samples=0, nan="raise")
    result = mapped(movie, quick, samples=0, nan="fill")
    assert np.isfinite(result["probability"]).all()
    xr.testing.assert_allclose(
        result["probability"][:2], mapped(film.astype(np.float32), quick, samples=0)["probability"][:2], atol=1e-6
    )


def test_progress_counts_frames(film: np.ndarray, quick: NetworkClassifier) -> None:
    seen: list[tuple[int, int]] = []
    mapped(film, quick, samples=0, progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"window": 96}, ("96 × 96", "80 × 100")),
        ({"step": 0}, ("step of 0",)),
        ({"pixel_size": -1.0}, ("pixel size of -1.0",)),
        ({"frame_time": 0.0}, ("frame time of 0.0",)),
    ],
)
def test_options_that_cannot_be(
    film: np.ndarray, quick: NetworkClassifier, options: dict[str, Any], parts: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as error:
        mapped(film, quick, **options)
    for part in parts:
        assert part in str(error.value)


def test_public_functions_are_these() -> None:
    assert bm.classify is classify
    assert bm.map_phases is map_phases


@pytest.mark.parametrize("call", [classify, partial(map_phases, window=48)])
def test_a_seed_that_no_generator_takes_is_refused(call: Any, film: np.ndarray, quick: NetworkClassifier) -> None:
    with pytest.raises(InputError, match="a seed of -1 was given; expected a whole number"):
        call(film, model=quick, seed=-1)


@pytest.mark.parametrize("window", [-5, 8, 31])
def test_the_smallest_window_is_that_of_the_model(window: int) -> None:
    with pytest.raises(InputError, match=rf"window of {window} px was given; expected at least 32"):
        map_phases(np.zeros((64, 64)), model="lattice", window=window)


@pytest.mark.parametrize("window", ["auto", 30, 32, 128])
def test_a_frame_too_small_for_any_window_is_not_advised_in_a_circle(window: int | str) -> None:
    with pytest.raises(InputError, match=r"frame of 30 × 30 px .* window of 32 px does not fit: take a larger image"):
        map_phases(np.zeros((30, 30)), model="lattice", window=window)
