"""Whole images: crystals that are not one wave, and parts that suit them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.parts import cut_parts, measure_parts, part_sizes
from bravaismap.measure.whole_image import has_parts, measure_whole

Draw = Callable[..., np.ndarray]
SIDE = 320
CELL = basis_from_cell(13.0, 17.0, np.radians(78.0), np.radians(25.0))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32))


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def strain_from(true: np.ndarray, found: np.ndarray) -> float:
    """Largest departure of the change of basis from whole numbers; 1 where the cell is not of the same area."""
    change = found @ np.linalg.inv(true)
    whole = np.rint(change)
    return float(np.abs(change - whole).max()) if abs(abs(np.linalg.det(whole)) - 1) < 0.1 else 1.0


def test_parts_have_several_sizes_and_the_image_is_the_last() -> None:
    assert part_sizes((320, 400)) == [96, 128, 192, 256, 320]
    assert has_parts((146, 445))
    assert not has_parts((128, 128))
    parts = measure_parts(tensor(noise(1, 200, 240)))
    assert parts.side[-1] == 200
    assert (parts.origin + parts.side[:, None] <= (200, 240)).all()
    crops = torch.cat(list(cut_parts(tensor(noise(1, 200, 240)), 96)))
    assert len(crops) == (parts.side == 96).sum()


def test_a_perfect_crystal_is_measured_whole(crystal: Draw) -> None:
    first = measure_whole(tensor(crystal((SIDE, SIDE), CELL) + 0.2 * noise(2, SIDE, SIDE))).lattices[0]
    assert first.side == SIDE
    assert strain_from(CELL, first.basis) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["antiphase", "strain", "jitter", "grain", "holes", "offsets"])
def test_a_broken_crystal_shows_its_lattice(crystal: Draw, fault: str) -> None:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    shift = np.zeros((SIDE, SIDE, 2))
    if fault == "antiphase":
        for line in (90, 170, 250):
            shift += (x + 0.3 * y > line)[..., None] * 0.5 * CELL[0]
    elif fault == "strain":
        shift[..., 0], shift[..., 1] = 6 * np.sin(2 * np.pi * x / SIDE), 6 * np.cos(2 * np.pi * y / SIDE)
    elif fault == "jitter":
        shift[..., 1] = (0.35 * noise(3, SIDE)).cumsum()[:, None]
    image = crystal((SIDE, SIDE), CELL, shift=shift)
    if fault == "grain":
        turned = basis_from_cell(13.0, 17.0, np.radians(78.0), np.radians(62.0))
        image = np.where(x + 0.2 * y > 210, crystal((SIDE, SIDE), turned), image)
    elif fault == "holes":
        image *= np.hypot(y - 160, x - 160) > 95
    elif fault == "offsets":
        image += 0.7 * noise(4, SIDE, 1)
    lattices = measure_whole(tensor(image + 0.15 * noise(5, SIDE, SIDE))).lattices
    assert strain_from(CELL, lattices[0].basis) < 0.04
    assert lattices[0].evidence > 60
    if fault == "grain":
        assert lattices[0].share == pytest.approx(0.6, abs=0.2)
        assert strain_from(turned, lattices[1].basis) < 0.04


def test_rows_of_a_lattice_of_few_pixels_are_not_shifted_onto_one_another(crystal: Draw) -> None:
    cell = np.array([[1.5, -3.89], [-4.12, 0.64]])
    image = crystal((200, 300), cell, width=1.0)
    along_rows = gaussian_filter1d(noise(11, 200, 300), 1.2, axis=1)  # the bandwidth of the feedback
    noisy = image / image.std() + 0.35 * noise(12, 200, 300) + 0.35 * along_rows / along_rows.std()
    look = measure_whole(tensor(noisy))
    assert not look.aligned
    assert strain_from(cell, look.lattices[0].basis) < 0.04


@pytest.mark.slow
def test_noise_shows_none() -> None:
    for seed in range(4):
        lattices = measure_whole(tensor(noise(seed, 256, 256))).lattices
        assert not lattices or lattices[0].evidence < 10


@pytest.mark.slow
def test_a_small_crystal_in_a_large_image_is_found_with_its_share(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), CELL)
    image[:, 150:] = 0
    image[150:] = 0
    first = measure_whole(tensor(image + 0.15 * noise(6, SIDE, SIDE))).lattices[0]
    assert strain_from(CELL, first.basis) < 0.04
    assert 0.05 < first.share < 0.5
    assert first.evidence > 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "half empty", "one pixel", "blocks", "exact"])
def test_any_image_is_answered(kind: str) -> None:
    y, x = np.mgrid[:256, :256]
    rows = noise(7, 256, 1)
    image = {
        "rows": np.repeat(rows, 256, axis=1),
        "half empty": np.where(y < 128, noise(8, 256, 256), 0.0) + rows,
        "one pixel": ((x == 7) & (y == 9)) * 1.0,
        "blocks": np.kron(np.random.default_rng(9).integers(0, 4, (32, 32)), np.ones((8, 8))) + rows,
        "exact": ((x + y) % 16 < 4) * 1.0 + (x % 16 == 0),
    }[kind]
    for lattice in measure_whole(tensor(image)).lattices:
        assert np.isfinite(lattice.basis).all()
        assert np.isfinite(lattice.covariance).all()
        assert np.isfinite(lattice.evidence)
