"""From atoms to the image of an ideal instrument, many at a time: atoms, probe, displaced scan lines.

Atoms are Gaussians, so that an image is a product of two matrices, of their profiles along y and along x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bravaismap.compute.device import exponential
from bravaismap.simulate.batch.atoms import AtomTable
from bravaismap.simulate.batch.draws import Draws, Purpose, counted
from bravaismap.simulate.instrument import PROBE_MARGIN, RING_WIDTH, SMOOTHEST

__all__ = [
    "atom_images",
    "deviations",
    "displaced_lines",
    "gaussian_images",
    "gaussian_profiles",
    "probed_lines",
    "speckles",
    "transfer",
]

#: Smallest exponent of a profile to the base 2: 2⁻⁵⁸ is negligible, and no product of two profiles is subnormal, which
#: processors multiply slowly.
_SMALLEST_EXPONENT = -58.0
#: A Gaussian of distance d and width w is 2 to the power of −(d _SCALE / w)², which PyTorch computes in a quarter of
#: the time of a power of e.
_SCALE = math.sqrt(math.log2(math.e) / 2)
_REACH = 5.0  # standard deviations up to which an atom is drawn: e⁻¹²·⁵ of its height is left out beyond
#: Numbers of atoms between which tiles are made together, filled up to the larger one: many on a processor, which
#: computes what is filled up, and few on a GPU, which waits for each call.
_STEPS, _STEPS_ON_DEVICE = (0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512), (0, 12, 32, 96, 384)
_MOST_PROFILES = 2**26  # numbers of the profiles that are held together, for memory


def atom_images(atoms: AtomTable, rows: Tensor, origin: tuple[int, int], shape: tuple[int, int], tile: int) -> Tensor:
    """Return the images of the atoms of some windows, put together from tiles.

    A tile is the product of the profiles of the atoms that reach into it.

    Parameters
    ----------
    atoms : AtomTable
    rows : int64 tensor, shape (m,)
        Windows.
    origin, shape : (int, int)
        First row and column in the frame of the windows, and number of rows and columns.
    tile : int
        Side of a tile in px.

    Returns
    -------
    float32 tensor, shape (m, *shape)
    """
    number = atoms.first[rows + 1] - atoms.first[rows]
    window, index = counted(number)
    index += atoms.first[rows][window]
    width = atoms.width[index]
    position = atoms.position[index] - torch.tensor(origin, dtype=torch.float32, device=rows.device)
    seen = torch.cat([position, torch.stack([atoms.height[index], width], dim=1)], dim=1)
    tiles = -(-shape[0] // tile), -(-shape[1] // tile)
    place, atom = _reached(window, position, width, tiles, tile)
    count = torch.bincount(place, minlength=len(rows) * tiles[0] * tiles[1])
    first = count.cumsum(0) - count
    image = torch.zeros(len(count), tile, tile, dtype=torch.float32, device=rows.device)
    index = torch.arange(len(count), device=rows.device)
    corner = torch.stack([index // tiles[1] % tiles[0], index % tiles[1]], dim=1) * tile
    axis = torch.arange(tile, dtype=torch.float32, device=rows.device)
    for chosen, most in _alike(count, tile):
        slot = torch.arange(most, device=rows.device)
        at = atom.take((first[chosen, None] + slot).clamp_max_(len(atom) - 1))
        own = seen.index_select(0, at.flatten()).view(*at.shape, 4)
        present = own[..., 2] * (slot < count[chosen, None])
        tiled = gaussian_images(own[..., :2] - corner[chosen, None], present, own[..., 3], axis)
        image.index_copy_(0, chosen, tiled)
    image = image.view(len(rows), *tiles, tile, tile).transpose(2, 3).reshape(len(rows), tiles[0] * tile, -1)
    return image[:, : shape[0], : shape[1]]


def _reached(
    window: Tensor, position: Tensor, width: Tensor, tiles: tuple[int, int], tile: int
) -> tuple[Tensor, Tensor]:
    """Return the tiles that atoms reach into, in order, each with the atom."""
    reach = _REACH * width[:, None]
    last = torch.tensor(tiles, device=position.device) - 1
    low, high = ((position - reach) / tile).floor(), ((position + reach) / tile).floor()
    seen = ((high >= 0) & (low <= last)).all(dim=1)
    low, high = (end.to(torch.int64).clamp_min(0).minimum(last) for end in (low, high))
    size = high - low + 1
    atom, step = counted(size[:, 0] * size[:, 1] * seen)
    across = size[atom, 1]
    down = torch.div(step, across, rounding_mode="floor")
    row, column = low[atom, 0] + down, low[atom, 1] + step - down * across
    key = ((window[atom] * tiles[0] + row) * tiles[1] + column << 32) + atom
    # NumPy sorts whole numbers ten times as fast as PyTorch does on a processor
    key = torch.from_numpy(np.sort(key.numpy())) if key.device.type == "cpu" else key.sort().values
    return key >> 32, key & 0xFFFFFFFF


def _alike(count: Tensor, tile: int) -> Iterator[tuple[Tensor, int]]:
    """Yield tiles with similar numbers of atoms (tiles,), and the largest of these numbers."""
    order = count.argsort()
    steps = _STEPS if count.device.type == "cpu" else _STEPS_ON_DEVICE
    ends = torch.searchsorted(count[order], torch.tensor(steps, device=count.device), right=True).tolist()
    largest = int(count.max()) if len(count) else 0
    for start, end, most in zip(ends, [*ends[1:], len(count)], [*steps[1:], largest], strict=True):
        together = max(1, _MOST_PROFILES // (2 * tile * max(most, 1)))
        for first in range(start, end, together):
            yield order[first : min(first + together, end)], most


def gaussian_images(position: Tensor, height: Tensor, width: Tensor, axis: Tensor) -> Tensor:
    """Return images (m, n, n) of Gaussians at `position` (m, k, 2), of peak `height` and `width` (m, k)."""
    down, across = gaussian_profiles(position, height, width, axis)
    return torch.bmm(down.mT, across)


def gaussian_profiles(position: Tensor, height: Tensor, width: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the profiles of Gaussians on an axis (n,) along y, as high as they are, and along x, (m, k, n) each."""
    scale = (_SCALE / width)[..., None]
    distance = axis - position.movedim(-1, 0)[..., None]
    down, across = distance.mul_(scale).square_().neg_().clamp_min_(_SMALLEST_EXPONENT).exp2_()
    return down.mul_(height[..., None]), across


def transfer(draws: Draws, scale: Tensor, height: int, width: int) -> Tensor:
    """Return the transfer functions (n, height, width // 2 + 1) of tilt, astigmatism and tail of the probe.

    Parameters
    ----------
    draws : Draws
    scale : float64 tensor, shape (n,)
        Width of an atom in px.
    height, width : int
        Of the image in px, with a margin of `PROBE_MARGIN` on each side.
    """
    ky = torch.fft.fftfreq(height, device=scale.device)[:, None]
    kx = torch.fft.rfftfreq(width, device=scale.device)
    exponent = torch.zeros(len(draws), height, width // 2 + 1, device=scale.device)
    angle = math.pi * draws.units("probe")
    for i, name in enumerate(("tilt", "astigmatism")):
        size = (draws[name] * scale).clamp_max(PROBE_MARGIN / 2)
        along = (size * angle[:, i].sin()).to(torch.float32)[:, None, None] * ky
        exponent += (along + (size * angle[:, i].cos()).to(torch.float32)[:, None, None] * kx).square_()
    factor = exponential(exponent.mul_(-2 * math.pi**2))
    tail = draws.plane("tail")
    reach = (4 * scale).clamp_max(PROBE_MARGIN).to(torch.float32)[:, None, None]
    broad = exponential((ky.square() + kx.square()).mul(-2 * math.pi**2 * reach.square()))
    return factor.mul_(1 - tail).addcmul_(tail, broad)


def displaced_lines(image: Tensor, shift: Tensor) -> Tensor:
    """Displace each line of images (n, height, width) along x by `shift` (n, height) px, through its spectrum."""
    displaced: Tensor = torch.fft.irfft(torch.fft.rfft(image) * _phase(image.shape[-1], shift), n=image.shape[-1])
    return displaced


def probed_lines(image: Tensor, factor: Tensor, shift: Tensor | None) -> Tensor:
    """Blur images (n, height, width) with transfer functions, cut off the margin along y, and displace the lines.

    `shift` is (n, height − 2 PROBE_MARGIN), or None for none.
    """
    lines = torch.fft.ifft(torch.fft.rfft2(image).mul_(factor), dim=1)[:, PROBE_MARGIN:-PROBE_MARGIN]
    if shift is not None:
        lines = lines * _phase(image.shape[-1], shift)
    blurred: Tensor = torch.fft.irfft(lines, n=image.shape[-1])
    return blurred


def deviations(image: Tensor) -> Tensor:
    """Return the standard deviation of each image, (n, 1, 1)."""
    return (image - image.mean(dim=(1, 2), keepdim=True)).square_().mean(dim=(1, 2), keepdim=True).sqrt_()


def _phase(width: int, shift: Tensor) -> Tensor:
    """Return the factors (n, height, width // 2 + 1) on the spectrum of lines that are displaced by `shift` px.

    They are the powers of that of one cycle per line: of 2ᵏ of them the next 2ᵏ are the products with one of theirs.
    """
    count = width // 2 + 1
    cycles = torch.tensor([2**k for k in range((count - 1).bit_length())], device=shift.device)
    angle = shift.to(torch.float32)[..., None] * (-2 * math.pi / width) * cycles
    powers = torch.complex(angle.cos(), angle.sin())
    phase = torch.empty(*shift.shape, count, dtype=powers.dtype, device=shift.device)
    phase[..., 0] = 1
    for k in range(powers.shape[-1]):
        known, more = 2**k, min(2**k, count - 2**k)
        torch.mul(phase[..., :more], powers[..., k, None], out=phase[..., known : known + more])
    return phase


def speckles(draws: Draws, purpose: Purpose, side: int, radius: Tensor) -> Tensor:
    """Return noise (n, side, side) of standard deviation 1 in a ring of the spectrum of `radius` (n,) in 1/px.

    The noise is drawn in the spectrum. Its real lines (k_x = 0 and the highest) keep only their real part, and have
    twice the power for it.
    """
    ky = torch.fft.fftfreq(side, device=radius.device)[:, None]
    kx = torch.fft.rfftfreq(side, device=radius.device)
    radius = radius.to(torch.float32)[:, None, None]
    width = (RING_WIDTH * radius).clamp_min(SMOOTHEST)
    band = exponential((((ky.square() + kx.square()).sqrt() - radius) / width).square_().mul_(-0.5))
    band[..., 0] *= math.sqrt(2)
    if side % 2 == 0:
        band[..., -1] *= math.sqrt(2)
    noise = torch.view_as_complex(draws.normal_field(purpose, side, side // 2 + 1, 2))
    field: Tensor = torch.fft.irfft2(noise * band, s=(side, side))
    return field / deviations(field).clamp_min(1e-9)
