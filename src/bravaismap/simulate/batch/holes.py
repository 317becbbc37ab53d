"""The holes of a batch of specimens, with the lobed outlines of :class:`bravaismap.simulate.faults.Holes`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.simulate.batch.draws import Draws, Purpose, counted
from bravaismap.simulate.faults import HOLE_RADIUS, LOBE_DEPTH, LOBES

__all__ = ["HoleTable", "draw_holes"]


@dataclass(frozen=True)
class HoleTable:
    """Holes of n windows, at most `most` in each; a radius of 0 for none.

    Attributes
    ----------
    centre : float64 tensor, shape (n, most, 2)
        (y, x) in px.
    radius, lobes, depth, phase : float64 tensors, shape (n, most)
        Mean radius in px; number, depth and angle of the lobes.
    """

    centre: Tensor
    radius: Tensor
    lobes: Tensor
    depth: Tensor
    phase: Tensor

    def contain(self, window: Tensor, position: Tensor) -> Tensor:
        """Tell which positions (atoms, 2), each of a window, lie in a hole of their window."""
        inside = torch.zeros_like(window, dtype=torch.bool)
        rows = (self.radius > 0).any(dim=1)[window].nonzero()[:, 0]
        at = window[rows]
        for k in range(self.radius.shape[1]):
            inside[rows] |= self._inside(at, torch.full_like(at, k), *(position[rows] - self.centre[at, k]).unbind(1))
        return inside

    def film(self, rows: Tensor, origin: tuple[int, int], shape: tuple[int, int]) -> Tensor:
        """Return an image that is 1 in the specimen and 0 in its holes.

        Parameters
        ----------
        rows : int64 tensor, shape (m,)
            Windows.
        origin, shape : (int, int)
            First row and column in the frame of the windows, and number of rows and columns.

        Returns
        -------
        float32 tensor, shape (m, *shape)
        """
        film = torch.ones(len(rows), *shape, dtype=torch.float32, device=self.radius.device)
        radius = self.radius[rows]
        # the pixels in the square about each hole
        reach = radius[..., None] * (1 + LOBE_DEPTH)
        centre = self.centre[rows] - torch.tensor(origin, dtype=radius.dtype, device=radius.device)
        last = torch.tensor(shape, device=radius.device) - 1
        low = (centre - reach).ceil().to(torch.int64).clamp_min(0)
        size = ((centre + reach).floor().to(torch.int64).minimum(last) - low + 1).clamp_min(0) * (reach > 0)
        hole, step = counted(size.prod(dim=2).flatten())
        width = size[..., 1].flatten()[hole]
        down = torch.div(step, width, rounding_mode="floor")
        pixel = low.flatten(0, 1)[hole] + torch.stack([down, step - down * width], dim=1)
        at, k = hole // radius.shape[1], hole % radius.shape[1]
        inside = self._inside(rows[at], k, *(pixel - centre.flatten(0, 1)[hole]).to(torch.float32).unbind(1))
        chosen = inside.nonzero()[:, 0]
        pixel = pixel[chosen]
        film.view(-1)[(at[chosen] * shape[0] + pixel[:, 0]) * shape[1] + pixel[:, 1]] = 0.0
        return film

    def _inside(self, at: Tensor, hole: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Tell which distances (m,) from the middle of a hole of a window lie in it, by powers of (x + i y) / r."""
        radius, lobes, depth, phase = (
            field[at, hole].to(y.dtype) for field in (self.radius, self.lobes, self.depth, self.phase)
        )
        distance = (y.square() + x.square()).sqrt()
        cosine, sine = (part / distance.clamp_min(1e-12) for part in (x, y))
        power, wave = (cosine, sine), torch.zeros_like(distance)
        for number in range(2, LOBES[1] + 1):
            power = power[0] * cosine - power[1] * sine, power[0] * sine + power[1] * cosine
            chosen = depth * (lobes == number)
            wave = wave + power[0] * (chosen * phase.cos()) - power[1] * (chosen * phase.sin())
        return distance < radius * (1 + wave)


def draw_holes(draws: Draws, frame: Tensor) -> HoleTable | None:
    """Draw holes anywhere in the frame (n, 2) of each window; None if no window has one."""
    most = int(draws.host_column("holes").max(initial=0))
    if most == 0:
        return None
    unit = draws.unit_field(Purpose.HOLES, most, 6)
    radius = (HOLE_RADIUS[0] + unit[..., 2] * (HOLE_RADIUS[1] - HOLE_RADIUS[0])) * frame.amin(dim=1, keepdim=True)
    present = torch.arange(most, device=unit.device) < draws["holes"][:, None]
    return HoleTable(
        unit[..., :2] * frame[:, None],
        radius * present,
        LOBES[0] + (unit[..., 3] * (LOBES[1] - LOBES[0] + 1)).floor(),
        LOBE_DEPTH * unit[..., 4],
        2 * math.pi * unit[..., 5],
    )
