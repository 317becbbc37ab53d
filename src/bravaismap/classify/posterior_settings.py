"""Settings of the posterior: what is assumed of lattices before the measurement, and of how measurements err.

``likelihood`` and ``posterior`` read :data:`SETTINGS` when they run, so a comparison replaces one field of it for a
while (see ``benchmarks/ablation.py``). They are no options of a user: a result would no longer be what its run card
says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "SETTINGS",
    "DistortionSettings",
    "ErrorSettings",
    "KnownLatticeSettings",
    "NetworkSettings",
    "PosteriorSettings",
    "PriorSettings",
    "Scales",
]

#: Shares and factors of covariances whose mixture is an error.
Scales = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PriorSettings:
    """Which lattices there are: the ranges of the paper's training set, with tails by judgement.

    No length enters: the prior knows no scale.
    """

    #: Largest b/a of the even part of the rectangular lattices, and the shares of that part and of its tail.
    rectangular_ratio: float = 2.2
    rectangular_shares: tuple[float, float] = (0.92, 0.08)
    #: Angle of the two equal vectors of a centred cell, in degrees and folded to below 90°: where it begins to be even,
    #: from where it is twice as frequent, since two angles fold to it, and where it ends. The paper's begin at 35°; at
    #: 28° the reduced cell has b = 2a, as the longest oblique ones.
    centred_angles: tuple[float, float, float] = (28.0, 55.0, 85.0)
    #: Shares of the angles within, of those nearer to 90° and of the smaller ones.
    centred_shares: tuple[float, float, float] = (0.95, 0.02, 0.03)
    #: Smallest γ of the oblique lattices, in degrees, and the largest b/a of their even part.
    oblique_angle: float = 50.0
    oblique_ratio: float = 2.0
    #: Shares of the even part, of its tail in b/a, and of any shape, even per hyperbolic area.
    oblique_shares: tuple[float, float, float] = (0.89, 0.08, 0.03)


@dataclass(frozen=True)
class ErrorSettings:
    """How a measurement can be worse than its covariance; see ``benchmarks/ablation.py`` for what each is worth."""

    #: Shares and factors of the covariances whose mixture is the error, by judgement: few tiles tell a covariance, and
    #: not exactly.
    scales: Scales = ((0.97, 1.0), (0.03, 6.0))
    #: Share of the measurements that are of another lattice than the crystal's, fitted on simulated windows that were
    #: used for nothing else: that of clear ones, and what comes to it where the evidence is least.
    least_mistaken: float = 0.001
    more_mistaken: float = 0.3
    #: Evidence at half of this, and the width of the fall.
    mistaken_evidence: float = 90.0
    mistaken_width: float = 12.0
    #: Likelihood of each class for a lattice mistaken in any other way than by half or twice the cell, per hyperbolic
    #: area, by judgement.
    mistaken_likelihood: float = 1.0
    #: Least standard deviation of a shape, in the hyperbolic plane: what keeps a likelihood finite.
    least_error: float = 1e-5


@dataclass(frozen=True)
class DistortionSettings:
    """What the `distortion` of an instrument says of one image, where it is more than that of a calibrated scan.

    By judgement, with simulated broken crystals, windows at another distortion than theirs, and real micrographs in
    view; see ``benchmarks/ablation.py`` for what each is worth.
    """

    #: Distortion of a calibrated scan. Up to it the distortion is taken as measured, beyond it as allowed for.
    calibrated: float = 0.003
    #: Share of the images that are as straight as that, or as a part of what is allowed for if that is more; the others
    #: have the whole distortion.
    calibrated_share: float = 0.25
    straightest_part: float = 0.1
    #: A lattice that misses a symmetry by less than so many times the distortion beyond the calibrated one is a near
    #: miss: four of five distorted images of a symmetric lattice lie within that of it.
    near_miss: float = 2.5
    #: How frequent near misses are among crystals, over what even priors say.
    near_miss_frequency: float = 0.2


@dataclass(frozen=True)
class NetworkSettings:
    """What a network says of windows of which the measurement leaves a doubt (``proposals``).

    The weight, and those of tiles, were chosen by the likelihood of simulated windows that neither the network nor the
    rest of the measurement was fitted on (``benchmarks/network_proposals.py --weights``); the others are by judgement.
    """

    #: Evidence from which on the measurement of a window of `full_side` is clear, and the network is not asked; in
    #: smaller ones it is less in proportion to their side. It is so large that the network alone cannot make `none` of
    #: any lattice beyond it: what it decides there is which of two lattices it is.
    clear_evidence: float = 120.0
    #: Evidence that a window must have for it to be asked, or the evidence of the waves of its lattice before these are
    #: compared with streaks, rings and hum: nine in ten windows of voids and noise have less.
    least_evidence: float = 10.0
    least_waves: float = 12.0
    #: Side of the largest window that it was trained on, in px.
    largest_side: int = 384
    #: What a unit of the logarithm of its odds counts, in units of evidence, and the side in px of the smallest window
    #: where it counts in full; in smaller ones it counts in proportion to their side.
    weight: float = 6.0
    full_side: float = 128.0
    #: What is added to its probabilities, so that it is never sure, in windows of `full_side`; in smaller ones more, in
    #: inverse proportion to their area.
    least_probability: float = 0.005
    #: Probability from which on a lattice that it sees is measured.
    least_proposed: float = 0.1
    #: Factor on the covariance of the cells of doubtful windows of that side and more: the maximum of a faint wave is
    #: moved by more than its noise. With it the median χ² of such cells is 3.0 in `broken` and 4.7 in `wide` windows
    #: (seeds 602 and 601), where 3.4 is right.
    covariance_factor: float = 2.0
    #: What the evidence of tiles must exceed: that of one wave by a factor, and this.
    tile_gain: float = 1.1
    least_tile_evidence: float = 20.0


@dataclass(frozen=True)
class KnownLatticeSettings:
    """What the lattices of a frame say of its windows in which the measurement found none (``known_lattices``)."""

    #: Evidence at which a lattice that is known from the frame and none are as likely, by the rule of
    #: ``measure.window_settings.OddsSettings``: of 1600 windows of noise of 64 px one in a thousand has more for the
    #: lattice of another image.
    even_evidence: float = 8.0
    #: Evidence of a frame for a lattice from which on it is known, the windows counted as if they stood side by side,
    #: by judgement: windows of noise that share their pixels do not come to it by chance.
    certain_evidence: float = 30.0
    #: Evidence of a window's spectrum for a lattice as the frame has it, above which the window is asked for it: what
    #: shows less comes to an evidence of 10 at most, and two thirds of all do.
    least_shown: float = 4.0


@dataclass(frozen=True)
class PosteriorSettings:
    """Settings of the posterior.

    Attributes
    ----------
    prior : PriorSettings
    errors : ErrorSettings
    distortion : DistortionSettings
    network : NetworkSettings
    known : KnownLatticeSettings
    """

    prior: PriorSettings = field(default_factory=PriorSettings)
    errors: ErrorSettings = field(default_factory=ErrorSettings)
    distortion: DistortionSettings = field(default_factory=DistortionSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    known: KnownLatticeSettings = field(default_factory=KnownLatticeSettings)


#: The settings of every posterior.
SETTINGS: Final = PosteriorSettings()
