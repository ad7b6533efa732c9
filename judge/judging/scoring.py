"""From label log-probabilities to rewards, probabilities and calibrated verdicts. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from judge.backend.answers import LabelRead
from judge.prompts.guide import Scale
from judge.verdict import Verdict

# Nearer to one half than this is even: two orders that cancel out leave rounding errors of bfloat16.
_EVEN = 0.002
_BLIND, _FEWEST, _WIDEST = 0.55, 10, 0.1
# Why there is no verdict and no rating: damaged weights, or a text on which the model's numbers overflow.
NOT_FINITE = "the judge's probabilities are not finite"
# A judge that calls more than this share of its pairs ties leaves too many questions open.
MOST_TIES = 0.25
Strategy = Literal["pairwise", "pointwise"]
STRATEGIES: tuple[Strategy, ...] = ("pairwise", "pointwise")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns a strategy's log-odds into a probability: one temperature, and a band called a tie."""

    temperature: float = 1.0
    tie_band: float = 0.0
    pairs: int = 0

    @property
    def fitted(self) -> bool:
        """Whether the probabilities were fitted on labeled pairs, so that they mean something."""
        return self.pairs > 0

    def probability(self, log_odds: float) -> float:
        """P(A is better)."""
        return float(expit(log_odds / self.temperature))

    def verdict(self, log_odds: float, *, allow_tie: bool) -> Verdict:
        """The side that the probability favors; a tie inside the band or at exactly even odds.

        `invalid` where the log-odds are not finite, and where they are exactly even without ties.
        """
        if not math.isfinite(log_odds):
            return "invalid"
        distance = abs(self.probability(log_odds) - 0.5)
        if allow_tie and distance < max(self.tie_band, _EVEN):
            return "tie"
        if log_odds == 0:
            return "invalid"
        return "a" if log_odds > 0 else "b"


def tie_band(calibration: Calibration, log_odds: Sequence[float], a_is_better: Sequence[bool]) -> float:
    """The widest band around one half in which the judge is right no more often than `_BLIND`.

    Constructed pairs have no ties, so a tie is where the judge cannot tell: of the pairs with a
    probability nearer to one half than the band (0.1 at most), hardly more than half are decided rightly.
    No band holds more than `MOST_TIES` of the pairs.
    """
    right = [(odds > 0) == better for odds, better in zip(log_odds, a_is_better, strict=True)]
    distances = [abs(calibration.probability(odds) - 0.5) for odds in log_odds]
    order = sorted(range(len(right)), key=lambda index: distances[index])
    band, hits = 0.0, 0
    for count, index in enumerate(order, 1):
        if distances[index] > _WIDEST or count > MOST_TIES * len(order):
            break
        hits += right[index]
        if count >= _FEWEST and hits / count <= _BLIND:
            band = distances[index]
    return round(band, 4)


def pairwise_log_odds(a_first: LabelRead, b_first: LabelRead) -> float:
    """Log-odds that A is better: the mean of both orders, which cancels a constant position bias."""
    return (a_first.margin - b_first.margin) / 2


def pointwise_log_odds(a: LabelRead, b: LabelRead) -> float:
    """Log-odds that A is better as a difference of rewards (Bradley-Terry); the same in any order."""
    return a.margin - b.margin


def share_of_yes(read: LabelRead) -> float:
    """P(the response does what was asked, and well), of the two labels."""
    return float(expit(read.margin))


def expected_rating(read: LabelRead, scale: Scale) -> float:
    """The mean of the scale's points under the labels' probabilities, those of other tokens left out."""
    logprobs = np.asarray(read.logprobs, dtype=float)
    weights = np.exp(logprobs - logprobs.max())
    return float(weights @ np.arange(scale.low, scale.high + 1) / weights.sum())


def fit_temperature(log_odds: Sequence[float], a_is_better: Sequence[bool]) -> Calibration:
    """Fit one temperature by maximum likelihood on labeled pairs (Guo et al. 2017).

    A judge at chance has no finite best temperature; the bound keeps its probabilities near one half.
    """
    odds = np.asarray(log_odds, dtype=float)
    sign = np.where(np.asarray(a_is_better, dtype=bool), 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign * odds / math.exp(log_temperature)).mean())

    best = minimize_scalar(loss, bounds=(math.log(0.05), math.log(100)), method="bounded")
    fitted = Calibration(temperature=round(math.exp(best.x), 6), pairs=len(odds))
    return replace(fitted, tie_band=tie_band(fitted, list(log_odds), list(a_is_better)))
