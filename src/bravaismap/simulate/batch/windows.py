"""A batch of windows from their random numbers: crystals or patterns, imaged and recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.simulate.batch.atoms import AtomTable, draw_atoms
from bravaismap.simulate.batch.cells import draw_bases, draw_motifs
from bravaismap.simulate.batch.draws import Draws, Purpose
from bravaismap.simulate.batch.holes import HoleTable, draw_holes
from bravaismap.simulate.batch.imaging import atom_images, displaced_lines, probed_lines, transfer
from bravaismap.simulate.batch.recording import record
from bravaismap.simulate.batch.textures import compressed, pattern_images
from bravaismap.simulate.instrument import PROBE_MARGIN
from bravaismap.simulate.recipe import PATTERNS
from bravaismap.simulate.windows import JITTER_MARGIN

__all__ = ["filled", "window_images"]

#: Pixels of the images that are made together: on a processor as many as its cache holds, on a GPU its memory.
_PIXELS_ON_PROCESSOR = 2**19
_PIXELS_ON_DEVICE = 2**26
#: Sides of the tiles of an image, in px, and the width of an atom in px from which on they are the larger ones.
_TILES, _SMALL_ATOM = (16, 32), 1.8
_WANDER_STEP = 8  # px in which the margin for wandering scan lines grows


def window_images(draws: Draws, side: int) -> tuple[Tensor, Tensor]:
    """Simulate windows.

    Parameters
    ----------
    draws : Draws
        Of n windows.
    side : int
        In px.

    Returns
    -------
    image : float32 tensor, shape (n, side, side)
        In counts where the recipe has a dose, else in heights of an atom.
    basis : float64 tensor, shape (n, 2, 2)
        Primitive vectors as rows (y, x) in px, as seen in the image; those of the larger grain. Of a window without
        atoms, too.
    """
    basis = draw_bases(draws)
    motif = draw_motifs(draws, basis)
    shift, wander_margin = _line_shifts(draws, side)
    border = PROBE_MARGIN * draws.possible("tilt", "astigmatism", "tail").to(torch.float64)
    margin = torch.where(draws.possible("jitter", "wander"), JITTER_MARGIN + wander_margin, 0.0)
    frame = side + 2 * torch.stack([border, border + margin], dim=1)
    holes = draw_holes(draws, frame)
    atoms = draw_atoms(draws, basis, motif, frame, holes)
    crystals = _Crystals(atoms, holes, motif.width[:, 0], shift, side)
    image = torch.empty(len(draws), side, side, dtype=torch.float32, device=basis.device)
    styles, style = _styles(draws, border, margin, motif.width[:, 0])
    order = np.lexsort(((atoms.first[1:] - atoms.first[:-1]).cpu().numpy(), style))
    pixels = _PIXELS_ON_PROCESSOR if image.device.type == "cpu" else _PIXELS_ON_DEVICE
    for at in np.split(order, range(most := max(1, pixels // side**2), len(order), most)):
        rows = torch.from_numpy(at).to(image.device)
        part = draws.select(rows)
        scene, film = crystals.scenes(part, rows, styles, style[at])
        recorded = record(part, scene, film)
        blocks = torch.from_numpy(np.flatnonzero(part.pattern == PATTERNS.index("blocks"))).to(rows.device)
        if len(blocks):
            recorded.index_copy_(0, blocks, compressed(part.select(blocks), recorded[blocks]))
        image.index_copy_(0, rows, recorded)
    return image, basis


def _line_shifts(draws: Draws, side: int) -> tuple[Tensor, Tensor]:
    """Return the displacement of each scan line (n, side) in px, and the margin (n,) that wandering lines need."""
    shift = torch.zeros(len(draws), side, device=draws.value.device)
    margin = torch.zeros(len(draws), dtype=torch.float64, device=shift.device)
    rows = draws.having("wander")
    if len(rows):
        part = draws.select(rows)
        walk = part.normal_field(Purpose.WANDER, side).to(torch.float64).cumsum(dim=1)
        axis = torch.linspace(-1, 1, side, dtype=torch.float64, device=shift.device)
        walk = walk - walk.mean(dim=1, keepdim=True)
        walk = walk - axis * ((walk * axis).sum(dim=1, keepdim=True) / axis.square().sum())
        level = (part["wander"] * part["length"])[:, None]
        walk = walk * (level / walk.std(dim=1, correction=0, keepdim=True).clamp_min(1e-12))
        shift[rows] = walk.to(torch.float32)
        margin[rows] = (walk.abs().amax(dim=1) / _WANDER_STEP).ceil() * _WANDER_STEP
    rows = draws.having("jitter")
    if len(rows):
        part = draws.select(rows)
        jitter = part.normal_field(Purpose.JITTER, side) * part["jitter"].to(torch.float32)[:, None]
        shift.index_add_(0, rows, jitter)
    return shift, margin


@dataclass(frozen=True)
class _Style:
    """How a window is imaged: holes, a pattern (−1: none), border and margin in px, blur, and the side of its tiles."""

    holed: bool
    pattern: int
    border: int
    margin: int
    blurred: bool
    tile: int


@dataclass(frozen=True)
class _Crystals:
    """What there is to be imaged in n windows: atoms and holes, width of an atom, displacements of the lines."""

    atoms: AtomTable
    holes: HoleTable | None
    width: Tensor
    shift: Tensor
    side: int

    def scenes(
        self, draws: Draws, rows: Tensor, styles: list[_Style], style: NDArray[np.integer]
    ) -> tuple[Tensor, Tensor | None]:
        """Return the signal of some windows, (m, side, side), and the film of the specimen where any has holes.

        `style` is the position of the style of each of them in `styles`.
        """
        present = np.unique(style).tolist()
        if len(present) == 1 and styles[present[0]].pattern < 0 and not styles[present[0]].holed:
            return self._signal(draws, rows, styles[present[0]]), None
        scene = torch.empty(len(rows), self.side, self.side, dtype=torch.float32, device=rows.device)
        film = None
        for number in present:
            alike, at = styles[number], torch.from_numpy(np.flatnonzero(style == number)).to(rows.device)
            more = at if at.device.type == "cpu" else at[filled(len(at), at.device)]
            part = draws.select(more)
            if alike.pattern >= 0:
                scene.index_copy_(0, at, pattern_images(PATTERNS[alike.pattern], part, self.side)[: len(at)])
                continue
            scene.index_copy_(0, at, self._signal(part, rows[more], alike)[: len(at)])
            if alike.holed and self.holes is not None:
                film = torch.ones_like(scene) if film is None else film
                film.index_copy_(0, at, self._film(self.holes, rows[at], alike))
        return scene, film

    def _signal(self, draws: Draws, rows: Tensor, style: _Style) -> Tensor:
        margin, outside = style.margin, PROBE_MARGIN if style.blurred else 0
        start, height = style.border - outside, self.side + 2 * outside
        image = atom_images(self.atoms, rows, (start, start), (height, height + 2 * margin), style.tile)
        if style.blurred:
            factor = transfer(draws, self.width[rows], *image.shape[1:])
            image = probed_lines(image, factor, self.shift[rows] if margin else None)
        elif margin:
            image = displaced_lines(image, self.shift[rows])
        return image[..., outside + margin : outside + margin + self.side]

    def _film(self, holes: HoleTable, rows: Tensor, style: _Style) -> Tensor:
        margin = style.margin
        film = holes.film(rows, (style.border, style.border), (self.side, self.side + 2 * margin))
        if margin:
            film = displaced_lines(film, self.shift[rows])[..., margin : margin + self.side].clamp(0, 1)
        return film


def filled(count: int, device: torch.device) -> Tensor:
    """Return the positions of things, the last of them repeated up to 4, 5, 6 or 7 times a power of two.

    A GPU plans its Fourier transforms anew for every number of images that it has not met before.
    """
    step = 1 << max(count.bit_length() - 3, 0)
    return torch.arange(-(-count // step) * step, device=device).clamp_max(count - 1)


def _styles(draws: Draws, border: Tensor, margin: Tensor, width: Tensor) -> tuple[list[_Style], NDArray[np.integer]]:
    """Return the styles of windows, and the position (n,) of that of each."""
    blurs = np.zeros(len(draws), bool)
    for name in ("tilt", "astigmatism", "tail"):
        blurs |= draws.host_column(name) > 0
    numbers = torch.stack([border, margin, width]).cpu().numpy()
    tiles = np.where(numbers[2] < _SMALL_ATOM, *_TILES)
    holed = draws.host_column("holes") > 0
    keys = np.stack([holed, draws.pattern, *numbers[:2], blurs, tiles], axis=1).astype(int)
    styles, style = np.unique(keys, axis=0, return_inverse=True)
    return [_Style(bool(h), p, b, m, bool(blurred), t) for h, p, b, m, blurred, t in styles.tolist()], style.ravel()
