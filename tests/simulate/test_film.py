"""The simulated film: its truth against its pictures, its kinetics against the law."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from bravaismap.errors import InputError
from bravaismap.lattice.basis import reciprocal
from bravaismap.lattice.deviation import metric_class
from bravaismap.lattice.shape import shape
from bravaismap.movie import as_movie, frame_time, pixel_size
from bravaismap.simulate.film import PIXEL_SIZE, Film, Specimen, paper_film, simulate_film
from bravaismap.simulate.voids import PAPER_KINETICS, VoidKinetics

STILL = Specimen(drift=0.0)


@pytest.fixture(scope="module")
def film() -> xr.Dataset:
    return simulate_film(30, 256, seed=4)


def coefficient(image: np.ndarray, frequency: np.ndarray) -> complex:
    """Return the Fourier coefficient of a tapered image at a frequency (y, x) in 1/px, by definition."""
    taper = np.hanning(len(image) + 2)[1:-1]
    wave = [np.exp(-2j * np.pi * f * np.arange(len(image))) * taper for f in frequency]
    return complex(wave[0] @ (image - image.mean()) @ wave[1])


# Calibration and cell


def test_movie_is_calibrated(film: xr.Dataset) -> None:
    assert film.image.dims == ("time", "y", "x")
    assert film.image.dtype == np.uint16
    assert film.void.dtype == bool
    movie = as_movie(film.image)
    assert pixel_size(movie) == pytest.approx(0.3153 / 11)
    assert frame_time(movie) == 2.25
    assert {name: film[name].attrs["units"] for name in ("time", "y", "x")} == {"time": "s", "y": "nm", "x": "nm"}
    area = (512 * PIXEL_SIZE) ** 2
    assert area == pytest.approx(216, rel=0.01)  # nm², the frame of the paper


def test_cell_is_that_of_the_vectors(film: xr.Dataset) -> None:
    vectors = film.primitive_vectors_px.values * film.attrs["pixel_size_nm"]
    a, b = np.linalg.norm(vectors, axis=1)
    assert (film.attrs["a_nm"], film.attrs["b_nm"]) == (pytest.approx(a), pytest.approx(b))
    assert a == pytest.approx(0.3153)
    angle = np.rad2deg(np.arccos(vectors[0] @ vectors[1] / (a * b)))
    assert film.attrs["gamma_deg"] == pytest.approx(angle)
    assert metric_class(shape(vectors), 1e-9) == 3
    direction = np.rad2deg(np.arctan2(-vectors[:, 0], vectors[:, 1]))
    assert np.abs((film.attrs["orientation_deg"] - direction + 30) % 60 - 30).max() < 1e-6


def test_orientation_given_is_used() -> None:
    still = Film(specimen=Specimen(orientation=20.0))
    np.testing.assert_allclose(still.basis[0] / 11, [-np.sin(np.deg2rad(20)), np.cos(np.deg2rad(20))])


def test_spots_lie_at_the_reciprocal_of_the_vectors(film: xr.Dataset) -> None:
    image = film.image[0].values.astype(float)
    for spot in reciprocal(film.primitive_vectors_px.values):
        steps = np.linspace(-1.5, 1.5, 31) / 256
        power = [[abs(coefficient(image, spot + np.array((dy, dx)))) for dx in steps] for dy in steps]
        top = np.unravel_index(np.argmax(power), (31, 31))
        assert np.abs(np.array(top) - 15).max() <= 1  # a tenth of a pixel of the spectrum


def test_drift_is_that_of_the_pictures(film: xr.Dataset) -> None:
    spots = reciprocal(film.primitive_vectors_px.values)
    assert not film.drift_px[0].any()
    assert np.linalg.norm(film.drift_px[20]) > 1
    for frame in (3, 12, 20):
        first, later = (film.image[i].values.astype(float) for i in (0, frame))
        for spot in spots:
            turned = np.angle(coefficient(later, spot) / coefficient(first, spot)) / (2 * np.pi)
            expected = -float(spot @ film.drift_px[frame].values)
            assert abs((turned - expected + 0.5) % 1 - 0.5) < 0.02  # of a lattice spacing


def test_voids_drift_with_the_atoms() -> None:
    moving = Film(20, 256, 2, specimen=Specimen(drift=0.01), kinetics=VoidKinetics(runaway=1, baseline=0, roughness=0))
    centre = [np.array(ndimage.center_of_mass(moving.void(i)[0])) for i in (17, 19)]
    assert np.linalg.norm(moving.drift[19] - moving.drift[17]) > 0.5
    np.testing.assert_allclose(centre[1] - centre[0], moving.drift[19] - moving.drift[17], atol=0.3)


# Voids


def test_fraction_is_the_mean_of_the_mask(film: xr.Dataset) -> None:
    np.testing.assert_array_equal(film.void_fraction.values, film.void.values.mean(axis=(1, 2)))
    assert (film.runaway_fraction <= film.void_fraction).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("frames", [12, 30, 90])
def test_every_film_tells_the_whole_story(frames: int, seed: int) -> None:
    film = Film(frames, 512, seed)
    early = np.mean([film.void(i)[0].mean() for i in range(0, frames // 3, max(1, frames // 12))])
    assert 0.005 < early < 0.06
    end = [film.void(i)[0].mean() for i in (frames - 2, frames - 1)]
    assert end[0] < end[1]
    assert 0.3 < end[1] < 0.42


def test_fraction_grows_at_the_end(film: xr.Dataset) -> None:
    assert (np.diff(film.void_fraction[-5:]) > 0).all()


def test_small_voids_nucleate_and_heal() -> None:
    film = Film(30, 512, 0, kinetics=VoidKinetics(runaway=0), specimen=STILL)
    voids = np.array([film.void(i)[0] for i in range(30)])
    assert (voids[0] & ~voids[-1]).any()
    assert (voids[-1] & ~voids[0]).any()
    nucleated_and_healed = ~voids[0] & ~voids[-1] & voids.any(axis=0)
    assert nucleated_and_healed.mean() > 0.05
    labels, count = ndimage.label(voids[15])
    largest = max(ndimage.sum_labels(voids[15], labels, range(1, count + 1)))
    assert largest * PIXEL_SIZE**2 < 2 * np.pi * 0.7**2  # each below the critical area; two may touch


def test_baseline_is_the_mean_of_healing_voids() -> None:
    kinetics = VoidKinetics(runaway=0, baseline=0.05)
    share = [Film(30, 256, seed, kinetics=kinetics).void(i)[0].mean() for seed in range(40) for i in (0, 10, 20)]
    assert np.mean(share) == pytest.approx(0.05, rel=0.15)


def test_nucleation_rate_is_the_number_of_voids_drawn() -> None:
    film = Film(200, 512, 3, kinetics=VoidKinetics(lifetime=5.0, baseline=0.1), specimen=STILL)
    drawn = film.voids._healing
    inside = ((drawn.centre >= 0) & (drawn.centre < 512)).all(axis=1) & (drawn.start > 0)
    expected = film.voids.nucleation_rate * (512 * PIXEL_SIZE) ** 2 * 450
    assert inside.sum() == pytest.approx(expected, rel=0.08)  # σ is 2 %


def test_more_voids_than_memory_holds_are_refused() -> None:
    with pytest.raises(InputError, match=r"voids of 1e-06 s; expected at most .* give a longer lifetime"):
        Film(30, kinetics=VoidKinetics(lifetime=1e-6)).void(0)


def test_runaway_void_grows_exponentially() -> None:
    film = Film(30, 512, 7, kinetics=VoidKinetics(runaway=1))
    share = np.array([film.void(i)[1] for i in range(30)])
    time = np.arange(30) * 2.25
    seen = share > 0.002
    assert seen.sum() >= 12
    assert share[0] == 0
    rate, offset = np.polyfit(time[seen], np.log(share[seen]), 1)
    assert rate == pytest.approx(0.042 * 202.5 / 67.5, rel=0.01)
    assert np.exp(rate * time[-1] + offset) == pytest.approx(0.34, rel=0.02)
    assert np.abs(np.log(share[seen]) - rate * time[seen] - offset).max() < 0.03


def test_growth_rate_given_is_used() -> None:
    film = Film(10, 256, 0, kinetics=VoidKinetics(growth_rate=0.02, runaway=1, final_fraction=0.2))
    shares = [film.void(i)[1] for i in (4, 9)]
    assert np.log(shares[1] / shares[0]) == pytest.approx(0.02 * 5 * 2.25, abs=0.01)
    assert simulate_film(1, 32, kinetics=film.kinetics).attrs["growth_rate_per_s"] == 0.02


def test_paper_film_follows_the_law_of_the_paper() -> None:
    film = Film(90, 512, 1, kinetics=PAPER_KINETICS)
    assert film.voids.growth_rate == 0.042
    assert Film(90).voids.growth_rate == pytest.approx(0.042)
    for i in (65, 75, 89):
        assert film.void(i)[1] == pytest.approx(1.85e-5 * np.exp(0.042 * 2.25 * i), rel=0.03)
    before = [film.void(i)[0].mean() for i in range(0, 44, 4)]
    assert np.mean(before) == pytest.approx(0.059, rel=0.25)


def test_paper_film_has_its_frames() -> None:
    seen: list[int] = []
    movie = paper_film(32, seed=2, progress=seen.append)
    assert movie.sizes["time"] == 90
    assert float(movie.time[-1]) == 89 * 2.25
    assert seen == list(range(1, 91))


def test_outline_encloses_its_area_and_voids_merge() -> None:
    film = Film(5, 400, 0, kinetics=VoidKinetics(runaway=5, baseline=0, final_fraction=0.5), specimen=STILL)
    outlines = film.voids.outlines(3)
    assert outlines.runaway == len(outlines.radius)
    single = [outlines.mask(400, range(n, n + 1)) for n in range(outlines.runaway)]
    np.testing.assert_array_equal(film.void(3)[0], np.any(single, axis=0))
    whole = Film(5, 400, 0, kinetics=VoidKinetics(runaway=1, baseline=0, roughness=0.25, final_fraction=0.2))
    assert whole.void(4)[1] == pytest.approx(0.2, rel=0.01)
    ragged = ndimage.binary_erosion(whole.void(4)[0]) ^ whole.void(4)[0]
    assert ragged.sum() > 1.05 * 4 * np.sqrt(2) * np.sqrt(0.2 * 400**2 / np.pi)  # longer than the rim of a disc


# The picture


def test_voids_are_dark_and_flat(film: xr.Dataset) -> None:
    frame, void = film.image[-1].values.astype(float), film.void[-1].values
    mean = ndimage.uniform_filter(frame, 11)
    spread = ndimage.uniform_filter(frame**2, 11) - mean**2
    inside, outside = ndimage.binary_erosion(void, iterations=9), ndimage.binary_erosion(~void, iterations=9)
    assert inside.sum() > 500
    assert outside.sum() > 500
    assert np.percentile(spread[inside], 99) < 0.2 * np.percentile(spread[outside], 1)
    assert mean[inside].max() < 0.5 * mean[outside].min()
    assert mean[inside].mean() == pytest.approx(0.04 * 30, rel=0.05)
    assert spread[inside].mean() == pytest.approx(0.04 * 30, rel=0.1)  # Poisson


def test_mask_lies_where_the_void_is_seen(film: xr.Dataset) -> None:
    frame, void = film.image[-1].values.astype(float), film.void[-1].values
    smooth = ndimage.gaussian_filter(frame, 5)
    dark = smooth < (smooth[void].mean() + smooth[~void].mean()) / 2
    assert (dark & void).sum() / (dark | void).sum() > 0.85


def test_no_atom_stands_in_a_void() -> None:
    film = Film(30, 200, 3, specimen=Specimen(dose=1000.0, drift=0.0))
    void = film.void(29)[0]
    frame = film.image(29, void) / 1000
    deep = ndimage.binary_erosion(void, iterations=11)
    assert deep.any()
    assert frame[deep].max() < 0.1
    assert frame[~void].max() > 0.9


def test_counts_follow_the_dose() -> None:
    low, high = (simulate_film(1, 128, seed=5, specimen=Specimen(dose=dose)).image for dose in (20.0, 80.0))
    assert float(high.mean() / low.mean()) == pytest.approx(4, rel=0.02)


def test_dopants_are_a_few_fainter_metal_atoms() -> None:
    atoms = Film(1, 256, 0, specimen=Specimen(dopants=0.1))._atoms
    metal = atoms.height[: len(atoms.height) // 2]
    assert (metal == 0.45).mean() == pytest.approx(0.1, abs=0.04)
    assert set(np.unique(atoms.height)) == {0.24, 0.45, 1.0}
    pairs = atoms.site[len(metal) :]
    pairs = pairs[((pairs > 20) & (pairs < 236)).all(axis=1)]
    gap = np.linalg.norm(pairs[:, None] - atoms.site[: len(metal)], axis=-1)
    np.testing.assert_allclose(np.sort(gap, axis=1)[:, :3], 11 / np.sqrt(3))  # each between three metal atoms


# Reproducible


def test_seed_fixes_the_film(small: xr.Dataset) -> None:
    assert small.identical(simulate_film(3, 48, seed=1))
    assert not np.array_equal(small.image, simulate_film(3, 48, seed=2).image)


def test_frame_is_the_same_whichever_are_computed(small: xr.Dataset) -> None:
    film = Film(3, 48, 1)
    np.testing.assert_array_equal(film.image(2), small.image[2])
    void, runaway = film.void(1)
    np.testing.assert_array_equal(void, small.void[1])
    assert runaway == float(small.runaway_fraction[1])
    still = Film(3, 48, 1, kinetics=VoidKinetics(runaway=0, baseline=0), specimen=STILL)
    assert not np.array_equal(still.image(0), still.image(1))  # noise of its own in every frame


def test_progress_counts_frames() -> None:
    seen: list[int] = []
    simulate_film(3, 16, progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 0}, r"frames = 0; expected a whole number between 1 and"),
        ({"frames": 2.5}, r"frames = 2.5; expected a whole number"),
        ({"size": 8}, r"size = 8; expected a whole number between 16 and"),
        ({"seed": -1}, r"seed = -1; expected a whole number between 0 and"),
        ({"pixel_size": -0.1}, r"pixel_size = -0.1; expected a number"),
        ({"pixel_size": 0.2}, r"pixels of 0.2 nm .* lattice parameter of 0.3153 nm; .* at most 0.15765 nm"),
        ({"frame_time": float("nan")}, r"frame_time = nan; expected a number"),
    ],
)
def test_film_out_of_range(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        simulate_film(**{"frames": 2, "size": 32, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"growth_rate": -1.0}, "growth_rate = -1.0; expected a number between 0 and"),
        ({"final_fraction": 0.9}, "final_fraction = 0.9; expected a number between 1e-06 and 0.6"),
        ({"runaway": 1.5}, "runaway = 1.5; expected a whole number"),
        ({"runaway": True}, "runaway = True; expected a whole number"),
        ({"baseline": 0.5}, "baseline = 0.5; expected a number between 0 and 0.3"),
        ({"lifetime": 0.0}, "lifetime = 0.0; expected a number"),
        ({"critical_radius": 0.0}, "critical_radius = 0.0; expected a number"),
        ({"critical_radius": None}, "critical_radius = None; expected a number"),
        ({"roughness": 0.5}, "roughness = 0.5; expected a number between 0 and 0.25"),
    ],
)
def test_kinetics_out_of_range(options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        VoidKinetics(**options)


@pytest.mark.parametrize(
    "options",
    [{"a": 0.0}, {"orientation": 400.0}, {"dopants": 1.5}, {"chalcogen_height": -0.1}, {"dopant_height": 2.0},
     {"disorder": "x"}, {"atom_width": 0.9}, {"drift": -1.0}, {"dose": 0.0}],
)  # fmt: skip
def test_specimen_out_of_range(options: dict[str, float]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"{name} = {value!r}; expected a number between"):
        Specimen(**options)


def test_frame_out_of_range() -> None:
    with pytest.raises(InputError, match="frame 3 was asked for; expected one of 0 to 2"):
        Film(3, 32).void(3)
    with pytest.raises(InputError, match="frame -1 was asked for"):
        Film(3, 32).image(-1)
