"""Intervals and tests for a judge's outcomes on labeled pairs. From scipy and statsmodels."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from judge.judging.scoring import Calibration
from judge.verdict import Verdict

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a judge did with one labeled pair, judged in both orders.

    `correct`: right in both orders. `verdicts`: with the preferred response shown first, and last, seen
    from the preferred response (`a` = it won). `sides`: the same without ties, which `correct` goes by; None
    where the verdicts know no other. `shorter_right`: the preferred response is the shorter.
    `length`: log of the preferred response's length over the other's. `rationale`: what was written, if any.
    `truncated`: a text was too long to be read whole.
    """

    item: str
    cluster: str
    correct: bool
    verdicts: tuple[Verdict, Verdict]
    shorter_right: bool
    log_odds: float | None = None
    length: float = 0.0
    rationale: str | None = None
    sides: tuple[Verdict, Verdict] | None = None
    truncated: bool = False

    @property
    def favored(self) -> tuple[Verdict, Verdict]:
        """The verdicts without ties, where they are known."""
        return self.sides or self.verdicts

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcome":
        """The inverse of `to_json`."""
        first, last = value["verdicts"]
        sides = tuple(value["sides"]) if value.get("sides") else None
        return cls(**{**value, "verdicts": (first, last), "sides": sides})


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of accuracies (candidate minus champion) and how sure it is.

    `low` and `high`: bootstrap interval over clusters. `p_better`: one-sided exact McNemar test.
    """

    items: int
    champion: float
    candidate: float
    difference: float
    low: float
    high: float
    discordant: int
    p_better: float

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            key: round(value, 5) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened."""

    successes: int
    trials: int

    @property
    def rate(self) -> float:
        """The share; 0 of nothing."""
        return self.successes / self.trials if self.trials else 0.0

    def __add__(self, more: "Tally") -> "Tally":
        return Tally(self.successes + more.successes, self.trials + more.trials)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Tally":
        """The inverse of `to_json`."""
        return cls(value["successes"], value["trials"])

    def to_json(self) -> dict[str, Any]:
        """Counts, and the share with its Wilson interval (95%)."""
        return {**asdict(self), "rate": _interval(self.successes, self.trials)}


def excess(champion: Tally, candidate: Tally, level: float = 0.9) -> tuple[float, float]:
    """Interval of the candidate's rate minus the champion's, from both Wilson intervals (Newcombe 1998).

    At the default its lower end is a one-sided bound at 95 percent. Without trials nothing is known.
    """
    if not champion.trials or not candidate.trials:
        return -1.0, 1.0
    low, high = confint_proportions_2indep(
        candidate.successes, candidate.trials, champion.successes, champion.trials,
        method="newcomb", alpha=1 - level,
    )  # fmt: skip
    return float(low), float(high)


def wilson(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share."""
    if total == 0:
        return 0.0, 1.0
    low, high = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    return float(low), float(high)


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The metrics of one judge on one set of pairs; shares come as [value, low, high] (Wilson, 95%)."""
    if not outcomes:
        return {"items": 0}
    shorter = [outcome for outcome in outcomes if outcome.shorter_right]
    longer = [outcome for outcome in outcomes if not outcome.shorter_right]
    cut = [outcome for outcome in outcomes if outcome.truncated]
    whole = [outcome for outcome in outcomes if not outcome.truncated]
    judged = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    right_first = sum(outcome.favored[0] == "a" for outcome in outcomes)
    right_last = sum(outcome.favored[1] == "a" for outcome in outcomes)
    return {
        "items": len(outcomes),
        "consistent_accuracy": _interval(sum(o.correct for o in outcomes), len(outcomes)),
        "accuracy_winner_first": _interval(right_first, len(outcomes)),
        "accuracy_winner_last": _interval(right_last, len(outcomes)),
        "position_consistency": _interval(
            sum(o.verdicts[0] == o.verdicts[1] != "invalid" for o in outcomes), len(outcomes)
        ),
        "accuracy_shorter_right": _interval(sum(o.correct for o in shorter), len(shorter)),
        "accuracy_longer_right": _interval(sum(o.correct for o in longer), len(longer)),
        "accuracy_truncated": _interval(sum(o.correct for o in cut), len(cut)),
        "accuracy_whole": _interval(sum(o.correct for o in whole), len(whole)),
        "length_balanced_accuracy": round(length_balanced(outcomes), 4),
        "invalid_share": round(judged.count("invalid") / len(judged), 4),
        "tie_share": round(judged.count("tie") / len(judged), 4),
    }


def length_balanced(outcomes: Sequence[Outcome]) -> float:
    """The mean of the accuracies where the preferred response is the shorter one and where it is not."""
    groups = [[one for one in outcomes if one.shorter_right is kind] for kind in (True, False)]
    halves = [_share(group) for group in groups if group]
    return sum(halves) / len(halves)


def compare(
    champion: Sequence[Outcome], candidate: Sequence[Outcome], level: float, *, seed: int = 0
) -> Difference:
    """The paired difference on the same items, clustered by instruction.

    Args:
        level: confidence of the two-sided bootstrap interval.
    """
    before = {outcome.item: outcome for outcome in champion}
    pairs = [(before[outcome.item], outcome) for outcome in candidate if outcome.item in before]
    gained = sum(new.correct and not old.correct for old, new in pairs)
    lost = sum(old.correct and not new.correct for old, new in pairs)
    low, high = _clustered_interval(pairs, level, seed)
    count = max(len(pairs), 1)
    return Difference(
        items=len(pairs),
        champion=sum(old.correct for old, _ in pairs) / count,
        candidate=sum(new.correct for _, new in pairs) / count,
        difference=(gained - lost) / count,
        low=low,
        high=high,
        discordant=gained + lost,
        p_better=float(stats.binomtest(gained, gained + lost, alternative="greater").pvalue)
        if gained + lost
        else 1.0,
    )


def p_worse_than(difference: Difference, margin: float) -> float:
    """One-sided p-value of "worse than minus `margin`", by the normal approximation of the interval."""
    spread = (difference.high - difference.low) / (2 * stats.norm.ppf(0.975))
    if spread <= 0:
        return 0.0 if difference.difference < -margin else 1.0
    return float(stats.norm.cdf((difference.difference + margin) / spread))


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected at family-wise error `alpha`."""
    if not p_values:
        return []
    return [bool(value) for value in multipletests(list(p_values), alpha=alpha, method="holm")[0]]


def share_of_alpha(alpha: float, round_number: int) -> float:
    """What a round may spend; over all rounds it sums to alpha."""
    return alpha * 6 / (math.pi**2 * round_number**2)


def calibration_error(
    outcomes: Sequence[Outcome], calibration: Calibration, bins: int = 10
) -> dict[str, float]:
    """Expected calibration error of the confidence in the chosen side, and the Brier score."""
    odds = [outcome.log_odds for outcome in outcomes if outcome.log_odds is not None]
    if not odds:
        return {}
    # Log-odds are those of the preferred response, so the judge is right where they are positive.
    probability = np.array([calibration.probability(value) for value in odds])
    right, confidence, index = confidence_bins(probability, bins)
    ece = sum(
        (index == b).mean() * abs(right[index == b].mean() - confidence[index == b].mean())
        for b in range(bins)
        if (index == b).any()
    )
    return {"ece": round(float(ece), 4), "brier": round(float(((1 - probability) ** 2).mean()), 4)}


def confidence_bins(
    probability: np.ndarray[Any, Any], bins: int = 10
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Of probabilities of the right side: whether the judge is right, its confidence, and its bin from 0.

    Bins divide the confidence in the chosen side, from one half to one, evenly.
    """
    confidence = np.maximum(probability, 1 - probability)
    index = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    return probability > 0.5, confidence, index


def _clustered_interval(
    pairs: Sequence[tuple[Outcome, Outcome]], level: float, seed: int
) -> tuple[float, float]:
    sums: dict[str, list[int]] = {}
    for old, new in pairs:
        entry = sums.setdefault(new.cluster, [0, 0])
        entry[0] += int(new.correct) - int(old.correct)
        entry[1] += 1
    if len(sums) < 2 or not any(total for total, _ in sums.values()):
        return (0.0, 0.0) if len(sums) >= 2 else (-1.0, 1.0)
    gains = np.array([entry[0] for entry in sums.values()], np.float32)
    sizes = np.array([entry[1] for entry in sums.values()], np.float32)
    drawn = cluster_draws(len(sums), seed)
    low, high = np.quantile((drawn @ gains) / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@lru_cache(maxsize=8)
def cluster_draws(clusters: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """How often each cluster is drawn in each bootstrap sample (samples in rows).

    The same for every figure over as many clusters, so that a round of the gate draws once.
    """
    rng = np.random.default_rng(seed)
    return np.array(
        [np.bincount(rng.integers(clusters, size=clusters), minlength=clusters) for _ in range(_RESAMPLES)],
        dtype=np.float32,  # so that sums over clusters are products of matrices
    )


def _share(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.correct for outcome in outcomes) / len(outcomes)


def _interval(successes: int, total: int) -> list[float] | None:
    if total == 0:
        return None
    low, high = wilson(successes, total)
    return [round(successes / total, 4), round(low, 4), round(high, 4)]
