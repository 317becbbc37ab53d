"""Simulated windows: known answers of the rendering, the lattice that is returned, and what a seed fixes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from bravaismap.conventions import CLASSES, LATTICES
from bravaismap.errors import InputError
from bravaismap.lattice.basis import reciprocal
from bravaismap.lattice.deviation import metric_class
from bravaismap.lattice.shape import shape
from bravaismap.simulate.books import BOOKS, recipe_book
from bravaismap.simulate.crystal import draw_lattice
from bravaismap.simulate.recipe import Recipe
from bravaismap.simulate.windows import JITTER_MARGIN, _displace_lines, simulate, simulate_window, to_uint8

QUIET = {"disorder": (0.0, 0.0), "noise": (0.0, 0.0)}


def amplitude_at(image: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return the amplitude of the tapered image at frequencies (…, 2) as (y, x) in 1/px, by definition."""
    taper = [np.hanning(n + 2)[1:-1] for n in image.shape]
    weighted = (image - image.mean()) * taper[0][:, None] * taper[1]
    y, x = (np.exp(-2j * np.pi * frequency[..., i, None] * np.arange(image.shape[i])) for i in (0, 1))
    return np.abs(np.einsum("...y,yx,...x->...", y, weighted, x))


def spot_offset(image: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return how far from a frequency the highest point around it lies, in units of 1 / size of the image."""
    steps = np.linspace(-1, 1, 41)
    offset = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    power = amplitude_at(image, frequency + offset / image.shape[0])
    return offset.reshape(-1, 2)[power.argmax()]


# Lattices


@pytest.mark.parametrize("name", LATTICES)
def test_lattice_is_of_its_class_and_size(name: str) -> None:
    recipe, rng = BOOKS["simulated"][name], np.random.default_rng(3)
    drawn = [draw_lattice(recipe, rng) for _ in range(200)]
    bases, lengths = np.array([d[0] for d in drawn]), np.array([d[1] for d in drawn])
    first, second = np.linalg.norm(bases, axis=-1).T
    assert np.allclose(first, lengths)
    assert lengths.min() >= 6
    assert lengths.max() <= 24
    assert np.log(lengths).mean() == pytest.approx(np.log(12), abs=0.1)  # log-uniform: σ of the mean is 0.03
    assert (second / first <= recipe.ratio[1] + 1e-9).all()
    classes = np.array(LATTICES)[metric_class(shape(bases), 1e-9)]
    assert (classes == name).mean() > 0.97  # a drawn oblique cell may come out more symmetric


def test_directions_are_uniform() -> None:
    rng = np.random.default_rng(0)
    bases = np.array([draw_lattice(BOOKS["simulated"]["square"], rng)[0] for _ in range(400)])
    angle = np.arctan2(bases[:, 0, 0], bases[:, 0, 1])
    assert stats.kstest((angle + np.pi) / (2 * np.pi), "uniform").pvalue > 0.01


def test_ranges_of_angle_are_drawn_by_their_width() -> None:
    recipe, rng = BOOKS["simulated"]["centered_rectangular"], np.random.default_rng(1)
    bases = np.array([draw_lattice(recipe, rng)[0] for _ in range(500)])
    a, b = bases[:, 0], bases[:, 1]
    gamma = np.rad2deg(np.arccos((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))
    assert (((gamma > 35) & (gamma < 85)) | ((gamma > 95) & (gamma < 125))).all()
    assert (gamma < 90).mean() == pytest.approx(50 / 80, abs=0.07)


def test_distortion_is_the_linear_map_asked_for() -> None:
    recipe = Recipe("rectangular", length=(10.0, 10.0), ratio=(2.0, 2.0), distortion=0.05)
    rng = np.random.default_rng(0)
    bases = np.array([draw_lattice(recipe, rng)[0] for _ in range(2000)])
    # |a|/10 − 1 is, to first order, the strain along a, which has the σ of one component.
    a, b = np.linalg.norm(bases, axis=2).T
    assert (a / 10 - 1).std() == pytest.approx(0.05, rel=0.07)
    # The angle changes by the sum of the two shears, whatever the lengths.
    cosine = (bases[:, 0] * bases[:, 1]).sum(axis=1) / (a * b)
    assert cosine.std() == pytest.approx(0.05 * np.sqrt(2), rel=0.07)


@pytest.mark.parametrize("distortion", [0.0, 0.05])
@pytest.mark.parametrize("name", LATTICES)
def test_spots_lie_at_the_reciprocal_of_the_basis(name: str, distortion: float) -> None:
    recipe = Recipe(
        name,
        ratio=BOOKS["simulated"][name].ratio,
        angle=BOOKS["simulated"][name].angle,
        length=(10.0, 14.0),
        atom_width=(0.15, 0.15),
        distortion=distortion,
        **QUIET,
    )
    image, basis = simulate_window(recipe, np.random.default_rng([5, LATTICES.index(name)]), 128)
    for spot in reciprocal(basis):
        assert np.abs(spot_offset(image, spot)).max() <= 0.1
        assert amplitude_at(image, spot) > 20 * amplitude_at(image, spot * 1.5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_basis_of_a_realistic_window_is_that_of_its_image(seed: int) -> None:
    recipe = Recipe(
        "oblique", length=(11.0, 11.0), ratio=(1.3, 1.3), angle=((70.0, 70.0),), atoms=(3, 3), distortion=0.04,
        jitter=(0.4, 0.4), dose=(200.0, 200.0), vacuum=(0.2, 0.2), vacancies=(0.05, 0.05), **QUIET,
    )  # fmt: skip
    image, basis = simulate_window(recipe, np.random.default_rng(seed), 128)
    for spot in reciprocal(basis):
        assert np.abs(spot_offset(image, spot)).max() <= 0.15


# What a recipe asks for


def test_disorder_has_the_size_asked_for() -> None:
    recipe = Recipe("square", length=(24.0, 24.0), atom_width=(0.08, 0.08), disorder=(0.05, 0.05), noise=(0.0, 0.0))
    image, basis = simulate_window(recipe, np.random.default_rng(1), 512)
    peaks = np.argwhere((ndimage.maximum_filter(image, 13) == image) & (image > 0.5))
    peaks = peaks[((peaks > 8) & (peaks < 503)).all(axis=1)]
    grid = np.mgrid[-7:8, -7:8]
    found = []
    for y, x in peaks:
        patch = image[y - 7 : y + 8, x - 7 : x + 8]
        found.append([y, x] + (grid * patch).sum(axis=(1, 2)) / patch.sum())
    found = np.array(found)
    steps = np.rint((found - found[0]) @ np.linalg.inv(basis))
    design = np.column_stack([steps, np.ones(len(steps))])
    residual = found - design @ np.linalg.lstsq(design, found, rcond=None)[0]
    assert len(found) > 350
    assert residual.std() == pytest.approx(0.05 * 24, rel=0.08)


def test_noise_is_in_units_of_the_image() -> None:
    clean, noisy = (
        simulate_window(Recipe("square", noise=(level, level), disorder=(0, 0)), np.random.default_rng(7), 256)[0]
        for level in (0.0, 1.5)
    )
    assert (noisy - clean).std() == pytest.approx(1.5 * clean.std(), rel=0.02)


def test_vacancies_and_vacuum_take_their_share() -> None:
    base = {"length": (8.0, 8.0), "atom_width": (0.15, 0.15), **QUIET}
    full, thinned, cut = (
        simulate_window(Recipe("square", **base, **more), np.random.default_rng(11), 256)[0].sum()
        for more in ({}, {"vacancies": (0.3, 0.3)}, {"vacuum": (0.3, 0.3)})
    )
    assert thinned / full == pytest.approx(0.7, abs=0.05)
    assert cut / full == pytest.approx(0.7, abs=0.05)


def test_vacuum_is_one_piece() -> None:
    recipe = Recipe("square", length=(8.0, 8.0), atom_width=(0.2, 0.2), vacuum=(0.3, 0.3), **QUIET)
    image = simulate_window(recipe, np.random.default_rng(2), 256)[0]
    _, pieces = ndimage.label(ndimage.maximum_filter(image, 13) < 0.02)
    assert pieces <= 2


def test_empty_windows_have_no_atoms() -> None:
    image, _ = simulate_window(Recipe("none", empty=1.0, **QUIET), np.random.default_rng(0), 64)
    assert not image.any()


def test_dose_is_the_counts_at_an_atom() -> None:
    recipe = Recipe("square", length=(24.0, 24.0), atom_width=(0.12, 0.12), dose=(400.0, 400.0), **QUIET)
    image, _ = simulate_window(recipe, np.random.default_rng(0), 256)
    assert np.array_equal(image, np.rint(image))
    peaks = image[(ndimage.maximum_filter(image, 13) == image) & (image > 200)]
    assert peaks.mean() == pytest.approx(400, rel=0.1)  # the highest of noisy pixels lies above the mean


def test_lines_move_by_what_is_asked() -> None:
    image = np.random.default_rng(0).random((3, 32)).astype(np.float32)
    moved = _displace_lines(image, np.array([0.0, 1.0, -3.0]))
    np.testing.assert_allclose(moved, [image[0], np.roll(image[1], 1), np.roll(image[2], -3)], atol=1e-5)


def test_displaced_lines_have_no_seam() -> None:
    still, moved = (
        simulate_window(
            Recipe("square", length=(9.0, 9.0), atom_width=(0.15, 0.15), jitter=(jitter, jitter), **QUIET),
            np.random.default_rng(3),
            256,
        )[0]
        for jitter in (0.0, 0.3)
    )
    # The margin of a jittered window begins where a still one does.
    error = np.abs(moved[:, :-JITTER_MARGIN] - still[:, JITTER_MARGIN:]).mean(axis=0)
    assert error.max() < 2.5 * error.mean()
    assert 0.01 < error.mean() < 0.1


def test_motif_has_no_more_atoms_than_there_is_room_for() -> None:
    base = {"length": (12.0, 12.0), "atom_width": (0.05, 0.05), "atoms": (8, 8), **QUIET}
    crowded, roomy, wide = (
        simulate_window(Recipe("square", **base, spacing=spacing), np.random.default_rng(1), 240)[0]
        for spacing in (20.0, 6.0, 0.0)
    )
    peaks = [((ndimage.maximum_filter(i, 3) == i) & (i > 0.1)).sum() / 400 for i in (crowded, roomy, wide)]
    assert peaks[0] == pytest.approx(1, abs=0.1)
    assert peaks[1] == pytest.approx(4, abs=0.5)
    assert peaks[2] > 6


def test_packing_is_the_largest_width_of_an_atom() -> None:
    recipe = Recipe("square", length=(20.0, 20.0), atom_width=(0.4, 0.4), packing=0.1, **QUIET)
    image, _ = simulate_window(recipe, np.random.default_rng(0), 200)
    assert image.sum() == pytest.approx(100 * 2 * np.pi * 2.0**2, rel=0.02)  # 100 cells, one atom of σ = 2 px in each


def test_dark_atoms_are_the_image_upside_down() -> None:
    bright, dark = (
        simulate_window(Recipe("hexagonal", inverted=chance, **QUIET), np.random.default_rng(4), 64)[0]
        for chance in (0.0, 1.0)
    )
    np.testing.assert_allclose(dark, bright.max() - bright, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_second_grain_is_the_smaller_one_and_turned(seed: int) -> None:
    base = {"length": (10.0, 10.0), "ratio": (1.4, 1.4), "angle": ((75.0, 75.0),), "atom_width": (0.15, 0.15), **QUIET}
    two, basis = simulate_window(Recipe("oblique", **base, grains=1.0), np.random.default_rng(seed), 256)
    one, _ = simulate_window(Recipe("oblique", **base), np.random.default_rng(seed), 256)
    spots = reciprocal(basis)
    share = amplitude_at(two, spots) / amplitude_at(one, spots)
    assert (share > 0.45).all()
    assert (share < 0.95).all()
    angle = np.arange(0, np.pi, np.deg2rad(0.5))
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=-1).reshape(-1, 2, 2)
    both = amplitude_at(two, spots @ turn).min(axis=1)  # both spots together: of one orientation or the other
    away = np.minimum(angle, np.pi - angle) > np.deg2rad(5)
    assert both[away].max() > 0.05 * both[0]
    assert both[away].max() < both[0]
    assert two.mean() == pytest.approx(one.mean(), rel=0.05)  # no gap and no overlap but at the boundary


def test_everything_at_once_leaves_the_spots_where_they_were() -> None:
    recipe = Recipe(
        "oblique", length=(11.0, 11.0), ratio=(1.3, 1.3), angle=((70.0, 70.0),), atoms=(3, 3), distortion=0.03,
        tilt=(0.4, 0.4), astigmatism=(0.4, 0.4), tail=(0.3, 0.3), drift=(0.6, 0.6), flyback=(1.0, 1.0),
        line_noise=(0.2, 0.2), amorphous=(0.1, 0.1), inverted=0.5, dose=(200.0, 200.0), jitter=(0.3, 0.3),
        vacancies=(0.05, 0.05), **QUIET,
    )  # fmt: skip
    for seed in range(3):
        image, basis = simulate_window(recipe, np.random.default_rng(seed), 128)
        assert image.shape == (128, 128)
        for spot in reciprocal(basis):
            assert np.abs(spot_offset(image, spot)).max() <= 0.3


def test_noise_of_a_constant_image_has_unit_size() -> None:
    image, _ = simulate_window(Recipe("none", empty=1.0, noise=(0.7, 0.7)), np.random.default_rng(0), 128)
    assert image.std() == pytest.approx(0.7, rel=0.03)


def test_wide_windows_without_a_lattice_have_no_spots() -> None:
    windows = simulate(120, {"none": BOOKS["wide"]["none"]}, seed=3, size=64).image.values.astype(float)
    assert (windows.std(axis=(1, 2)) > 5).all()  # never an empty image: some noise is always there
    assert len({w.tobytes() for w in windows}) == 120


#: Means of the windows `simulate(6, book, seed=1)`: what was made from the books must not change.
FROZEN = {
    "simulated": [93.36, 104.16, 121.65, 90.38, 86.15, 33.68],
    "realistic": [46.68, 76.91, 59.38, 51.02, 59.95, 31.47],
    "broken": [114.52, 120.02, 111.67, 84.73, 86.52],
}


@pytest.mark.parametrize("book", FROZEN)
def test_books_give_the_windows_they_always_gave(book: str) -> None:
    found = simulate(len(FROZEN[book]), book, seed=1).image.values.mean(axis=(1, 2))
    np.testing.assert_allclose(found, FROZEN[book], atol=0.05)


# Sets of windows


def test_window_depends_on_seed_and_number_only() -> None:
    whole = simulate(14, seed=5, size=48)
    part = simulate(4, seed=5, size=48, first=9)
    for name in ("image", "label", "primitive_vectors_px"):
        np.testing.assert_array_equal(part[name].values, whole[name].values[9:13])
    assert not np.array_equal(whole.image, simulate(14, seed=6, size=48).image)
    assert len({image.tobytes() for image in whole.image.values}) == 14


@pytest.mark.parametrize("book", ["simulated", "realistic", "wide"])
def test_set_is_balanced_and_described(book: str) -> None:
    windows = simulate(18, book, size=32)
    assert windows.image.dims == ("sample", "y", "x")
    assert windows.image.shape == (18, 32, 32)
    assert (windows.image.dtype, windows.label.dtype) == (np.uint8, np.int8)
    assert np.bincount(windows.label).tolist() == [3] * 6
    assert windows.attrs["classes"] == list(CLASSES)
    assert windows.attrs["recipes"] == book


def test_own_classes_are_counted_in_their_order() -> None:
    own = {"net": Recipe("square"), "nothing": Recipe("none", empty=1.0, **QUIET), "graphene": Recipe("hexagonal")}
    windows = simulate(7, own, size=32, first=2)
    assert windows.label.values.tolist() == [2, 0, 1, 2, 0, 1, 2]
    assert windows.attrs["classes"] == ["net", "nothing", "graphene"]
    assert not windows.image[2].any()


def test_images_fill_their_range() -> None:
    windows = simulate(6, size=64)
    assert (windows.image.min(("y", "x")) == 0).all()
    assert (windows.image.max(("y", "x")) == 255).all()
    assert to_uint8(np.array([[1.0, 2.0, 3.0]])).tolist() == [[0, 128, 255]]
    assert not to_uint8(np.full((4, 4), 7.0)).any()


def test_progress_counts_windows() -> None:
    seen: list[int] = []
    simulate(3, size=16, progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("n", "size"), [(0, 64), (-2, 64), (3, 8)])
def test_too_few_or_too_small(n: int, size: int) -> None:
    with pytest.raises(InputError, match=rf"{n} windows of {size} px.*at least 1 window of at least 16 px"):
        simulate(n, size=size)


def test_unknown_book() -> None:
    with pytest.raises(InputError, match="no recipe book is called 'paper'"):
        simulate(1, "paper")
    assert recipe_book("simulated") is BOOKS["simulated"]


def test_empty_book_and_negative_numbers() -> None:
    with pytest.raises(InputError, match="empty recipe book"):
        simulate(1, {})
    with pytest.raises(InputError, match="seed = -1 and first = 0"):
        simulate(1, seed=-1)
    with pytest.raises(InputError, match="first = -2"):
        simulate(1, first=-2)


@pytest.mark.parametrize(("n", "size"), [(2, 10**20), (10**9, 128)])
def test_too_many_pixels(n: int, size: int) -> None:
    with pytest.raises(InputError, match="at most 1e\\+11"):
        simulate(n, size=size)
