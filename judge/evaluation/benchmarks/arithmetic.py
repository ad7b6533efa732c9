"""Scores as weighted means of credits, with bootstrap intervals clustered by instruction.

Every published score here is one: each item gives credits to groups, and the score is the weighted mean of
the groups' means. So one bootstrap serves all, and the difference of two judges is drawn from the same
clusters.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Credit:
    """What one item contributes to a group's mean."""

    cluster: str
    group: str
    value: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval (None where there is one cluster), from so many credits; NaN of none."""

    value: float
    low: float | None
    high: float | None
    items: int

    def to_json(self) -> dict[str, Any]:
        """A JSON value, rounded; null is what is not known, since JSON has no NaN."""
        known = [
            None if v is None or math.isnan(v) else round(v, 4) for v in (self.value, self.low, self.high)
        ]
        return {"value": known[0], "low": known[1], "high": known[2], "items": self.items}


@dataclass(frozen=True, slots=True)
class Mean:
    """Credits and their groups' weights; without weights it is the plain mean of all credits.

    The sum over the groups is divided by the weights', or by `divisor`. Groups without credits are left out.
    """

    credits: Sequence[Credit]
    weights: Mapping[str, float] = field(default_factory=dict)
    divisor: float | None = None

    @property
    def value(self) -> float:
        """The weighted mean; NaN of nothing."""
        return float(self._values(_everything(self._clusters()))[0])

    def estimate(self, seed: int = 0) -> Estimate:
        """The value and its interval."""
        clusters = self._clusters()
        low, high = _interval(self._drawn(clusters, seed), len(clusters))
        return Estimate(self.value, low, high, len(self.credits))

    def gain(self, after: "Mean", seed: int = 0) -> Estimate:
        """`after` minus this one, paired: both are drawn from the same clusters."""
        clusters = list(dict.fromkeys([*self._clusters(), *after._clusters()]))
        drawn = after._drawn(clusters, seed) - self._drawn(clusters, seed)
        low, high = _interval(drawn, len(clusters))
        return Estimate(after.value - self.value, low, high, len(after.credits))

    def _clusters(self) -> list[str]:
        """In the order of the items, as `judge.evaluation.statistics.compare` draws them."""
        return list(dict.fromkeys(credit.cluster for credit in self.credits))

    def _drawn(self, clusters: Sequence[str], seed: int) -> Array:
        # Imported here: who only reads a benchmark begins without scipy and statsmodels.
        from judge.evaluation.statistics import cluster_draws

        return self._values(cluster_draws(len(clusters), seed), clusters) if clusters else np.array([np.nan])

    def _values(self, draws: Array, clusters: Sequence[str] | None = None) -> Array:
        """The mean in each draw (rows: how often each cluster is drawn)."""
        names = list(clusters) if clusters is not None else self._clusters()
        groups = list(self.weights) or [""]
        place = {name: index for index, name in enumerate(names)}
        column = {name: index for index, name in enumerate(groups)}
        # In the type of the draws, so that nothing is converted.
        sums, counts = np.zeros((2, len(names), len(groups)), draws.dtype)
        for credit in self.credits:
            at = place[credit.cluster], column[credit.group] if self.weights else 0
            sums[at] += credit.value
            counts[at] += 1
        weights = np.array([self.weights[group] for group in groups] if self.weights else [1.0])
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (draws @ sums) / (draws @ counts)
            held = np.where(np.isnan(means), 0.0, weights)
            scale = weights.sum() / self.divisor if self.divisor else 1.0
            return np.asarray((np.nan_to_num(means) * held).sum(axis=1) / held.sum(axis=1) * scale)


def grouped(credits: Iterable[Credit]) -> dict[str, Mean]:
    """The mean of each group, in the order in which they come."""
    groups: dict[str, list[Credit]] = {}
    for credit in credits:
        groups.setdefault(credit.group, []).append(credit)
    return {name: Mean(own) for name, own in groups.items()}


def mean_of_groups(credits: Sequence[Credit]) -> Mean:
    """The plain mean of the groups' means."""
    return Mean(credits, dict.fromkeys((credit.group for credit in credits), 1.0))


def _everything(clusters: Sequence[str]) -> Array:
    return np.ones((1, len(clusters)))


def _interval(drawn: Array, clusters: int) -> tuple[float | None, float | None]:
    known = drawn[~np.isnan(drawn)]
    if clusters < 2 or not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
