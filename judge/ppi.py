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
# Below, the interval's normal approximation is not to be trusted.
FEWEST = 30


@dataclass(frozen=True, slots=True)
class Point:
    """An item of the sample: what the judge predicts, the label if a person has given one.

    `weight`: one over the probability with which the item came into the sample.
    """

    prediction: float
    label: float | None = None
    weight: float = 1.0


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
    """A weighted mean, and each item's part in the difference to it: their squares sum to its variance."""

    value: float
    parts: Array

    @classmethod
    def of(cls, values: Array, weights: Array) -> "_Mean":
        share = weights / weights.sum()
        value = float(share @ values)
        correction = np.sqrt(len(values) / max(len(values) - 1, 1))
        return cls(value, share * (values - value) * correction)


def mean(points: Sequence[Point], *, level: float = 0.95) -> Estimate:
    """The mean label of the population that the points are a random sample of, with all predictions.

    Raises:
        InvalidInput: fewer than `FEWEST` labels.
    """
    labeled, unlabeled = _split(points)
    weights = np.array([point.weight for point in labeled])
    label = _Mean.of(np.array([point.label for point in labeled], float), weights)
    predicted = _Mean.of(np.array([point.prediction for point in labeled]), weights)
    if not unlabeled:
        return _estimate(label.value, _variance(label.parts), len(labeled), 0.0, level)
    rest = _Mean.of(
        np.array([point.prediction for point in unlabeled]), np.array([point.weight for point in unlabeled])
    )
    power = _power(label, predicted, rest)
    value = label.value + power * (rest.value - predicted.value)
    residual = label.parts - power * predicted.parts
    variance = _variance(residual) + power**2 * _variance(rest.parts)
    return _estimate(value, variance, len(labeled), power, level)


def labels_alone(points: Sequence[Point], *, level: float = 0.95) -> Estimate:
    """The same without the predictions, to see what they are worth.

    Raises:
        InvalidInput: fewer than `FEWEST` labels.
    """
    labeled, _ = _split(points)
    return mean(labeled, level=level)


def _split(points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    labeled = [point for point in points if point.label is not None]
    if len(labeled) < FEWEST:
        raise InvalidInput(Fault("labels", f"there are {len(labeled)}, at least {FEWEST} are needed"))
    return labeled, [point for point in points if point.label is None]


def _power(label: _Mean, predicted: _Mean, rest: _Mean) -> float:
    """The power with the smallest variance."""
    spread = _variance(predicted.parts) + _variance(rest.parts)
    best = float(label.parts @ predicted.parts) / spread if spread > 0 else 0.0
    return min(max(best, 0.0), 1.0)


def _variance(parts: Array) -> float:
    return float(parts @ parts)


def _estimate(value: float, variance: float, labels: int, power: float, level: float) -> Estimate:
    """Shares are between 0 and 1, and so are their intervals.

    Where every label is the same there is no variance to see: then the bound is that of as many successes.
    """
    if variance <= 1e-15:
        width = 1 - ((1 - level) / 2) ** (1 / labels)
    else:
        width = float(stats.t.ppf((1 + level) / 2, labels - 1) * np.sqrt(variance))
    low, high = max(value - width, 0.0), min(value + width, 1.0)
    return Estimate(min(max(value, 0.0), 1.0), low, high, power)
