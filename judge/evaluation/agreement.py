"""How far raters agree, people or models: share of agreement, Cohen's kappa, Krippendorff's alpha. Pure.

Answers are names without an order. Every figure is a function of sums over items, so that an interval comes
from drawing items again (bootstrap over instructions, since what was said about one instruction is not
independent). Krippendorff's alpha is computed here and not by a library for that reason alone; the tests
compare it with the library `krippendorff`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Rated:
    """An item and who said what about it. `cluster`: items with the same one are drawn together."""

    cluster: str
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        """`[value, low, high]`."""
        return [round(number, 4) for number in (self.value, self.low, self.high)]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of raters on the items that at least two of them answered.

    `chance_corrected`: kappa of two raters, alpha of several; None where it is not defined, which it is not
    if everybody has always said the same.
    """

    items: int
    share: Figure | None
    chance_corrected: Figure | None


def cohen(items: Sequence[Rated], one: str, other: str, *, level: float = 0.95, seed: int = 0) -> Agreement:
    """Two raters on the items that both answered: Cohen (1960)."""
    both = [item for item in items if one in item.answers and other in item.answers]
    names = _names(both)
    tables = np.zeros((len(both), len(names) ** 2))
    for row, item in enumerate(both):
        tables[row, names[item.answers[one]] * len(names) + names[item.answers[other]]] = 1
    sums, size = _clustered(both, tables), len(names)
    return Agreement(
        len(both),
        _figure(sums, lambda t: _diagonal(t, size), level, seed),
        _figure(sums, lambda t: _kappa(t, size), level, seed),
    )


def krippendorff(items: Sequence[Rated], *, level: float = 0.95, seed: int = 0) -> Agreement:
    """Any number of raters, who need not have answered every item: Krippendorff (2011), nominal.

    The share is that of agreeing pairs of answers about an item, among all pairs.
    """
    several = [item for item in items if len(item.answers) > 1]
    names = _names(several)
    counts = np.zeros((len(several), len(names)))
    for row, item in enumerate(several):
        for answer in item.answers.values():
            counts[row, names[answer]] += 1
    total = counts.sum(axis=1)
    agreeing = (counts * (counts - 1)).sum(axis=1)
    disagreeing = (total * (total - 1) - agreeing) / np.maximum(total - 1, 1)
    pairs = total * (total - 1)
    sums = _clustered(several, np.column_stack([counts, disagreeing, agreeing, pairs]))
    return Agreement(
        len(several),
        _figure(sums, lambda t: _ratio(t[:, -2], t[:, -1]), level, seed),
        _figure(sums, _alpha, level, seed),
    )


def each_two(items: Sequence[Rated], fewest: int) -> dict[tuple[str, str], Agreement]:
    """Cohen's kappa of every two raters with at least `fewest` items in common."""
    raters = sorted({rater for item in items for rater in item.answers})
    found = {(one, other): cohen(items, one, other) for one, other in combinations(raters, 2)}
    return {pair: agreement for pair, agreement in found.items() if agreement.items >= fewest}


def _names(items: Sequence[Rated]) -> dict[str, int]:
    names = sorted({answer for item in items for answer in item.answers.values()})
    return {name: index for index, name in enumerate(names)}


def _diagonal(tables: Array, size: int) -> Array:
    square = tables.reshape(len(tables), size, size)
    return _ratio(np.trace(square, axis1=1, axis2=2), square.sum(axis=(1, 2)))


def _kappa(tables: Array, size: int) -> Array:
    square = tables.reshape(len(tables), size, size)
    total = square.sum(axis=(1, 2))
    by_chance = _ratio((square.sum(axis=1) * square.sum(axis=2)).sum(axis=1), total**2)
    return _ratio(_diagonal(tables, size) - by_chance, 1 - by_chance)


def _alpha(sums: Array) -> Array:
    counts, disagreeing = sums[:, :-3], sums[:, -3]
    total = counts.sum(axis=1)
    expected = _ratio((counts * (total[:, None] - counts)).sum(axis=1), total - 1)
    return 1 - _ratio(disagreeing, expected)


def _ratio(over: Array, under: Array) -> Array:
    """The quotient; not a number where there is none."""
    result: Array = np.divide(over, under, out=np.full(len(over), np.nan), where=under > 1e-12)
    return result


def _clustered(items: Sequence[Rated], rows: Array) -> Array:
    """The rows' sums over each cluster."""
    places: dict[str, int] = {}
    index = [places.setdefault(item.cluster, len(places)) for item in items]
    sums = np.zeros((len(places), rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def _figure(sums: Array, statistic: Callable[[Array], Any], level: float, seed: int) -> Figure | None:
    """The statistic of all clusters, with the percentile interval of its values on clusters drawn again."""
    if not len(sums):
        return None
    value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return None
    rng, size = np.random.default_rng(seed), len(sums)
    drawn = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(_RESAMPLES))
    values = statistic(np.array([times @ sums for times in drawn]))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Figure(value, float(low), float(high))
