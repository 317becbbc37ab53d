"""Pixels of a frame: phases, areas, sites, strain, on images whose truth is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.area import area_fraction
from bravaismap.local.frame import pixel_phases
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.simulate.crystal import gaussian_atoms

A, SIZE = 10.0, 192


def hexagon(turn: float) -> np.ndarray:
    return basis_from_cell(A, A, np.pi / 3, turn)


def square(turn: float) -> np.ndarray:
    return basis_from_cell(A, A, np.pi / 2, turn)


def sites(basis: np.ndarray, size: int = SIZE) -> np.ndarray:
    steps = np.stack(np.meshgrid(*2 * [np.arange(-60, 60)], indexing="ij"), -1).reshape(-1, 2)
    places = steps @ basis + size / 2 + [0.3, 0.7]
    return places[((places > -A) & (places < size + A)).all(1)]


def drawn(places: np.ndarray, height: np.ndarray | float = 1.0, size: int = SIZE) -> np.ndarray:
    count = len(places)
    return gaussian_atoms(places, np.broadcast_to(height, count), np.full(count, 0.17 * A), (size, size)).astype(float)


def counted(image: np.ndarray, counts: float = 20.0, seed: int = 0) -> torch.Tensor:
    noisy = np.random.default_rng(seed).poisson(counts * np.maximum(image, 0) + 0.1 * counts)
    return torch.from_numpy(noisy.astype(np.float32))


def bases(*values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(values).astype(np.float32))


@cache
def mosaic(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Two grains of one lattice, another lattice, and a void."""
    y, x = np.mgrid[:SIZE, :SIZE]
    truth = np.where(x < 90, 0, np.where(y < 100, 1, 2))
    truth[np.hypot(y - 110, x - 80) < 30] = 3
    lattices = [hexagon(0.1), hexagon(0.5), square(0.3)]
    total = np.zeros((SIZE, SIZE))
    for number, basis in enumerate(lattices):
        places = sites(basis)
        inside = np.clip(np.rint(places).astype(int), 0, SIZE - 1)
        total += drawn(places[truth[inside[:, 0], inside[:, 1]] == number])
    return counted(total, seed=seed), bases(*lattices), truth


@cache
def mapped() -> PixelPhases:
    image, lattices, _ = mosaic()
    return pixel_phases(image, lattices)


def right(pixels: PixelPhases, truth: np.ndarray) -> float:
    return float((pixels.at_every_pixel(pixels.probability).argmax(0).numpy() == truth).mean())


def test_grains_phases_and_void_are_told_apart_and_their_areas_measured() -> None:
    _, _, truth = mosaic()
    pixels = mapped()
    assert right(pixels, truth) > 0.965  # small regions with long boundaries
    found = area_fraction(pixels.probability, pixels.seen, torch.arange(4), 4, pixels.cell, pixels.fine, pixels.step)
    true = np.bincount(truth.ravel()) / truth.size
    np.testing.assert_allclose(found.fraction.numpy(), true, atol=0.012)
    assert (np.abs(found.fraction.numpy() - true) < 3 * found.fraction_std.numpy()).all()
    assert float(found.fraction.sum()) == pytest.approx(1, abs=1e-4)


def test_probabilities_are_calibrated() -> None:
    _, _, truth = mosaic()
    probability = mapped().at_every_pixel(mapped().probability).numpy()
    sure = probability.max(0)
    correct = probability.argmax(0) == truth
    for low, high in ((0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        rows = (sure >= low) & (sure < high)
        assert correct[rows].mean() == pytest.approx(sure[rows].mean(), abs=0.13)


@pytest.mark.parametrize("change", ["turned", "brighter", "offset rows", "background", "translated"])
def test_what_is_no_structure_changes_nothing(change: str) -> None:
    image, lattices, truth = mosaic()
    y = torch.arange(SIZE, dtype=torch.float32)
    if change == "turned":
        image, truth = image.mT.flip(0).contiguous(), np.flip(truth.T, 0)
        x_to_y = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        lattices = lattices @ x_to_y
    elif change == "brighter":
        image = 7 * image + 100
    elif change == "offset rows":
        image = image + 6 * torch.randn(SIZE, 1, generator=torch.Generator().manual_seed(1))
    elif change == "background":
        image = image + 0.1 * y + 10 * torch.sin(y / 60)[:, None]
    else:
        image, truth = image.roll(5, 1)[:, 5:], np.roll(truth, 5, 1)[:, 5:]
    assert right(pixel_phases(image, lattices), truth) > 0.96


def test_dark_atoms_are_as_good_as_bright_ones() -> None:
    image, lattices, truth = mosaic()
    assert right(pixel_phases(60 - image, lattices), truth) > 0.96


def test_masked_pixels_do_not_count() -> None:
    image, lattices, truth = mosaic()
    mask = torch.ones_like(image, dtype=torch.bool)
    mask[20:60, 100:150] = False
    dirty = torch.where(mask, image, torch.full_like(image, 1e4))
    pixels = pixel_phases(dirty, lattices, mask=mask)
    step = pixels.step
    assert (pixels.phase[~mask[::step, ::step]] == -1).all()
    near = pixels.at_every_pixel(pixels.probability).argmax(0).numpy() == truth
    assert near[mask.numpy()].mean() > 0.96


def test_an_image_without_the_lattice_has_none_of_it() -> None:
    flat = counted(np.full((SIZE, SIZE), 0.3), seed=4)
    pixels = pixel_phases(flat, bases(hexagon(0.2)))
    assert torch.isfinite(pixels.probability).all()


@pytest.mark.parametrize("other", ["double cell", "another lattice"])
def test_a_void_is_not_given_to_a_lattice_that_is_nowhere(other: str) -> None:
    true = square(0.3)
    wrong = np.diag([2.0, 1.0]) @ true if other == "double cell" else basis_from_cell(8.3, 13.0, 1.3, 0.9)
    y, x = np.mgrid[:SIZE, :SIZE]
    void = np.hypot(y - 90, x - 110) < 45
    places = sites(true)
    inside = np.clip(np.rint(places).astype(int), 0, SIZE - 1)
    image = counted(drawn(places[~void[inside[:, 0], inside[:, 1]]]))
    share = pixel_phases(image, bases(true, wrong)).probability.mean((1, 2))
    assert float(share[1]) < 0.001
    assert float(share[2]) == pytest.approx(void.mean(), abs=0.02)


def test_disordered_matter_that_is_most_of_the_frame_is_none() -> None:
    basis, left = square(0.2), 50
    generator = np.random.default_rng(6)
    anywhere = generator.uniform(-A, SIZE + A, (int(1.2 * (SIZE / A + 2) ** 2), 2))
    crystal, places = sites(basis), anywhere[anywhere[:, 1] > left]
    image = counted(drawn(np.concatenate([crystal[crystal[:, 1] <= left], places])))
    none = float(pixel_phases(image, bases(basis)).probability[-1].mean())
    assert none == pytest.approx(1 - left / SIZE, abs=0.05)


def test_a_crystal_reaches_to_the_edges() -> None:
    pixels = pixel_phases(counted(drawn(sites(square(0.2)))), bases(square(0.2)))
    assert float(pixels.probability[0].min()) > 0.9
    assert float((pixels.amplitude[0] - 1).abs().mean()) < 0.1


def test_errors_of_the_amplitude_are_true() -> None:
    image = drawn(sites(hexagon(0.4)))
    fits = [pixel_phases(counted(image, seed=k), bases(hexagon(0.4))) for k in range(8)]
    scatter = torch.stack([f.amplitude[0] for f in fits]).std(0)
    said = torch.stack([f.amplitude_std[0] for f in fits]).mean(0)
    assert float((scatter / said).square().mean().sqrt()) == pytest.approx(1, abs=0.3)


def test_pixels_are_the_same_where_the_noise_is_not_asked_for() -> None:
    image, lattices, _ = mosaic()
    asked, unasked = (pixel_phases(image, lattices, PixelSettings(noise=noise)) for noise in (True, False))
    assert asked.noise.slope > 0
    assert np.isnan([unasked.noise.floor, unasked.noise.slope, unasked.noise.correlation]).all()
    for name in ("phase", "probability", "amplitude", "displacement", "strain"):
        np.testing.assert_array_equal(getattr(asked, name), getattr(unasked, name), err_msg=name)


def test_shapes_that_do_not_fit_are_refused() -> None:
    image, lattices, _ = mosaic()
    with pytest.raises(InputError, match="at least one lattice"):
        pixel_phases(image, lattices[:0])
    with pytest.raises(InputError, match="mask"):
        pixel_phases(image, lattices, mask=torch.ones(3, 3))


@pytest.mark.parametrize("kind", ["uniform", "wave"])
def test_strain_is_that_of_the_crystal_within_the_bound_of_the_kernel(kind: str) -> None:
    size = 256
    places = sites(hexagon(0.3), size)
    if kind == "uniform":
        moved = (places - size / 2) * [1.0, 1.01] + size / 2
        true = np.zeros((size, size))
    else:
        k = 2 * np.pi / 150
        moved = places + np.stack([0 * places[:, 0], 0.02 / k * np.sin(k * places[:, 1])], -1)
        x = np.mgrid[:size, :size][1]
        wide = 2.5 * A * np.sqrt(np.sqrt(0.75))
        true = gaussian_filter(0.02 * np.cos(k * x), wide, mode="reflect")
    settings = PixelSettings()
    image = counted(drawn(moved, size=size), 20, seed=3)
    pixels = pixel_phases(image, bases(hexagon(0.3)), settings)
    exx = pixels.strain[0, ..., 0].numpy()
    inner = slice(30, -30)
    if kind == "uniform":  # what all have in common is the mean lattice
        stretch = torch.linalg.inv(bases(hexagon(0.3))[0]) @ pixels.basis[0]
        assert float(stretch[1, 1]) - 1 == pytest.approx(0.01, abs=5e-4)
        error = exx[inner, inner]
        said = float(pixels.strain_std[0, ..., 0].mean())
        assert error.std() < 1.3 * said
    else:
        grid = true[:: pixels.step, :: pixels.step][inner, inner]
        slope, _ = np.polyfit(grid.ravel(), exx[inner, inner].ravel(), 1)
        assert slope == pytest.approx(1, abs=0.15)
