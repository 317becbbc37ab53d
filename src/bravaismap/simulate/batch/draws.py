"""The random numbers of a batch of windows: what their recipes ask for, drawn for all windows at once on any device.

The numbers of a window depend on the seed, the number of the window and what they are for alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import accumulate
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import NONE
from bravaismap.simulate.batch.threefry import normal, signed, threefry, uniform, wrapped
from bravaismap.simulate.faults import FAULTS, WAVES, is_set
from bravaismap.simulate.instrument import DRIFT_HARMONICS
from bravaismap.simulate.recipe import PATTERNS, Recipe

__all__ = ["ATTEMPTS", "PURPOSE_BITS", "Draws", "Purpose", "RecipeTable", "counted"]

#: Bits of the second word of a counter below the purpose.
PURPOSE_BITS: Final = 24
#: Cells that are drawn at once in search of one that is far from every symmetry that it should not have.
ATTEMPTS: Final = 8
#: Fields of a recipe that are one number, or a pair whose two ends are equal for this purpose.
_NUMBERS: Final = ("distortion", "empty", "spacing", "presence", "grains", "inverted", "apart")
_WHOLE: Final = ("atoms", "antiphase", "holes", "adsorbates", "enlargement", "faults")
_LOGARITHMIC: Final = ("length", "dose")
#: What happens with a given probability: 1 where it does.
_EVENTS: Final = ("empty", "grains", "inverted")
#: Effects that a window has with the probability `presence` of its recipe.
_EFFECTS: Final = ("tilt", "astigmatism", "tail", "drift", "flyback", "line_noise", "amorphous")
_OTHER: Final = ("lattice", "angle", "patterns", "packing", *_NUMBERS)
_PAIRS: Final = tuple(field.name for field in fields(Recipe) if field.name not in _OTHER)
_COLUMNS: Final = {name: i for i, name in enumerate((*_PAIRS, *_NUMBERS))}
#: How many uniform numbers a window has for each other purpose.
_UNITS: Final = {
    "cell": 3 * ATTEMPTS,
    "orientation": 1,
    "distortion": 4,
    "origin": 2,
    "grain": 4,
    "strain": 3 * WAVES,
    "strain_periods": WAVES,
    "edge": 2,
    "bend": 3,
    "drift_curve": 2 * DRIFT_HARMONICS,
    "drift_phase": 2,
    "probe": 2,
    "slope": 2,
    "patches": 13,
    "fault_order": len(FAULTS),
    "pattern": 1,
    "pattern_shape": 12,
    "memory": 2,
    "compression": 2,
    "enlargement": 2,
    "pattern_memory": 1,
}
_FIRST_UNIT: Final = dict(zip(_UNITS, accumulate(_UNITS.values(), initial=2 * len(_COLUMNS)), strict=False))
_ALL_UNITS: Final = 2 * len(_COLUMNS) + sum(_UNITS.values())


class Purpose(IntEnum):
    """What random numbers are for: a window, each of its pixels, lines or atoms, or as many things as it may have.

    It is in the upper byte of the second word of the counter, so that no number is drawn for two purposes.
    """

    WINDOW = 0
    CELLS = 1
    MOTIF = 2
    ATOMS = 3
    ANTIPHASE = 4
    HOLES = 5
    ADSORBATES = 6
    WANDER = 7
    JITTER = 8
    AMORPHOUS = 9
    COUNTS = 10
    NOISE = 11
    LINE_NOISE = 12
    ROW_OFFSETS = 13
    COLUMN_OFFSETS = 14
    PATTERN_FIELD = 15
    PATTERN_LINES = 16
    PATTERN_ATOMS = 17


class RecipeTable:
    """The numbers of several recipes as tensors, one row for each recipe."""

    def __init__(self, recipes: Sequence[Recipe], device: torch.device | str) -> None:
        def tensor(rows: list[list[float]]) -> Tensor:
            return torch.tensor(rows, dtype=torch.float64, device=device)

        self.recipes = tuple(recipes)
        ends = [[_ends(recipe, name) for name in _COLUMNS] for recipe in recipes]
        self.low = tensor([[low for low, _ in row] for row in ends])
        self.high = tensor([[high for _, high in row] for row in ends])
        self.packing = tensor([[np.inf if recipe.packing is None else recipe.packing] for recipe in recipes])[:, 0]
        self.lattice = torch.tensor([recipe.lattice != NONE for recipe in recipes], device=device)
        self.chooses = torch.tensor([recipe.faults is not None for recipe in recipes], device=device)
        self.possible = tensor(
            [[float(any(is_set(recipe, field) for field in FAULTS[name])) for name in FAULTS] for recipe in recipes]
        )
        self.pattern = tensor([[float(name in recipe.patterns) for name in PATTERNS] for recipe in recipes])
        self.angle_start, self.angle_from = (tensor(rows) for rows in _angles(recipes))
        self.angle_width = tensor([[sum(high - low for low, high in recipe.angle)] for recipe in recipes])[:, 0]
        self.most = {name: max(int(_ends(recipe, name)[1]) for recipe in recipes) for name in _WHOLE}
        #: (fields, faults): which fault a field belongs to
        self.fault_of = tensor([[float(name in FAULTS[fault]) for fault in FAULTS] for name in _COLUMNS])


def _ends(recipe: Recipe, name: str) -> tuple[float, float]:
    value = getattr(recipe, name)
    if value is None:
        return 0.0, 0.0
    return (float(value), float(value)) if isinstance(value, int | float) else (float(value[0]), float(value[1]))


def _angles(recipes: Sequence[Recipe]) -> tuple[list[list[float]], list[list[float]]]:
    """Return where the ranges of angles start, in degrees, and where each starts in their sum; unused ones at ∞."""
    most = max(len(recipe.angle) for recipe in recipes)
    starts, sums = [], []
    for recipe in recipes:
        widths = [high - low for low, high in recipe.angle]
        begin = list(accumulate(widths[:-1], initial=0.0)) if sum(widths) > 0 else [0.0]
        starts.append([low for low, _ in recipe.angle] + [0.0] * (most - len(recipe.angle)))
        sums.append(begin + [np.inf] * (most - len(begin)))
    return starts, sums


@dataclass(frozen=True)
class Draws:
    """The random numbers of n windows.

    Attributes
    ----------
    key : pair of int32 tensors, shape (n,)
        Key of each window.
    recipe : int64 tensor, shape (n,)
        Row of `table`.
    table : RecipeTable
    value : float64 tensor, shape (n, fields)
        What was drawn for each field of the recipes, 0 of a fault or an effect that a window does not have; of a
        probability whether it happens, 0 or 1.
    limit : float64 tensor, shape (n, fields)
        The largest value that could have been drawn.
    unit : float64 tensor, shape (n, ...)
        Uniform numbers between 0 and 1 for other purposes.
    pattern : int array, shape (n,)
        Position in :data:`~bravaismap.simulate.recipe.PATTERNS`; −1 for none.
    host : float array, shape (n, fields)
        `value` where Python can read it without waiting for the device.
    faults : float64 tensor, shape (n, faults)
        1 for each fault that was chosen.
    """

    key: tuple[Tensor, Tensor]
    recipe: Tensor
    table: RecipeTable
    value: Tensor
    limit: Tensor
    unit: Tensor
    pattern: NDArray[np.integer]
    host: NDArray[np.floating]
    faults: Tensor

    @classmethod
    def of(cls, table: RecipeTable, recipe: Tensor, seed: int, number: Tensor) -> Draws:
        """Draw the numbers of windows.

        Parameters
        ----------
        table : RecipeTable
        recipe, number : int64 tensors, shape (n,)
            Recipe and number of each window.
        seed : int
            Its lowest 64 bits count.
        """
        device = recipe.device
        seeds = tuple(torch.tensor(wrapped(seed >> shift), dtype=torch.int32, device=device) for shift in (0, 32))
        halves = (number & 0xFFFFFFFF) - ((number & 0x80000000) << 1), number >> 32
        key = threefry((seeds[0], seeds[1]), (halves[0].to(torch.int32), halves[1].to(torch.int32)))
        unit = uniform(torch.stack(_pairs(key, Purpose.WINDOW, _ALL_UNITS), dim=2).flatten(1)[:, :_ALL_UNITS])
        pattern = _patterns(table.pattern[recipe], _unit(unit, "pattern")[:, 0])
        faults = _chosen(table, recipe, unit, pattern)
        # a field of a fault that was not chosen is 0; lines of a pattern of that name keep their offsets
        absent = ((1 - faults - _own_fault(pattern)) @ table.fault_of.T) > 0
        low, high = (ends[recipe].masked_fill(absent, 0.0) for ends in (table.low, table.high))
        value = _values(low, high, unit)
        return cls(key, recipe, table, value, high, unit, pattern.cpu().numpy(), value.cpu().numpy(), faults)

    def __len__(self) -> int:
        return len(self.recipe)

    def __getitem__(self, name: str) -> Tensor:
        """What was drawn for a field of the recipes, (n,)."""
        return self.value[:, _COLUMNS[name]]

    def ends(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the two ends of a field of the recipe of each window, (n,) each."""
        column = _COLUMNS[name]
        return self.table.low[self.recipe, column], self.table.high[self.recipe, column]

    def host_column(self, name: str) -> NDArray[np.floating]:
        """Return what was drawn for a field where Python can read it, (n,)."""
        return self.host[:, _COLUMNS[name]]

    def plane(self, name: str) -> Tensor:
        """What was drawn for a field, in single precision, (n, 1, 1)."""
        return self.value[:, _COLUMNS[name], None, None].to(torch.float32)

    def possible(self, *names: str) -> Tensor:
        """Return which windows (n,) may have one of the effects, by their recipes and faults."""
        return (self.limit[:, [_COLUMNS[name] for name in names]] > 0).any(dim=1)

    def any(self, name: str) -> bool:
        """Return whether a field is above 0 of any window."""
        return bool((self.host_column(name) > 0).any())

    def having(self, name: str) -> Tensor:
        """Return the positions of the windows of which a field is above 0."""
        return torch.from_numpy(np.flatnonzero(self.host[:, _COLUMNS[name]] > 0)).to(self.recipe.device)

    def part(self, name: str) -> tuple[Tensor | slice, Draws] | None:
        """Return the windows of which a field is above 0, their positions first; None if there are none."""
        rows = self.having(name)
        if len(rows) == len(self):
            return slice(None), self
        return (rows, self.select(rows)) if len(rows) else None

    def units(self, name: str) -> Tensor:
        """Return the uniform numbers of a window for a purpose, (n, count)."""
        return _unit(self.unit, name)

    def normals(self, name: str) -> Tensor:
        """Return the standard normal deviates of a window for a purpose, (n, count), in double precision."""
        deviates: Tensor = torch.special.ndtri(self.units(name))
        return deviates

    def select(self, rows: Tensor) -> Draws:
        """Return the numbers of some of the windows."""
        at = rows.cpu().numpy()
        return Draws(
            (self.key[0][rows], self.key[1][rows]),
            self.recipe[rows],
            self.table,
            self.value[rows],
            self.limit[rows],
            self.unit[rows],
            self.pattern[at],
            self.host[at],
            self.faults[rows],
        )

    def words(self, purpose: Purpose, count: int) -> Tensor:
        """Return `count` words of random bits for each window, an int32 tensor (n, count)."""
        return torch.cat(self._pairs(purpose, count), dim=1)[:, :count]

    def normal_field(self, purpose: Purpose, *shape: int) -> Tensor:
        """Return standard normal deviates, float32 (n, *shape)."""
        return normal(self.words(purpose, int(np.prod(shape)))).view(len(self), *shape)

    def signed_field(self, purpose: Purpose, *shape: int) -> Tensor:
        """Return uniform numbers between −1 and 1, float32 (n, *shape)."""
        return signed(self.words(purpose, int(np.prod(shape)))).view(len(self), *shape)

    def unit_field(self, purpose: Purpose, *shape: int) -> Tensor:
        """Return uniform numbers between 0 and 1, float64 (n, *shape), the first of which do not depend on how many."""
        count = int(np.prod(shape))
        words = torch.stack(self._pairs(purpose, count), dim=2).flatten(1)[:, :count]
        return uniform(words).view(len(self), *shape)

    def _pairs(self, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        """Return half of `count` words for each window, and the other half, (n, count / 2)."""
        return _pairs(self.key, purpose, count)


def counted(number: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for `number` (k,) things of each kind, the kind of each thing and its number among those of its kind."""
    kind = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
    return kind, torch.arange(len(kind), device=number.device) - (number.cumsum(0) - number)[kind]


def _pairs(key: tuple[Tensor, Tensor], purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
    counter = torch.arange(-(-count // 2), dtype=torch.int32, device=key[0].device)
    return threefry((key[0][:, None], key[1][:, None]), (counter, torch.full_like(counter, purpose << PURPOSE_BITS)))


def _unit(unit: Tensor, name: str) -> Tensor:
    return unit[:, _FIRST_UNIT[name] : _FIRST_UNIT[name] + _UNITS[name]]


def _patterns(possible: Tensor, unit: Tensor) -> Tensor:
    """Choose one of the possible patterns (n, patterns) with equal probability; −1 where none is possible."""
    number = possible.sum(dim=1)
    rank = (unit * number).floor()
    position = ((possible.cumsum(dim=1) - 1 == rank[:, None]) & (possible > 0)).to(torch.int64).argmax(dim=1)
    return torch.where(number > 0, position, -1)


def _chosen(table: RecipeTable, recipe: Tensor, unit: Tensor, pattern: Tensor) -> Tensor:
    """Choose the faults (n, faults) of each window: as many of the possible ones as its recipe asks for."""
    possible = table.possible[recipe] * (1 - _own_fault(pattern))
    column = _COLUMNS["faults"]
    low, high = table.low[recipe, column], table.high[recipe, column]
    number = (low + (unit[:, column] * (high - low + 1)).floor()).minimum(possible.sum(dim=1))
    order = torch.where(possible > 0, _unit(unit, "fault_order"), 2.0)
    rank = (order[:, :, None] > order[:, None, :]).sum(dim=2)
    chosen = (rank < number[:, None]) & (possible > 0)
    return torch.where(table.chooses[recipe][:, None], chosen.to(torch.float64), 1.0)


def _own_fault(pattern: Tensor) -> Tensor:
    """Return 1 for the fault (n, faults) of the name of the pattern of a window, which is no further fault of it."""
    names = [PATTERNS.index(name) if name in PATTERNS else len(PATTERNS) for name in FAULTS]
    own = pattern[:, None] == torch.tensor(names, device=pattern.device)
    return own.to(torch.float64)


def _values(low: Tensor, high: Tensor, unit: Tensor) -> Tensor:
    """Draw each field between its ends, (n, fields)."""
    count = low.shape[1]
    drawn, occurs = unit[:, :count], unit[:, count : 2 * count]
    value = low + drawn * (high - low)
    whole = [_COLUMNS[name] for name in _WHOLE]
    value[:, whole] = (low + (drawn * (high - low + 1)).floor())[:, whole]
    for name in _LOGARITHMIC:
        i = _COLUMNS[name]
        ends = low[:, i].clamp_min(1e-12).log(), high[:, i].clamp_min(1e-12).log()
        value[:, i] = torch.where(high[:, i] > 0, (ends[0] + drawn[:, i] * (ends[1] - ends[0])).exp(), 0.0)
    effects = [_COLUMNS[name] for name in _EFFECTS]
    presence = value[:, _COLUMNS["presence"], None]
    value[:, effects] *= occurs[:, effects] < presence
    events = [_COLUMNS[name] for name in _EVENTS]
    value[:, events] = (occurs[:, events] < value[:, events]).to(value.dtype)
    return value
