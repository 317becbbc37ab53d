"""The atoms of a batch of crystals, in one table: lattice sites, grains, boundaries, strain, holes, disorder and drift.

Every motif atom of every grain is a lattice of its own, whose sites are enumerated where they can be seen. An atom's
random numbers depend on its indices in its lattice, not on which other atoms there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import sorted_values
from bravaismap.simulate.batch.cells import Motif
from bravaismap.simulate.batch.draws import PURPOSE_BITS, Draws, Purpose, counted
from bravaismap.simulate.batch.holes import HoleTable
from bravaismap.simulate.batch.threefry import normal, threefry, uniform
from bravaismap.simulate.crystal import ATOM_REACH, EDGE_BEND, GRAIN_SHARE
from bravaismap.simulate.faults import GRID, MIDDLE, PERIODS, WAVES
from bravaismap.simulate.instrument import BEND_PERIOD, DRIFT_HARMONICS, DRIFT_POINTS, FLYBACK_REACH

__all__ = ["AtomTable", "draw_atoms"]

_EDGE_GRID = 16  # points along each side on which the share beyond an edge is taken
_DISORDER_REACH = 3.0  # standard deviations of disorder by which sites beyond the frame are taken into account


@dataclass(frozen=True)
class AtomTable:
    """The atoms of n windows, those of one window after those of the previous.

    Attributes
    ----------
    first : int64 tensor, shape (n + 1,)
        Where the atoms of each window start.
    position : float32 tensor, shape (atoms, 2)
        (y, x) in px of the frame of their window.
    height, width : float32 tensors, shape (atoms,)
        Peak height, and standard deviation in px.
    """

    first: Tensor
    position: Tensor
    height: Tensor
    width: Tensor


@dataclass(frozen=True)
class _Sublattices:
    """The lattices of single motif atoms: `window`, `kind` and `grain` of each, `origin` (m, 2), `basis` (m, 2, 2)."""

    window: Tensor
    kind: Tensor
    grain: Tensor
    origin: Tensor
    basis: Tensor


def draw_atoms(draws: Draws, basis: Tensor, motif: Motif, frame: Tensor, holes: HoleTable | None) -> AtomTable:
    """Draw the atoms of each window.

    Parameters
    ----------
    draws : Draws
    basis : float64 tensor, shape (n, 2, 2)
    motif : Motif
    frame : float64 tensor, shape (n, 2)
        Height and width of the frame of each window in px, margins included.
    holes : HoleTable or None
    """
    disorder = draws["disorder"] * draws["length"]
    halves, through, normals = _boundaries(draws, basis, frame)
    longer = frame.amax(dim=1)
    moved = halves.norm(dim=2).sum(dim=1) + 2 * draws["strain"] * longer
    lattices = _sublattices(draws, basis, motif, frame)
    reach = ATOM_REACH * motif.width[lattices.window, lattices.kind] + (_DISORDER_REACH * disorder)[lattices.window]
    at, m, n, position = _sites(lattices, frame, reach + moved[lattices.window])
    window = lattices.window[at]
    keep = _in_grain(draws, frame, window, lattices.grain[at], position)
    for k in range(halves.shape[1]):
        keep &= _cross_boundary(position, window, halves[:, k], through[:, k], normals[:, k])
    if part := draws.part("strain"):
        atoms = (draws["strain"] > 0)[window].nonzero()[:, 0]
        number = torch.zeros(len(draws), dtype=torch.int64, device=window.device)
        number[part[0]] = torch.arange(len(part[1]), device=window.device)
        at_window = number[window[atoms]]
        position[atoms] += _strain(part[1], frame[part[0]], at_window, position[atoms])
    noise, chance = _noise(draws, window, lattices, at, m, n)
    position += noise * disorder[window, None]
    limit = reach[at, None]
    keep &= ((position > -limit) & (position < frame[window] + limit)).all(dim=1)
    keep &= chance >= draws["vacancies"][window]
    keep &= _before_edge(draws, basis, motif, frame, window, position)
    if holes is not None:
        keep &= ~holes.contain(window, position)
    rows = keep.nonzero()[:, 0]
    at, window, position = at[rows], window[rows], position[rows]
    height = motif.height[window, lattices.kind[at]]
    if draws.any("tilt"):
        height = height * _bend(draws, longer, window, position)
    position = _displaced(draws, frame, window, position)
    first = torch.searchsorted(window, torch.arange(len(draws) + 1, device=window.device))
    size = motif.width[window, lattices.kind[at]]
    return AtomTable(first, position.to(torch.float32), height.to(torch.float32), size.to(torch.float32))


def _sublattices(draws: Draws, basis: Tensor, motif: Motif, frame: Tensor) -> _Sublattices:
    """Return the lattice of every atom of the motif of every grain, those of one window after one another."""
    unit = draws.units("grain")
    second = draws["grains"]
    atoms = torch.from_numpy(draws.pattern < 0).to(second.device)
    number = motif.count * (1 + second).to(torch.int64) * atoms
    number = number * (draws["empty"] == 0)
    window, index = counted(number)
    kind, grain = index % motif.count[window], index // motif.count[window]
    start = (draws.units("origin")[:, None] @ basis)[:, 0]
    origin = start[window] + motif.offset[window, kind]
    turn = 2 * math.pi * unit[:, 1]
    rotation = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], dim=1).view(-1, 2, 2)
    rotation = torch.where((grain == 1)[:, None, None], rotation[window], torch.eye(2, dtype=basis.dtype).to(basis))
    centre = frame[window] / 2
    origin = ((origin - centre)[:, None] @ rotation)[:, 0] + centre
    return _Sublattices(window, kind, grain, origin, basis[window] @ rotation)


def _sites(lattices: _Sublattices, frame: Tensor, margin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the sites within a margin (m,) of their frame: number of their lattice, indices m and n, position."""
    corner = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=frame.dtype, device=frame.device)
    size = frame[lattices.window]
    corners = corner * (size + 2 * margin[:, None])[:, None] - margin[:, None, None] - lattices.origin[:, None]
    (ay, ax), (by, bx) = (lattices.basis[:, i].unbind(-1) for i in (0, 1))
    inverse = torch.stack([bx, -ax, -by, ay], dim=1).view(-1, 2, 2) / (ay * bx - ax * by)[:, None, None]
    along = (corners @ inverse)[..., 0]
    low, high = along.amin(dim=1).floor().to(torch.int64), along.amax(dim=1).ceil().to(torch.int64)
    # the rows of sites along the second vector that may cross the frame, and where each of them enters and leaves it
    at, step = counted(high - low + 1)
    m = low[at] + step
    start = lattices.origin[at] + m[:, None] * lattices.basis[at, 0]
    second = lattices.basis[at, 1]
    second = torch.where(second == 0, 1e-12, second)
    reach = margin[at, None]
    ends = torch.stack([(-reach - start) / second, (size[at] + reach - start) / second])
    enter, leave = ends.amin(dim=0).amax(dim=1).ceil(), ends.amax(dim=0).amin(dim=1).floor()
    row, step = counted((leave - enter + 1).clamp_min(0).to(torch.int64))
    n = enter[row] + step
    position = start[row] + n[:, None] * lattices.basis[at, 1][row]
    return at[row], m[row], n.to(torch.int64), position


def _noise(
    draws: Draws, window: Tensor, lattices: _Sublattices, at: Tensor, m: Tensor, n: Tensor
) -> tuple[Tensor, Tensor]:
    """Return two standard normal deviates (atoms, 2) and a uniform number (atoms,) of each atom."""
    first, second = (key[window] for key in draws.key)
    site = ((m & 0xFFFF) << 16 | (n & 0xFFFF)) - ((m & 0x8000) << 17)
    atom = (Purpose.ATOMS << PURPOSE_BITS) + 4 * lattices.kind[at] + 2 * lattices.grain[at]
    words = [threefry((first, second), (site.to(torch.int32), (atom + further).to(torch.int32))) for further in (0, 1)]
    return normal(torch.stack(words[0], dim=1)).to(torch.float64), uniform(words[1][0])


# Grains and edges


def _depth(unit: Tensor, frame: Tensor, position: Tensor) -> Tensor:
    """Return how far (n, k) positions (n, k, 2) lie beyond a bent edge through the middle, over the longer side."""
    angle, bend = 2 * math.pi * unit[:, :1], EDGE_BEND * (2 * unit[:, 1:2] - 1)
    centred = (position - frame[:, None] / 2) / frame.amax(dim=1)[:, None, None]
    along = centred[..., 0] * angle.cos() + centred[..., 1] * angle.sin()
    across = centred[..., 1] * angle.cos() - centred[..., 0] * angle.sin()
    return along + bend * across.square()


def _edge(unit: Tensor, frame: Tensor, margin: Tensor, share: Tensor) -> Tensor:
    """Return the depth (n,) beyond which `share` of a frame and its margin lies; ∞ for no share."""
    axis = (torch.arange(_EDGE_GRID, dtype=frame.dtype, device=frame.device) + 0.5) / _EDGE_GRID
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(1, -1, 2)
    position = grid * (frame + 2 * margin[:, None])[:, None] - margin[:, None, None]
    depth = sorted_values(_depth(unit, frame, position))
    rank = ((1 - share) * depth.shape[1] - 0.5).clamp(0, depth.shape[1] - 1)
    low = rank.floor().to(torch.int64)[:, None]
    high = (low + 1).clamp_max(depth.shape[1] - 1)
    begin, end = depth.gather(1, low)[:, 0], depth.gather(1, high)[:, 0]
    return torch.where(share > 0, begin + (rank - low[:, 0]) * (end - begin), math.inf)


def _in_grain(draws: Draws, frame: Tensor, window: Tensor, grain: Tensor, position: Tensor) -> Tensor:
    """Tell which sites (atoms,) lie on the side of the boundary that their grain has."""
    keep = torch.ones_like(window, dtype=torch.bool)
    unit = draws.units("grain")
    rows = draws.having("grains")
    if len(rows) == 0:
        return keep
    share = GRAIN_SHARE[0] + unit[:, 0] * (GRAIN_SHARE[1] - GRAIN_SHARE[0])
    edge = torch.full_like(share, math.inf)
    edge[rows] = _edge(unit[rows, 2:], frame[rows], torch.zeros_like(share[rows]), share[rows])
    atoms = edge[window].isfinite().nonzero()[:, 0]
    at = window[atoms]
    beyond = _depth(unit[at, 2:], frame[at], position[atoms, None])[:, 0] > edge[at]
    keep[atoms] = beyond == (grain[atoms] == 1)
    return keep


def _before_edge(draws: Draws, basis: Tensor, motif: Motif, frame: Tensor, window: Tensor, position: Tensor) -> Tensor:
    """Tell which atoms lie in the specimen, whose edge cuts off a share of the frame and what lies around it."""
    keep = torch.ones_like(window, dtype=torch.bool)
    rows = draws.having("vacuum")
    if len(rows) == 0:
        return keep
    margin = ATOM_REACH * motif.width[:, 0] + basis.abs().sum(dim=(1, 2))
    edge = torch.full_like(margin, math.inf)
    edge[rows] = _edge(draws.units("edge")[rows], frame[rows], margin[rows], draws["vacuum"][rows])
    return _depth(draws.units("edge")[window], frame[window], position[:, None])[:, 0] <= edge[window]


# Boundaries, strain and bending


def _boundaries(draws: Draws, basis: Tensor, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return displacement, a point and the normal of each antiphase boundary, (n, boundaries, 2) each.

    A displacement of half a period may as well be the opposite one: it is the one against the normal, so that no atom
    is there twice. It is 0 of a boundary that a window does not have.
    """
    most = int(draws.host_column("antiphase").max(initial=0))
    unit = draws.unit_field(Purpose.ANTIPHASE, most, 4)
    angle = 2 * math.pi * unit[..., 0]
    normals = torch.stack([angle.sin(), angle.cos()], dim=-1)
    through = (MIDDLE[0] + unit[..., 1:3] * (MIDDLE[1] - MIDDLE[0])) * frame[:, None]
    steps = basis.new_tensor([[0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])[(3 * unit[..., 3]).to(torch.int64)]
    half = steps @ basis
    half = half * -torch.where((half * normals).sum(-1, keepdim=True) > 0, 1.0, -1.0)
    present = torch.arange(most, device=half.device) < draws["antiphase"][:, None]
    return half * present[..., None], through, normals


def _cross_boundary(position: Tensor, window: Tensor, half: Tensor, through: Tensor, normals: Tensor) -> Tensor:
    """Displace, in place, the sites beyond a boundary, and tell which sites are left when the gap has closed."""
    depth = ((position - through[window]) * normals[window]).sum(dim=1)
    shift = (half * normals).sum(dim=1)[window]
    far = depth + shift > 0
    present = (half != 0).any(dim=1)[window]
    position += half[window] * far[:, None]
    return (depth <= 0) | far | ~present


def _strain(draws: Draws, frame: Tensor, window: Tensor, position: Tensor) -> Tensor:
    """Return the displacement (atoms, 2) of a smoothly strained crystal, as `smooth_strain` of one."""
    unit = draws.units("strain").view(-1, 3, WAVES)
    direction, polarisation, phase = (2 * math.pi * unit).unbind(1)
    longer = frame.amax(dim=1)
    period = (PERIODS[0] + draws.units("strain_periods") * (PERIODS[1] - PERIODS[0])) * 2 * math.pi / longer[:, None]
    vectors = period[..., None] * torch.stack([direction.sin(), direction.cos()], dim=-1)
    amplitude = torch.stack([polarisation.sin(), polarisation.cos()], dim=-1) / period[..., None]
    axis = torch.linspace(0, 1, GRID, dtype=frame.dtype, device=frame.device)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(1, -1, 2) * (frame - 1)[:, None]
    angle = grid @ vectors.mT + phase[:, None]
    # on a grid that is the same in all directions about its middle the linear part is a sum of products
    centre = (frame - 1) / 2
    centred = grid - centre[:, None]
    waves = angle.cos() @ amplitude
    slope = (centred.mT @ waves) / centred.square().sum(dim=1)[..., None]
    gradient = -torch.einsum("ngw,nwi,nwj->ngij", angle.sin(), vectors, amplitude) - slope[:, None]
    scale = draws["strain"] / gradient.square().mean(dim=(1, 2, 3)).sqrt().clamp_min(1e-12)
    mean = waves.mean(dim=1)
    at = ((position[:, None] * vectors[window]).sum(-1) + phase[window]).cos()
    moved = (at[:, None] @ amplitude[window])[:, 0] - mean[window]
    moved = moved - ((position - centre[window])[:, None] @ slope[window])[:, 0]
    return scale[window, None] * moved


def _bend(draws: Draws, longer: Tensor, window: Tensor, position: Tensor) -> Tensor:
    """Return the factor (atoms,) by which a tilted specimen lowers its atoms, as `bend` of one."""
    unit = draws.units("bend")
    period = (BEND_PERIOD[0] + unit[:, 0] * (BEND_PERIOD[1] - BEND_PERIOD[0])) * longer
    angle, phase = 2 * math.pi * unit[:, 1], 2 * math.pi * unit[:, 2]
    vector = torch.stack([angle.sin(), angle.cos()], dim=1) * (2 * math.pi / period)[:, None]
    depth = (draws["tilt"] / 2).clamp_max(1.0)
    along = (position * vector[window]).sum(dim=1) + phase[window]
    return 1 - depth[window] * (1 + along.cos()) / 2


def _displaced(draws: Draws, frame: Tensor, window: Tensor, position: Tensor) -> Tensor:
    """Return the positions in the image of a drifting scan, as `displace` of one."""
    moved = position
    if draws.any("drift"):
        curves = _drift_curves(draws)
        place = (position[:, 0] / (frame[window, 0] - 1)).clamp(0, 1) * (DRIFT_POINTS - 1)
        low = place.floor().clamp_max(DRIFT_POINTS - 2)
        at = low.to(torch.int64)
        begin, end = curves[window, at], curves[window, at + 1]
        moved = moved + begin + (place - low)[:, None] * (end - begin)
    if draws.any("flyback"):
        decay = (-position[:, 1].clamp_min(0) / (FLYBACK_REACH * frame[window, 1])).exp()
        moved = moved + torch.stack([torch.zeros_like(decay), draws["flyback"][window] * decay], dim=1)
    return moved


def _drift_curves(draws: Draws) -> Tensor:
    """Return the displacement (n, points, 2) of a drifting scan along y, without mean and slope."""
    axis = torch.linspace(-1, 1, DRIFT_POINTS, dtype=torch.float64, device=draws.value.device)
    order = torch.arange(1, DRIFT_HARMONICS + 1, dtype=torch.float64, device=axis.device)
    weight = draws.normals("drift_curve").view(-1, 2, DRIFT_HARMONICS) / order
    phase = draws.units("drift_phase")
    curve = (weight[:, :, None] * (math.pi * order * (axis + phase[..., None])[..., None]).cos()).sum(-1)
    curve = curve - curve.mean(dim=2, keepdim=True)
    curve = curve - axis * ((curve * axis).sum(dim=2, keepdim=True) / axis.square().sum())
    size = torch.stack([draws["drift"] / 2, draws["drift"]], dim=1)
    return (curve * (size[..., None] / curve.std(dim=2, correction=0, keepdim=True).clamp_min(1e-9))).mT
