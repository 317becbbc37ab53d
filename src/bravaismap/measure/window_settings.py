"""Settings of the measurement of a window: its spots, the lattices sought, refined and weighed, and when none is there.

How to read them: :mod:`bravaismap.measure.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CovarianceSettings",
    "EvidenceSettings",
    "IndexingSettings",
    "NodeSettings",
    "OddsSettings",
    "RefinementSettings",
    "RegionSettings",
    "RepeatSettings",
    "SearchSettings",
    "SecondLookSettings",
    "SpotSettings",
    "SublatticeSettings",
]


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
    #: Factor and sum by which it must exceed that of before; least evidence of tiles (98 % of right ones have 50).
    gain: float = 1.1
    least_gain: float = 5.0
    least_evidence: float = 45.0
    #: Evidence from which on smaller tiles are not asked.
    certain_evidence: float = 150.0


@dataclass(frozen=True)
class RepeatSettings:
    """Lattices by which a window looks like itself displaced (``repeats``), by judgement on simulated windows."""

    #: Evidence below which a window is looked at.
    doubtful_evidence: float = 60.0
    #: Side in px that a window is reduced to, by a whole number: what is left of faint waves is as clear, sooner.
    reduced_side: int = 64
    #: Farthest displacement along an axis, as a share of the side: beyond, too little of the window overlaps.
    reach: float = 0.72
    #: Shortest vector, in px of the reduced window, and the least sine of the angle between two.
    shortest_vector: float = 2.0
    least_sine: float = 0.3
    #: Highest maxima that are paired, and the bases from them that are fitted.
    maxima: int = 12
    shortlist: int = 24
    #: How often a basis is fitted to the maxima near its vectors, how near in px, and the pull towards where it was, in
    #: weights of the highest maximum of index 1.
    fits: int = 2
    vector_radius: float = 2.0
    damping: float = 0.1
    #: Highest index of the vectors that a lattice is judged by.
    highest_index: int = 6
    #: Candidates that are refined, and how clear they must be: of true ones that the spots do not show 95 % have 5.2
    #: and more (64 px) or 6.6 (128 px), of those of noise 10 %.
    candidates: int = 4
    least_clear: float = 5.5
    #: Evidence that one must have, and the most that broad spots may make of it, as a multiple of that of sharp waves.
    least_evidence: float = 23.0
    sharp_factor: float = 2.0
    #: Share of the variance that may be hum, of which it is 0.7 and more; of crystals found by repeats 0.2 at most.
    hum_share: float = 0.4
    #: Side of the square lattice that stands for none, in px.
    stand_in_side: float = 8.0


@dataclass(frozen=True)
class RegionSettings:
    """Regions of a window that have another level than the rest (``regions``), by judgement."""

    #: Means along the shorter side of a window whose scatter tells another level: of about a cell each.
    means: float = 12.0
    #: How far a mean must be from the median, in standard deviations of the means.
    scatter: float = 4.0
    #: Scatter of the means, in standard deviations of the window, below which most of it is one value (a scan whose
    #: feedback was lost, a mask): what differs there is the rounding of sums, some 1e-7 of a standard deviation each.
    least_scatter: float = 1e-5
    #: Means along the shorter side that are background where such regions are left out.
    background_means: float = 6.0
    #: Side of the squares over which the edge of a region is softened, in px; twice.
    edge: int = 5
    #: Share of the window that such regions must have for a look at it without them, and the most that they may have.
    least_share: float = 0.03
    most_share: float = 0.6
    #: Side in px of the smallest window with room for a lattice beside them, and the rows that it must hold of that:
    #: where it holds fewer, atoms and broad fringes are such regions.
    smallest_side: int = 48
    fewest_rows: float = 3.0
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
    #: Ridge of the curvature whose inverse is the covariance, as a share of it, and the largest, where all nodes are of
    #: one direction: rounding in single precision is 1e-7 of the curvature, less than 1e-4 of that ridge.
    least_ridge: float = 1e-6
    largest_ridge: float = 3e-3
    #: Determinant of the strengths of nodes by index, over the product of its diagonal, at which the ridge is a quarter
    #: of the largest: it is 0 for one direction, 0.4 and more for a lattice.
    one_direction: float = 1e-3
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
