"""A network that reads tokens: spots, candidate lattices and the log-polar correlation of a window's spectra.

Candidate lattices are what the network thinks in: each is one element of a set, attends to the others, and looks at
all spots for what it does not explain. Elements of another kind need no spot: on a grid of angle and logarithm of the
radius, turning and scaling a lattice are shifts, which the autocorrelation of its spectrum does not see; two spots at
an angle Δθ with radii of ratio r give a peak at (Δθ, ln r). The set ends in one vector, from which the class is read,
and in one component of a mixture of normal distributions for each candidate, from which the cell is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bravaismap.classify.tokens import (
    ANGLES,
    CELL_FEATURES,
    CELLS,
    RADII,
    REFINED,
    REFINED_FEATURES,
    SPOT_FEATURES,
    SPOTS,
    VIEWS,
    Tokens,
)
from bravaismap.compute.device import PROCESSOR

__all__ = ["SMALLEST_DISTORTION", "CellEstimate", "CellMixture", "TokenStem", "most_probable_cell"]

_WIDTH: Final = 128
_HEADS: Final = 4
_LAYERS: Final = 4
_SHIFTS: Final = 16
_POLAR: Final = 4
#: Logarithms of the smallest and the largest standard deviation of a component, of Re τ, log Im τ and log side.
_NARROWEST, _WIDEST = -8.0, 1.0
#: Distortion that stands for none, and the one whose logarithm counts as 0.
SMALLEST_DISTORTION: Final = 3e-4
_USUAL_DISTORTION: Final = 3e-3
#: Numbers of the triangle of a component: three standard deviations and three correlations.
_TRIANGLE: Final = 6


@dataclass(frozen=True)
class CellMixture:
    """The cell of each window as a mixture of normal distributions, a component for each candidate and one for none.

    Attributes
    ----------
    logit : Tensor, shape (n, components)
        Before the softmax.
    mean : Tensor, shape (n, components, 3)
        Re τ, log Im τ and the logarithm of the side (px) of a square of the area of the cell.
    whitening : Tensor, shape (n, components, 3, 3)
        Lower triangular, the Cholesky factor of the inverse covariance transposed: it maps an error to white noise.
    """

    logit: Tensor
    mean: Tensor
    whitening: Tensor

    def negative_log_likelihood(self, cell: Tensor) -> Tensor:
        """Return the negative logarithm of the density (n,) at cells (n, 3)."""
        error = (self.whitening @ (cell[:, None] - self.mean)[..., None])[..., 0]
        diagonal = torch.diagonal(self.whitening, dim1=-2, dim2=-1)
        density = diagonal.log().sum(-1) - 0.5 * error.square().sum(-1) - 1.5 * math.log(2 * math.pi)
        return -(self.logit.log_softmax(-1) + density).logsumexp(-1)


@dataclass(frozen=True)
class CellEstimate:
    """The most probable cell of each window: its shape and scale, without its orientation.

    Attributes
    ----------
    mean : Tensor, shape (n, 3)
        Re τ, log Im τ and the logarithm of the side (px) of a square of the area of the cell; see
        :mod:`bravaismap.lattice.shape`.
    covariance : Tensor, shape (n, 3, 3)
        Of `mean`, if the lattice is this one.
    weight : Tensor, shape (n,)
        Probability that it is, if there is a lattice.
    """

    mean: Tensor
    covariance: Tensor
    weight: Tensor


def most_probable_cell(mixtures: list[CellMixture]) -> CellEstimate:
    """Return the cell of the component of most weight, by the mean of the mixtures of the members of an ensemble."""
    weights = torch.stack([mixture.logit.softmax(-1) for mixture in mixtures])
    weight, component = weights.mean(0).max(-1)
    rows = torch.arange(len(weight), device=weight.device)
    share = weights[:, rows, component] / (len(mixtures) * weight)
    means = torch.stack([mixture.mean[rows, component] for mixture in mixtures])
    mean = (share[..., None] * means).sum(0)
    inverse = torch.stack([torch.linalg.inv_ex(mixture.whitening[rows, component])[0] for mixture in mixtures])
    apart = (means - mean)[..., None]
    covariances = inverse @ inverse.transpose(-1, -2) + apart @ apart.transpose(-1, -2)
    return CellEstimate(mean, (share[..., None, None] * covariances).sum(0), weight)


#: Whether PyTorch has oneDNN here.
_CONVOLVES: Final[bool] = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class _Dense(nn.Linear):
    """A dense layer for the elements of windows, (n, elements, features).

    A processor computes it as a convolution of one px by oneDNN: on one that is not of Intel in half the time of the
    product of matrices that PyTorch hands to MKL, as it does with such a convolution of few windows, too.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (_CONVOLVES and input.device.type == PROCESSOR and input.dtype == torch.float32):
            return super().forward(input)
        picture = input.reshape(1, -1, 1, self.in_features).permute(0, 3, 1, 2)
        kernel = self.weight[..., None, None]
        result: Tensor = torch.mkldnn_convolution(picture, kernel, self.bias, (0, 0), (1, 1), (1, 1), 1)
        return result.permute(0, 2, 3, 1).reshape(*input.shape[:-1], self.out_features)


class _Attention(nn.Module):
    """Elements that attend to others, and then each to itself (a transformer's layer, normalised before)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_others = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = _Dense(width, width), _Dense(width, 2 * width)
        self.out = _Dense(width, width)
        self.dense = nn.Sequential(nn.LayerNorm(width), _Dense(width, 3 * width), nn.GELU(), _Dense(3 * width, width))

    def forward(self, elements: Tensor, others: Tensor | None = None) -> Tensor:
        normed = self.norm(elements)
        query = self.query(normed)
        key, value = self.key_value(normed if others is None else self.norm_others(others)).chunk(2, dim=-1)
        split = [part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in (query, key, value)]
        attended = functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        elements = elements + self.out(attended)
        result: Tensor = elements + self.dense(elements)
        return result


class _Correlation(nn.Module):
    """Elements from the autocorrelation of the log-polar spectra over angle and scale."""

    radial: Tensor
    angular: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = 8
        self.feature = nn.Sequential(nn.Conv2d(VIEWS, channels, 3, padding=(0, 1)), nn.GELU())
        self.read = nn.Sequential(
            nn.Conv2d(channels, 32, 4, stride=2, padding=1), nn.GELU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.GELU(),
            nn.Conv2d(64, 32, 3, padding=1), nn.GELU(), nn.Flatten(),
            nn.Linear(32 * (ANGLES // 4) * (_SHIFTS // 4), _POLAR * width),
        )  # fmt: skip
        for name, matrix in zip(("radial", "angular"), _power_to_correlation(), strict=True):
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, polar: Tensor) -> Tensor:
        around = torch.cat([polar[:, :, -1:], polar, polar[:, :, :1]], dim=2)
        with torch.autocast(polar.device.type, enabled=False):
            feature = self.feature(around.float())
            feature = feature - feature.mean((-2, -1), keepdim=True)
            transformed = torch.fft.rfft2(feature, s=(ANGLES, RADII + _SHIFTS))
            power = transformed.real**2 + transformed.imag**2
            even, odd = (power @ self.radial).chunk(2, dim=-1)
            correlation = self.angular @ torch.cat([even, odd], dim=-2)
            correlation = correlation / (correlation[..., _NO_TURN : _NO_TURN + 1, :1] + 1e-3)
        read: Tensor = self.read(correlation)
        return read.reshape(len(read), _POLAR, -1)


#: Row of the correlation for spectra that are not turned against each other.
_NO_TURN: Final = ANGLES // 4


def _power_to_correlation() -> tuple[Tensor, Tensor]:
    """Return two matrices that take a power spectrum to the autocorrelation, over the radius and over the angle.

    A power spectrum (ANGLES, half of the frequencies along the radius) times the first gives the cosine and the sine
    transform at each shift of the radius; the second times these, one below the other, gives the autocorrelation
    (ANGLES, _SHIFTS). It is what the inverse Fourier transform gives, in a third of the time: the spectrum is real, and
    of the shifts the larger ones are not asked for.
    """
    size = RADII + _SHIFTS
    frequency = torch.arange(size // 2 + 1, dtype=torch.float64)
    counted = torch.where((frequency == 0) | (frequency == size // 2), 1.0, 2.0)[:, None] / (ANGLES * size)
    phase = 2 * math.pi / size * torch.outer(frequency, torch.arange(_SHIFTS, dtype=torch.float64))
    angle = torch.arange(ANGLES, dtype=torch.float64)
    turn = 2 * math.pi / ANGLES * torch.outer(angle - _NO_TURN, angle)
    radial = torch.cat([counted * phase.cos(), counted * phase.sin()], dim=1)
    return radial.float(), torch.cat([turn.cos(), -turn.sin()], dim=1).float()


def _of_distortion(distortion: Tensor) -> Tensor:
    """Return whether the distortion is known, and its logarithm, (n, 2)."""
    known = distortion.isfinite().to(distortion.dtype)
    logarithm = (torch.nan_to_num(distortion).clamp_min(SMALLEST_DISTORTION) / _USUAL_DISTORTION).log()
    return torch.stack([known, known * logarithm], dim=-1)


def _embedding(features: int, width: int) -> nn.Sequential:
    return nn.Sequential(_Dense(features, width), nn.GELU(), _Dense(width, width))


class TokenStem(nn.Module):
    """From tokens to one vector per window and the mixture of its cell.

    Parameters
    ----------
    width : int
        Of an element.
    layers : int
    """

    def __init__(self, width: int = _WIDTH, layers: int = _LAYERS) -> None:
        super().__init__()
        self.spots, self.cells = _embedding(SPOT_FEATURES, width), _embedding(CELL_FEATURES, width)
        self.refined = _embedding(REFINED_FEATURES, width)
        self.told = _embedding(2, width)
        self.place = nn.Parameter(0.02 * torch.randn(VIEWS * CELLS + REFINED + 1, width))
        self.spot_view = nn.Parameter(0.02 * torch.randn(VIEWS, width))
        self.polar = _Correlation(width)
        self.looks = nn.ModuleList([_Attention(width, _HEADS) for _ in range(2)])
        self.layers = nn.ModuleList([_Attention(width, _HEADS) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.component = _Dense(width, 1 + _TRIANGLE)
        self.other = _Dense(width, 3)

    @property
    def outputs(self) -> int:
        """Length of the vector."""
        return 2 * self.norm.normalized_shape[0]

    def forward(self, tokens: Tokens) -> Tensor:
        """Return the vector (n, outputs) of each window."""
        return self.read(tokens)[0]

    def read(self, tokens: Tokens) -> tuple[Tensor, CellMixture]:
        """Return the vector (n, outputs) of each window, and the mixture of its cell."""
        spots = self.spots(tokens.spots) + self.spot_view.repeat_interleave(SPOTS, 0)
        lattices = torch.cat([self.cells(tokens.cells), self.refined(tokens.refined)], 1)
        summary = self.place[-1] + self.told(_of_distortion(tokens.distortion))[:, None]
        elements = torch.cat([summary, lattices + self.place[:-1], self.polar(tokens.polar)], 1)
        for i, layer in enumerate(self.layers):
            if i < len(self.looks):
                elements = self.looks[i](elements, spots)
            elements = layer(elements)
        elements = self.norm(elements)
        vector = torch.cat([elements[:, 0], elements[:, 1:].mean(1)], -1)
        return vector, self._mixture(elements[:, : 1 + lattices.shape[1]].float(), tokens.shapes)

    def _mixture(self, elements: Tensor, shapes: Tensor) -> CellMixture:
        with torch.autocast(elements.device.type, enabled=False):
            values = self.component(elements)
            other = self.other(elements[:, :1]) * 0.3 + elements.new_tensor([0.25, 0.3, 2.7])
        scale = (5.0 - values[..., 1:4]).clamp(-_WIDEST, -_NARROWEST).exp()
        lower = torch.zeros(*values.shape[:2], 3, 3, device=values.device)
        row, column = torch.tril_indices(3, 3, -1)
        lower[..., row, column] = values[..., 4:]
        whitening = scale[..., None] * (torch.eye(3, device=values.device) + lower)
        return CellMixture(values[..., 0], torch.cat([other, shapes], 1), whitening)
