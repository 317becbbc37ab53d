"""A crystal of two atoms in a cell, bright and dark, displaced as a whole."""

from __future__ import annotations

import torch

BASIS = torch.tensor([[0.7, 9.6], [8.9, -1.3]], dtype=torch.float64)


def motif(shift: tuple[float, float] = (0.0, 0.0), size: int = 150) -> torch.Tensor:
    """Two atoms in a cell, the second one dark."""
    y, x = torch.meshgrid(*2 * [torch.arange(size, dtype=torch.float64)], indexing="ij")
    inside = (torch.stack([y - shift[0], x - shift[1]], -1)) @ torch.linalg.inv(BASIS)
    image = torch.zeros_like(y)
    for place, height in ((0.1, 1.0), (0.55, -0.6)):
        angle = 2 * torch.pi * (inside - place)
        image += height * torch.exp(1.2 * (angle.cos().sum(-1) - 2))
    return image
