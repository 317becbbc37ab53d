"""An image as its pixels are asked: slow background out, brightness known, masked pixels without a say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.errors import InputError
from bravaismap.local.flattening import flattened, prepared_frame, without_rows
from bravaismap.local.pixels import PixelSettings

SIZE, A = 120, 10.0
BASES = A * torch.eye(2)[None]


def lattice_image(slope: float = 0.0) -> torch.Tensor:
    y, x = (torch.from_numpy(axis).float() for axis in np.mgrid[:SIZE, :SIZE])
    return 5.0 + slope * x + torch.cos(2 * torch.pi * y / A) + torch.cos(2 * torch.pi * x / A)


def test_a_slow_slope_and_no_atom_is_taken_out() -> None:
    frame, wide, (lattice,) = prepared_frame(lattice_image(0.02), BASES, PixelSettings(), None, alone=True)
    flat = flattened(frame, wide).flat[40:80, 40:80]
    torch.testing.assert_close(flat, (lattice_image() - 5.0)[40:80, 40:80], atol=0.02, rtol=0)
    torch.testing.assert_close(lattice.basis, BASES[0])


def test_the_level_follows_an_edge_and_shows_no_atom() -> None:
    image = lattice_image()
    image[:, 60:] = 1.0  # a void
    frame, wide, _ = prepared_frame(image, BASES, PixelSettings(), None, alone=True)
    level = flattened(frame, wide).level
    assert level[30:90, 20:40].numpy() == pytest.approx(5.0, abs=0.05)
    assert level[30:90, 80:100].numpy() == pytest.approx(1.0, abs=0.05)


def test_masked_pixels_change_no_level() -> None:
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[50:60, 50:60] = False
    levels = []
    for value in (0.0, 100.0):
        image = lattice_image()
        image[~mask] = value
        frame, wide, _ = prepared_frame(image, BASES, PixelSettings(), mask, alone=True)
        levels.append(flattened(frame, wide).level)
    torch.testing.assert_close(levels[0], levels[1])


@pytest.mark.parametrize("masked", [False, True])
def test_without_offsets_of_rows_it_is_the_frame_that_never_had_them(masked: bool) -> None:
    rows = torch.sin(torch.arange(SIZE) / 3.0)[:, None]
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[50:60, 50:60] = False
    levels = []
    for image in (lattice_image(), lattice_image() + rows):
        frame, wide, _ = prepared_frame(image, BASES, PixelSettings(), mask if masked else None, alone=True)
        levels.append(flattened(frame, wide))
    level = without_rows(levels[1], rows).level
    torch.testing.assert_close(level, levels[0].level, atol=1e-5, rtol=0)
    assert float((levels[1].level - level).std()) > 0.01


@pytest.mark.parametrize(("step", "first"), [(None, 4), (1, 2), (2, 4), (3, 3)])
def test_the_first_turns_ask_points_twice_as_far_apart_where_a_cell_has_two_of_them(
    step: int | None, first: int
) -> None:
    frame, _, _ = prepared_frame(lattice_image(), BASES, PixelSettings(step=step), None, alone=True)
    assert (frame.grid.step, frame.last_grid.step) == (first, step or 2)
    assert frame.step == first


def test_an_image_without_a_lattice_is_refused() -> None:
    with pytest.raises(InputError, match="at least one lattice"):
        prepared_frame(lattice_image(), BASES[:0], PixelSettings(), None, alone=True)
