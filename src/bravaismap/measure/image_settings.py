"""Settings of images that are larger than a window: parts, agreement, layers, whole images; and of what has no cell.

How to read them: :mod:`bravaismap.measure.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AgreementSettings",
    "LayerSettings",
    "MainLatticeSettings",
    "OrderedRegionSettings",
    "PartSettings",
    "QuasicrystalSettings",
    "SatelliteSettings",
    "WholeImageSettings",
]


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
class SatelliteSettings:
    """Weak spots between those of a lattice (``satellites``), by judgement."""

    #: Strongest spots of the lattice, the bins about them, and the share of the power there that must lie in their
    #: centres: of crystals that are one wave it is 0.96 and more, of broken ones 0.93 at most in most.
    sharp_spots: int = 6
    surroundings: int = 3
    sharpness: float = 0.95
    #: Spots of the spectrum that are looked at, those of the lattice among them.
    most_spots: int = 96
    #: What a spot must say above the highest maximum of noise, and at how much more it has half of the largest weight.
    least_weight: float = 1.0
    half_weight: float = 3.0
    #: Its amplitude over that of the strongest spot of the lattice: images without noise show how they were drawn or
    #: stored below, atoms that were cut off at a few widths 0.0024.
    least_amplitude: float = 0.005
    #: Distance from a spot of the lattice, in bins, within which strain and domains spread that spot.
    skirt: float = 3.5
    #: Highest index of the spots of the lattice.
    highest_index: int = 8
    #: Correlation of parts that overlap, in parts.
    overlap: float = 2.0
    #: Standard uncertainty of a spot in bins, how near a node one that is explained lies, and the share of the spots
    #: that lie anywhere.
    error: float = 0.3
    reach: float = 0.8
    stray_share: float = 0.05
    #: Largest superlattice, in cells of the lattice.
    largest_index: int = 16
    #: Fewest spots, and the least that they say together; and the share of what all spots that are left over say
    #: (logarithms) which those of the superlattice must have: of real ones it is mostly 0.8 and more, of the spots of
    #: another grain 0.65 at most.
    fewest: int = 2
    explained_share: float = 0.7
    least_score: float = 6.0
    #: Most independent waves of a modulation, and the fewest satellites of each.
    most_waves: int = 2
    fewest_of_wave: int = 3
    #: Share of the power about the satellites of a modulation that must lie in their centres: of waves through all of a
    #: crystal it is mostly 0.94 and more, of order in stripes 7 to 20 cells wide 0.65 at most where they move it.
    sharp_satellites: float = 0.9
    #: Spots of the lattice to which wave vectors are fitted, the clearest ones, the power over that of the noise from
    #: which on the place of a spot is known, and the least error of a place, in bins.
    fitted_spots: int = 16
    clear_power: float = 10.0
    least_position_error: float = 0.01
    #: Largest superlattice that a modulation of one wave, and of two, is compared with, in cells of the lattice.
    largest_of_waves: tuple[int, ...] = (16, 64)
    #: Probability of a superlattice from which on it is believed, and below which a modulation is said to fit none.
    commensurate: float = 0.8
    incommensurate: float = 0.2


@dataclass(frozen=True)
class MainLatticeSettings:
    """Lattices of strongly modulated crystals (``main_lattice``), by judgement."""

    #: Strongest spots that are looked at and the fewest, the evidence from which on one counts and is trusted by half,
    #: and its amplitude over that of the strongest.
    most_spots: int = 48
    fewest: int = 8
    clear_weight: float = 20.0
    least_amplitude: float = 0.04
    #: Standard uncertainty of a place in bins, how far a spot is from a multiple that explains it, and the share of the
    #: spots that lie anywhere.
    error: float = 0.07
    reach: float = 0.21
    stray_share: float = 0.03
    #: Prior of a satellite of the orders 0, 1 and 2, of those of one lattice spot.
    falls: tuple[float, ...] = (1.0, 0.5, 0.15)
    #: Strongest spots that are paired, the least sine of the angle of a pair, and the departure from whole numbers up
    #: to which two pairs are of one lattice; spots left over that are taken for waves, and the most waves.
    paired_spots: int = 9
    least_sine: float = 0.2
    basis_tolerance: float = 0.05
    tried_waves: int = 8
    most_waves: int = 2
    #: Cells of a superlattice up to which its waves are no modulation.
    few_cells: int = 6
    #: Share of the spots, by trust, that a lattice or a module explains; what the module must say more; about how many
    #: spots of the lattice both satellites of a pair are seen; and the share of the power about the spots that lies in
    #: their centres.
    explained_share: float = 0.9
    least_gain: float = 15.0
    fewest_pairs: int = 2
    sharpness: float = 0.9
    #: Share of the parts of less than half the side of the image that show a lattice, from which on it is the lattice
    #: if these show no other spots.
    everywhere: float = 0.9


@dataclass(frozen=True)
class QuasicrystalSettings:
    """Rings of equal spots (``quasicrystals``), by judgement."""

    #: Spots of the rings that are sought.
    folds: tuple[int, ...] = (12, 10, 8)
    #: Evidence of a spot that counts, and the power of the strongest over that of the weakest one of a ring.
    clear_weight: float = 12.0
    most_ratio: float = 8.0
    #: How far the spots are from an even ring, in bins, and the strain of that ring: what a scan distorts.
    error: float = 0.4
    strain: float = 0.04
    #: Departure from whole numbers of the indices of a layer's own waves.
    index_tolerance: float = 0.08
    #: Distance of neighbours on a ring, in bins of a tile in which their power is asked, from which on its Hann taper
    #: parts them, and the tiles side by side along the shorter side if those are larger.
    parted: float = 2.2
    tiles: int = 4
    #: Overlap of the places of two waves, ∫√(P₁P₂) over the root of ∫P₁ ∫P₂, from which on they are the same: 1 for
    #: layers, 0 for grains of which no tile shows both.
    same_place: float = 0.8
    #: Power of a sum of two waves over the noise, and its amplitude over theirs, from which on it is one.
    clear_power: float = 15.0
    least_sum: float = 0.05


@dataclass(frozen=True)
class OrderedRegionSettings:
    """Superlattices in a part of an image (``ordered_regions``), by judgement."""

    #: Fewest cells of a superlattice along the shorter side of the image for a part of it to be told from the rest.
    fewest_cells: float = 6.0
    #: Standard deviations of the Gaussian that are tried, in cells of the superlattice or `least_cells` of the lattice,
    #: whichever is more, until the order is clear; and the largest as a share of the image's shorter side.
    widths: tuple[float, ...] = (0.6, 1.0, 1.6, 2.5)
    least_cells: float = 2.5
    largest_width: float = 0.12
    #: Highest index of the waves of a class, their largest |k| over the shortest of the lattice, and the most of them.
    highest_index: int = 2
    reach: float = 2.1
    most_waves: int = 6
    #: How far the highest power of a wave, over that of the noise, must stand above the highest of noise.
    above_chance: float = 5.0
    #: Power over that in the middle of a region from which on a place belongs to it: half the amplitude.
    least_power: float = 0.25
    #: Power of all waves of a superlattice over the noise of one from which on it is there, and from which on its edge
    #: is not one of noise: of superlattices of a twentieth of the crystal's amplitude it is 60 and more, of waves that
    #: are none 27 at most.
    power: float = 40.0
    clear_power: float = 120.0
    #: Power, over that in the middle, that three quarters of a region have at least, and three quarters of the rest at
    #: most: of regions it is 0.59 and more, and 0.04 at most; of crystals with many antiphase boundaries 0.31 at most,
    #: and 0.09 and more.
    even_power: float = 0.4
    rest_power: float = 0.08
    #: Places that two classes share, over those of either, from which on they are of one superlattice.
    same_places: float = 0.5
    #: Radius in standard deviations of the Gaussian of the smallest region without order: across a boundary between
    #: domains of the order a Gaussian sees less than half of the amplitude within 0.7 of them.
    boundary: float = 1.0
    #: Least share of an image that is a region.
    least_share: float = 0.04
    #: Share of the image without order from which on it is the lattice, ordered in a part, that is answered.
    least_rest: float = 0.1
    #: Sizes of parts, the largest that suit the lattice, whose spots are looked at, and how many parts must agree on a
    #: superlattice for it to be looked for.
    sides: int = 2
    fewest_parts: int = 2


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
    #: Least gain with which evidence decides: rows fewer than two to a cell that are shifted onto one another take the
    #: waves' power with them and leave a superlattice that is not there.
    displaced_loss: float = -0.3
    #: Factor on the evidence that is enough then, and the least evidence that it must come to: aligned noise is
    #: smoother.
    evidence_gain: float = 1.25
    aligned_evidence: float = 60.0
    #: Change of the lines of a standardised image that says that they were levelled: rounding comes to less.
    leveled_change: float = 1e-4
    #: Standard deviation of a standardised image without these offsets, below which it was nothing but offsets.
    remaining_std: float = 1e-3
