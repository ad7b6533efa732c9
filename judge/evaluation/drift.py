"""Drift: whether what a version answers has changed since it began to serve. Pure; it sees counts.

The decisions of one version, kind and mode are cut into windows of time (`judge.evaluation.drift_windows`),
and every window is compared with the first. A figure is an alarm if its change is at least a stated one and
is not chance. Each window is another look: window k may spend 6/(pi^2 k^2) of alpha, as rounds of the gate
do, shared evenly by the figures, so that over all windows a stream in which nothing changes raises a false
alarm with a probability of at most alpha.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from judge.evaluation.statistics import share_of_alpha

ALPHA = 0.01
BINS = 20
# Ratings in the last so many bins are at the ceiling: the upper tenth of the scale.
_TOP = 2
# Changes that are tolerated, as differences of shares or of distribution functions. Where verdicts depend on
# who asks for what, smaller ones are no defect of the judge; see docs/drift.md.
TOLERANCE = {
    "invalid": 0.02,
    "tie": 0.05,
    "flip": 0.05,
    "first": 0.10,
    "confidence": 0.10,
    "ceiling": 0.10,
    "ratings": 0.10,
}
_PSI_FLOOR = 0.5


@dataclass(frozen=True, slots=True)
class Counts:
    """What was answered in one window.

    `verdicts`: how often each. `flips` of `ordered` decisions, in which both orders named a response, did so
    differently. `confidence`: of the more probable response, from 1/2 to 1, in equal bins. `levels`: ratings
    on their scale, from 0 to 1, in equal bins.
    """

    verdicts: Mapping[str, int]
    flips: int = 0
    ordered: int = 0
    confidence: Sequence[int] = field(default_factory=lambda: [0] * BINS)
    levels: Sequence[int] = field(default_factory=lambda: [0] * BINS)

    @property
    def decisions(self) -> int:
        """How many there were."""
        return sum(self.verdicts.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counts":
        """The inverse of `to_json`."""
        return cls(**value)

    def figures(self) -> dict[str, float]:
        """The window in a few numbers: shares, and means of confidence and ratings; what there is none of
        is left out."""
        return {name: part / whole for name, (part, whole) in self._shares().items() if whole} | {
            name: float(value)
            for name, value in (
                ("mean_confidence", _center(self.confidence, 0.5, 1.0)),
                ("mean_level", _center(self.levels, 0.0, 1.0)),
            )
            if value is not None
        }

    def _shares(self) -> dict[str, tuple[int, int]]:
        """Successes and trials of the figures that are shares."""
        count = self.verdicts.get
        decided = count("a", 0) + count("b", 0)
        compared = decided + count("tie", 0)
        return {
            "invalid": (count("invalid", 0), self.decisions),
            "tie": (count("tie", 0), compared),
            "flip": (self.flips, self.ordered),
            "first": (count("a", 0), decided),
            "ceiling": (sum(self.levels[-_TOP:]), sum(self.levels)),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of a window beside the first window's.

    For the shares `before` and `now` are values; for the distributions (`confidence`, `ratings`) they are
    means, `change` is the greatest difference of the distribution functions, and `psi` the population
    stability index.
    """

    figure: str
    before: float
    now: float
    change: float
    p_value: float
    alarm: bool = False
    psi: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def compare(first: Counts, window: Counts, look: int, alpha: float = ALPHA) -> list[Change]:
    """Every figure that both windows have; `look` counts the windows after the first, from 1."""
    found = [*_shares(first, window), *_distributions(first, window)]
    share = share_of_alpha(alpha, look) / max(len(found), 1)
    return [
        replace(change, alarm=change.p_value <= share and abs(change.change) >= TOLERANCE[change.figure])
        for change in found
    ]


def _shares(first: Counts, window: Counts) -> list[Change]:
    """Fisher's exact test: of a rise, but for `first`, which may go either way (twice the smaller tail)."""
    before, now = first._shares(), window._shares()
    found = []
    for name in before:
        (old, of_old), (new, of_new) = before[name], now[name]
        if not of_old or not of_new:
            continue
        margins = of_old + of_new, old + new, of_new
        p_value = float(stats.hypergeom.sf(new - 1, *margins))
        if name == "first":
            p_value = min(2 * min(p_value, float(stats.hypergeom.cdf(new, *margins))), 1.0)
        found.append(Change(name, old / of_old, new / of_new, new / of_new - old / of_old, p_value))
    return found


def _distributions(first: Counts, window: Counts) -> list[Change]:
    """Kolmogorov and Smirnov's test of two samples; on bins its p-values are too large, never too small."""
    found = []
    for name, before, now, low in (
        ("confidence", first.confidence, window.confidence, 0.5),
        ("ratings", first.levels, window.levels, 0.0),
    ):
        means = _center(before, low, 1.0), _center(now, low, 1.0)
        if means[0] is None or means[1] is None:
            continue
        old, new = np.array(before, float), np.array(now, float)
        gap = float(np.abs(np.cumsum(old) / old.sum() - np.cumsum(new) / new.sum()).max())
        size = old.sum() * new.sum() / (old.sum() + new.sum())
        p_value = float(stats.kstwo.sf(gap, max(round(size), 1)))
        found.append(Change(name, means[0], means[1], gap, min(p_value, 1.0), psi=_psi(old, new)))
    return found


def _psi(old: Any, new: Any) -> float:
    """Population stability index; half a count is added to every bin, so that none is empty."""
    old, new = old + _PSI_FLOOR, new + _PSI_FLOOR
    before, now = old / old.sum(), new / new.sum()
    return float(((now - before) * np.log(now / before)).sum())


def _center(bins: Sequence[int], low: float, high: float) -> float | None:
    """The mean of what was binned, by the middles of the bins."""
    if not sum(bins):
        return None
    middles = low + (high - low) * (np.arange(len(bins)) + 0.5) / len(bins)
    return float(np.average(middles, weights=bins))
