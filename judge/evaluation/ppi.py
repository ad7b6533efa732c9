"""Estimates from few labels and many predictions: prediction-powered inference. Pure.

Angelopoulos, Bates, Fannjiang, Jordan, Zrnic: Prediction-powered inference, 2023, for a mean; with the power
tuning of Angelopoulos, Duchi, Zrnic: PPI++, 2023. The estimate is right whatever the predictions are worth;
how much they narrow the interval depends on it, and useless ones get the power 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from judge.errors import Fault, InvalidInput

Array = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.intp]
# Clusters with a label. Below, the interval's normal approximation is not to be trusted.
FEWEST = 30


@dataclass(frozen=True, slots=True)
class Point:
    """An item of the sample: what the judge predicts, the label if a person has given one.

    `weight`: one over the probability with which the item came into the sample. `cluster`: items with the
    same one, such as several pairs of one instruction, stand or fall together; default: each is its own.
    """

    prediction: float
    label: float | None = None
    weight: float = 1.0
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval. `power`: how much the predictions count, from 0 to 1."""

    value: float
    low: float
    high: float
    power: float

    def to_json(self) -> list[float]:
        """`[value, low, high]`."""
        return [round(number, 4) for number in (self.value, self.low, self.high)]


@dataclass(frozen=True, slots=True)
class _Mean:
    """A weighted mean, and each cluster's part in the difference to it: their squares sum to its variance.

    `clusters`: of how many its items are. The parts of others are 0, so that means over different items of
    the same clusters can be added.
    """

    value: float
    parts: Array
    clusters: int

    @classmethod
    def of(cls, values: Array, weights: Array, numbers: Indexes, size: int) -> "_Mean":
        share = weights / weights.sum()
        value = float(share @ values)
        own = len(np.unique(numbers))
        correction = np.sqrt(own / max(own - 1, 1))
        parts = np.zeros(size)
        np.add.at(parts, numbers, share * (values - value) * correction)
        return cls(value, parts, own)


def mean(points: Sequence[Point], *, level: float = 0.95) -> Estimate:
    """The mean label of the population that the points are a random sample of, with all predictions.

    Raises:
        InvalidInput: labels of fewer than `FEWEST` clusters.
    """
    labeled = np.array([point.label is not None for point in points], bool)
    numbers = _numbers(points)
    size = len(np.unique(numbers))
    if (known := len(np.unique(numbers[labeled]))) < FEWEST:
        reason = f"there are labels of {known} instructions, at least {FEWEST} are needed"
        raise InvalidInput(Fault("labels", reason))
    weights = np.array([point.weight for point in points])
    predictions = np.array([point.prediction for point in points])
    labels = np.array([point.label for point in points if point.label is not None], float)
    label = _Mean.of(labels, weights[labeled], numbers[labeled], size)
    if labeled.all():
        return _estimate(label.value, _variance(label.parts), known, 0.0, level)
    predicted, rest = (
        _Mean.of(predictions[chosen], weights[chosen], numbers[chosen], size)
        for chosen in (labeled, ~labeled)
    )
    # What the predictions add: they correct the label's mean by where the labeled items were drawn from.
    added = rest.parts - predicted.parts
    power = _power(label.parts, added)
    value = label.value + power * (rest.value - predicted.value)
    return _estimate(value, _variance(label.parts + power * added), known, power, level)


def labels_alone(points: Sequence[Point], *, level: float = 0.95) -> Estimate:
    """The same without the predictions, to see what they are worth.

    Raises:
        InvalidInput: labels of fewer than `FEWEST` clusters.
    """
    return mean([point for point in points if point.label is not None], level=level)


def _numbers(points: Sequence[Point]) -> Indexes:
    """The points' clusters as numbers from 0 on."""
    places: dict[str | int, int] = {}
    keys = [index if point.cluster is None else point.cluster for index, point in enumerate(points)]
    return np.array([places.setdefault(key, len(places)) for key in keys], np.intp)


def _power(label: Array, added: Array) -> float:
    """The power with the smallest variance."""
    spread = _variance(added)
    best = -float(label @ added) / spread if spread > 0 else 0.0
    return min(max(best, 0.0), 1.0)


def _variance(parts: Array) -> float:
    return float(parts @ parts)


def _estimate(value: float, variance: float, clusters: int, power: float, level: float) -> Estimate:
    """Shares are between 0 and 1, and so are their intervals.

    Where every label is the same there is no variance to see: then the bound is that of as many successes as
    there are clusters.
    """
    if variance <= 1e-15:
        width = 1 - ((1 - level) / 2) ** (1 / clusters)
    else:
        width = float(stats.t.ppf((1 + level) / 2, clusters - 1) * np.sqrt(variance))
    low, high = max(value - width, 0.0), min(value + width, 1.0)
    return Estimate(min(max(value, 0.0), 1.0), low, high, power)
