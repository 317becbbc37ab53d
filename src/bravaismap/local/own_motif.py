"""Own motif: where a lattice shows another motif than its averaged cell, as where HRTEM contrast is reversed.

Over a wedge or a bent crystal, thickness and defocus change, and with them the sign of each wave. The lattice goes on,
but what lies in its cell is no displaced copy of what lies there elsewhere, and the pattern that the crystal predicts
is not found. Whether the lattice is there all the same, its waves say, against the noise that the spectrum has beside
its nodes: in amorphous matter, however strong its speckle, there is no more at the nodes than beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.compute.together import numbers_of, together
from bravaismap.local.amplitude import amplitude_std
from bravaismap.local.demodulation import wave_amplitudes
from bravaismap.local.displacement import Locked
from bravaismap.local.flattening import FlatFrame, SoughtLattice
from bravaismap.local.neighbourhood import nearby
from bravaismap.local.scale import FAINT
from bravaismap.local.smoothing import at_every_pixel, smoothed
from bravaismap.local.turns import Turn

__all__ = ["another_motif", "frequencies_beside", "lattice_log_odds", "with_own_motifs"]

#: Share of the power of the waves of a place that its averaged cell, displaced and scaled, does not explain from which
#: the motif is another one; where noise is faint, strain, vacancies and edges of crystals leave less than 0.1.
_UNEXPLAINED = 0.3
#: Log odds from which the waves of a place are those of a lattice, 20 to 1.
_LOG_ODDS = 3.0
#: Share of none nearby from which the averaged cell has failed.
_MOSTLY = 0.5
#: Places without the averaged cell that show the lattice, at least, in areas of the Gaussian of the waves: fewer are
#: accidents of noise.
_LEAST_AREA = 0.5
#: Nodes that are looked at, the strongest.
_NODES = 6
#: Directions along half a ring that are looked at beside a node, and those of them, the farthest from all nodes, whose
#: mean power is the noise.
_DIRECTIONS, _BESIDE = 36, 6
#: Power at a node that is no noise but spilled over from the crystal beside a place, over the power of the crystal: a
#: place whose amplitude is below a tenth is not told from it.
_SPILLED = 0.001
#: Points of the waves, half of the standard deviation of their Gaussian apart, up to which it sees another motif.
_BOTH = 2
#: Smallest smoothed share of valid pixels that is divided by.
_LEAST_SHARE = 1e-3


def with_own_motifs(
    frames: Sequence[FlatFrame], sought: Sequence[tuple[SoughtLattice, ...]], turns: Sequence[Turn]
) -> list[Turn]:
    """Return turns in which a lattice also has the places that are none but show its waves with another motif.

    Parameters
    ----------
    frames : sequence of FlatFrame
    sought : sequence of tuple of SoughtLattice
        The lattices of each frame.
    turns : sequence of Turn
        The first ones, in which every lattice is measured by all pixels.
    """
    near = together(_shares_nearby, frames, turns)
    failed = [shares[-1] > _MOSTLY for shares in near]
    areas = numbers_of([none.sum() for none in failed])
    asked = [
        (index, k)
        for index, (own, area) in enumerate(zip(sought, areas, strict=True))
        for k, lattice in enumerate(own)
        if area > _LEAST_AREA * _gaussian_area(lattice)
    ]
    clear = {index: error < FAINT[0] for index, error in _usual_errors(frames, turns, asked).items()}
    areas_seen = together(
        _area_seen, [frames[index].flat for index, _ in asked], [failed[index] for index, _ in asked],
        [sought[index][k] for index, k in asked], [turns[index].locked[k].structure for index, k in asked],
    )  # fmt: skip
    seen = [area * clear[index][k] for area, (index, k) in zip(areas_seen, asked, strict=True)]
    answers = list(turns)
    for (index, k), area in zip(asked, numbers_of(seen), strict=True):
        frame, lattice, turn = frames[index], sought[index][k], answers[index]
        if area < _LEAST_AREA * _gaussian_area(lattice):
            continue
        odds = lattice_log_odds(frame.flat, frame.valid, lattice, turn.locked[k].structure)
        none, not_others = (
            _at_waves(chosen > _MOSTLY, odds, lattice) for chosen in (near[index][-1], near[index][[k, -1]].sum(0))
        )
        own = (odds > _LOG_ODDS) & (none | not_others & unlike(turn.locked[k]))
        added = at_every_pixel(own.to(frame.flat)[None], lattice.step, frame.image.shape)[0].clamp(0.0, 1.0)
        shares = turn.shares.clone()
        shares[k] = torch.maximum(shares[k], added * frame.valid)
        locked = (*turn.locked[:k], replace(turn.locked[k], own=own), *turn.locked[k + 1 :])
        answers[index] = replace(turn, locked=locked, shares=shares)
    return _of_one_form(answers)


def _of_one_form(turns: Sequence[Turn]) -> list[Turn]:
    """Turns that are worked on together: if one lattice of them has places of its own motif, all may have them."""
    crystals = [locked for turn in turns for locked in turn.locked]
    if len(turns) == 1 or all(locked.own is None for locked in crystals):
        return list(turns)

    def with_places(locked: Locked) -> Locked:
        nowhere = torch.zeros_like(locked.coherence, dtype=torch.bool)
        return replace(locked, own=nowhere) if locked.own is None else locked

    return [replace(turn, locked=tuple(map(with_places, turn.locked))) for turn in turns]


def _gaussian_area(lattice: SoughtLattice) -> float:
    """Area in px of the Gaussian in which the waves of a lattice are measured."""
    return float(4 * torch.pi * lattice.sigma.most**2)


def _usual_errors(
    frames: Sequence[FlatFrame], turns: Sequence[Turn], asked: Sequence[tuple[int, int]]
) -> dict[int, Tensor]:
    """The errors of :func:`_usual_error` of the frames of which a lattice is asked."""
    indices = sorted({index for index, _ in asked})
    errors = together(_usual_error, [frames[index] for index in indices], [turns[index] for index in indices])
    return dict(zip(indices, errors, strict=True))


def _usual_error(frame: FlatFrame, turn: Turn) -> Tensor:
    """Error of the amplitude of each lattice, (lattices,): where it is large, noise says which places have failed."""
    variance = turn.noise.variance(frame.level + (turn.shares * turn.patterns).sum(0))
    std = amplitude_std(turn.fit, turn.patterns, frame.valid, variance, turn.noise.correlation)
    return lower_nanmedian(std.flatten(1))


def _shares_nearby(frame: FlatFrame, turn: Turn) -> Tensor:
    """Share of each phase near every pixel, (lattices + 1, y, x), 0 where masked."""
    near = nearby(turn.probability, turn.fit.seen, frame.cell / frame.step)
    return at_every_pixel(near, frame.step, frame.image.shape) * frame.valid


def _at_waves(chosen: Tensor, like: Tensor, lattice: SoughtLattice) -> Tensor:
    """Which points of the grid of waves lie on chosen pixels, bool, of the shape of `like`."""
    row, column = (
        (torch.arange(points, device=chosen.device) * lattice.step).clamp_max(length - 1)
        for points, length in zip(like.shape, chosen.shape, strict=True)
    )
    return chosen[row][:, column]


def _area_seen(flat: Tensor, none: Tensor, lattice: SoughtLattice, structure: Tensor) -> Tensor:
    """Area in px of the places that show a lattice by their own pixels alone, without the crystal beside them."""
    odds = lattice_log_odds(flat, none.to(flat), lattice, structure)
    return ((odds > _LOG_ODDS) & _at_waves(none, odds, lattice)).sum() * float(lattice.step**2)


def lattice_log_odds(flat: Tensor, share: Tensor, lattice: SoughtLattice, structure: Tensor) -> Tensor:
    r"""Return the log odds that the waves near each place are those of a lattice, not noise, (rows, columns).

    Parameters
    ----------
    flat, share : tensors, shape (y, x)
        Image without its slow background, and how much each pixel counts.
    lattice : SoughtLattice
    structure : tensor, shape (nodes,), complex
        Structure factors F of its averaged cell.

    Notes
    -----
    A wave of noise of power S is a complex normal deviate of that variance; that of a lattice whose amplitudes and
    phases are free, one of S + \|F\|². So the log odds are the sum over the strongest nodes of
    ``|A|²/S · |F|²/(S + |F|²) − ln(1 + |F|²/S)``.
    """
    strong = structure.abs().topk(min(_NODES, len(structure))).indices
    expected = (structure[strong].abs() ** 2)[:, None, None]
    frequency = lattice.order[strong] @ torch.linalg.inv(lattice.basis).mT
    beside = frequencies_beside(frequency, lattice.basis)
    waves = wave_amplitudes(
        share * flat, torch.cat([frequency[:, None], beside], 1).flatten(0, 1), lattice.sigma, lattice.step
    )
    weight = smoothed(share, lattice.sigma, lattice.step).clamp_min(_LEAST_SHARE)
    power = ((waves / weight).abs() ** 2).reshape(len(frequency), -1, *weight.shape)
    density = torch.maximum(power[:, 1:].mean(1), _SPILLED * expected).clamp_min(1e-30)
    odds = power[:, 0] / density * expected / (density + expected) - torch.log1p(expected / density)
    total: Tensor = odds.sum(0)
    return total


def frequencies_beside(frequency: Tensor, basis: Tensor) -> Tensor:
    """Return the frequencies whose waves say how strong noise is at the nodes of a lattice, (nodes, waves, 2).

    On the ring of each node those that are the farthest from all nodes, since noise goes by the length of its waves.

    Parameters
    ----------
    frequency : tensor, shape (nodes, 2)
        In cycles per px.
    basis : tensor, shape (2, 2)
        In px, rows = vectors (y, x).
    """
    turn = torch.arange(1, _DIRECTIONS, device=basis.device, dtype=basis.dtype) * (torch.pi / _DIRECTIONS)
    y, x = frequency[:, None].unbind(-1)
    ring = torch.stack([y * turn.cos() - x * turn.sin(), y * turn.sin() + x * turn.cos()], -1)
    index = ring @ basis.mT
    apart = torch.linalg.vector_norm((index - index.round()) @ torch.linalg.inv(basis).mT, dim=-1)
    farthest = apart.topk(_BESIDE, dim=1).indices
    return ring.gather(1, farthest[..., None].expand(-1, -1, 2))


def unlike(locked: Locked) -> Tensor:
    """Return where the waves of a lattice are no displaced copy of its averaged cell, bool, (rows, columns).

    Parameters
    ----------
    locked : Locked

    Notes
    -----
    ``Σ_k |A_k|² − s² Σ_k |F_k|²`` is what the averaged cell with the amplitude s leaves of the power of the waves.
    """
    whole = locked.structure.abs() ** 2
    power = (locked.waves.amplitude.abs() ** 2 * (whole > 0)[:, None, None]).sum(0)
    explained = locked.coherence.clamp_min(0.0) ** 2 * whole.sum()
    return explained < (1 - _UNEXPLAINED) * power


def another_motif(locked: Locked) -> Tensor:
    """Return where the motif of a crystal is its own and no displaced copy of its averaged cell: nothing is displaced.

    Parameters
    ----------
    locked : Locked

    Returns
    -------
    bool tensor, shape (rows, columns)
        With the places beside such ones, whose Gaussian sees both motifs.
    """
    if locked.own is None:
        return torch.zeros_like(locked.coherence, dtype=torch.bool)
    another = (locked.own & unlike(locked)).to(locked.coherence)
    widened: Tensor = torch.nn.functional.max_pool2d(another[None], 2 * _BOTH + 1, stride=1, padding=_BOTH)[0]
    return widened > 0
