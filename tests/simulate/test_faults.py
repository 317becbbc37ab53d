"""Faults of crystals and of their pictures: each does what it says, and leaves the mean lattice as it was."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import ndimage, optimize

from bravaismap.conventions import CLASSES, LATTICES
from bravaismap.errors import InputError
from bravaismap.lattice.basis import reciprocal
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.shape import shape
from bravaismap.simulate import windows as simulation
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.crystal import draw_lattice, lattice_sites
from bravaismap.simulate.faults import (
    FAULTS,
    Holes,
    antiphase,
    chosen_faults,
    draw_adsorbates,
    draw_holes,
    line_offsets,
    smooth_strain,
    wander,
)
from bravaismap.simulate.recipe import Recipe
from bravaismap.simulate.windows import simulate, simulate_window

BASIS = np.array([[1.0, 9.0], [11.0, -2.0]])
FRAME = (120, 150)
QUIET = {"disorder": (0.0, 0.0), "noise": (0.0, 0.0), "length": (11.0, 11.0), "atom_width": (0.15, 0.15)}


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# Antiphase boundaries


@pytest.mark.parametrize("seed", range(6))
def test_beyond_an_antiphase_boundary_the_crystal_is_half_a_period_away(seed: int) -> None:
    sites = lattice_sites(BASIS, FRAME, np.zeros(2), 20.0)
    moved, kind = antiphase(sites, np.arange(len(sites)), BASIS, FRAME, rng_of(seed))
    steps = moved @ np.linalg.inv(BASIS)
    phase = np.rint(2 * steps) % 2
    np.testing.assert_allclose(2 * steps, np.rint(2 * steps), atol=1e-9)  # whole or half periods, nothing else
    near = ~phase.any(axis=1)
    beyond = np.unique(phase[~near], axis=0)
    assert len(beyond) == 1  # one displacement for all of the far side
    assert beyond.any()
    np.testing.assert_allclose(moved - sites[kind], np.where(near[:, None], 0, beyond[0] @ BASIS / 2), atol=1e-9)

    inside = ((moved > 0) & (moved < np.array(FRAME))).all(axis=1)
    assert 0.1 < near[inside].mean() < 0.9
    # A straight line parts the two sides: some normal n and offset c have n·p ≤ c − 1 here and ≥ c + 1 there.
    sign = np.where(near, 1.0, -1.0)[:, None]
    parted = optimize.linprog(
        np.zeros(3), sign * np.column_stack([moved, -np.ones(len(moved))]), -np.ones(len(moved)), bounds=(None, None)
    )
    assert parted.success
    # Neither overlap nor gap but that of the boundary, which is less than a period wide.
    assert len(moved) == pytest.approx(len(sites), abs=np.hypot(*FRAME) / 9)


def amplitude(image: np.ndarray, frequency: np.ndarray) -> float:
    y, x = (np.exp(-2j * np.pi * f * np.arange(n)) * np.hanning(n) for f, n in zip(frequency, image.shape, strict=True))
    return float(abs(y @ (image - image.mean()) @ x))


def test_antiphase_boundary_puts_out_odd_spots_and_leaves_even_ones() -> None:
    kept = []
    for seed in range(8):
        whole, split = (simulate_window(Recipe("square", **QUIET, antiphase=(n, n)), rng_of(seed), 192) for n in (0, 1))
        np.testing.assert_array_equal(whole[1], split[1])
        spots = reciprocal(whole[1])
        ratio = [
            amplitude(split[0], n * g) / amplitude(whole[0], n * g) for n in (1, 2) for g in (*spots, spots.sum(0))
        ]
        assert min(ratio[3:]) > 0.9
        kept.append(sorted(ratio[:3]))
    assert np.median([k[0] for k in kept]) < 0.6  # two of the three odd spots change sign across the line
    assert np.median([k[2] for k in kept]) > 0.9


# Strain


@pytest.mark.parametrize("frame", [(120, 150), (200, 60)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_strain_is_smooth_has_its_size_and_no_mean(seed: int, frame: tuple[int, int]) -> None:
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in frame), indexing="ij"), axis=-1)
    moved = smooth_strain(grid.reshape(-1, 2), frame, 0.03, rng_of(seed)).reshape(grid.shape) - grid
    design = np.column_stack([grid.reshape(-1, 2), np.ones(grid[..., 0].size)])
    linear = np.linalg.lstsq(design, moved.reshape(-1, 2), rcond=None)[0]
    assert np.abs(linear[:2]).max() < 0.002  # of a coarser grid; what is left is far below the strain itself
    gradient = np.stack([np.gradient(moved[..., i], axis=j) for i in (0, 1) for j in (0, 1)])
    assert np.sqrt(np.square(gradient).mean()) == pytest.approx(0.03, rel=0.05)
    bend = np.abs(np.diff(gradient, axis=1)).max()
    assert bend < 0.03 * 10 * np.pi / max(frame)


def test_no_strain_moves_nothing_and_the_margin_is_wide_enough() -> None:
    sites = lattice_sites(BASIS, FRAME, np.zeros(2), 0.0)
    np.testing.assert_allclose(smooth_strain(sites, FRAME, 0.0, rng_of(0)), sites)
    for seed in range(100):
        assert np.abs(smooth_strain(sites, FRAME, 0.02, rng_of(seed)) - sites).max() < 2 * 0.02 * max(FRAME)


# Scan lines


@pytest.mark.parametrize("seed", [0, 1])
def test_lines_wander_without_mean_and_slope(seed: int) -> None:
    walk = wander(300, 2.5, rng_of(seed))
    assert walk.mean() == pytest.approx(0, abs=1e-9)
    assert np.polyfit(np.arange(300), walk, 1)[0] == pytest.approx(0, abs=1e-9)
    assert walk.std() == pytest.approx(2.5)
    assert np.diff(walk).std() < 0.5 * 2.5  # neighbouring lines stay together


def test_each_line_of_a_wandering_picture_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("oblique", **QUIET, wander=(0.2, 0.2))
    monkeypatch.setattr(simulation, "wander", lambda lines, level, _: np.zeros(lines) + 0 * level)
    still, _ = simulate_window(recipe, rng_of(4), 160)
    shift = 3 * np.sin(np.arange(160) / 9)
    monkeypatch.setattr(simulation, "wander", lambda *_: shift)
    moved, _ = simulate_window(recipe, rng_of(4), 160)
    # The margin is three pixels wider on either side; the crystal begins there.
    x = np.arange(160.0)
    for row in (10, 77, 150):
        again = np.interp(x - 3 + shift[row], x, moved[row])
        assert np.corrcoef(again[10:-10], still[row][10:-10])[0, 1] > 0.99


@pytest.mark.parametrize("level", [0.3, 2.0])
def test_offsets_have_their_size_and_no_mean(level: float) -> None:
    offsets = line_offsets(400, level, rng_of(1))
    assert offsets.mean() == pytest.approx(0, abs=1e-9)
    assert offsets.std() == pytest.approx(level)
    memory = [np.corrcoef(o[1:], o[:-1])[0, 1] for o in (line_offsets(400, 1.0, rng_of(s)) for s in range(40))]
    assert min(memory) < 0.15
    assert 0.7 < max(memory) < 0.95


@pytest.mark.parametrize("dose", [None, (40.0, 40.0)])
@pytest.mark.parametrize(("field", "axis"), [("row_offsets", 1), ("column_offsets", 0)])
def test_offsets_are_constant_along_their_lines(field: str, axis: int, dose: tuple[float, float] | None) -> None:
    recipe = Recipe("hexagonal", **QUIET, dose=dose)
    plain, _ = simulate_window(recipe, rng_of(2), 96)
    lined, _ = simulate_window(replace(recipe, **{field: (0.5, 0.5)}), rng_of(2), 96)
    added = lined - plain
    assert np.ptp(added, axis=axis).max() < 1e-4
    assert added.mean(axis=axis).std() == pytest.approx(0.5 * (1 if dose is None else 40), rel=1e-4)


# Holes and dirt


def test_outline_of_a_hole() -> None:
    round_hole = Holes(np.array([[50.0, 60.0]]), np.array([10.0]), np.array([3]), np.array([0.0]), np.array([0.0]))
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    np.testing.assert_array_equal(round_hole.film(FRAME) == 0, np.hypot(y - 50, x - 60) < 10)
    lobed = replace(round_hole, lobes=np.array([2]), depth=np.array([0.2]))
    along = np.array([[50.0, 71.9], [50.0, 72.1], [57.9, 60.0], [58.1, 60.0]])  # 12 px along x, 8 px along y
    assert lobed.contain(along).tolist() == [True, False, True, False]
    two = draw_holes((2, 2), FRAME, rng_of(0))
    assert len(two.radius) == 2
    assert {len(draw_holes((1, 3), FRAME, rng_of(s)).radius) for s in range(30)} == {1, 2, 3}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hole_has_no_atoms_and_no_background(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Holes] = []

    def recorded(*arguments: object) -> Holes:
        drawn.append(draw_holes(*arguments))  # type: ignore[arg-type]
        return drawn[-1]

    monkeypatch.setattr(simulation, "draw_holes", recorded)
    recipe = Recipe("square", **QUIET, holes=(2, 3), background=(0.5, 0.5), amorphous=(0.05, 0.05))
    image, _ = simulate_window(recipe, rng_of(seed), 256)
    hole = drawn[0].film((256, 256)) == 0
    deep = ndimage.binary_erosion(hole, iterations=8)  # beyond the reach of an atom at the edge
    assert hole.mean() > 0.01
    dark = float(image.min())
    assert image[deep].max() < dark + 1e-3
    solid = ndimage.binary_erosion(~hole, iterations=8)
    peaks = (ndimage.maximum_filter(image, 7) == image) & (image > dark + 0.8)
    assert peaks[solid].sum() == pytest.approx(solid.sum() / 11**2, rel=0.1)
    assert image[solid].min() > dark + 0.05  # the background is there


def test_adsorbates_are_bright_and_as_many_as_asked_for() -> None:
    position, height, width = draw_adsorbates((4, 4), 20.0, FRAME, rng_of(0))
    assert position.shape == (4, 2)
    assert ((position >= 0) & (position <= np.array(FRAME))).all()
    assert (height >= 1.5).all()
    assert ((width >= 4) & (width <= 10)).all()
    with_none, with_five = (
        simulate_window(Recipe("square", **QUIET, adsorbates=(n, n)), rng_of(5), 256)[0] for n in (0, 5)
    )
    _, spots = ndimage.label(with_five - with_none > 0.7)
    assert 3 <= spots <= 5  # two may touch


# What a picture gets of all this


def test_recipe_keeps_as_many_faults_as_it_should() -> None:
    recipe = BOOKS["broken"]["square"]
    numbers = []
    for seed in range(300):
        kept, names = chosen_faults(recipe, rng_of(seed))
        numbers.append(len(names))
        assert list(names) == [name for name in FAULTS if name in names]
        for name, own in FAULTS.items():
            for field in own:
                expected = getattr(recipe if name in names else Recipe("none"), field)
                assert getattr(kept, field) == expected
        others = {f.name for f in fields(Recipe)} - {field for own in FAULTS.values() for field in own}
        assert all(getattr(kept, field) == getattr(recipe, field) for field in others)
    assert set(numbers) == {1, 2, 3}
    every = [name for seed in range(300) for name in chosen_faults(recipe, rng_of(seed))[1]]
    counts = np.array([every.count(name) for name in FAULTS])
    assert counts.sum() / len(FAULTS) == pytest.approx(75, abs=5)  # 2 of 8 in each picture
    assert (np.abs(counts - 75) < 30).all()


def test_a_recipe_that_does_not_choose_keeps_all_and_draws_nothing() -> None:
    recipe, rng = replace(BOOKS["broken"]["square"], faults=None), rng_of(1)
    assert chosen_faults(recipe, rng) == (recipe, ())
    assert rng.random() == rng_of(1).random()
    none, names = chosen_faults(replace(recipe, faults=(0, 0)), rng)
    assert names == ()
    assert (none.antiphase, none.grains, none.row_offsets, none.contamination) == ((0, 0), 0.0, (0.0, 0.0), (0.0, 0.0))
    few = Recipe("square", strain=(0.01, 0.02), faults=(3, 3))
    assert chosen_faults(few, rng)[1] == ("strain",)  # it has no more


def test_pattern_is_named_first_and_has_no_fault_of_its_own_kind() -> None:
    recipe = BOOKS["broken"]["none"]
    drawn = [chosen_faults(recipe, rng_of(seed)) for seed in range(200)]
    assert {names[0] for _, names in drawn} == set(recipe.patterns)
    assert all(kept.patterns == names[:1] and len(set(names)) == len(names) <= 2 for kept, names in drawn)
    assert any(names == ("speckle", "rows") for _, names in drawn)


# The recipe book


@pytest.mark.parametrize("name", LATTICES)
def test_lattices_are_apart_from_the_symmetries_of_other_classes(name: str) -> None:
    recipe = replace(BOOKS["broken"][name], distortion=0.0)
    bases = np.array([draw_lattice(recipe, rng_of(seed))[0] for seed in range(150)])
    strains = deviation(shape(bases))
    own = {"square": ("rectangular", "centered_rectangular"), "hexagonal": ("centered_rectangular",)}.get(name, ())
    for i, other in enumerate(LATTICES):
        if other in (name, "oblique", *own):
            assert strains[:, i].max() < 1e-6
        else:
            assert strains[:, i].min() >= 0.1


def test_lattices_that_cannot_be_apart_are_refused() -> None:
    with pytest.raises(InputError, match=r"apart = 0\.1; expected less: 1000 rectangular lattices"):
        draw_lattice(Recipe("rectangular", ratio=(1.0, 1.05), apart=0.1), rng_of(0))


CHECKED = {
    "drift": {"wander": (0.1, 0.1), "drift": (0.3, 0.3)},
    "strain": {"strain": (0.004, 0.004)},
    "grain": {"grains": 1.0},
    "holes": {"holes": (2, 3)},
    "dirt": {"contamination": (1.0, 1.0), "adsorbates": (3, 5)},
    "rows": {"row_offsets": (0.3, 0.3)},
    "columns": {"column_offsets": (0.3, 0.3)},
}


@pytest.mark.parametrize("fault", CHECKED)
@pytest.mark.parametrize("seed", [0, 1])
def test_true_vectors_are_those_of_the_picture(fault: str, seed: int) -> None:
    recipe = Recipe(
        "oblique", ratio=(1.3, 1.3), angle=((72.0, 72.0),), distortion=0.03, dose=(200.0, 200.0), **QUIET,
        **CHECKED[fault],
    )  # fmt: skip
    image, basis = simulate_window(recipe, rng_of([seed, 8]), 192)  # type: ignore[arg-type]
    steps = np.linspace(-1.5, 1.5, 13)
    for spot in reciprocal(basis):
        power = np.array([[amplitude(image, spot + np.array([u, v]) / 192) for v in steps] for u in steps])
        peak = np.array(np.unravel_index(power.argmax(), power.shape))
        assert np.abs(steps[peak]).max() <= 0.5
        assert power.max() > 5 * amplitude(image, 1.5 * spot)


def test_broken_set_is_described() -> None:
    windows = simulate(24, "broken", seed=3, size=96)
    assert windows.image.shape == (24, 96, 96)
    assert windows.attrs["classes"] == list(CLASSES)
    crystal = windows.label.values < 5
    assert np.isfinite(windows.primitive_vectors_px.values[crystal]).all()
    assert np.isnan(windows.primitive_vectors_px.values[~crystal]).all()
    for text, is_crystal in zip(windows.faults.values.tolist(), crystal, strict=True):
        names = text.split("+")
        assert 1 <= len(names) <= 3
        assert set(names) <= set(FAULTS) or (not is_crystal and names[0] in BOOKS["broken"]["none"].patterns)
    assert "faults" not in simulate(6, "wide", size=32)


def test_broken_picture_depends_on_seed_and_number_only() -> None:
    whole, part = simulate(13, "broken", seed=5, size=64), simulate(4, "broken", seed=5, size=64, first=8)
    for name in ("image", "label", "primitive_vectors_px", "faults"):
        np.testing.assert_array_equal(part[name].values, whole[name].values[8:12])
    assert not np.array_equal(whole.image, simulate(13, "broken", seed=6, size=64).image)


def test_broken_pictures_are_whole_images_unless_told() -> None:
    assert simulate(1, "broken").image.shape == (1, 384, 384)
    assert simulate(1, "wide").image.shape == (1, 128, 128)
