"""What is recorded of a batch of images: counts, noise, background, offsets of lines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.recording import correlated_lines, poisson_counts, record, scattered
from bravaismap.simulate.recipe import Recipe

QUIET = {"noise": (0.0, 0.0)}


def drawn(recipe: Recipe, count: int = 8, seed: int = 1) -> Draws:
    number = torch.arange(count)
    return Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), seed, number)


def signed(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)).clamp(
        -0.9999999, 0.9999999
    )


# Counts


@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0, 5.9, 6.1, 40.0, 500.0])
def test_counts_have_the_moments_of_poisson(mean: float) -> None:
    counts = poisson_counts(torch.full((1, 400_000), mean), signed(400_000)[None])[0].numpy()
    assert counts.dtype == np.float32
    assert np.array_equal(counts, np.rint(counts))
    assert counts.min() >= 0
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / counts.size) + 2e-4 * mean)
    assert counts.var() == pytest.approx(mean, rel=0.02 if mean < 6 else 0.03)
    assert stats.skew(counts.astype(float)) == pytest.approx(mean**-0.5, rel=0.1, abs=0.02)


@pytest.mark.parametrize("mean", [0.3, 2.5, 5.9])
def test_few_counts_are_exactly_poisson(mean: float) -> None:
    counts = poisson_counts(torch.full((1, 200_000), mean), signed(200_000, 1)[None])[0].numpy().astype(int)
    top = int(stats.poisson.isf(1e-4, mean))
    seen = np.bincount(counts, minlength=top + 1)
    expected = stats.poisson.pmf(np.arange(top), mean)
    observed = [*seen[:top], seen[top:].sum()]
    assert stats.chisquare(observed, counts.size * np.array([*expected, 1 - expected.sum()])).pvalue > 1e-3


def test_counts_are_the_quantiles_of_their_uniform_numbers() -> None:
    unit = torch.linspace(-0.999, 0.999, 999)
    for mean in (0.4, 5.0):
        found = poisson_counts(torch.full((1, 999), mean), unit[None])[0].numpy()
        np.testing.assert_array_equal(found, stats.poisson.ppf((unit.double().numpy() + 1) / 2, mean))


def test_images_of_few_and_of_many_counts_together() -> None:
    mean = torch.tensor([3.0, 100.0, 5.0, 0.0])[:, None].expand(4, 50_000).contiguous()
    mean[3, ::2] = 80.0
    unit = signed(200_000).view(4, 50_000)
    found = poisson_counts(mean, unit)
    for i in range(4):
        torch.testing.assert_close(found[i : i + 1], poisson_counts(mean[i : i + 1], unit[i : i + 1]))
    expected = mean.double().mean(dim=1)
    np.testing.assert_allclose(found.double().mean(dim=1), expected, rtol=0.02)


def test_rounding_makes_no_hot_pixels() -> None:
    mean = torch.linspace(0.01, 5.99, 2000)
    counts = poisson_counts(mean[None], torch.full((1, 2000), 1 - 2.0**-24))[0].numpy()
    assert (counts <= stats.poisson.isf(1e-7, mean.numpy())).all()
    assert (counts >= stats.poisson.isf(1e-5, mean.numpy())).all()
    assert not poisson_counts(torch.zeros(1, 400), signed(400)[None]).any()


def test_dose_is_the_counts_at_a_height_of_1() -> None:
    draws = drawn(Recipe("square", dose=(50.0, 50.0), **QUIET), 4)
    image = record(draws, torch.full((4, 64, 64), 0.5), None)
    assert torch.equal(image, image.round())
    assert float(image.mean()) == pytest.approx(25, abs=4 * 5 / 128)
    assert not torch.equal(image[0], image[1])


# Noise and offsets


def test_noise_is_in_units_of_the_image() -> None:
    draws = drawn(Recipe("square", noise=(0.7, 0.7)), 4)
    clean = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(0)) * 5
    noise = record(draws, clean.clone(), None) - clean
    for i in range(4):
        assert float(noise[i].std() / clean[i].std()) == pytest.approx(0.7, rel=0.04)
    assert float(record(draws, torch.zeros(4, 64, 64), None).std()) == pytest.approx(0.7, rel=0.03)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_offsets_of_lines_remember_the_previous_one(memory: float) -> None:
    """The same as one line after another, and correlated as asked."""
    steps = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 100)))
    found = correlated_lines(steps, torch.full((50,), memory, dtype=torch.float64)).numpy()
    expected = np.empty((50, 100))
    expected[:, 0] = steps[:, 0]
    for i in range(1, 100):
        expected[:, i] = memory * expected[:, i - 1] + np.sqrt(1 - memory**2) * steps[:, i].numpy()
    expected -= expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected / expected.std(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize(("name", "axis"), [("row_offsets", 2), ("column_offsets", 1)])
def test_lines_have_offsets_over_the_height_of_an_atom(name: str, axis: int) -> None:
    draws = drawn(Recipe("square", **{name: (0.4, 0.4)}, dose=(100.0, 100.0), **QUIET), 6)
    image = record(draws, torch.ones(6, 64, 64), None)
    lines = image.mean(dim=axis)
    assert float(lines.std(dim=1, correction=0).mean()) == pytest.approx(40, rel=0.02)
    assert float((image - lines.unsqueeze(axis)).std()) == pytest.approx(10, rel=0.05)


def test_line_noise_and_its_streaks() -> None:
    draws = drawn(Recipe("square", line_noise=(0.5, 0.5), **QUIET), 40)
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(40, 64, 64, generator=generator)
    added = (record(draws, clean.clone(), None) - clean) / clean.std(dim=(1, 2), correction=0, keepdim=True)
    begin = added[:, :, 0].numpy()
    assert begin.std() == pytest.approx(0.5, rel=0.25)
    steps = added.diff(dim=2).abs().amax(dim=2)
    assert float((steps > 1e-3).double().mean()) == pytest.approx(0.1, abs=0.03)


# Background, contamination, contrast


def test_background_is_a_plane_below_the_patches() -> None:
    image = record(drawn(Recipe("square", background=(0.5, 0.5), **QUIET), 6), torch.zeros(6, 33, 33), None).numpy()
    axis = np.linspace(-1, 1, 33)
    np.testing.assert_allclose(image[:, 16, 16], 0.5, atol=1e-6)
    y = (image[:, -1, 16] - image[:, 0, 16]) / 2
    x = (image[:, 16, -1] - image[:, 16, 0]) / 2
    expected = 0.5 + y[:, None, None] * axis[:, None] + x[:, None, None] * axis
    np.testing.assert_allclose(image, expected, atol=1e-5)
    assert np.abs([y, x]).max() <= 0.25
    assert len(np.unique(y)) == 6
    patched = record(drawn(Recipe("square", contamination=(1.0, 1.0), **QUIET), 200), torch.zeros(200, 64, 64), None)
    none = float((patched.amax(dim=(1, 2)) < 1e-6).double().mean())
    assert none == pytest.approx(0.25, abs=0.1)
    assert float(patched.max()) > 0.95


def test_adsorbates_and_amorphous_matter() -> None:
    image = record(drawn(Recipe("square", adsorbates=(3, 3), **QUIET), 20), torch.zeros(20, 96, 96), None)
    assert bool((image.amax(dim=(1, 2)) > 1.2).all())
    assert float(image.max()) > 4
    speckled = record(drawn(Recipe("square", amorphous=(0.2, 0.2), **QUIET), 20), torch.zeros(20, 64, 64), None)
    assert float(speckled.min()) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(speckled.std(dim=(1, 2), correction=0), torch.full((20,), 0.2), rtol=1e-3, atol=0)


def test_holes_of_the_film_show_neither_background_nor_amorphous_matter() -> None:
    film = torch.ones(5, 64, 64)
    film[:, 20:40, 10:30] = 0
    draws = drawn(Recipe("square", background=(0.5, 0.5), amorphous=(0.1, 0.1), **QUIET), 5)
    image = record(draws, torch.zeros(5, 64, 64), film)
    hole = image[:, 20:40, 10:30]
    torch.testing.assert_close(hole, hole[:, :1, :1].expand_as(hole))
    assert float(image[:, :15].std()) > 0.05


def test_dark_atoms_are_the_image_upside_down() -> None:
    clean = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(0))
    dark = record(drawn(Recipe("square", inverted=1.0, **QUIET), 4), clean.clone(), None)
    torch.testing.assert_close(dark, clean.amax(dim=(1, 2), keepdim=True) - clean)


def test_scattered_atoms_are_as_many_as_asked() -> None:
    unit = torch.rand(3, 9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image = scattered(unit, torch.full((3,), 2.0), torch.tensor([0, 1, 9]), 48)
    assert not image[0].any()
    assert float(image[1].amax()) == pytest.approx(0.5 + float(unit[1, 0, 2]) / 2, rel=1e-5)
    assert [int(v) for v in np.unravel_index(int(image[1].argmax()), (48, 48))] == (48 * unit[1, 0, :2]).int().tolist()


def test_pixels_are_repeated() -> None:
    draws = drawn(Recipe("square", enlargement=(1, 3), **QUIET), 60)
    image = torch.arange(40.0 * 40).view(1, 40, 40).repeat(60, 1, 1)
    shown = record(draws, image.clone(), None)
    begins = set()
    for i in range(60):
        factor = int(draws["enlargement"][i])
        edges = [torch.nonzero(shown[i].diff(dim=axis).abs().amax(dim=1 - axis))[:, 0] for axis in (0, 1)]
        assert all(bool((edge.diff() == factor).all()) for edge in edges)
        down, across = (slice(int(edge[0]) + 1, None, factor) for edge in edges)
        assert torch.equal(shown[i, down, across], image[i, down, across])
        begins.add((factor, int(edges[0][0]), int(edges[1][0])))
    assert len(begins) == 1 + 4 + 9
