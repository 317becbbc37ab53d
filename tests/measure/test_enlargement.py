"""Enlargement: repeated pixels are found, and what is measured at their own resolution is scaled up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.measure import settings
from bravaismap.measure.enlargement import enlarged, is_enlarged, native
from bravaismap.measure.measurement import measure
from bravaismap.measure.whole_image import measure_whole


def test_repeated_pixels_are_counted_and_cut_edges_do_no_harm() -> None:
    small = np.random.default_rng(1).standard_normal((40, 50)).astype(np.float32)
    shown = np.kron(small, np.ones((3, 4), np.float32))[1:, 2:]
    own = native(torch.from_numpy(shown))
    assert own.repeated == (3.0, 4.0)
    assert np.array_equal(own.image.numpy(), small)
    assert is_enlarged(shown)


def test_nothing_else_is_enlarged() -> None:
    rng = np.random.default_rng(2)
    sparse = rng.poisson(0.002, (128, 128))  # most neighbours are equal
    lines = np.repeat(rng.standard_normal((64, 1)), 128, axis=1)[rng.integers(0, 64, 128)]
    for image in (rng.standard_normal((64, 64)), sparse.astype(float), lines, np.zeros((64, 64))):
        assert not is_enlarged(image)


@pytest.mark.parametrize("times", [2, 5])
def test_the_cell_is_that_of_the_enlarged_image(crystal: Callable[..., np.ndarray], times: int) -> None:
    basis = basis_from_cell(6.0, 6.0, np.radians(60.0), 0.05)
    image = crystal((48, 48), basis, width=1.0) + 0.1 * np.random.default_rng(3).standard_normal((48, 48))
    shown = np.kron(image, np.ones((times, times))).astype(np.float32)
    a, b, gamma, _ = cell_from_basis(measure_whole(torch.from_numpy(shown)).lattices[0].basis)
    assert (a, b) == pytest.approx((6.0 * times, 6.0 * times), rel=0.01)
    assert np.degrees(gamma) == pytest.approx(60, abs=1)


@pytest.mark.parametrize(("times", "start"), [((2, 2), (0, 0)), ((3, 2), (1, 1))])
def test_windows_of_an_enlarged_scan_are_measured_in_their_own_resolution(
    crystal: Callable[..., np.ndarray], times: tuple[int, int], start: tuple[int, int]
) -> None:
    rng = np.random.default_rng(4)
    basis = basis_from_cell(6.0, 8.0, np.radians(75.0), 0.3)
    small = crystal((64, 64), basis, width=1.0) + 0.3 * rng.standard_normal((64, 64))
    shown = np.kron(small, np.ones(times))[start[0] :, start[1] :][:120, :120]
    plain = crystal((120, 120), basis, width=1.0) + 0.3 * rng.standard_normal((120, 120))
    images = torch.from_numpy(np.stack([plain, shown, plain[::-1].copy()]).astype(np.float32))
    assert enlarged(images).tolist() == [1]
    found, alone = measure(images), measure(images[[0, 2]])
    torch.testing.assert_close(found.basis[[0, 2]], alone.basis)
    true = basis * np.array(times)
    change = found.basis[1].numpy() @ np.linalg.inv(true)
    np.testing.assert_allclose(change, np.rint(change), atol=0.01)
    assert abs(np.linalg.det(change)) == pytest.approx(1, abs=0.01)
    error = (found.basis[1].numpy() - np.rint(change) @ true).ravel()
    assert error @ np.linalg.solve(found.covariance[1].numpy(), error) < 25  # χ² of 4 degrees of freedom
    first = found.order[1, 0].numpy() @ np.linalg.inv(found.basis[1].numpy()).T
    np.testing.assert_allclose(found.frequency[1, 0], first, atol=1e-5)


@pytest.mark.parametrize("own", [16, 20, 24])
def test_noise_of_few_pixels_of_its_own_shows_no_lattice(own: int) -> None:
    noise = np.random.default_rng(5).standard_normal((own, own))
    shown = torch.from_numpy(np.kron(noise, np.ones((4, 4))).astype(np.float32))
    assert float(measure(shown[None]).evidence) < settings.SETTINGS.odds.even_evidence


def test_a_window_of_few_pixels_of_its_own_is_interpolated(crystal: Callable[..., np.ndarray]) -> None:
    basis = basis_from_cell(5.0, 5.0, np.radians(60.0), 0.05)
    small = crystal((16, 16), basis, width=1.0) + 0.1 * np.random.default_rng(5).standard_normal((16, 16))
    shown = torch.from_numpy(np.kron(small, np.ones((4, 4))).astype(np.float32))
    for found in (measure(shown[None]).basis[0].numpy(), measure_whole(shown).lattices[0].basis):
        a, b, gamma, _ = cell_from_basis(found)
        assert (a, b) == pytest.approx((20.0, 20.0), rel=0.015)
        assert np.degrees(gamma) == pytest.approx(60, abs=0.8)
    assert measure_whole(shown).repeated == (4.0, 4.0)
