"""Frame: an image and its lattices in; the phase, amplitude, displacement and strain of every pixel out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.compute.parallel import one_thread
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
    Demodulated,
    Locked,
    demodulate,
    lattice_nodes,
    lock,
    locked_basis,
    phase_factor,
    predicted,
)
from bravaismap.local.mixture import OCCUPIED, SUBSTITUTED, VACANT, SiteMixture, fit_mixture
from bravaismap.local.phases import NEIGHBOURHOOD, log_likelihood, phase_probability
from bravaismap.local.sites import at_places, sublattices, to_nearest_site
from bravaismap.local.smoothing import interpolation, smoothed
from bravaismap.local.strain import displacement_gradient, strain, strain_std

__all__ = ["Crystal", "PixelPhases", "PixelSettings", "pixel_phases"]

#: Correlation of the noise that is assumed until it has been measured.
_FIRST_CORRELATION = 4.0
#: Share of a lattice in the neighbourhood of a place from which that counts as the inside of the crystal.
_INSIDE = 0.8
#: What a pixel without a lattice counts for when the noise is measured: amorphous matter is no noise.
_OUTSIDE_COUNTS = 0.05
#: Nodes whose structure factor is at least this part of the strongest span the band of the noise.
_IN_BAND = 0.2
_FEWEST_SITES = 30
#: Standard deviation of the Gaussian of the amplitude in cells, and where an amplitude errs by more than _NOISY.
_FINE, _FINE_IN_NOISE, _NOISY = 0.4, 0.5, 0.3
#: Standard errors between an atom and none from which a single site without one is told: one false in 30 000 sites.
_CLEAR = 8.0
#: Share of none in the neighbourhood up to which a vacancy is alone in its crystal; more is a void with an edge.
_ALONE = 0.25


@dataclass(frozen=True)
class PixelSettings:
    """How pixels are measured; lengths in cells, the side of a square as large as the primitive cell.

    Attributes
    ----------
    wide : float
        Standard deviation of the Gaussian in which phases are measured.
    fine : float, optional
        Standard deviation of the Gaussian in which the amplitude is fitted, a third to half a cell; 0.4, or 0.5 in a
        noisy frame, when not given.
    step : int, optional
        Pitch of the pixels that are reported, in px; a sixth of the smallest cell when not given.
    rounds : int
        Turns of measuring lattices by the pixels that they hold, and pixels by the lattices; at least 2.
    dark : bool
        Whether atoms are darker than what is between them.
    """

    wide: float = 2.5
    fine: float | None = None
    step: int | None = None
    rounds: int = 3
    dark: bool = False


@dataclass(frozen=True)
class Crystal:
    """One lattice of a frame as its pixels show it.

    Attributes
    ----------
    locked : Locked
        Averaged cell and displacement, on the coarse grid of the demodulation.
    origins : tensor, shape (sites, 2)
        Where atoms sit in the averaged cell, in fractions of its vectors.
    mixtures : tuple of SiteMixture or None
        Amplitudes of the sites of each of them; None where there are too few.
    """

    locked: Locked
    origins: Tensor
    mixtures: tuple[SiteMixture | None, ...]


@dataclass(frozen=True)
class _Held:
    """What the site nearest to each point holds: amplitude of another atom, probability of it and of none."""

    level: Tensor
    substituted: Tensor
    vacant: Tensor


@dataclass(frozen=True)
class PixelPhases:
    """What is known of the pixels of a frame, on a grid whose points are pixels 0, step, 2 step, …

    Attributes
    ----------
    phase : int8 tensor, shape (rows, columns)
        The most probable lattice, counted as they were given; their number stands for none, −1 for masked pixels.
    probability : tensor, shape (lattices + 1, rows, columns)
        Of each lattice, and of none last.
    amplitude, amplitude_std : tensors, shape (lattices, rows, columns)
        Of each lattice's pattern: 1 in the crystal, 0 where it is not.
    displacement : tensor, shape (lattices, rows, columns, 2)
        (y, x) in px, modulo the lattice.
    displacement_std : tensor, shape (lattices, rows, columns, 2)
    strain, strain_std : tensors, shape (lattices, rows, columns, 4)
        exx, eyy, exy and rotation against the mean lattice, as :func:`bravaismap.local.strain.strain` gives them.
    seen : tensor, shape (rows, columns)
        How much of the neighbourhood of a point is valid; 0 where the point itself is masked.
    basis : tensor, shape (lattices, 2, 2)
        The mean lattices, refined, rows = vectors (y, x) in px.
    crystals : tuple of Crystal
    noise : Noise
    cell : float
        Side of the smallest cell in px.
    fine : float
        Standard deviation in px of the Gaussian of the amplitude.
    step : int
    shape : tuple of int
        Of the image (y, x).
    """

    phase: Tensor
    probability: Tensor
    amplitude: Tensor
    amplitude_std: Tensor
    displacement: Tensor
    displacement_std: Tensor
    strain: Tensor
    strain_std: Tensor
    seen: Tensor
    basis: Tensor
    crystals: tuple[Crystal, ...]
    noise: Noise
    cell: float
    fine: float
    step: int
    shape: tuple[int, int]

    def at_every_pixel(self, field: Tensor) -> Tensor:
        """Interpolate a field of the grid (..., rows, columns) linearly to every pixel of the frame (..., y, x)."""
        size = (self.step * (field.shape[-2] - 1) + 1, self.step * (field.shape[-1] - 1) + 1)
        planes = field.reshape(1, -1, *field.shape[-2:])
        wide = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=True)
        beyond = (0, self.shape[1] - size[1], 0, self.shape[0] - size[0])
        wide = torch.nn.functional.pad(wide, beyond, mode="replicate")
        return wide.reshape(*field.shape[:-2], *self.shape)


@dataclass(frozen=True)
class _Frame:
    """An image as it is worked on."""

    image: Tensor
    valid: Tensor
    background: Tensor
    flat: Tensor
    cell: float
    fine: float
    step: int
    settings: PixelSettings


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


@one_thread()
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
    settings = settings or PixelSettings()
    if image.ndim != 2 or lattices.ndim != 3 or lattices.shape[1:] != (2, 2) or len(lattices) == 0:
        raise InputError(
            f"an image of shape {tuple(image.shape)} and lattices of shape {tuple(lattices.shape)} were given; "
            "expected (y, x) and (lattices, 2, 2), at least one lattice"
        )
    if mask is not None and mask.shape != image.shape:
        raise InputError(f"a mask of shape {tuple(mask.shape)} was given for an image of {tuple(image.shape)}")
    frame = _prepared(image, lattices.to(image), settings, mask)
    bases = list(lattices.to(image))
    turn = _turn(frame, bases, None)
    for _ in range(max(2, settings.rounds) - 1):
        bases = [locked_basis(locked) for locked in turn.locked]
        mixed = (turn.shares * turn.patterns).sum(0)
        rows = row_offsets(frame.flat - mixed, frame.valid, turn.noise.variance(frame.background))
        frame = replace(frame, flat=(frame.flat - rows) * frame.valid, fine=_suited(frame, turn, mixed))
        turn = _turn(frame, bases, turn)
    return _gathered(frame, turn)


def _suited(frame: _Frame, turn: _Turn, mixed: Tensor) -> float:
    """Width in px of the Gaussian of the amplitude that suits the noise; `mixed` are the patterns by their shares."""
    if frame.settings.fine is not None:
        return frame.fine
    variance = turn.noise.variance(frame.background + mixed)
    std = amplitude_std(turn.fit, turn.patterns, frame.valid, variance, turn.noise.correlation)
    inside = std[turn.probability[:-1] > _INSIDE]
    noisy = len(inside) >= _FEWEST_SITES and float(inside.median()) * turn.fit.sigma > _NOISY * _FINE * frame.cell
    return (_FINE_IN_NOISE if noisy else _FINE) * frame.cell


def _prepared(image: Tensor, lattices: Tensor, settings: PixelSettings, mask: Tensor | None) -> _Frame:
    valid = torch.ones_like(image) if mask is None else mask.to(image.dtype)
    image = torch.where(valid > 0, image, 0)
    sides = torch.linalg.det(lattices).abs().sqrt()
    cell = float(sides.min())
    wide = float(sides.max())
    background = smoothed(image, wide) / smoothed(valid, wide).clamp_min(1e-6)
    step = settings.step or max(1, round(cell / 6))
    fine = (settings.fine or _FINE) * cell
    return _Frame(image, valid, background, (image - background) * valid, cell, fine, step, settings)


def _turn(frame: _Frame, bases: list[Tensor], before: _Turn | None) -> _Turn:
    """Lattices by the pixels that the turn before gave them, and pixels by these lattices."""
    shares = (frame.valid / len(bases)).expand(len(bases), *frame.image.shape) if before is None else before.shares
    noise, earlier = (None, (None,) * len(bases)) if before is None else (before.noise, before.locked)
    locked = tuple(
        _locked(frame, basis, share, noise, near) for basis, share, near in zip(bases, shares, earlier, strict=True)
    )
    patterns = torch.stack([predicted(one, (frame.image.shape[0], frame.image.shape[1])) for one in locked])
    fit = fit_amplitude(frame.flat, patterns, frame.valid, frame.fine, frame.step)
    if before is None:
        variance = torch.minimum(fit.energy, fit.residual(1.0).amin(0)).median().clamp_min(1e-30).expand_as(fit.energy)
        freedom = 4 * torch.pi * frame.fine**2 / _FIRST_CORRELATION
        logarithm = log_likelihood(fit, variance, freedom)
        std, vacant = torch.zeros_like(fit.product), torch.zeros_like(fit.product)
        crystals: tuple[Crystal, ...] = ()
    else:
        scale = _usual_amplitude(frame, fit, before)
        patterns = patterns * scale
        locked = tuple(
            replace(one, structure=one.structure * f.squeeze()) for one, f in zip(locked, scale, strict=True)
        )
        fit = fit.scaled(scale)
        logarithm, std, crystals, vacant = _judged(frame, fit, locked, patterns, before)
    around = frame.cell / frame.step
    probability = phase_probability(logarithm, fit.seen, around, frame.cell**2 / (4 * torch.pi * frame.fine**2))
    none = probability[-2:].sum(0, keepdim=True)  # empty or disordered
    probability = _without_vacancies(frame, torch.cat([probability[:-2], none]), fit.seen, vacant)
    shares = _at_pixels(frame, probability[:-1])
    mixed = (shares * patterns).sum(0)
    counted = (shares.sum(0) + _OUTSIDE_COUNTS) * frame.valid
    noise = frame_noise(frame.flat - mixed, frame.background + mixed, counted, _band(locked))
    return _Turn(locked, patterns, fit, std, probability, shares, noise, crystals)


def _locked(frame: _Frame, basis: Tensor, share: Tensor, noise: Noise | None, near: Locked | None) -> Locked:
    sigma = frame.settings.wide * float(torch.linalg.det(basis).abs().sqrt())
    order = lattice_nodes(basis)
    waves: Demodulated = demodulate(frame.flat, share, basis, order, sigma, max(1, int(sigma / 2)))
    if noise is None:
        return lock(waves)
    level = (frame.background * share).sum() / share.sum().clamp_min(1e-6)
    density = noise.correlation * noise.variance(level)
    return lock(waves, density.expand(len(order)), near)


def _usual_amplitude(frame: _Frame, fit: LocalFit, before: _Turn) -> Tensor:
    """Median amplitude inside each crystal, by which its pattern is scaled, (lattices, 1, 1)."""
    near = _nearby(frame, before.probability[:-1], fit.seen)
    factors = []
    for amplitude, share in zip(fit.amplitude, near, strict=True):
        inside = amplitude[share > _INSIDE]
        usual = float(inside.median()) if len(inside) >= _FEWEST_SITES else 1.0
        factors.append(usual if usual > 0 else 1.0)
    return fit.product.new_tensor(factors)[:, None, None]


def _judged(
    frame: _Frame, fit: LocalFit, locked: tuple[Locked, ...], patterns: Tensor, before: _Turn
) -> tuple[Tensor, Tensor, tuple[Crystal, ...], Tensor]:
    """Log likelihoods of the phases, errors of the amplitudes, the sites of the crystals, and which are vacant."""
    noise = before.noise
    mixed = frame.background + (before.shares * patterns).sum(0)
    std = amplitude_std(fit, patterns, frame.valid, noise.variance(mixed), noise.correlation)
    near = _nearby(frame, before.probability, fit.seen)
    rows, columns = fit.energy.shape
    variance = smoothed(noise.variance(frame.background) * frame.valid, frame.fine, frame.step)[:rows, :columns]
    variance = (variance / fit.seen.clamp_min(1e-6)).clamp_min(1e-30)
    freedom = 4 * torch.pi * frame.fine**2 / noise.correlation
    crystals, held, excess = [], [], []
    for k, one in enumerate(locked):
        crystal, holds = _crystal(frame, fit, one, std[k], near[k], near[-1], k)
        crystals.append(crystal)
        held.append(holds)
        spread = max((float(m.spread[OCCUPIED]) for m in crystal.mixtures if m is not None), default=0.0)
        inside = near[k] > _INSIDE
        # the error that amplitudes have, over the one that even noise of this variance would give them
        excess.append(((std[k] ** 2 + spread**2) * freedom * fit.contrast[k] / variance)[inside])
    inflation = torch.cat(excess)
    if len(inflation) >= _FEWEST_SITES:
        variance = variance * float(inflation.median())
    level, substituted = torch.stack([h.level for h in held]), torch.stack([h.substituted for h in held])
    displaced = torch.stack(
        [
            displaced_variance(frame.flat, pattern, frame.valid, fit, variance / freedom, frame.cell)
            for pattern in patterns
        ]
    )
    logarithm = log_likelihood(fit, variance, freedom, level, substituted, displaced)
    return logarithm, std, tuple(crystals), torch.stack([h.vacant for h in held])


def _crystal(
    frame: _Frame, fit: LocalFit, locked: Locked, std: Tensor, own: Tensor, none: Tensor, k: int
) -> tuple[Crystal, _Held]:
    """The sites of a crystal, and what the one nearest to each point holds."""
    amplitude = fit.amplitude[k]
    rows, columns = (frame.step * torch.arange(n).to(amplitude) for n in amplitude.shape)
    origins = sublattices(locked, frame.settings.dark)
    level, share = torch.full_like(amplitude, 0.5), torch.zeros_like(amplitude)
    vacant = torch.zeros_like(amplitude)
    mixtures: list[SiteMixture | None] = []
    if len(origins) == 0:
        return Crystal(locked, origins, ()), _Held(level, share, vacant)
    way, which = to_nearest_site(locked, origins, rows, columns)
    inside = (own > 0.6) & (fit.seen > 0.5)
    for number in range(len(origins)):
        here = which == number
        sites = (way.abs() <= frame.step / 2).all(-1) & here & inside
        if int(sites.sum()) < _FEWEST_SITES:
            mixtures.append(None)
            continue
        mixture = fit_mixture(amplitude[sites], std[sites], own[sites])
        mixtures.append(mixture)
        field = mixture.probability(amplitude, std, none)
        places = torch.stack([rows[:, None] + way[..., 0], columns + way[..., 1]], -1) / frame.step
        if mixture.substitutes:
            share = torch.where(here, at_places(field[..., SUBSTITUTED], places), share)
            level = torch.where(here, mixture.amplitude[SUBSTITUTED], level)
        error = ((std[sites] ** 2).median() + mixture.spread[OCCUPIED] ** 2).sqrt()
        if len(origins) == 1 and float(error) * _CLEAR < 1:
            vacant = at_places(field[..., VACANT], places)
    return Crystal(locked, origins, tuple(mixtures)), _Held(level, share, vacant)


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
    around = NEIGHBOURHOOD * frame.cell / frame.step
    return smoothed(probability * seen, around) / smoothed(seen, around).clamp_min(1e-6)


def _at_pixels(frame: _Frame, probability: Tensor) -> Tensor:
    """Probabilities on the grid, (phases, rows, columns), at all pixels, 0 where masked."""
    down, right = (
        interpolation(torch.arange(length).to(probability), frame.step, count)
        for length, count in zip(frame.image.shape, probability.shape[1:], strict=True)
    )
    return (down @ probability @ right.mT).clamp(0.0, 1.0) * frame.valid


def _band(locked: tuple[Locked, ...]) -> tuple[float, float]:
    """Lowest and highest frequency of the nodes that matter."""
    lengths = []
    for one in locked:
        strength = one.structure.abs()
        lengths.append(torch.linalg.vector_norm(one.waves.frequency[strength >= _IN_BAND * strength.max()], dim=-1))
    every = torch.cat(lengths)
    return 0.9 * float(every.min()), 1.1 * float(every.max())


def _gathered(frame: _Frame, turn: _Turn) -> PixelPhases:
    fields: dict[str, list[Tensor]] = {"displacement": [], "displacement_std": [], "strain": [], "strain_std": []}
    for locked in turn.locked:
        sigma = frame.settings.wide * float(torch.linalg.det(locked.waves.basis).abs().sqrt())
        down, right = (
            interpolation(frame.step * torch.arange(count).to(frame.image), locked.waves.step, points)
            for count, points in zip(turn.fit.energy.shape, locked.shift.shape[:2], strict=True)
        )

        def fine(values: Tensor, down: Tensor = down, right: Tensor = right) -> Tensor:
            planes = values.movedim(-1, 0)
            return (down.to(values.dtype) @ planes @ right.mT.to(values.dtype)).movedim(0, -1)

        turns = fine(phase_factor(locked.shift))
        fields["displacement"].append((torch.angle(turns) / (2 * torch.pi)) @ locked.waves.basis)
        fields["displacement_std"].append(fine(locked.covariance.diagonal(dim1=-2, dim2=-1).sqrt()))
        fields["strain"].append(fine(strain(displacement_gradient(locked))))
        fields["strain_std"].append(fine(strain_std(locked, sigma)))
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
        cell=frame.cell,
        fine=turn.fit.sigma,
        step=frame.step,
        shape=(frame.image.shape[0], frame.image.shape[1]),
    )
