"""Frame: an image and its lattices in; the phase, amplitude, displacement and strain of every pixel out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bravaismap.compute.parallel import keep_freed_memory, one_thread
from bravaismap.compute.together import number, numbers_of, together
from bravaismap.local.amplitude import Noise
from bravaismap.local.demodulation import phase_factor
from bravaismap.local.flattening import FlatFrame, SoughtLattice, flattened, prepared_frame
from bravaismap.local.own_motif import another_motif, with_own_motifs
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.local.smoothing import on_finer_grid
from bravaismap.local.strain import displacement_gradient, strain
from bravaismap.local.turns import Told, at_points_of, in_each, levelled, refined, turned, with_shares

__all__ = ["pixel_phases", "pixel_phases_of_frames"]

#: Interpolated share of points of the waves with another motif from which on a pixel between them has it, too.
_MOSTLY = 0.5


def pixel_phases(
    image: Tensor, lattices: Tensor, settings: PixelSettings | None = None, mask: Tensor | None = None
) -> PixelPhases:
    """Measure to which lattice each pixel of a frame belongs, how strongly, and how that lattice is strained there.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Floating, finite; larger than a cell.
    lattices : tensor, shape (lattices, 2, 2)
        Bases in px, rows = vectors (y, x); different lattices, not versions of one.
    settings : PixelSettings, optional
    mask : tensor, shape (y, x), optional
        True for the pixels that count; all when not given.

    Returns
    -------
    PixelPhases

    Raises
    ------
    InputError
        If the shapes do not fit, or no lattice is given.
    """
    return pixel_phases_of_frames([image], [lattices], settings, [mask])[0]


@one_thread()
def pixel_phases_of_frames(
    images: Sequence[Tensor],
    lattices: Sequence[Tensor],
    settings: PixelSettings | None = None,
    masks: Sequence[Tensor | None] | None = None,
) -> list[PixelPhases]:
    """Measure the pixels of several frames, each as :func:`pixel_phases` does, in as few steps as one takes, for a GPU.

    Parameters
    ----------
    images, lattices, masks : sequences of tensor
        As for :func:`pixel_phases`, one of each for every frame.
    settings : PixelSettings, optional
        For all of them.

    Raises
    ------
    InputError
        If the shapes do not fit, or no lattice is given.
    """
    keep_freed_memory()
    settings = settings or PixelSettings()
    prepared = [
        prepared_frame(image, own, settings, mask, alone=len(images) == 1)
        for image, own, mask in zip(images, lattices, masks or [None] * len(images), strict=True)
    ]
    frames = together(flattened, [frame for frame, _, _ in prepared], [wide for _, wide, _ in prepared])
    sought = [own for _, _, own in prepared]
    turns = together(with_shares, frames, turned(frames, sought, [None] * len(frames)))
    turns = with_own_motifs(frames, sought, turns)
    last = max(2, settings.rounds) - 1
    for turn in range(1, last + 1):
        sought = in_each(refined, sought, [turn.locked for turn in turns])
        frames = together(levelled, frames, turns)
        if turn == last:
            frames = [replace(frame, grid=frame.last_grid) for frame in frames]
            turns = together(at_points_of, frames, turns)
        told = turned(frames, sought, turns)
        if turn < last or settings.noise:
            turns = together(with_shares, frames, told)
    pixels = together(_gathered, frames, told, sought)
    sizes = [(frame.cell, turn.fit.sigma) for frame, turn in zip(frames, told, strict=True)]
    noises = [
        (turn.noise.floor, turn.noise.slope, turn.noise.correlation) if settings.noise else (torch.nan,) * 3
        for turn in turns
    ]
    asked = [*(number(size) for own in sizes for size in own), *(value for own in noises for value in own)]
    numbers = numbers_of([torch.as_tensor(value, device=images[0].device) for value in asked])
    of_noise = numbers[2 * len(frames) :]
    return [
        replace(own, cell=numbers[2 * i], fine=numbers[2 * i + 1], noise=Noise(*of_noise[3 * i : 3 * i + 3]))
        for i, own in enumerate(pixels)
    ]


def _gathered(frame: FlatFrame, turn: Told, sought: tuple[SoughtLattice, ...]) -> PixelPhases:
    fields: dict[str, list[Tensor]] = {name: [] for name in ("displacement", "strain", "another_motif")}
    points = turn.fit.energy.shape
    for locked in turn.locked:
        step = locked.waves.step
        turns = on_finer_grid(phase_factor(locked.shift), step, frame.step, points)
        fields["displacement"].append((torch.angle(turns) / (2 * torch.pi)) @ locked.waves.basis)
        fields["strain"].append(on_finer_grid(strain(displacement_gradient(locked)), step, frame.step, points))
        another = torch.zeros_like(turn.fit.energy, dtype=torch.bool)
        if locked.own is not None:
            share = another_motif(locked).to(frame.image)[..., None]
            another = on_finer_grid(share, step, frame.step, points)[..., 0] > _MOSTLY
        fields["another_motif"].append(another)
    seen = turn.fit.seen * frame.valid[:: frame.step, :: frame.step]
    phase = turn.probability.max(0).indices.to(torch.int8)
    return PixelPhases(
        phase=torch.where(seen > 0, phase, torch.full_like(phase, -1)),
        probability=turn.probability,
        amplitude=turn.fit.amplitude,
        amplitude_std=turn.std,
        displacement=torch.stack(fields["displacement"]),
        strain=torch.stack(fields["strain"]),
        another_motif=torch.stack(fields["another_motif"]),
        seen=seen,
        basis=torch.stack([locked.waves.basis for locked in turn.locked]),
        crystals=turn.crystals,
        wide=tuple(number(lattice.sigma) for lattice in sought),
        noise=Noise(torch.nan, torch.nan, torch.nan),
        cell=0.0,  # these, and the noise, with the other numbers, for which a device is asked once
        fine=0.0,
        step=frame.step,
        shape=(frame.image.shape[0], frame.image.shape[1]),
    )
