"""Settings of the measurement: every threshold and weight, grouped by what it decides.

Each has its meaning, its unit and where its value comes from.

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

from bravaismap.measure.image_settings import (
    AgreementSettings,
    LayerSettings,
    MainLatticeSettings,
    OrderedRegionSettings,
    PartSettings,
    QuasicrystalSettings,
    SatelliteSettings,
    WholeImageSettings,
)
from bravaismap.measure.instrument_settings import (
    EnlargementSettings,
    FringeSettings,
    GratingSettings,
    InterlaceSettings,
    InterpolationSettings,
    PickupSettings,
    ScanLineSettings,
)
from bravaismap.measure.window_settings import (
    CovarianceSettings,
    EvidenceSettings,
    IndexingSettings,
    NodeSettings,
    OddsSettings,
    RefinementSettings,
    RegionSettings,
    RepeatSettings,
    SearchSettings,
    SecondLookSettings,
    SpotSettings,
    SublatticeSettings,
)

__all__ = ["SETTINGS", "MeasurementSettings"]


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
    second_look, repeats, regions : settings
        Of windows of which one wave leaves a doubt.
    evidence, odds : settings
        Of what it is worth, and of the probability that there is none.
    scan_lines, interlace, pickup, fringes, gratings, enlargement, interpolation : settings
        Of what an instrument adds, and of images that were enlarged.
    parts, agreement, layers, satellites, ordered_regions, whole_image : settings
        Of images that are larger than a window.
    main_lattice, quasicrystals : settings
        Of strongly modulated crystals, and of rings of spots that no lattice has.
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
    repeats: RepeatSettings = field(default_factory=RepeatSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    odds: OddsSettings = field(default_factory=OddsSettings)
    scan_lines: ScanLineSettings = field(default_factory=ScanLineSettings)
    interlace: InterlaceSettings = field(default_factory=InterlaceSettings)
    pickup: PickupSettings = field(default_factory=PickupSettings)
    fringes: FringeSettings = field(default_factory=FringeSettings)
    gratings: GratingSettings = field(default_factory=GratingSettings)
    enlargement: EnlargementSettings = field(default_factory=EnlargementSettings)
    interpolation: InterpolationSettings = field(default_factory=InterpolationSettings)
    parts: PartSettings = field(default_factory=PartSettings)
    agreement: AgreementSettings = field(default_factory=AgreementSettings)
    layers: LayerSettings = field(default_factory=LayerSettings)
    satellites: SatelliteSettings = field(default_factory=SatelliteSettings)
    main_lattice: MainLatticeSettings = field(default_factory=MainLatticeSettings)
    quasicrystals: QuasicrystalSettings = field(default_factory=QuasicrystalSettings)
    ordered_regions: OrderedRegionSettings = field(default_factory=OrderedRegionSettings)
    whole_image: WholeImageSettings = field(default_factory=WholeImageSettings)


#: The settings of every measurement.
SETTINGS: Final = MeasurementSettings()
