"""Settings of what an instrument adds to an image: offsets of lines, interlace, fringes, repeated pixels.

How to read them: :mod:`bravaismap.measure.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "EnlargementSettings",
    "FringeSettings",
    "GratingSettings",
    "InterlaceSettings",
    "InterpolationSettings",
    "PickupSettings",
    "ScanLineSettings",
]


@dataclass(frozen=True)
class ScanLineSettings:
    """Offsets and displacements of rows (``scanlines``), by judgement."""

    #: Power at k = 0 across the lines, over that beside it, from which on the lines are levelled. The ratio scatters by
    #: a quarter in white noise of 128 lines.
    raised_ratio: float = 2.5
    #: Variance of white offsets over that of the image below which they are no matter: smooth images leak as much.
    least_variance: float = 1e-4
    #: Standard deviation, in units of the image's, below which what is left is rounding and no image.
    rounding: float = 1e-5
    #: Frequencies across the lines, in bins, beside k = 0: outside the line of the Hann taper.
    beside_frequencies: tuple[float, ...] = (3.0, 4.0, 5.0, 6.0)
    #: Frequency along the profile, in bins, below which what varies is background and not line offsets.
    slowest_frequency: int = 4
    #: Mean step between the pixels of a line, over that of most lines, below which the line was never scanned, and the
    #: fewest lines side by side that can be asked for offsets.
    least_step: float = 0.1
    fewest_lines: int = 32
    #: Largest step between neighbouring rows that is looked for, its resolution and its usual size, in px.
    reach: float = 4.0
    resolution: float = 0.25
    jitter: float = 0.4
    #: Least noise of the rows' waves, as a share of their mean power, where most rows are empty or noise-free.
    least_noise: float = 1e-4
    #: What a row still counts for the row after next.
    row_memory: float = 0.7
    #: Rows over which what varies is left as it is.
    slow_rows: int = 97


@dataclass(frozen=True)
class InterlaceSettings:
    """Odd rows that are displaced against the even ones (``interlace``), by judgement."""

    #: Frequency along the rows, in cycles per image, below which what varies is background.
    lowest_frequency: int = 4
    #: Largest displacement that is looked for, its resolution, and the least that matters, in px.
    reach: float = 12.0
    resolution: float = 0.25
    least: float = 0.25
    #: Share of the highest agreement of the fields that makes a displacement as good as the best.
    equal_share: float = 0.95
    #: Sum of the pairs of waves over its scatter by chance from which on they say so: it is 2.8 and more in crystals
    #: that are displaced.
    clear_pairs: float = 2.5
    #: What the rows say, over its standard error, from which on they say so: in images whose odd rows are not displaced
    #: it is 2 at most, in displaced ones 5 and more but for some whose rows wander.
    clear_rows: float = 5.0


@dataclass(frozen=True)
class FringeSettings:
    """Waves of one period (``fringes``), set between simulated lattices and fringes or hum."""

    #: Highest index of the waves that are looked at.
    highest_index: int = 3
    #: Share of the evidence off the strongest line of waves up to which there is one period, and from which on two: of
    #: lattices it is 0.37 and more, of fringes up to 0.24.
    off_line_shares: tuple[float, float] = (0.2, 0.35)
    #: Share of the power that hum leaves, up to which there is one period, and from which on two: in windows of
    #: lattices it is 0.064 and more, of hum and fringes up to 0.014.
    left_shares: tuple[float, float] = (0.02, 0.05)
    #: The same of the mean over tiles, whose spots are wider: where tiles explain a crystal better than one wave does
    #: it is 0.16 and more (0.2 in 95 %), of hum up to 0.15.
    tile_left_shares: tuple[float, float] = (0.15, 0.25)
    #: The same of windows without their slow background whose nodes are so close, in bins, that they may be the sides
    #: of one wave that bends: of 960 simulated windows 23 have such nodes, and 0.25 or more; of terraces whose edges
    #: swing once or twice, or wander, most have less than 0.04.
    bent_left_shares: tuple[float, float] = (0.1, 0.2)
    bent_distance: float = 3.2
    #: Harmonics of hum that are taken away, and its smallest frequency along a row, in cycles per part.
    harmonics: int = 6
    lowest_frequency: float = 1.5


@dataclass(frozen=True)
class GratingSettings:
    """Two sets of fringes that cross (``gratings``), by judgement."""

    #: Evidence of a node from which on it counts, and the most directions of those that count in which a lattice may be
    #: two gratings: more are harmonics that are folded back.
    node_evidence: float = 6.0
    directions: int = 4
    #: How far a spot must stand above the highest maximum of noise, and its power as a share of that of the strongest,
    #: for it to be one of the waves.
    clear_excess: float = 3.0
    least_power: float = 0.002
    #: Amplitude of the sum and of the difference of two waves, as a share of theirs, below which these are added: of
    #: crystals that show two such waves alone it is 0.12 and more, of gratings 0.02 at most.
    least_sum: float = 0.06
    #: Distance from the centre, in bins, within which a wave is not told from the background.
    smallest_distance: float = 3.0
    #: Length of the shorter of the sum and the difference over that of the longer wave, below which a lattice would
    #: show it: 1 and more in a reduced cell. Two waves of one length and less than 41° apart are below it.
    compact: float = 0.7
    #: Highest harmonic, and how far one may be from its place, in bins, and more for each of its order.
    harmonics: int = 9
    slack: float = 0.8
    slack_per_order: float = 0.25


@dataclass(frozen=True)
class PickupSettings:
    """Waves through a whole image beside its lattice (``pickup``), by judgement."""

    #: Spots and lattices that are looked at, and the distance of the innermost spot from the centre, in bins.
    spots: int = 24
    candidates: int = 8
    lowest_frequency: float = 3.0
    #: Evidence of a spot, and its power as a share of that of the strongest, from which on it has to be explained.
    clear_evidence: float = 40.0
    least_power: float = 0.002
    #: Distance in bins from a node of the lattice, or of a superlattice, up to which a wave is one of its own.
    on_node: float = 1.5
    on_superlattice: float = 0.4
    #: By how much two waves at right angles may differ, as a share of their length, to be those of a square lattice.
    uneven: float = 0.04
    #: Amplitude of the sum of two waves, as a share of theirs, and over that of noise, up to which they are added and
    #: make no lattice.
    least_sum: float = 0.03
    least_over_noise: float = 2.5
    #: Difference of the lengths of two waves in the logarithm, or of the cosine between them from 0, up to which they
    #: are those of a smooth surface nevertheless: one of the two, or both, as drift shears a square lattice.
    symmetric: float = 0.03
    square: float = 0.08
    #: Distance in bins from the sum of two waves up to which a third is that.
    on_sum: float = 0.7
    #: Share of the variance below which what waves leave is rounding, and not noise; and of one wave, whose edges cross
    #: pixels: of sharp lines that is 0.015.
    least_rest: float = 1e-4
    least_beside_one: float = 0.03
    #: Distance in bins within which there is one wave, whose phase wanders, and how much more is allowed a harmonic for
    #: each of its order.
    same_wave: float = 5.0
    wander: float = 0.5
    #: Highest harmonic.
    harmonics: int = 9
    #: Most waves that are added, the highest harmonic of one of them, and how far it may be from its place, in bins,
    #: and more for each of its order.
    most_waves: int = 4
    highest_harmonic: int = 64
    multiple_slack: float = 0.6
    slack_per_order: float = 0.04
    #: A harmonic of order n is at most this over n times as strong as its fundamental: of thin lines 2.
    harmonic_ratio: float = 3.0
    #: Power beside a wave, over that of the wave, that an imperfect fit leaves.
    skirt_power: float = 0.01
    #: Highest odd harmonics of lines that are looked at where two fundamentals are not resolved.
    unresolved_orders: int = 5
    #: Standard deviation of the Gaussian in which the phase is followed, as a share of the side.
    wander_rows: float = 0.03
    #: Half the side in bins of the part of the spectrum that a wave is asked to explain, the share of its power that
    #: may be left, and the share with which the other axis need not be tried. Grains leave half of theirs.
    near: int = 4
    most_left: float = 0.1
    clear_left: float = 0.02


@dataclass(frozen=True)
class EnlargementSettings:
    """Repeated pixels (``enlargement``), by judgement."""

    #: Fewest pixels of its own along an axis for a repetition to be told from chance.
    fewest_pixels: int = 16
    #: Least mean repetition.
    least_repetition: float = 1.2


@dataclass(frozen=True)
class InterpolationSettings:
    """Scans that were enlarged by interpolation (``interpolation``), by judgement on noise and crystals."""

    #: Smallest and largest pitch of the pixels of the scan in px, and the fewest of them along an axis.
    smallest_pitch: float = 2.2
    largest_pitch: float = 24.0
    fewest_pixels: float = 8.0
    #: Power of the period of both axes, over that at other frequencies, from which on it is asked what the pixels
    #: explain: of enlarged noise it is 39 and more, mostly hundreds.
    clear_ratio: float = 20.0
    #: Most periods that are asked, and the power of such a one as a share of that of the clearest.
    pitches: int = 3
    harmonic_share: float = 0.25
    #: Largest share of the power beyond the Nyquist frequency of the pixels, of white noise, linearly interpolated.
    most_beyond: float = 0.2
    #: Share of the power in one bin that makes a crystal's wave of it, and the most cycles per pixel that such a wave
    #: may have: of rows of atoms along the axes a harmonic can be taken for the pixels.
    wave_share: float = 0.08
    finest_wave: float = 0.2
    #: Share of the power beyond that frequency which the pixels leave, up to which it follows from them: of enlarged
    #: noise it is 0.012 at most, of crystals along the axes, which have a period in both, 0.66 and more.
    most_left: float = 0.1
    #: Share of all power that rounding to 256 levels and errors of the pitch leave: of smooth scans next to none is
    #: beyond.
    rounding: float = 1e-3
