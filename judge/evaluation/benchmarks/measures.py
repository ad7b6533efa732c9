"""What is measured of a judge on any benchmark, beside the benchmark's own score.

Intervals are 95%, by a bootstrap over instructions. Costs in tokens belong to the figures; times do not,
since they differ from run to run.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge.comparison import other
from judge.evaluation.benchmarks.arithmetic import LEVEL, Credit, Mean, mean_of_groups
from judge.evaluation.benchmarks.items import Answered
from judge.evaluation.statistics import Outcome, cluster_draws, confidence_bins
from judge.verdict import Verdict

Array = np.ndarray[Any, Any]
BINS = 10
_BALANCED = "right, length-balanced"
_ORDER = (
    "right in both orders",
    "right, winner first",
    "right, winner last",
    "right, shorter is right",
    "right, longer is right",
    _BALANCED,
    "same in both orders",
    "ties",
    "invalid",
)
_OPPOSITE: Mapping[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie", "invalid": "invalid"}


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions of about the same confidence: how many, how sure in the mean, and which share was right."""

    items: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibration of the probability of the chosen side. Each figure is [value, low, high]."""

    bins: tuple[Bin, ...]
    ece: tuple[float, float, float]
    brier: tuple[float, float, float]


def outcomes(answered: Iterable[Answered]) -> list[Outcome]:
    """The comparisons that have a winner, seen from it."""
    found = []
    for one in answered:
        label = one.item.label
        if one.item.task != "compare" or label not in ("a", "b"):
            continue
        first, last = one.orders
        seen = (first, last) if label == "a" else (_OPPOSITE[last], _OPPOSITE[first])
        better, worse = one.item.comparison.response(label), one.item.comparison.response(other(label))
        found.append(
            Outcome(
                item=one.item.id,
                cluster=one.item.cluster,
                correct=seen == ("a", "a"),
                verdicts=seen,
                shorter_right=len(better) < len(worse),
                length=math.log(max(len(better), 1) / max(len(worse), 1)),
                rationale=one.judged.rationale,
            )
        )
    return found


def measures(answered: Sequence[Answered]) -> dict[str, Mean]:
    """Named shares; those about winners only where there are comparisons with one."""
    seen = outcomes(answered)
    compared = [one for one in answered if one.item.task == "compare"]
    balanced = [
        Credit(o.cluster, "shorter right" if o.shorter_right else "longer right", float(o.correct))
        for o in seen
        if o.length != 0  # of two that are equally long, neither is the longer one
    ]
    found = {
        "right in both orders": [Credit(o.cluster, "", float(o.correct)) for o in seen],
        "right, winner first": [Credit(o.cluster, "", float(o.verdicts[0] == "a")) for o in seen],
        "right, winner last": [Credit(o.cluster, "", float(o.verdicts[1] == "a")) for o in seen],
        "right, shorter is right": [one for one in balanced if one.group == "shorter right"],
        "right, longer is right": [one for one in balanced if one.group == "longer right"],
        "same in both orders": [Credit(one.item.cluster, "", float(_consistent(one))) for one in compared],
        "ties": [_share(one, "tie") for one in compared],
        "invalid": [_invalid(one) for one in answered],
    }
    means = {name: Mean(credits) for name, credits in found.items() if credits}
    if len({one.group for one in balanced}) == 2:
        means[_BALANCED] = mean_of_groups(balanced)
    return {name: means[name] for name in _ORDER if name in means}


def _consistent(answered: Answered) -> bool:
    first, last = answered.orders
    return first == last != "invalid"


def _share(answered: Answered, verdict: Verdict) -> Credit:
    return Credit(answered.item.cluster, "", answered.orders.count(verdict) / 2)


def _invalid(answered: Answered) -> Credit:
    """The share of verdicts, or of ratings, that could not be had."""
    if answered.item.task == "compare":
        return _share(answered, "invalid")
    scores = answered.judged.scores
    missing = sum(value is None for value in scores) / len(scores) if scores else 1.0
    return Credit(answered.item.cluster, "", missing)


def reliability(answered: Sequence[Answered], seed: int = 0) -> Reliability | None:
    """Expected calibration error in bins of equal width, and Brier score; None without probabilities."""
    known = [
        (one.item.cluster, one.judged.probability_a, one.item.label)
        for one in answered
        if one.judged.probability_a is not None and one.item.label in ("a", "b")
    ]
    if not known:
        return None
    probability = np.array([p if label == "a" else 1 - p for _, p, label in known])
    right, confidence, index = confidence_bins(probability, BINS)
    clusters = np.unique([cluster for cluster, _, _ in known], return_inverse=True)[1]
    size = clusters.max() + 1

    def table(values: Array) -> Array:
        sums = np.zeros((size, BINS), np.float32)  # as the draws are
        np.add.at(sums, (clusters, index), values)
        return sums

    counts, hits, sure = table(np.ones(len(known))), table(right), table(confidence)
    squares = table((1 - probability) ** 2)
    draws = cluster_draws(int(size), seed)
    return Reliability(
        bins=tuple(_bins(counts.sum(axis=0), hits.sum(axis=0), sure.sum(axis=0))),
        ece=_with_interval(_ece, (counts, hits, sure), draws),
        brier=_with_interval(lambda n, s: s.sum(axis=-1) / n.sum(axis=-1), (counts, squares), draws),
    )


def _ece(counts: Array, hits: Array, sure: Array) -> Array:
    """Mean over bins, weighted by their counts, of |share right - mean confidence|."""
    return np.asarray(np.abs(hits - sure).sum(axis=-1) / counts.sum(axis=-1))


def _with_interval(figure: Any, tables: Sequence[Array], draws: Array) -> tuple[float, float, float]:
    value = float(figure(*(one.sum(axis=0) for one in tables)))
    drawn = figure(*(draws @ one for one in tables))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return round(value, 4), round(float(low), 4), round(float(high), 4)


def _bins(counts: Array, hits: Array, sure: Array) -> Iterable[Bin]:
    for count, hit, confidence in zip(counts, hits, sure, strict=True):
        if count:
            yield Bin(int(count), round(float(confidence / count), 4), round(float(hit / count), 4))


def cost(answered: Sequence[Answered]) -> dict[str, Any]:
    """Tokens in all and for each item, and how many items had a text cut."""
    prompt = sum(one.judged.prompt_tokens for one in answered)
    completion = sum(one.judged.completion_tokens for one in answered)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "tokens_per_item": round((prompt + completion) / max(len(answered), 1), 1),
        "truncated": sum(one.judged.truncated for one in answered),
    }


def timing(answered: Sequence[Answered]) -> dict[str, Any]:
    """Seconds from asking to the answer, median and 95th percentile; items are asked beside each other."""
    seconds = sorted(one.judged.seconds for one in answered)
    if not seconds:
        return {}
    return {
        "median_s": round(float(np.quantile(seconds, 0.5)), 3),
        "p95_s": round(float(np.quantile(seconds, 0.95)), 3),
    }
