"""Deformation at every point: likely displacements, their errors, and the Gaussian that suits a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.amplitude import Noise
from bravaismap.local.deformation import best_kernel, likely_displacement, local_deformation
from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import Locked, lock
from bravaismap.local.strain import strain
from bravaismap.simulate.crystal import gaussian_atoms

A, SIZE, LEVEL = 10.0, 192, 0.05
BASIS = basis_from_cell(A, A, np.pi / 3, 0.3)


def image_of(wave: float = 0.0, period: float = 80.0, stretch: float = 0.0) -> np.ndarray:
    """A crystal that is stretched along x, and waved by so much strain."""
    steps = np.stack(np.meshgrid(*2 * [np.arange(-40, 40)], indexing="ij"), -1).reshape(-1, 2)
    rest = steps @ BASIS + SIZE / 2
    k = 2 * np.pi / period
    places = rest.copy()
    for _ in range(20):
        x = places[:, 1] - SIZE / 2
        places = rest + np.stack([0 * x, stretch * x + wave / k * np.sin(k * x)], -1)
    places = places[((places > -20) & (places < SIZE + 20)).all(1)]
    return gaussian_atoms(places, np.ones(len(places)), np.full(len(places), 1.5), (SIZE, SIZE)).astype(float) + LEVEL


def crystal(image: torch.Tensor, sigma: float = 22.0) -> tuple[torch.Tensor, torch.Tensor, Locked]:
    flat, basis = image - image.mean(), torch.from_numpy(BASIS).to(image)
    share = torch.ones_like(image)
    return flat, share, lock(demodulate(flat, share, basis, lattice_nodes(basis), sigma, int(sigma / 2)))


def counted(image: np.ndarray, counts: float, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).poisson(counts * image) / counts)


def inner(field: torch.Tensor, step: int) -> torch.Tensor:
    edge = 40 // step
    return field[edge:-edge, edge:-edge]


def test_a_stretch_is_found() -> None:
    flat, share, locked = crystal(torch.from_numpy(image_of(stretch=0.01)))
    field = local_deformation(flat, share, locked, Noise(1e-4, 0.0, 1.0), 0.2, 15.0)
    values = inner(strain(field.gradient), field.step)
    expected = torch.tensor([0.01 / 0.99, 0, 0, 0], dtype=values.dtype)
    torch.testing.assert_close(values, expected.expand_as(values), atol=8e-4, rtol=0)


def test_towards_an_edge_the_error_grows_by_what_the_strain_changes() -> None:
    noise, sigma, wave, period = Noise(1e-4, 0.0, 1.0), 15.0, 0.02, 384.0  # the slope is steepest at the edge
    fields = []
    for height in (0.0, wave):
        flat, share, locked = crystal(torch.from_numpy(image_of(wave=height, period=period)))
        fields.append(local_deformation(flat, share, locked, noise, 0.2, sigma))
    plain, waved = (field.std[..., 0] for field in fields)
    middle = slice(len(plain) // 3, -len(plain) // 3)
    torch.testing.assert_close(waved[middle, middle], plain[middle, middle], rtol=0.1, atol=1e-4)
    near = slice(0, int(sigma / fields[0].step) + 1)
    grown = waved[middle, near].square().mean().sqrt() / plain[middle, near].square().mean().sqrt()
    assert float(grown) > 2


def test_errors_are_the_scatter_of_counts_and_less_than_with_even_noise() -> None:
    image, counts = image_of(), 10.0
    found: dict[str, list[torch.Tensor]] = {"counts": [], "even": []}
    said = 0.0
    for seed in range(16):
        frame = counted(image, counts, seed)
        flat, share, locked = crystal(frame)
        for name, noise in (
            ("counts", Noise(0.0, 1 / counts, 1.0)),
            ("even", Noise(float(frame.mean()) / counts, 0, 1.0)),
        ):
            field = local_deformation(flat, share, locked, noise, float(frame.mean()), 12.0)
            found[name].append(inner(strain(field.gradient), field.step))
            if name == "counts":
                said = float(inner(field.std, field.step)[..., 0].mean())
    scatter = {name: float(torch.stack(values).std(0)[..., 0].square().mean().sqrt()) for name, values in found.items()}
    assert scatter["counts"] == pytest.approx(said, rel=0.2)
    assert scatter["counts"] < 0.92 * scatter["even"]


def test_the_bound_of_counts_is_reached() -> None:
    """σ is the inverse root of the Fisher information of Poisson counts in the Gaussian."""
    image, counts, sigma = image_of(), 10.0, 12.0
    flat, share, locked = crystal(torch.from_numpy(image))
    noise = Noise(0.0, 1 / counts, 1.0)
    said = local_deformation(flat, share, locked, noise, float(image.mean()), sigma).displacement_std
    slope = np.gradient(image, axis=1)[48:-48, 48:-48]
    information = counts * (slope**2 / image[48:-48, 48:-48]).mean() * 4 * np.pi * sigma**2
    assert float(inner(said[..., 1], int(sigma / 3)).mean()) == pytest.approx(information**-0.5, rel=0.12)


def test_even_noise_changes_no_displacement() -> None:
    _, _, locked = crystal(torch.from_numpy(image_of(wave=0.01)))
    likely = likely_displacement(locked, Noise(0.01, 0.0, 1.0), 0.2)
    apart = likely.shift - locked.shift
    assert float((apart - apart.round()).abs().max()) < 2e-3


def test_strained_frames_get_narrow_kernels_and_noisy_ones_wide_kernels() -> None:
    widths = []
    for wave, counts in ((0.03, 100.0), (0.0, 5.0)):
        flat, share, locked = crystal(counted(image_of(wave, 60.0), counts, 1))
        widths.append(best_kernel(flat, share, locked, Noise(0.0, 1 / counts, 1.0), 0.2))
    assert widths[0] <= 1.5
    assert widths[1] == 3.2
