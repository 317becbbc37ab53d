"""Registration and alignment: films with known drift, crystals without a feature, and what cannot be registered."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from bravaismap.drift.alignment import Area, DriftSummary, align, common_area, drift_summary, register
from bravaismap.drift.registration import match_frame, prior, shifted
from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.result.open import open_result
from bravaismap.simulate.film import Film, Specimen

SIZE, SPACING = 192, 11.0
Floats = np.ndarray


def film(drift: Floats, seed: int = 1, size: int = SIZE, **specimen: float) -> Floats:
    """Return the last quarter of a film, in which voids grow from about 7 to 35 %, that drifts as given."""
    before = 3 * len(drift)
    made = Film(before + len(drift), size, seed, specimen=Specimen(**specimen))
    made.__dict__["drift"] = np.concatenate([np.zeros((before, 2)), drift])  # a cached property
    return np.stack([made.image(i) for i in range(before, made.frames)])


def crystal(drift: Floats, seed: int = 0, noise: float = 0.5, size: int = 160) -> Floats:
    """Return a perfect hexagonal crystal, a = 11 px, that drifts as given, with white noise."""
    y, x = np.mgrid[:size, :size]
    frames = []
    for dy, dx in drift:
        angles = np.deg2rad([0, 60, 120])
        k = 2 * np.pi / (SPACING * np.sqrt(3) / 2)
        frames.append(sum(np.cos(k * (np.sin(t) * (y - dy) + np.cos(t) * (x - dx))) for t in angles))
    return np.stack(frames) + noise * np.random.default_rng(seed).standard_normal((len(drift), size, size))


def walk(frames: int, seed: int) -> Floats:
    """Return a random walk with steps of up to 0.4 cells in any direction."""
    rng = np.random.default_rng(seed)
    angle, length = rng.uniform(0, 2 * np.pi, frames), 0.4 * SPACING * np.sqrt(rng.random(frames))
    steps = length[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    steps[0] = 0
    return steps.cumsum(axis=0)


def jumping(frames: int) -> Floats:
    drift = np.outer(np.arange(frames), [0.3, 0.2])
    drift[frames // 2 :] += [17, -12]
    return drift


def found(movie: Floats, **options: float) -> tuple[Floats, Floats, Floats]:
    track = register(movie, **options)
    return np.stack([track["dy"], track["dx"]], axis=1), track["std"].values, track["quality"].values


DRIFTS = {
    "none": np.zeros((12, 2)),
    "constant": np.outer(np.arange(16), [3.0, -2.0]),
    "fast": np.outer(np.arange(16), [0.0, 8.0]),
    "walk": walk(16, 3),
    "jump": jumping(12),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_known_drift_of_a_film_with_growing_voids(name: str) -> None:
    drift = DRIFTS[name]
    place, std, quality = found(film(drift, size=256 if name == "jump" else SIZE))
    error = place - drift
    assert np.sqrt((error**2).mean()) < 0.15, error
    assert np.abs(error).max() < 0.5
    assert quality.min() > 0.5
    if name in ("constant", "fast"):
        assert np.hypot(*drift[-1]) > 4 * SPACING
    assert (place[0] == 0).all()
    assert std[0] == 0


def test_sigma_is_that_of_the_errors() -> None:
    """Over many pairs of noisy frames of a crystal, and never far too small in a film."""
    errors = []
    for seed in range(12):
        one, two = crystal(np.array([[0, 0], [1.3, -0.7]]), seed, noise=2.0).astype(np.float32)
        match = match_frame(two, one, np.array([1.3, -0.7]), 0.5, 8)
        errors.append((match.shift - [1.3, -0.7]) / match.std)
    assert 0.5 < np.sqrt(np.square(errors).mean()) < 1.6
    drift = DRIFTS["constant"]
    place, std, _ = found(film(drift, seed=4))
    assert np.abs((place - drift)[1:] / std[1:, None]).max() < 4


def test_brightness_and_type_do_not_matter() -> None:
    drift = DRIFTS["constant"][:5]
    movie = film(drift)
    place, _, _ = found(movie)
    gain = np.array([1.0, 0.5, 2.0, 1.0, 0.3])[:, None, None]
    other, _, _ = found((movie * gain + 7 * gain).astype(np.float64))
    np.testing.assert_allclose(other, place, atol=0.05)


def test_weak_image_is_followed() -> None:
    drift = np.outer(np.arange(12), [1.1, 2.0])
    place, _, _ = found(film(drift, seed=2, dose=4.0))
    assert np.sqrt(((place - drift) ** 2).mean()) < 0.5


def test_crystal_without_a_feature_follows_continuity_and_says_that_it_does_not_know() -> None:
    drift = np.outer(np.arange(10), [1.5, -2.0])
    place, std, quality = found(crystal(drift))
    np.testing.assert_allclose(place, drift, atol=0.3)  # total 25 px, more than two cells
    assert quality[1] < 0.95
    assert std[-1] > 2  # the first steps could have been a cell longer
    rich = found(film(drift, size=256, dopants=0.1))
    assert rich[1][-1] < 1


def test_velocity_that_is_known_carries_a_crystal_beyond_half_a_cell() -> None:
    """Steps that grow slowly to 0.8 cells are followed although each is nearest to another lattice point."""
    steps = np.linspace(0.5, 8.8, 18)
    drift = np.stack([np.zeros(18), np.cumsum(steps) - steps[0]], axis=1)
    place, _, _ = found(crystal(drift, noise=0.3))
    np.testing.assert_allclose(place, drift, atol=0.5)


def test_frame_without_specimen_keeps_the_track() -> None:
    drift = DRIFTS["constant"][:8].copy()
    movie = film(drift)
    movie[4] = np.random.default_rng(0).poisson(20, movie[4].shape)
    place, std, quality = found(movie)
    others = np.arange(8) != 4
    assert np.abs(place - drift)[others].max() < 0.5
    assert quality[4] == 0
    assert std[4] > std[3]
    assert np.abs(place - drift)[4].max() < 3 * std[4]


def test_bound_is_a_bound() -> None:
    drift = jumping(6)
    place, _, _ = found(film(drift), max_shift=6)
    assert np.abs(np.diff(place, axis=0)).max() <= 6 + 2 < 17


def test_registration_of_a_pair_is_antisymmetric() -> None:
    frames = film(np.outer(np.arange(12), [0.3, -0.4]), dose=200.0)[[0, 6]].astype(np.float32)
    one, two = (f - f.mean() for f in frames)
    there = match_frame(two, one, np.zeros(2), 2.0, 16)
    back = match_frame(one, two, np.zeros(2), 2.0, 16)
    np.testing.assert_allclose(there.shift, -back.shift, atol=0.05)
    np.testing.assert_allclose(there.shift, [1.8, -2.4], atol=0.1)


def test_shifted_moves_content() -> None:
    y, x = np.mgrid[:64, :64]
    wave = np.cos(2 * np.pi * (3 * y + 5 * x) / 64)
    moved = np.cos(2 * np.pi * (3 * (y - 0.4) + 5 * (x + 0.3)) / 64)
    np.testing.assert_allclose(shifted(wave.astype(np.float32), np.array([0.4, -0.3])), moved, atol=1e-5)


def test_prior_has_heavy_tails() -> None:
    at = prior(np.array([0.0, 4.0, 400.0]), 2.0)
    assert at[0] == 0 > at[1] > at[2] > -15  # a normal density would be at −50


@pytest.mark.parametrize("shape", [(32, 32), (33, 57), (64, 200)])
def test_small_and_odd_frames(shape: tuple[int, int]) -> None:
    drift = np.array([[0, 0], [1, -1], [2, -2], [2, -3]])
    scene = film(np.zeros((1, 2)), size=256)[0]
    movie = np.stack([scene[20 - y : 20 - y + shape[0], 20 - x : 20 - x + shape[1]] for y, x in drift])
    np.testing.assert_allclose(found(movie)[0], drift, atol=0.2)
    assert np.isfinite(found(np.random.default_rng(0).random((5, *shape)), max_shift=8)[0]).all()


# Aligned


def test_aligned_movie_is_at_rest() -> None:
    drift = walk(10, 5)
    movie = as_movie(film(drift, dose=100.0), pixel_size=0.02, frame_time=2.0)
    track = register(movie)
    still = align(movie, track)
    moved = np.rint(np.stack([track["dy"], track["dx"]], axis=1)).astype(int)
    assert np.abs(moved - drift).max() < 1
    y0, y1, x0, x1 = still.attrs["drift"]["area_px"]
    assert Area(y0, y1, x0, x1) == common_area(track, (SIZE, SIZE))
    assert (y0, x0) == tuple(np.maximum(0, -moved.min(axis=0)))
    assert (y1, x1) == tuple(SIZE - np.maximum(0, moved.max(axis=0)))
    for i, (dy, dx) in enumerate(moved):
        np.testing.assert_array_equal(still[i], movie.values[i, y0 + dy : y1 + dy, x0 + dx : x1 + dx])
    assert still.dtype == movie.dtype
    assert float(still["y"][0]) == pytest.approx(0.02 * y0)
    assert still["x"].attrs["units"] == "nm"
    np.testing.assert_array_equal(still["time"], movie["time"])
    again = register(still)
    assert max(abs(again[name]).max() for name in ("dy", "dx")) < 0.75  # what whole pixels leave


def test_lazy_movie_stays_lazy_and_is_read_once() -> None:
    drift = DRIFTS["constant"][:7]
    frames, reads = film(drift), []

    def block(block_info: dict) -> Floats:
        a, b = block_info[None]["array-location"][0]
        reads.append((a, b))
        return frames[a:b]

    lazy = da.map_blocks(block, chunks=((3, 3, 1), (SIZE,), (SIZE,)), dtype=frames.dtype, meta=frames[:0])
    track = register(as_movie(lazy))
    assert sorted(reads) == [(0, 3), (3, 6), (6, 7)]
    eager = register(as_movie(frames))
    np.testing.assert_array_equal(track["dy"], eager["dy"])
    still = align(as_movie(lazy), track)
    assert hasattr(still.data, "dask")
    assert still.chunks[0] == (3, 3, 1)
    assert len(reads) == 3
    np.testing.assert_array_equal(still.values, align(as_movie(frames), eager).values)


# Refused


def test_constant_frame_is_named() -> None:
    movie = film(DRIFTS["none"][:3])
    movie[2] = 7
    with pytest.raises(InputError, match="frame 2 is constant"):
        register(movie)


@pytest.mark.parametrize(
    ("movie", "bound", "said"),
    [
        (np.zeros((2, 20, 64)), None, "20 × 64 px were given; registration needs at least 32 × 32"),
        (np.ones((2, 64, 64)), 40, "expected 1 to 16, a quarter of the shorter side"),
        (np.full((2, 64, 64), np.nan), None, "--nan fill"),
    ],
)
def test_what_cannot_be_registered(movie: Floats, bound: float | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        register(movie, bound)


def test_what_cannot_be_aligned() -> None:
    movie = np.zeros((3, 64, 64))
    track = register(film(DRIFTS["none"][:3], size=64))
    with pytest.raises(InputError, match="a track of 3 frames was given for a movie of 2"):
        align(movie[:2], track)
    track["dy"][:] = [0, 20, 40]
    with pytest.raises(InputError, match=r"drifts by up to 40 px.*less than 32 × 32 in common"):
        align(movie, track)


# Command line


def test_map_align(run: Callable, weights: Path, no_figures: None, tmp_path: Path) -> None:
    drift = np.outer(np.arange(4), [3.0, -2.0])
    np.save(tmp_path / "film.npy", film(drift))
    options = ("--model", weights, "--samples", 0, "--window", 64, "--step", 64, "-o", tmp_path / "out" / "film.zarr")
    done = run("map", tmp_path / "film.npy", "--align", "--max-shift", 12, *options)
    assert done.code == 0, done.err
    assert "drift: up to 10." in done.out or "drift: up to 11." in done.out
    assert f"{SIZE - 9} × {SIZE - 6} px are common to all frames" in done.out
    with (tmp_path / "out" / "film-phases" / "film_drift.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([[float(r["dy_px"]), float(r["dx_px"])] for r in rows], drift, atol=0.3)
    assert (tmp_path / "out" / "film-phases" / "film_drift.png").stat().st_size > 10_000
    card = open_result(tmp_path / "out" / "film.zarr").attrs["drift"]
    assert card["area_px"] == [0, SIZE - 9, 6, SIZE]
    assert card["max_shift_px"] == 12
    np.testing.assert_allclose(card["dx_px"], drift[:, 1], atol=0.3)
    assert float(open_result(tmp_path / "out" / "film.zarr")["x"][0]) == 6 + 31.5
    run("map", tmp_path / "film.npy", *options).refused("made differently", "drift: followed there, not followed now")
    run("map", tmp_path / "film.npy", "--max-shift", 12).refused("--max-shift 12 was given without --align")


def test_summary_of_a_drift() -> None:
    track = xr.Dataset({
        "dy": ("time", [0.0, -3.0, 1.0]), "dx": ("time", [0.0, 4.0, 2.0]), "std": ("time", [0.0, 0.1, 0.2]),
        "quality": ("time", [1.0, 0.95, 0.4]),
    })  # fmt: skip
    assert drift_summary(track) == DriftSummary(5.0, 0.2, 1)
