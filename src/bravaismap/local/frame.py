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
from bravaismap.local.smoothing import pixel_interpolation
from bravaismap.local.strain import displacement_gradient, strain, strain_std
from bravaismap.local.turns import Turn, in_each, levelled, refined, turned

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
    turns = with_own_motifs(frames, sought, turned(frames, sought, [None] * len(frames)))
    for _ in range(max(2, settings.rounds) - 1):
        sought = in_each(refined, sought, [turn.locked for turn in turns])
        frames = together(levelled, frames, turns)
        turns = turned(frames, sought, turns)
    pixels = together(_gathered, frames, turns, sought)
    sizes = [(frame.cell, turn.fit.sigma) for frame, turn in zip(frames, turns, strict=True)]
    noises = [(turn.noise.floor, turn.noise.slope, turn.noise.correlation) for turn in turns]
    asked = [*(number(size) for own in sizes for size in own), *(value for own in noises for value in own)]
    numbers = numbers_of([torch.as_tensor(value, device=images[0].device) for value in asked])
    of_noise = numbers[2 * len(frames) :]
    return [
        replace(own, cell=numbers[2 * i], fine=numbers[2 * i + 1], noise=Noise(*of_noise[3 * i : 3 * i + 3]))
        for i, own in enumerate(pixels)
    ]


def _gathered(frame: FlatFrame, turn: Turn, sought: tuple[SoughtLattice, ...]) -> PixelPhases:
    names = ("displacement", "displacement_std", "strain", "strain_std", "another_motif")
    fields: dict[str, list[Tensor]] = {name: [] for name in names}
    for locked, lattice in zip(turn.locked, sought, strict=True):
        down, right = (
            pixel_interpolation(range(0, frame.step * count, frame.step), locked.waves.step, points, frame.image)
            for count, points in zip(turn.fit.energy.shape, locked.shift.shape[:2], strict=True)
        )

        def fine(values: Tensor, down: Tensor = down, right: Tensor = right) -> Tensor:
            planes = values.movedim(-1, 0)
            return (down.to(values.dtype) @ planes @ right.mT.to(values.dtype)).movedim(0, -1)

        turns = fine(phase_factor(locked.shift))
        fields["displacement"].append((torch.angle(turns) / (2 * torch.pi)) @ locked.waves.basis)
        fields["displacement_std"].append(fine(locked.covariance.diagonal(dim1=-2, dim2=-1).sqrt()))
        fields["strain"].append(fine(strain(displacement_gradient(locked))))
        fields["strain_std"].append(fine(strain_std(locked, number(lattice.sigma))))
        another = another_motif(locked).to(frame.image)
        fields["another_motif"].append(fine(another[..., None])[..., 0] > _MOSTLY)
    seen = turn.fit.seen * frame.valid[:: frame.step, :: frame.step]
    phase = turn.probability.max(0).indices.to(torch.int8)
    return PixelPhases(
        phase=torch.where(seen > 0, phase, torch.full_like(phase, -1)),
        probability=turn.probability,
        amplitude=turn.fit.amplitude,
        amplitude_std=turn.std,
        displacement=torch.stack(fields["displacement"]),
        displacement_std=torch.stack(fields["displacement_std"]),
        strain=torch.stack(fields["strain"]),
        strain_std=torch.stack(fields["strain_std"]),
        another_motif=torch.stack(fields["another_motif"]),
        seen=seen,
        basis=torch.stack([locked.waves.basis for locked in turn.locked]),
        crystals=turn.crystals,
        noise=turn.noise,
        cell=0.0,  # with the other numbers, for which a device is asked once
        fine=0.0,
        step=frame.step,
        shape=(frame.image.shape[0], frame.image.shape[1]),
    )
