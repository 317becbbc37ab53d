"""Windows of a batch: distributed as those that are simulated one by one, whatever else is in the batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from bravaismap.conventions import CLASSES, LATTICES
from bravaismap.lattice.basis import reciprocal
from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.windows import filled, window_images
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.recipe import Recipe
from bravaismap.simulate.stream import stretched
from bravaismap.simulate.windows import simulate

QUIET = {"disorder": (0.0, 0.0), "noise": (0.0, 0.0)}


def drawn(book: str, count: int, first: int = 0) -> Draws:
    number = torch.arange(first, first + count)
    return Draws.of(RecipeTable(list(BOOKS[book].values()), "cpu"), number % len(CLASSES), 7, number)


def moments(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return figures of each image, which tell one kind of image from another."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    deviation = centred.std(axis=(1, 2))
    rows, columns = centred.mean(axis=2).std(axis=1), centred.mean(axis=1).std(axis=1)
    power = np.abs(np.fft.rfft2(centred)) ** 2
    k = np.hypot(np.fft.fftfreq(images.shape[1])[:, None], np.fft.rfftfreq(images.shape[2]))
    total = power.sum(axis=(1, 2))
    rings = {f"power to {high}": power[:, (k < high)].sum(axis=1) / total for high in (0.03, 0.06, 0.12, 0.25)}
    return {
        "mean": images.mean(axis=(1, 2)),
        "deviation": deviation,
        "skewness": (centred**3).mean(axis=(1, 2)) / deviation**3,
        "rows": rows / deviation,
        "columns": columns / deviation,
        "strongest": power.max(axis=(1, 2)) / total,
    } | rings


@pytest.mark.parametrize("book", BOOKS)
def test_windows_are_distributed_as_single_ones(book: str) -> None:
    """Every figure of the images has the same distribution, lattices and images without one apart."""
    singles = simulate(150, book, seed=11, size=96)
    batch = stretched(window_images(drawn(book, 600), 96)[0]).round().numpy()
    for name, chosen in (("lattices", lambda label: label < 5), ("none", lambda label: label == 5)):
        few = moments(singles.image.values[chosen(singles.label.values)].astype(float))
        many = moments(batch[chosen(np.arange(600) % 6)].astype(float))
        for figure, values in few.items():
            assert stats.ks_2samp(values, many[figure]).pvalue > 1e-4, (name, figure)


@pytest.mark.parametrize("pattern", ["rows", "columns", "hum"])
def test_patterns_with_their_faults_are_distributed_as_single_ones(pattern: str) -> None:
    recipe = replace(BOOKS["broken"]["none"], patterns=(pattern,))
    singles = simulate(300, {"first": recipe, "second": recipe}, seed=11, size=48).image.values
    number = torch.arange(900)
    draws = Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 7, number)
    batch = stretched(window_images(draws, 48)[0]).round().numpy()
    few, many = moments(singles.astype(float)), moments(batch.astype(float))
    for figure, values in few.items():
        assert stats.ks_2samp(values, many[figure]).pvalue > 1e-4, figure


@pytest.mark.parametrize("book", BOOKS)
def test_a_window_is_the_same_in_any_batch(book: str) -> None:
    whole = window_images(drawn(book, 36), 64)
    part = window_images(drawn(book, 5, first=21), 64)
    torch.testing.assert_close(part[1], whole[1][21:26], rtol=1e-12, atol=0)
    image, again = stretched(whole[0])[21:26], stretched(part[0])
    assert float(((image - again).abs() > 0.01).double().mean()) < 1e-3  # a count may fall on the other side


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("book", BOOKS)
def test_a_window_is_the_same_on_every_device(book: str) -> None:
    number = torch.arange(36)
    here, there = (
        stretched(
            window_images(
                Draws.of(
                    RecipeTable(list(BOOKS[book].values()), device), (number % 6).to(device), 7, number.to(device)
                ),
                64,
            )[0]
        ).cpu()
        for device in ("cpu", "cuda")
    )
    assert float(((here - there).abs() > 0.01).double().mean()) < 1e-3


@pytest.mark.parametrize("lattice", LATTICES)
def test_spots_lie_at_the_reciprocal_of_the_basis(lattice: str) -> None:
    geometry = BOOKS["simulated"][lattice]
    recipe = Recipe(
        lattice, ratio=geometry.ratio, angle=geometry.angle, length=(10.0, 14.0), atom_width=(0.15, 0.15),
        distortion=0.05, jitter=(0.0, 0.4), tilt=(0.2, 0.5), drift=(0.0, 0.3), **QUIET,
    )  # fmt: skip
    number = torch.arange(4)
    draws = Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 3, number)
    images, basis = (tensor.numpy() for tensor in window_images(draws, 128))
    taper = np.hanning(130)[1:-1]
    for image, vectors in zip(images, basis, strict=True):
        weighted = (image - image.mean()) * taper[:, None] * taper
        for spot in reciprocal(vectors):
            steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, 21) / 128] * 2, indexing="ij"), -1).reshape(-1, 2)
            waves = [np.exp(-2j * np.pi * (spot + steps)[:, i, None] * np.arange(128)) for i in (0, 1)]
            power = np.abs(np.einsum("sy,yx,sx->s", waves[0], weighted, waves[1]))
            assert np.abs(steps[power.argmax()]).max() * 128 <= 0.35


@pytest.mark.parametrize("side", [16, 33, 48])
def test_windows_of_any_side(side: int) -> None:
    for book in BOOKS:
        image, basis = window_images(drawn(book, 12), side)
        assert image.shape == (12, side, side)
        assert basis.shape == (12, 2, 2)
        assert bool(image.isfinite().all())
        assert bool((image.std(dim=(1, 2)) > 0)[:5].all())


def test_jittered_lines_have_no_seam() -> None:
    recipe = Recipe("square", length=(9.0, 9.0), atom_width=(0.15, 0.15), jitter=(0.3, 0.3), **QUIET)
    number = torch.arange(40)
    draws = Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 3, number)
    image = window_images(draws, 96)[0]
    step = image.diff(dim=1).abs().mean(dim=(0, 1))
    assert float(step.max()) < 1.5 * float(step.mean())


def test_numbers_of_windows_are_filled_up_to_a_few_sizes() -> None:
    sizes = set()
    for count in range(1, 1025):
        positions = filled(count, torch.device("cpu"))
        assert torch.equal(positions[:count], torch.arange(count))
        assert bool((positions[count:] == count - 1).all())
        assert len(positions) < 1.25 * count + 1
        sizes.add(len(positions))
    assert len(sizes) <= 40
