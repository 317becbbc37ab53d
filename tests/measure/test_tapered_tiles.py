"""Tapered tiles: every pixel of an image once, in the tile where it is, and bright in the middle."""

from __future__ import annotations

import pytest
import torch

from bravaismap.measure import settings
from bravaismap.measure.tapered_tiles import taper_by_tile, tapered_tiles

TILES = settings.SETTINGS.refinement.tiles


@pytest.mark.parametrize("size", [(64, 96), (70, 99)])
def test_tiles_are_the_parts_of_the_image_about_its_centre(size: tuple[int, int]) -> None:
    image = torch.rand(2, *size) + 1
    tapered = tapered_tiles(image)
    rows, columns = tapered.size
    height, width = rows // TILES, columns // TILES
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    part = image[:, top + 2 * height : top + 3 * height, left + 4 * width : left + 5 * width].flatten(1)
    taper = taper_by_tile(tapered.size, image.device)
    torch.testing.assert_close(tapered.tiles[:, 2 * TILES + 4], part * taper[2 * TILES + 4])
    torch.testing.assert_close(tapered.extent, torch.tensor([rows / size[0], columns / size[1]]))
    assert float(taper[3 * TILES + 3].min()) == 1.0  # a tile in the middle
    assert float(taper[0].min()) < 0.01


def test_some_images_are_taken_and_put_back() -> None:
    tapered = tapered_tiles(torch.rand(3, 64, 64))
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(tapered.take(rows).tiles, tapered.tiles[[2, 0]])
    back = tapered.put(tapered.take(rows.flip(0)), rows)
    torch.testing.assert_close(back.tiles, tapered.tiles[[2, 1, 0]])
