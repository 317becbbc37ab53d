"""Settings of the measurement: every threshold and weight in one place, with its unit and where its value comes from.

The modules read :data:`SETTINGS` when they run, so a comparison replaces one field of it for a while (see
``benchmarks/ablation.py``). They are no options of a user: a result would no longer be what its run card says.

Bins are cycles per window. An *evidence* is a natural logarithm of a likelihood ratio. Of each group the docstring says
where its values come from: *by judgement* on simulated windows, with the losses that ``benchmarks/ablation.py``
measures, or fitted, and by what. What only keeps a division or a logarithm finite (1e-12, 1e-30) is no setting and
stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["SETTINGS", "CovarianceSettings", "MeasurementSettings"]


@dataclass(frozen=True)
class SpotSettings:
    """Spots of a spectrum (``spots``), by judgement."""

    #: Side of the blocks of a spectrum over which the local background is averaged, in bins.
    block_side: int = 8
    #: Background cells along each side of a window that is flattened: what varies over more than one is taken away.
    background_cells: int = 16
    #: Least contrast that a flattened window is divided by, as a share of its mean contrast.
    contrast_floor: float = 0.3
    #: Largest value of a flattened window, in units of the local contrast.
    contrast_limit: float = 4.0
    #: Smallest distance of a spot from the centre, in bins: nearer, it is the skirt of the mean.
    smallest_distance: float = 2.0
    #: Most spots of a spectrum.
    count: int = 24
    #: Standard uncertainty of each coordinate of a spot, in bins.
    error: float = 0.25
    #: How far below the evidence of the highest maximum of noise a spot still counts.
    chance_margin: float = 2.0


@dataclass(frozen=True)
class IndexingSettings:
    """Reciprocal bases from spots (``indexing``), by judgement."""

    #: Strongest spots that are paired.
    paired_spots: int = 12
    #: Strongest spots of which differences and sums are paired with spots, too.
    combined_spots: int = 6
    #: Share of the spots that lie anywhere.
    stray_share: float = 0.03
    #: Evidence of a spot at which it has half of the largest weight.
    half_weight: float = 6.0
    #: Growth of the variance of a node's position with h² + k², in units of a spot's: of bases from two spots, while
    #: they are fitted, and after.
    position_spread: tuple[float, float, float] = (1.0, 0.3, 0.1)
    #: Largest h² + k² up to which it grows.
    spread_limit: float = 30.0
    #: What a spot counts whose nearest node is the centre, which cannot explain it.
    centre_penalty: float = 3.0
    #: Bases that are fitted to their spots, and how often.
    shortlist: int = 24
    fits: int = 2
    #: Pull of a fit towards the basis that it starts from, in weights of one spot of index 1.
    damping: float = 0.05
    #: Shortest reciprocal vector in bins, and the least sine of the angle between two.
    shortest_vector: float = 2.0
    least_sine: float = 0.15
    #: Side of the square lattice that stands for none where all spots lie on one line, in bins.
    stand_in_side: float = 16.0
    #: Largest departure of a change of basis from whole numbers for two bases to be the same lattice.
    basis_tolerance: float = 0.12


@dataclass(frozen=True)
class NodeSettings:
    """Power at the nodes of a lattice, and its evidence (``nodes``), by judgement."""

    #: Shares of filled nodes that the evidence is averaged over.
    filled_shares: tuple[float, ...] = (0.02, 0.06, 0.15, 0.3, 0.6, 0.9)
    #: Edges of the rings, each with a share of its own, over the distance of the outermost clear spot.
    ring_edges: tuple[float, ...] = (0.0, 0.5, 0.8, 1.02)
    #: Highest index of the nodes.
    highest_index: int = 6
    #: Degrees of freedom of the local background of a spectrum: bounds what one bright spot can say.
    freedom: float = 10.0
    #: What the evidence of a node loses, beside ln(1 + power), because the strength of its wave is not known.
    strength_penalty: float = 0.7
    #: Most evidence of one node.
    evidence_limit: float = 60.0
    #: Smallest distance of a node from the centre, in bins.
    smallest_distance: float = 2.0
    #: Bins on each side of a node that give the power around it.
    surroundings: int = 5
    #: Independent powers in the squares of 3 × 3 and 5 × 5 bins about a node, of a Hann-tapered spectrum.
    independent_powers: tuple[float, float] = (2.0, 5.0)
    #: Directions, in degrees from a node, in which a lattice has few other nodes at the same distance.
    ring_directions: tuple[float, ...] = (15.0, 22.0, 38.0, 52.0, 75.0, 105.0, 128.0, 142.0, 158.0, 165.0)
    #: Nearest and farthest bins of a streak from its node.
    streak_bins: tuple[int, int] = (4, 14)
    #: A wave is worth no more than its peak over the power beside it along k_y or k_x, times this: of what the
    #: refinement sees of a wave, the spectrum with its stronger taper sees half.
    streak_factor: float = 2.0


@dataclass(frozen=True)
class SearchSettings:
    """Which candidates are tried, and which wins (``measurement``), by judgement; see ``benchmarks/ablation.py``."""

    #: Parts along each side of a window over which what varies is background for the refinement: more would touch the
    #: waves of large cells.
    background_cells: int = 11
    #: Candidates from each view of a window, and from the second look at a doubtful one.
    indexed_candidates: int = 6
    second_look_candidates: int = 4
    #: Different candidates that are ranked by their nodes, and their number in a wide search.
    ranked_candidates: int = 2
    wide_ranked_candidates: int = 9
    #: Candidates whose evidence is within this of the first are refined, too; and in a wide search.
    margin: float = 10.0
    wide_margin: float = 150.0
    #: Evidence below which all candidates are refined, those of the flattened window too.
    doubtful_evidence: float = 60.0
    #: Score by the spectrum below which no other candidate is refined. Of those that win with an evidence above 15 in
    #: windows of broken and of whole crystals 3 % have less than 10, and half of those in noise.
    least_score: float = 6.0
    #: How far the second clearest spot of the flattened window must stand above the highest maximum of noise for
    #: a search among them: of those that win 95 % have 4 and more, and half of those in noise less than 2.
    clear_flat_spot: float = 2.0
    #: Pixels above which an image is searched widely: it is one of few.
    wide_pixels: int = 40_000
    #: Brightest nodes that a basis is refined on.
    refined_nodes: int = 12
    #: Evidence at which a node holds a wave as likely as not, and the least probability for it to be refined on.
    even_node_evidence: float = 1.0
    least_node_probability: float = 0.3
    #: Evidence of a clear spot, and the least distance of the outermost one that is assumed, in bins.
    clear_spot_evidence: float = 6.0
    least_band: float = 6.0
    #: Preference for the sparser reciprocal lattice, evidence per unit of ln(area of its cell): by the spectrum, and
    #: between refined lattices.
    spectrum_sparse_preference: float = 8.0
    sparse_preference: float = 14.0
    #: Bounds of that logarithm by the spectrum, and its largest size between refined lattices: a much sparser lattice
    #: is not preferred more.
    sparse_range: tuple[float, float] = (-9.0, 1.0)
    refined_sparse_limit: float = 1.0
    #: Against slender cells (one row of spots and a chance one): evidence per unit of ln(ratio of sides), above the
    #: largest ratio that is common.
    slender_penalty: float = 20.0
    common_ratio: float = 3.0


@dataclass(frozen=True)
class SublatticeSettings:
    """Rows of nodes that are left out or added (``measurement``), by judgement; see ``benchmarks/ablation.py``."""

    #: Evidence of the lattice below which its rows of nodes are left as they are.
    least_evidence: float = 20.0
    #: Evidence that every second row of nodes must have of its own, of sharp waves.
    row_evidence: float = 9.0
    #: The same of diffuse spots, which a superlattice in domains has.
    diffuse_evidence: float = 18.0
    #: Evidence by the spectrum for a row to be tried.
    trial_evidence: float = 4.0
    #: Brightest nodes of a row that this evidence is summed over.
    trial_nodes: int = 4
    #: What halves have over thirds that have more evidence: thirds are tried only where halves show nothing.
    halves_advantage: float = 100.0
    #: How often rows are added: twice for a cell of four times the area.
    rounds: int = 2
    #: Smallest distance of nodes from each other, in bins.
    smallest_distance: float = 2.0
    #: Departure of an index from whole numbers from which on a node is a new one: of exact bases, and of measured ones.
    index_tolerance: float = 0.1
    measured_index_tolerance: float = 0.15


@dataclass(frozen=True)
class SecondLookSettings:
    """Windows that are looked at without outliers, and as tiles with phases of their own (``second_look``).

    By judgement on windows of 96, 128 and 192 px cut from simulated broken crystals. Of `simulated` and `realistic`
    windows 3 % are asked.
    """

    #: Evidence of the one wave below which a window is looked at again.
    doubtful_evidence: float = 100.0
    #: What the spots beside the nodes say, over what those at the nodes say, from which on it is: in
    #: `simulated` and `realistic` windows it is at most 0.3 in 95 %, in broken ones of which the one wave is wrong 0.7
    #: and more in 75 %.
    unexplained_share: float = 0.5
    #: Evidence above which, and that share below which, it is not either: a lattice that is certain and explains its
    #: spots. Of 1966 windows of broken crystals none has another class by tiles there.
    sound_evidence: float = 45.0
    sound_share: float = 0.3
    #: The same of the spots of the tiles, from which on their lattice does not count: of right ones it is at most 0.8
    #: in 98 %, of what tiles see in hum more than 1 in most.
    tile_unexplained_share: float = 0.8
    #: Distance from a node up to which a spot is its own, in bins.
    node_radius: float = 0.6
    #: Distance of nodes, in bins, below which they may be parts of one spot, split by domain boundaries: of fewer than
    #: three rows of cells; and the share of the evidence of such a lattice that the evidence of the tiles must exceed.
    split_distance: float = 3.0
    split_gain: float = 0.35
    #: Outliers, in standard deviations that they have no part in, and the share of the variance that they must hold for
    #: a look at the window without them.
    outlier: float = 4.0
    outlier_share: float = 0.1
    #: Evidence below which a lattice may be drowned by outliers.
    drowned_evidence: float = 45.0
    #: Least evidence of a window without outliers, or regions of another level, that counts.
    least_even_evidence: float = 26.0
    #: Tiles side by side along an axis, and the smallest tile in px.
    groups: tuple[int, ...] = (2, 4)
    smallest_tile: int = 24
    #: How far the second clearest spot must stand above the evidence of the highest maximum of noise for
    #: a search among them.
    clear_spot: float = 6.0
    #: What the evidence must exceed: that of before by a factor and a sum; and the least evidence of tiles that counts
    #: (of right ones 98 % have 50 and more).
    gain: float = 1.1
    least_gain: float = 5.0
    least_evidence: float = 45.0
    #: Evidence from which on smaller tiles are not asked.
    certain_evidence: float = 150.0


@dataclass(frozen=True)
class RegionSettings:
    """Regions of a window that have another level than the rest (``regions``), by judgement."""

    #: Means along the shorter side of a window whose scatter tells another level: of about a cell each.
    means: float = 12.0
    #: How far a mean must be from the median, in standard deviations of the means.
    scatter: float = 4.0
    #: Means along the shorter side that are background where such regions are left out.
    background_means: float = 6.0
    #: Side of the squares over which the edge of a region is softened, in px; twice.
    edge: int = 5
    #: Share of the window that such regions must have for a look at it without them, and the most that they may have.
    least_share: float = 0.03
    most_share: float = 0.6
    #: Side of the smallest window with room for a lattice beside them, in px: in smaller ones broad fringes are such
    #: regions.
    smallest_side: int = 80
    #: Evidence below which a lattice may be drowned by them.
    drowned_evidence: float = 30.0
    #: As ``SecondLookSettings.clear_spot``: what is left of a window is small and its lattice faint.
    clear_spot: float = 0.0


@dataclass(frozen=True)
class EvidenceSettings:
    """What a refined lattice is worth (``measurement``, ``periods``).

    By judgement on simulated windows and on none of their kind (noise, speckle, fringes), but for what says otherwise.
    """

    #: Degrees of freedom of the noise under a node, of 64 correlated tiles.
    freedom: float = 30.0
    #: A lattice counts if a region of this many cells would show it, so that a faint periodic support, or a carrier of
    #: interference, that only thousands of cells reveal does not speak for an image of something else.
    visible_cells: float = 400.0
    #: Evidence below which spots are not compared with the power in other directions, and above which they need not be.
    ring_range: tuple[float, float] = (20.0, 60.0)
    #: A wave is worth no more than its peak over the power in other directions at the same distance, times this.
    ring_factor: float = 3.5
    #: What the evidence of spots spread over several bins is worth: a diffuse ring is uneven, too.
    broad_worth: float = 0.45
    #: Evidence of sharp waves above which spread spots are not asked.
    certain_evidence: float = 150.0
    #: Evidence between which it is asked whether hum explains the waves: less is none, and more is certain.
    hum_range: tuple[float, float] = (20.0, 150.0)
    #: Most evidence of a lattice, as a multiple of that of its waves off the strongest line. With it fringes, whose
    #: waves off their line have an evidence of 9 at most in 630 windows, are `none`; 640 simulated lattices have 62 or
    #: more.
    second_period_factor: float = 2.0
    #: Shortest primitive vector that a grid of pixels can show, in px (the sampling theorem).
    shortest_vector: float = 2.0


@dataclass(frozen=True)
class CovarianceSettings:
    """Factor on the covariance of a window of n cells: factor · (1 + few_cells / n).

    Fitted on simulated windows of 128 px. ``benchmarks/fit_measurement.py`` fits them again; with 600 windows of each
    kind it gives 1.11 in `simulated` ones of 109 cells and 1.14 in `realistic` ones of 57, where 1.13 and 1.16 are in
    use, and 1.53 and 1.27 in windows of 64 px (28 and 16 cells), where 1.22 and 1.31 are.
    """

    #: In windows of very many cells.
    factor: float = 1.1
    #: Cells of a window at which the factor is twice that, because few atoms tell the scatter.
    few_cells: float = 3.0
    #: Smallest σ of a component of a reciprocal vector, in bins, by judgement: no scan is even to 1/10 000 of a period.
    finest_error: float = 1e-4


@dataclass(frozen=True)
class RefinementSettings:
    """Maximum likelihood over tiles (``refinement``), by judgement; see ``benchmarks/ablation.py``."""

    #: Tiles along each side of a window.
    tiles: int = 8
    #: Share of a window's side over which the taper falls, both ends together.
    taper: float = 0.13
    #: Tiles over which errors are correlated, for disorder and for large atoms.
    correlated_tiles: int = 2
    #: Share of the power at a node that must not be noise for the second pass to use it, and the fewest nodes that it
    #: uses.
    clear_share: float = 0.85
    fewest_nodes: int = 4
    #: Farthest a node may move in one pass, in bins.
    reach: float = 0.7
    #: Ridge of a Newton step, as a share of the curvature.
    damping: float = 1e-4
    #: Share of the curvature of pure waves below which the measured one is not trusted.
    sound_curvature: float = 0.3
    #: Least scatter of the score, and least noise, as a share of what independent tiles would have.
    least_scatter: float = 0.25
    least_noise: float = 0.5
    #: Largest correlation of two parts of the score: it is an estimate.
    largest_correlation: float = 0.95


@dataclass(frozen=True)
class OddsSettings:
    """From the evidence to the probability of `none` (``odds``).

    The first two are fitted to a rule of false alarms: one window in a thousand without a lattice may be more probably
    one. By
    ``benchmarks/fit_measurement.py --without 2000`` that is an evidence of 20 in windows of 128 px and of 28 in those
    of 64 px, and the share falls by 0.39 and 0.28 per unit; with the values in use it is 0.07 and 0.27 %. The highest
    likelihood does not decide: at 128 px `simulated` and `realistic` windows without a lattice have an evidence of 19
    at most and the others of 74 or more, and where the two meet it has even odds at 16 (64 px), with false alarms of
    more than one in a hundred.
    """

    #: Evidence at which a lattice and none are as likely.
    even_evidence: float = 23.0
    #: Log odds per unit of evidence.
    slope: float = 0.45
    #: Share of the lattices that a window of 128 px does not show, and the most that is assumed of smaller windows: of
    #: 2000 `simulated` and `realistic` ones none, of `wide` ones a fifth; by judgement between them.
    missed_share: float = 0.003
    most_missed: float = 0.08
    #: Prior odds of `none` against a lattice: one of six classes that are equally likely.
    none_odds: float = 0.2


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
    #: Harmonics of hum that are taken away, and its smallest frequency along a row, in cycles per part.
    harmonics: int = 6
    lowest_frequency: float = 1.5


@dataclass(frozen=True)
class EnlargementSettings:
    """Repeated pixels (``enlargement``), by judgement."""

    #: Fewest pixels of its own along an axis for a repetition to be told from chance.
    fewest_pixels: int = 16
    #: Least mean repetition.
    least_repetition: float = 1.2


@dataclass(frozen=True)
class PartSettings:
    """Parts of an image (``parts``), by judgement."""

    #: Sides of parts, in px: ten cells of 7 to 130 px have one that is at most half as large again.
    sides: tuple[int, ...] = (96, 128, 192, 256, 384, 512, 768, 1024, 1536)
    #: Largest part that is not the whole image, as a share of its shorter side.
    largest_share: float = 0.8
    #: Most parts of a side along an axis.
    parts_along_axis: int = 7
    #: Rows of cells that a part must hold to speak for a lattice: the spots of fewer lie in each other's skirts.
    fewest_cells: float = 3.0
    #: Area of the smallest cell that pixels can show, px², and the relative precision of a measurement in single
    #: precision.
    smallest_cell: float = 1.0
    precision: float = 1e-6
    #: Pixels of parts that are measured together, which bounds the memory that they take.
    pixels_per_batch: int = 2**20


@dataclass(frozen=True)
class AgreementSettings:
    """Lattices that parts have in common (``agreement``), by judgement."""

    #: Largest difference of the entries of a change of basis from whole numbers for two lattices to be the same.
    basis_tolerance: float = 0.15
    #: Probability of a lattice below which a part has none.
    least_probability: float = 0.05
    #: Most lattices of an image.
    most_lattices: int = 12
    #: Share of the most evidence that parts of a size must have on average for their size to be used: in larger ones
    #: the crystal is no longer one wave.
    coherent_share: float = 0.75
    #: The same to tell how much of the image shows a lattice.
    resolved_share: float = 0.5
    #: Evidence that a part has by chance, which does not add up over parts.
    chance_evidence: float = 12.0
    #: Parts, of all sizes, that see the same small crystal.
    neighbours: int = 6
    #: Largest index of a superlattice that is preferred to its lattice.
    largest_index: int = 2
    #: Share of the lattice's evidence that it needs for that, and the least mean evidence of the parts.
    ordered_share: float = 0.6
    ordered_evidence: float = 30.0
    #: Share of its own most evidence that a lattice has in parts that suit it.
    suited_share: float = 0.5
    #: Evidence of a second lattice that is listed: in 72 images of broken crystals without one false ones have 42 at
    #: most, grains 286 and more.
    second_evidence: float = 50.0


@dataclass(frozen=True)
class LayerSettings:
    """A second lattice in the same parts as the first (``layers``), by judgement."""

    #: Evidence of a wave of the first lattice from which on it is taken out, and how much around it, in bins.
    wave_evidence: float = 1.0
    radius: float = 2.6
    #: Share of the parts that must show the second lattice for it to lie upon or beneath the first: in images of broken
    #: crystals what is left is the same in half of them at most.
    least_share: float = 0.6
    #: Least evidence of the second lattice: in what is left of broken crystals it is 30 at most.
    least_evidence: float = 35.0
    #: Departure of a vector from whole numbers of those of the first lattice up to which what is left is that lattice
    #: itself, bent, and the fewest rows of cells in a part.
    same_tolerance: float = 0.06
    fewest_cells: float = 6.0


@dataclass(frozen=True)
class WholeImageSettings:
    """Images that are answered from their parts (``whole_image``), by judgement."""

    #: Shorter side, in px, and longer one from which on an image is answered from its parts.
    shorter_side: int = 120
    longer_side: int = 192
    #: Mean evidence of its parts below which an image is looked at again with its rows aligned.
    clear_evidence: float = 220.0
    #: Gain of the waves' power (mean over parts of its logarithm) from which on the rows were displaced: in images
    #: whose rows are not, aligning them costs power.
    displaced_gain: float = 0.1
    #: Factor on the evidence that is enough by itself, and the least evidence that it must come to: aligned noise is
    #: smoother.
    evidence_gain: float = 1.25
    aligned_evidence: float = 60.0
    #: Change of the lines of a standardised image that says that they were levelled: rounding comes to less.
    leveled_change: float = 1e-4
    #: Standard deviation of a standardised image without these offsets, below which it was nothing but offsets.
    remaining_std: float = 1e-3


@dataclass(frozen=True)
class MeasurementSettings:
    """Settings of the measurement, grouped by what they decide.

    Attributes
    ----------
    spots, indexing, nodes : settings
        Of the search in the spectrum: its spots, the bases that they span, the evidence at the nodes of these.
    search, sublattices : settings
        Of which lattice of a window is refined, and which wins.
    refinement, covariance : settings
        Of its basis and the error of that.
    second_look, regions : settings
        Of windows of which one wave leaves a doubt.
    evidence, odds : settings
        Of what it is worth, and of the probability that there is none.
    scan_lines, interlace, fringes, enlargement : settings
        Of what an instrument adds.
    parts, agreement, layers, whole_image : settings
        Of images that are larger than a window.
    """

    spots: SpotSettings = field(default_factory=SpotSettings)
    indexing: IndexingSettings = field(default_factory=IndexingSettings)
    nodes: NodeSettings = field(default_factory=NodeSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    sublattices: SublatticeSettings = field(default_factory=SublatticeSettings)
    refinement: RefinementSettings = field(default_factory=RefinementSettings)
    covariance: CovarianceSettings = field(default_factory=CovarianceSettings)
    regions: RegionSettings = field(default_factory=RegionSettings)
    second_look: SecondLookSettings = field(default_factory=SecondLookSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    odds: OddsSettings = field(default_factory=OddsSettings)
    scan_lines: ScanLineSettings = field(default_factory=ScanLineSettings)
    interlace: InterlaceSettings = field(default_factory=InterlaceSettings)
    fringes: FringeSettings = field(default_factory=FringeSettings)
    enlargement: EnlargementSettings = field(default_factory=EnlargementSettings)
    parts: PartSettings = field(default_factory=PartSettings)
    agreement: AgreementSettings = field(default_factory=AgreementSettings)
    layers: LayerSettings = field(default_factory=LayerSettings)
    whole_image: WholeImageSettings = field(default_factory=WholeImageSettings)


#: The settings of every measurement.
SETTINGS: Final = MeasurementSettings()
