"""Second look: windows of which one wave leaves a doubt, without their outliers, and as tiles with own phases.

Bright adsorbates and the edges of holes drown a lattice that the window shows once their values are bounded, or these
regions are left out. Antiphase boundaries, strain and wandering scan lines split and smear the spots of a window, of
which a search takes some for a lattice and leaves others unexplained: tiles of a half and a quarter of the window, each
with phases of its own, still show the lattice. A window of few cells repeats by a lattice that its spots do not show.
Each is believed where its evidence is the larger. In a perfect crystal that of the tiles is the smaller, because every
tile has to show phases of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.explanation import (
    Explanation,
    View,
    explained,
    tile_spectra,
    view_of_tiles,
    view_of_windows,
)
from bravaismap.measure.fringes import hum_share
from bravaismap.measure.quasicrystals import rings
from bravaismap.measure.regions import other_regions, without_regions
from bravaismap.measure.repeats import index_repeats
from bravaismap.measure.search import Searched, search
from bravaismap.measure.spots import Spectrum, Spots, clipped, excess, find_spots, standardize, whitened_power
from bravaismap.measure.worth import worth

__all__ = ["second_look"]


@dataclass(frozen=True)
class _Answers:
    """The lattice of each window so far, in bins of the window, its evidence, and of which the nodes may be split."""

    best: Explanation
    shown: Tensor
    split: Tensor

    def put(self, other: Explanation, evidence: Tensor, rows: Tensor) -> _Answers:
        """Return the answers with those of the windows `rows` replaced."""
        return _Answers(
            self.best.put(other, rows),
            self.shown.index_copy(0, rows, evidence),
            self.split.index_fill(0, rows, False),
        )


def second_look(first: Searched, shown: Tensor, windows: View) -> tuple[Explanation, Tensor]:
    """Return the lattice of each window and its evidence, as it was or, where that shows more, another.

    Parameters
    ----------
    first : Searched
        The lattices of the windows as one wave, and the spots.
    shown : tensor, shape (n,)
        Their evidence.
    windows : View
        Of whole windows.
    """
    limits = settings.SETTINGS.second_look
    split = first.best.basis.square().sum(-1).amin(1) < limits.split_distance**2
    share = _unexplained(first.best.basis, first.spots, windows)
    sound = (shown > limits.sound_evidence) & (share < limits.sound_share)
    doubtful = (shown < limits.doubtful_evidence) & ~sound
    looked = doubtful | (share > limits.unexplained_share) | split
    rows = torch.nonzero(looked | (shown < settings.SETTINGS.repeats.doubtful_evidence)).squeeze(1)
    if len(rows) == 0:
        return first.best, shown
    answers, own = _Answers(first.best.take(rows), shown[rows], split[rows]), windows.take(rows)
    asked = whole = torch.nonzero(looked[rows]).squeeze(1)
    drowned = asked[answers.shown[asked] < limits.drowned_evidence]
    answers, own = _without_outliers(answers, drowned, own)
    answers, own = _without_regions(answers, drowned, own)
    for groups in limits.groups:
        if len(asked) == 0 or min(own.plain.shape[1:]) < groups * limits.smallest_tile:
            break
        answers, asked = _tiled(answers, asked, own, groups)
    answers = _repeating(answers, own)
    answers = _without_quasicrystals(answers, whole, windows, rows[whole], first.spots)
    return first.best.put(answers.best, rows), shown.index_copy(0, rows, answers.shown)


def _without_outliers(answers: _Answers, rows: Tensor, windows: View) -> tuple[_Answers, View]:
    """The answers with those of windows that show more without their outliers, and the windows with these clipped."""
    limits = settings.SETTINGS.second_look
    smooth = windows.smooth[rows]
    bounded = clipped(smooth, limits.outlier)
    lost = 1 - _variance(bounded) / _variance(smooth).clamp_min(1e-12)
    uneven = torch.nonzero(lost > limits.outlier_share).squeeze(1)
    return _evened(answers, windows, rows[uneven], bounded[uneven], limits.clear_spot)


def _without_regions(answers: _Answers, rows: Tensor, windows: View) -> tuple[_Answers, View]:
    """The answers with those of windows that show more without regions of another level, and these without them."""
    limits = settings.SETTINGS.regions
    rows = rows[answers.shown[rows] < limits.drowned_evidence]
    if len(rows) == 0 or min(windows.plain.shape[1:]) < limits.smallest_side:
        return answers, windows
    plain = windows.plain[rows]
    other = other_regions(plain)
    share = other.float().mean((1, 2))
    uneven = torch.nonzero((share > limits.least_share) & (share < limits.most_share)).squeeze(1)
    even = without_regions(plain[uneven], other[uneven])
    return _evened(answers, windows, rows[uneven], even, limits.clear_spot, limits.fewest_rows)


def _evened(
    answers: _Answers, windows: View, rows: Tensor, images: Tensor, clear_spot: float, fewest_rows: float = 0.0
) -> tuple[_Answers, View]:
    """The answers and the windows with those of `rows` replaced that show more in `images`, (rows, y, x), of them.

    These are searched where a spot stands more than `clear_spot` above chance. A lattice of which they hold fewer rows
    does not count.
    """
    limits = settings.SETTINGS.second_look
    if len(rows) == 0:
        return answers, windows
    plain = standardize(images)
    spectrum = whitened_power(plain)
    spots = find_spots(spectrum, brightest=False)
    clear = torch.nonzero(_clear(spots, spectrum, clear_spot)).squeeze(1)
    if len(clear) == 0:
        return answers, windows
    rows, even = rows[clear], view_of_windows(plain[clear], spectrum.take(clear))
    best = search(even, spots=spots.take(clear)).best
    least = (limits.gain * answers.shown[rows] + limits.least_gain).clamp_min(limits.least_even_evidence)
    enough = best.basis.square().sum(-1).amin(1) >= fewest_rows**2
    least = torch.where(enough, least, torch.inf)
    evidence = worth(best, even, least)
    won = torch.nonzero(evidence > least).squeeze(1)
    if len(won) == 0:
        return answers, windows
    return answers.put(best.take(won), evidence[won], rows[won]), windows.showing(even.take(won), rows[won])


def _repeating(answers: _Answers, windows: View) -> _Answers:
    """The answers with those of doubtful windows that show more of a lattice by which they repeat."""
    limits, gains = settings.SETTINGS.repeats, settings.SETTINGS.second_look
    rows = torch.nonzero(answers.shown < limits.doubtful_evidence).squeeze(1)
    if len(rows) == 0:
        return answers
    candidates, clear = index_repeats(windows.smooth[rows], limits.candidates)
    number, rank = torch.nonzero(clear > limits.least_clear, as_tuple=True)
    if len(number) == 0:
        return answers
    before, tried = answers.best.take(rows), explained(windows, candidates[number, rank], rows[number])
    best = before.improved(tried, number, rank, limits.candidates)
    changed = torch.nonzero((best.basis != before.basis).flatten(1).any(1)).squeeze(1)
    if len(changed) == 0:
        return answers
    rows, best = rows[changed], best.take(changed)
    least = (gains.gain * answers.shown[rows] + gains.least_gain).clamp_min(limits.least_evidence)
    evidence = torch.minimum(worth(best, windows.take(rows), least), limits.sharp_factor * best.evidence)
    won = torch.nonzero(evidence > least).squeeze(1)
    if len(won) == 0:
        return answers
    won = won[hum_share(windows.plain[rows[won]]) < limits.hum_share]  # hum repeats, too
    return answers.put(best.take(won), evidence[won], rows[won])


def _without_quasicrystals(answers: _Answers, rows: Tensor, windows: View, number: Tensor, spots: Spots) -> _Answers:
    """The answers with no lattice for those of the `rows` whose windows, by `number`, show a quasicrystal."""
    if len(rows) == 0:
        return answers
    seen = rings(windows.plain[number], spots.take(number), windows.spectrum.take(number))
    rows = rows[seen.quasicrystalline(answers.best.basis[rows])]
    best = answers.best.take(rows)
    return answers.put(replace(best, signal=torch.zeros_like(best.signal)), torch.zeros_like(best.evidence), rows)


def _tiled(answers: _Answers, rows: Tensor, windows: View, groups: int) -> tuple[_Answers, Tensor]:
    """The answers with those of windows of which tiles show more, and the windows to ask for smaller tiles."""
    limits = settings.SETTINGS.second_look
    spectra = tile_spectra(windows.smooth[rows], groups)
    spots = find_spots(spectra.spectrum, brightest=False)
    clear = torch.nonzero(_clear(spots, spectra.spectrum, limits.clear_spot)).squeeze(1)
    rows = rows[clear]
    if len(rows) == 0:
        return answers, rows
    tiles = view_of_tiles(windows.take(rows), groups, spectra.take(clear))
    searched = search(tiles, spots=spots.take(clear))
    best = searched.best.scaled(tiles.scale)
    gain = torch.where(answers.split[rows], limits.split_gain, limits.gain)
    least = (gain * answers.shown[rows] + limits.least_gain).clamp_min(limits.least_evidence)
    explains = _unexplained(searched.best.basis, searched.spots, tiles) < limits.tile_unexplained_share
    least = torch.where(explains, least, torch.inf)
    evidence = worth(searched.best, tiles, least)
    won = torch.nonzero(evidence > least).squeeze(1)
    won = won[_wanders(best.take(won), evidence[won], windows, rows[won], answers.split[rows[won]])]
    answers = answers.put(best.take(won), evidence[won], rows[won])
    return answers, rows[answers.shown[rows] < limits.certain_evidence]


def _wanders(tiled: Explanation, evidence: Tensor, windows: View, number: Tensor, asked: Tensor) -> Tensor:
    """Whether the lattice of the tiles has less evidence as one wave, by `number`; those not `asked` are taken to.

    Tiles are blind to the close nodes of a large cell. If the waves that they see run through the window, nothing
    wanders, and the large cell is right.
    """
    limits, wanders = settings.SETTINGS.second_look, torch.ones_like(asked)
    rows = torch.nonzero(asked).squeeze(1)
    if len(rows) == 0:
        return wanders
    own = windows.take(number[rows])
    as_wave = worth(explained(own, tiled.basis[rows]), own)
    return wanders.index_copy(0, rows, evidence[rows] > limits.gain * as_wave + limits.least_gain)


def _variance(images: Tensor) -> Tensor:
    """Variance of each image, (n,)."""
    return images.square().mean((1, 2)) - images.mean((1, 2)).square()


def _unexplained(basis: Tensor, spots: Spots, view: View) -> Tensor:
    """What the spots beside the nodes of a lattice say over what those at the nodes say, (n,)."""
    index = spots.position @ torch.linalg.inv_ex(basis)[0]
    beside = ((index - index.round()) @ basis).square().sum(-1) > settings.SETTINGS.second_look.node_radius**2
    says = excess(spots, view.spectrum).log1p()
    share: Tensor = (says * beside).sum(1) / (says * ~beside).sum(1).clamp_min(1e-3)
    return share


def _clear(spots: Spots, spectrum: Spectrum, least: float) -> Tensor:
    """Whether a lattice can be among the spots: if the second one stands more than `least` above chance, (n,)."""
    second: Tensor = excess(spots, spectrum).topk(2, dim=1).values[:, 1]
    return second > least
