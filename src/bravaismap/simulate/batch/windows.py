"""A batch of windows from their random numbers: crystals or patterns, imaged and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
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

__all__ = ["window_images"]

#: Pixels of the images that are made together: on a processor as many as its cache holds, on a GPU its memory.
_PIXELS_ON_PROCESSOR = 2**18
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
    image = torch.empty(len(draws), side, side, dtype=torch.float32, device=basis.device)
    for rows, style in _groups(draws, border, margin, motif.width[:, 0], atoms, side):
        part = draws.select(rows)
        if style.pattern is None:
            scene, film = _scenes(part, rows, style, atoms, holes, motif.width[rows, 0], shift[rows], side)
        else:
            scene, film = pattern_images(style.pattern, part, side), None
        recorded = record(part, scene, film)
        image.index_copy_(0, rows, compressed(part, recorded) if style.pattern == "blocks" else recorded)
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
    """How windows are imaged: a pattern, or border and margin in px, whether the probe blurs, and the side of tiles."""

    pattern: str | None
    border: int
    margin: int
    blurred: bool
    tile: int


def _groups(
    draws: Draws, border: Tensor, margin: Tensor, width: Tensor, atoms: AtomTable, side: int
) -> Iterator[tuple[Tensor, _Style]]:
    """Yield windows that are imaged alike, as many as fit, and how."""
    blurs = np.zeros(len(draws), bool)
    for name in ("tilt", "astigmatism", "tail"):
        blurs |= draws.host_column(name) > 0
    numbers = torch.stack([border, margin, width, atoms.first[1:] - atoms.first[:-1]]).cpu().numpy()
    tiles = np.where(numbers[2] < _SMALL_ATOM, *_TILES)
    holed = draws.host_column("holes") > 0
    keys = np.stack([draws.pattern, *numbers[:2], blurs, tiles, holed], axis=1).astype(int)
    styles, group = np.unique(keys, axis=0, return_inverse=True)
    on_processor = draws.value.device.type == "cpu"
    for i, (pattern, edge, wide, blurred, tile, _) in enumerate(styles.tolist()):
        style = _Style(PATTERNS[pattern] if pattern >= 0 else None, edge, wide, bool(blurred), tile)
        rows = np.flatnonzero(group.ravel() == i)
        rows = rows[np.argsort(numbers[3, rows], kind="stable")]
        pixels = (side + 2 * edge) * (side + 2 * edge + 2 * wide)
        most = max(1, (_PIXELS_ON_PROCESSOR if on_processor else _PIXELS_ON_DEVICE) // pixels)
        for first in range(0, len(rows), most):
            yield torch.from_numpy(rows[first : first + most]).to(draws.value.device), style


def _scenes(
    draws: Draws,
    rows: Tensor,
    style: _Style,
    atoms: AtomTable,
    holes: HoleTable | None,
    scale: Tensor,
    shift: Tensor,
    side: int,
) -> tuple[Tensor, Tensor | None]:
    """Return the signal of the atoms, (n, side, side), and the film in which they lie where any has holes."""
    border, margin = style.border, style.margin
    outside = PROBE_MARGIN if style.blurred else 0
    start, height = border - outside, side + 2 * outside
    image = atom_images(atoms, rows, (start, start), (height, height + 2 * margin), style.tile)
    if style.blurred:
        image = probed_lines(image, transfer(draws, scale, *image.shape[1:]), shift if margin else None)
        image = image[..., outside + margin : outside + margin + side].contiguous()
    elif margin:
        image = displaced_lines(image, shift)[..., margin : margin + side].contiguous()
    if holes is None or not draws.any("holes"):
        return image, None
    film = holes.film(rows, (border, border), (side, side + 2 * margin))
    if margin:
        film = displaced_lines(film, shift)[..., margin : margin + side].clamp(0, 1)
    return image, film
