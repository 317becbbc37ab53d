"""Frame: an image and its lattices in; the phase, amplitude, displacement and strain of every pixel out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from bravaismap.compute.parallel import one_thread
from bravaismap.compute.together import Length, number, numbers_of, together
from bravaismap.errors import InputError
from bravaismap.local.amplitude import (
    LocalFit,
    Noise,
    amplitude_std,
    displaced_variance,
    fit_amplitude,
    frame_noise,
    row_offsets,
)
from bravaismap.local.demodulation import (
    Locked,
    demodulate,
    lattice_nodes,
    lock,
    locked_basis,
    phase_factor,
    predicted,
)
from bravaismap.local.held_sites import FEWEST_SITES, HeldSites, SeenCrystal, held_sites
from bravaismap.local.mixture import OCCUPIED
from bravaismap.local.phases import NEIGHBOURHOOD, Pitches, log_likelihood, phase_probability
from bravaismap.local.pixels import Crystal, PixelPhases, PixelSettings
from bravaismap.local.smoothing import pixel_interpolation, smoothed
from bravaismap.local.strain import displacement_gradient, strain, strain_std

__all__ = ["pixel_phases", "pixel_phases_of_frames"]

Answer = TypeVar("Answer")

#: Correlation of the noise that is assumed until it has been measured.
_FIRST_CORRELATION = 4.0
#: Share of a lattice in the neighbourhood of a place from which that counts as the inside of the crystal.
_INSIDE = 0.8
#: Share that a lattice must have in the neighbourhood of some place, if another one has an inside: a pattern of noise
#: explains a void as well as emptiness does, and would be given half of it.
_SOMEWHERE = 0.6
#: What a pixel without a lattice counts for when the noise is measured: amorphous matter is no noise.
_OUTSIDE_COUNTS = 0.05
#: Nodes whose structure factor is at least this part of the strongest span the band of the noise.
_IN_BAND = 0.2
#: Standard deviation of the Gaussian of the amplitude in cells, and where an amplitude errs by more than _NOISY.
_FINE, _FINE_IN_NOISE, _NOISY = 0.4, 0.5, 0.3
#: Share of none in the neighbourhood up to which a vacancy is alone in its crystal; more is a void with an edge.
_ALONE = 0.25


@dataclass(frozen=True)
class _Frame:
    """An image as it is worked on."""

    image: Tensor
    valid: Tensor
    background: Tensor
    flat: Tensor
    cell: Length
    fine: Length
    step: int
    pitches: Pitches
    settings: PixelSettings


@dataclass(frozen=True)
class _Lattice:
    """A lattice as it is looked for.

    Attributes
    ----------
    basis : tensor, shape (2, 2)
    order : tensor, shape (nodes, 2)
        Nodes that are measured.
    sigma : Length
        Standard deviation of the Gaussian in which they are.
    step : int
        Pitch of the grid on which they are, in px.
    highest : int
        Highest index of a node.
    """

    basis: Tensor
    order: Tensor
    sigma: Length
    step: int
    highest: int


@dataclass(frozen=True)
class _Fitted:
    """The patterns of the lattices of a frame and what was fitted with them.

    Attributes
    ----------
    locked : tuple of Locked
    patterns : tensor, shape (lattices, y, x)
    fit : LocalFit
    std : tensor, shape (lattices, rows, columns)
        Of the amplitudes.
    near : tensor, shape (lattices + 1, rows, columns)
        Share of each phase nearby, as the turn before found it.
    variance : tensor, shape (rows, columns)
        Of the noise.
    freedom : float, or tensor of shape ()
        Independent values of the noise in the Gaussian of the fit.
    """

    locked: tuple[Locked, ...]
    patterns: Tensor
    fit: LocalFit
    std: Tensor
    near: Tensor
    variance: Tensor
    freedom: float | Tensor


@dataclass(frozen=True)
class _Turn:
    """What one turn found."""

    locked: tuple[Locked, ...]
    patterns: Tensor
    fit: LocalFit
    std: Tensor
    probability: Tensor
    shares: Tensor
    noise: Noise
    crystals: tuple[Crystal, ...]


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
    settings = settings or PixelSettings()
    prepared = [
        _prepared(image, own, settings, mask, alone=len(images) == 1)
        for image, own, mask in zip(images, lattices, masks or [None] * len(images), strict=True)
    ]
    frames = together(_flattened, [frame for frame, _, _ in prepared], [wide for _, wide, _ in prepared])
    sought = [own for _, _, own in prepared]
    turns = _turned(frames, sought, [None] * len(frames))
    for _ in range(max(2, settings.rounds) - 1):
        sought = _each(_refined, sought, [turn.locked for turn in turns])
        frames = together(_levelled, frames, turns)
        turns = _turned(frames, sought, turns)
    found = together(_gathered, frames, turns, sought)
    sizes = [(frame.cell, turn.fit.sigma) for frame, turn in zip(frames, turns, strict=True)]
    noises = [(turn.noise.floor, turn.noise.slope, turn.noise.correlation) for turn in turns]
    asked = [*(number(size) for own in sizes for size in own), *(value for own in noises for value in own)]
    known = numbers_of([torch.as_tensor(value, device=images[0].device) for value in asked])
    rest = known[2 * len(frames) :]
    return [
        replace(one, cell=known[2 * i], fine=known[2 * i + 1], noise=Noise(*rest[3 * i : 3 * i + 3]))
        for i, one in enumerate(found)
    ]


def _each(function: Callable[..., Answer], *columns: Sequence[Sequence[Any]]) -> list[tuple[Answer, ...]]:
    """Apply a function to each crystal of each frame, with arguments that are given frame by frame."""
    answers = iter(together(function, *([value for own in column for value in own] for column in columns)))
    return [tuple(next(answers) for _ in own) for own in columns[0]]


def _prepared(
    image: Tensor, lattices: Tensor, settings: PixelSettings, mask: Tensor | None, *, alone: bool
) -> tuple[_Frame, Length, tuple[_Lattice, ...]]:
    """A frame whose background is still in it, the width of the Gaussian that this is, and its lattices."""
    if image.ndim != 2 or lattices.ndim != 3 or lattices.shape[1:] != (2, 2) or len(lattices) == 0:
        raise InputError(
            f"an image of shape {tuple(image.shape)} and lattices of shape {tuple(lattices.shape)} were given; "
            "expected (y, x) and (lattices, 2, 2), at least one lattice"
        )
    if mask is not None and mask.shape != image.shape:
        raise InputError(f"a mask of shape {tuple(mask.shape)} was given for an image of {tuple(image.shape)}")
    valid = torch.ones_like(image) if mask is None else mask.to(image.dtype)
    image = torch.where(valid > 0, image, 0)
    bases = lattices.to("cpu", image.dtype)
    sides = torch.linalg.det(bases).abs().sqrt().tolist()
    sought = []
    for basis, side in zip(bases, sides, strict=True):
        order, sigma = lattice_nodes(basis), settings.wide * side
        sought.append(
            _Lattice(
                basis.to(image), order.to(image), Length.of(sigma, image, alone=alone), max(1, int(sigma / 2)),
                int(order.abs().max()) if len(order) else 1,
            )
        )  # fmt: skip
    cell = min(sides)
    step = settings.step or max(1, round(cell / 6))
    fine = Length.of((settings.fine or _FINE) * cell, image, alone=alone)
    pitches = Pitches.of(cell / step)
    side = Length.of(cell, image, alone=alone)
    widest = Length.of(max(sides), image, alone=alone)
    return _Frame(image, valid, image, image, side, fine, step, pitches, settings), widest, tuple(sought)


def _flattened(frame: _Frame, wide: Length) -> _Frame:
    """A frame without its slow background."""
    background = smoothed(frame.image, wide) / smoothed(frame.valid, wide).clamp_min(1e-6)
    return replace(frame, background=background, flat=(frame.image - background) * frame.valid)


def _refined(lattice: _Lattice, locked: Locked) -> _Lattice:
    """A lattice as its crystal has it."""
    return replace(lattice, basis=locked_basis(locked))


def _levelled(frame: _Frame, turn: _Turn) -> _Frame:
    """A frame without the offsets of its rows, and with the Gaussian of the amplitude that suits its noise."""
    mixed = (turn.shares * turn.patterns).sum(0)
    rows = row_offsets(frame.flat - mixed, frame.valid, turn.noise.variance(frame.background))
    return replace(frame, flat=(frame.flat - rows) * frame.valid, fine=_suited(frame, turn, mixed))


def _suited(frame: _Frame, turn: _Turn, mixed: Tensor) -> Length:
    """Width in px of the Gaussian of the amplitude that suits the noise; `mixed` are the patterns by their shares."""
    if frame.settings.fine is not None:
        return frame.fine
    variance = turn.noise.variance(frame.background + mixed)
    std = amplitude_std(turn.fit, turn.patterns, frame.valid, variance, turn.noise.correlation)
    inside = turn.probability[:-1] > _INSIDE
    usual = _median(std, inside)
    noisy = (inside.sum() >= FEWEST_SITES) & (usual * number(turn.fit.sigma) > _NOISY * _FINE * frame.cell.value)
    if isinstance(frame.cell.value, float):
        return frame.cell * (_FINE_IN_NOISE if bool(noisy) else _FINE)
    width = torch.where(noisy, _FINE_IN_NOISE, _FINE) * frame.cell.value
    return Length(width, max(_FINE, _FINE_IN_NOISE) * frame.cell.most)


def _median(values: Tensor, chosen: Tensor) -> Tensor:
    """Median of the chosen values, the lower of two; NaN if there are none."""
    return torch.where(chosen, values, torch.nan).flatten().nanmedian(0)[0]


def _turned(
    frames: Sequence[_Frame], sought: Sequence[tuple[_Lattice, ...]], before: Sequence[_Turn | None]
) -> list[_Turn]:
    """Lattices by the pixels that the turn before gave them, and pixels by these lattices."""
    shares = [
        tuple((frame.valid / len(own)) for _ in own) if turn is None else turn.shares.unbind()
        for frame, own, turn in zip(frames, sought, before, strict=True)
    ]

    def of_frame(values: Iterable[Any]) -> list[tuple[Any, ...]]:
        return [(value,) * len(own) for value, own in zip(values, sought, strict=True)]

    earlier = [(None,) * len(own) if turn is None else turn.locked for own, turn in zip(sought, before, strict=True)]
    noise = of_frame(None if turn is None else turn.noise for turn in before)
    planes = of_frame((frame.flat, frame.background) for frame in frames)
    locked = _each(_locked, planes, shares, sought, noise, earlier)
    counts = iter(numbers_of([(one.structure != 0).sum() for own in locked for one in own]))
    nodes = [tuple(int(next(counts)) for _ in own) for own in locked]
    if len(frames) > 1:
        nodes = of_frame([max(map(max, nodes))] * len(frames))
    patterns = _each(predicted, locked, of_frame(tuple(frame.image.shape) for frame in frames), nodes)
    fitted = together(_fitted, frames, locked, patterns, before)
    if before[0] is None:
        return together(_first_turn, frames, fitted)
    crystals = _crystals(frames, fitted)
    return together(_next_turn, frames, fitted, before, crystals)


def _locked(
    planes: tuple[Tensor, Tensor], share: Tensor, lattice: _Lattice, noise: Noise | None, near: Locked | None
) -> Locked:
    flat, background = planes
    waves = demodulate(flat, share, lattice.basis, lattice.order, lattice.sigma, lattice.step)
    if noise is None:
        return lock(waves, highest=lattice.highest)
    level = (background * share).sum() / share.sum().clamp_min(1e-6)
    density = noise.correlation * noise.variance(level)
    return lock(waves, density.expand(len(lattice.order)), near, lattice.highest)


def _fitted(frame: _Frame, locked: tuple[Locked, ...], patterns: tuple[Tensor, ...], before: _Turn | None) -> _Fitted:
    """The amplitudes of the patterns, and the noise that they have."""
    every = torch.stack(patterns)
    fit = fit_amplitude(frame.flat, every, frame.valid, frame.fine, frame.step)
    independent = 4 * torch.pi * frame.fine.value**2
    if before is None:
        variance = torch.minimum(fit.energy, fit.residual(1.0).amin(0)).median().clamp_min(1e-30).expand_as(fit.energy)
        blank = torch.zeros_like(fit.product)
        return _Fitted(locked, every, fit, blank, blank, variance, independent / _FIRST_CORRELATION)
    near = _nearby(frame, before.probability, fit.seen)
    scale = _usual_amplitude(fit, near[:-1])
    every, fit = every * scale, fit.scaled(scale)
    locked = tuple(replace(one, structure=one.structure * f) for one, f in zip(locked, scale.flatten(), strict=True))
    noise = before.noise
    mixed = frame.background + (before.shares * every).sum(0)
    std = amplitude_std(fit, every, frame.valid, noise.variance(mixed), noise.correlation)
    rows, columns = fit.energy.shape
    variance = smoothed(noise.variance(frame.background) * frame.valid, frame.fine, frame.step)[:rows, :columns]
    variance = (variance / fit.seen.clamp_min(1e-6)).clamp_min(1e-30)
    return _Fitted(locked, every, fit, std, near, variance, independent / noise.correlation)


def _usual_amplitude(fit: LocalFit, near: Tensor) -> Tensor:
    """Median amplitude inside each crystal, by which its pattern is scaled, (lattices, 1, 1)."""
    inside = near > _INSIDE
    usual = torch.where(inside, fit.amplitude, torch.nan).flatten(1).nanmedian(1)[0]
    usual = torch.where((inside.sum((1, 2)) >= FEWEST_SITES) & (usual > 0), usual, 1.0)
    return usual[:, None, None]


def _first_turn(frame: _Frame, fitted: _Fitted) -> _Turn:
    logarithm = log_likelihood(fitted.fit, fitted.variance, fitted.freedom)
    return _told(frame, fitted, logarithm, torch.zeros_like(fitted.fit.product), ())


def _next_turn(frame: _Frame, fitted: _Fitted, before: _Turn, held: tuple[HeldSites, ...]) -> _Turn:
    fit, variance, freedom = fitted.fit, fitted.variance, fitted.freedom
    excess = []
    for k, own in enumerate(held):
        spreads = [mixture.spread[OCCUPIED] for mixture in own.mixtures if mixture is not None]
        spread = torch.stack(spreads).amax() if spreads else 0.0
        # the error that amplitudes have, over the one that even noise of this variance would give them
        excess.append((fitted.std[k] ** 2 + spread**2) * freedom * fit.contrast[k] / variance)
    inside = fitted.near[:-1] > _INSIDE
    inflation = _median(torch.stack(excess), inside)
    variance = variance * torch.where(inside.sum() >= FEWEST_SITES, inflation, 1.0)
    level, substituted = torch.stack([own.level for own in held]), torch.stack([own.substituted for own in held])
    displaced = torch.stack(
        [
            displaced_variance(frame.flat, pattern, frame.valid, fit, variance / freedom, frame.cell)
            for pattern in fitted.patterns
        ]
    )
    logarithm = log_likelihood(fit, variance, freedom, level, substituted, displaced, _somewhere(fitted.near[:-1]))
    crystals = tuple(Crystal(one, own.origins, own.mixtures) for one, own in zip(fitted.locked, held, strict=True))
    return _told(frame, fitted, logarithm, torch.stack([own.vacant for own in held]), crystals)


def _somewhere(near: Tensor) -> Tensor:
    """Which lattices are clearly somewhere, (lattices,), by their shares nearby; all of them if none has an inside."""
    most = near.flatten(1).amax(1)
    return (most > _SOMEWHERE) | (most.amax() <= _INSIDE)


def _told(frame: _Frame, fitted: _Fitted, logarithm: Tensor, vacant: Tensor, crystals: tuple[Crystal, ...]) -> _Turn:
    """Pixels by the log likelihoods of the phases, and the noise that these leave over."""
    fit, patterns = fitted.fit, fitted.patterns
    independent = frame.cell.value**2 / (4 * torch.pi * frame.fine.value**2)
    probability = phase_probability(logarithm, fit.seen, frame.cell / frame.step, independent, frame.pitches)
    none = probability[-2:].sum(0, keepdim=True)  # empty or disordered
    probability = _without_vacancies(frame, torch.cat([probability[:-2], none]), fit.seen, vacant)
    shares = _at_pixels(frame, probability[:-1])
    mixed = (shares * patterns).sum(0)
    counted = (shares.sum(0) + _OUTSIDE_COUNTS) * frame.valid
    noise = frame_noise(frame.flat - mixed, frame.background + mixed, counted, _band(fitted.locked))
    return _Turn(fitted.locked, patterns, fit, fitted.std, probability, shares, noise, crystals)


def _crystals(frames: Sequence[_Frame], fitted: Sequence[_Fitted]) -> list[tuple[HeldSites, ...]]:
    """What the sites of each crystal of each frame hold."""
    seen = [
        [
            SeenCrystal(one, amplitude, std, own, f.near[-1], f.fit.seen, frame.step)
            for one, amplitude, std, own in zip(f.locked, f.fit.amplitude, f.std, f.near[:-1], strict=True)
        ]
        for frame, f in zip(frames, fitted, strict=True)
    ]
    held = iter(held_sites([one for own in seen for one in own], frames[0].settings.dark))
    return [tuple(next(held) for _ in own) for own in seen]


def _without_vacancies(frame: _Frame, probability: Tensor, seen: Tensor, vacant: Tensor) -> Tensor:
    """Give the cells of single vacancies to none, where these are told for sure: what is dark beside them is crystal.

    Between the atoms around a vacancy the image is as it should be, so the fit around a pixel there sees the crystal.
    """
    near = _nearby(frame, probability, seen)
    alone = (vacant * (near[:-1] > 1 - 2 * _ALONE)).amax(0) * (near[-1] < _ALONE)
    none = torch.maximum(probability[-1], alone)
    rest = (1 - none) / (1 - probability[-1]).clamp_min(1e-12)
    return torch.cat([probability[:-1] * rest, none[None]])


def _nearby(frame: _Frame, probability: Tensor, seen: Tensor) -> Tensor:
    """Share of each phase in the neighbourhood of every point."""
    around = NEIGHBOURHOOD * (frame.cell / frame.step)
    return smoothed(probability * seen, around) / smoothed(seen, around).clamp_min(1e-6)


def _at_pixels(frame: _Frame, probability: Tensor) -> Tensor:
    """Probabilities on the grid, (phases, rows, columns), at all pixels, 0 where masked."""
    down, right = (
        pixel_interpolation(range(length), frame.step, count, probability)
        for length, count in zip(frame.image.shape, probability.shape[1:], strict=True)
    )
    return (down @ probability @ right.mT).clamp(0.0, 1.0) * frame.valid


def _band(locked: tuple[Locked, ...]) -> tuple[Tensor, Tensor]:
    """Lowest and highest frequency of the nodes that matter."""
    lengths = torch.cat([torch.linalg.vector_norm(one.waves.frequency, dim=-1) for one in locked])
    strengths = [one.structure.abs() for one in locked]
    matters = torch.cat([strength >= _IN_BAND * strength.max() for strength in strengths])
    lowest, highest = (torch.where(matters, lengths, other) for other in (torch.inf, -torch.inf))
    return 0.9 * lowest.amin(), 1.1 * highest.amax()


def _gathered(frame: _Frame, turn: _Turn, sought: tuple[_Lattice, ...]) -> PixelPhases:
    fields: dict[str, list[Tensor]] = {"displacement": [], "displacement_std": [], "strain": [], "strain_std": []}
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
    seen = turn.fit.seen * frame.valid[:: frame.step, :: frame.step]
    phase = turn.probability.argmax(0).to(torch.int8)
    return PixelPhases(
        phase=torch.where(seen > 0, phase, torch.full_like(phase, -1)),
        probability=turn.probability,
        amplitude=turn.fit.amplitude,
        amplitude_std=turn.std,
        displacement=torch.stack(fields["displacement"]),
        displacement_std=torch.stack(fields["displacement_std"]),
        strain=torch.stack(fields["strain"]),
        strain_std=torch.stack(fields["strain_std"]),
        seen=seen,
        basis=torch.stack([locked.waves.basis for locked in turn.locked]),
        crystals=turn.crystals,
        noise=turn.noise,
        cell=0.0,  # with the other numbers, for which a device is asked once
        fine=0.0,
        step=frame.step,
        shape=(frame.image.shape[0], frame.image.shape[1]),
    )
