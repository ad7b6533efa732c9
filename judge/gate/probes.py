"""Collapse probes: figures that show a judge which has stopped judging, whatever its accuracy. Pure.

Each probe has a range in which a working judge stays. It refuses a candidate only if the candidate's whole
interval (99%) lies outside of it and the candidate is farther outside than the champion: so chance does not
trip it, and a champion with a weakness can still be replaced by a better one with the same weakness.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import statsmodels.api as sm
from scipy.special import entr

from judge.evaluation.statistics import Outcome, cluster_draws, wilson
from judge.judging.scoring import MOST_TIES

Role = Literal["candidate", "champion", "seed"]
Array = np.ndarray[Any, Any]
LEVEL = 0.99
# Of fewer written judgments even the same one each time has a trigram in ten that is no repetition.
FEWEST_RATIONALES = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """A probe's value for one judge, and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe's figures, the range that a judge should stay in, and whether the candidate left it."""

    name: str
    least: float
    most: float
    figures: dict[Role, Figure]

    @property
    def tripped(self) -> bool:
        """Whether it speaks against the candidate."""
        mine, theirs = self.figures.get("candidate"), self.figures.get("champion")
        if mine is None or not (mine.low > self.most or mine.high < self.least):
            return False
        return theirs is None or self._outside(mine.value) > self._outside(theirs.value)

    @property
    def reason(self) -> str:
        """The candidate's figure beside the range and the champion's."""
        mine, theirs = self.figures["candidate"], self.figures.get("champion")
        beside = f", champion {theirs.value:.3f}" if theirs else ""
        bound = f"at most {self.most:g}" if mine.low > self.most else f"at least {self.least:g}"
        return (
            f"{self.name} is {mine.value:.3f} ({mine.low:.3f} to {mine.high:.3f}), should be {bound}{beside}"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON value; an open end of the range is None."""
        limits = [None if math.isinf(value) else value for value in (self.least, self.most)]
        figures: dict[str, Any] = {
            role: {name: round(value, 4) for name, value in asdict(figure).items()}
            for role, figure in self.figures.items()
        }
        return {"range": limits, "tripped": self.tripped, **figures}

    def _outside(self, value: float) -> float:
        return max(value - self.most, self.least - value, 0.0)


# Columns of `_counts`.
_ITEMS, _FIRST, _SECOND, _TIE, _INVALID, _CONSISTENT, _SHORTER_RIGHT, _SHORTER_WRONG = range(8)


def _entropy(sums: Array) -> Array:
    shown = sums[..., [_FIRST, _SECOND, _TIE, _INVALID]]
    shares = shown / shown.sum(axis=-1, keepdims=True)
    return np.asarray(entr(shares).sum(axis=-1) / math.log(2))


def _share(part: int, *rest: int) -> Callable[[Array], Array]:
    def share(sums: Array) -> Array:
        return np.asarray(sums[..., part] / sums[..., [part, *rest]].sum(axis=-1))

    return share


def _per(part: int, of_item: float) -> Callable[[Array], Array]:
    return lambda sums: np.asarray(sums[..., part] / (of_item * sums[..., _ITEMS]))


# Why these ranges: beyond .65 at least three in ten pairs are decided by their order alone, and below a
# consistency of one half every other pair is; half a bit is the entropy of one verdict nine times in ten; one
# invalid verdict in twenty and one tie in four are answers that callers do without; and a judge that
# is wrong more often than right where the shorter is better has found length.
_SHARES: tuple[tuple[str, float, float, Callable[[Array], Array]], ...] = (
    ("P(first shown wins)", 0.35, 0.65, _share(_FIRST, _SECOND)),
    ("position consistency", 0.5, 1.0, _per(_CONSISTENT, 1)),
    ("invalid share", 0.0, 0.05, _per(_INVALID, 2)),
    ("tie share", 0.0, MOST_TIES, _per(_TIE, 2)),
    ("verdict entropy", 0.5, 2.0, _entropy),
    ("right where the shorter is right", 0.5, 1.0, _share(_SHORTER_RIGHT, _SHORTER_WRONG)),
)


def probe(
    outcomes: Mapping[Role, Sequence[Outcome]], reasoned: Mapping[Role, Sequence[Outcome]]
) -> list[Probe]:
    """All probes of verdicts and of rationales.

    Args:
        outcomes: each judge on the same held-out pairs, by the strategy that serves.
        reasoned: each judge's written judgments, for the n-grams of their rationales.
    """
    shares = {role: _shares(judged) for role, judged in outcomes.items() if judged}
    probes = [
        Probe(name, least, most, {role: found[name] for role, found in shares.items() if name in found})
        for name, least, most, _ in _SHARES
    ]
    length = {role: figure for role, judged in outcomes.items() if (figure := length_beyond_merit(judged))}
    # In log-odds: above 0, being the longer response moves the verdict more than being the right one.
    probes.append(Probe("effect of length beyond that of being right", -math.inf, 0.0, length))
    # Each trigram ten times over, from judgments about pairs that have nothing in common.
    probes.append(Probe("distinct trigrams of rationales", 0.1, 1.0, distinct_trigrams(reasoned)))
    return probes


def accepted_share(accepted: int, asked: int) -> Probe:
    """The yield of rejection sampling: ordered prompts with a right judgment, of those that were judged.

    It is the champion's work that is measured, and the candidate that has learned from it: below one in ten
    the accepted ones are mostly luck. A judge that always says A has one half.
    """
    if not asked:
        return Probe("yield of accepted examples", 0.1, 1.0, {})
    low, high = wilson(accepted, asked, LEVEL)
    return Probe("yield of accepted examples", 0.1, 1.0, {"candidate": Figure(accepted / asked, low, high)})


def _shares(outcomes: Sequence[Outcome]) -> dict[str, Figure]:
    """The probes that are functions of counts, with bootstrap intervals over instructions."""
    clusters: dict[str, Array] = {}
    for outcome in outcomes:
        clusters[outcome.cluster] = clusters.get(outcome.cluster, np.zeros(8)) + _counts(outcome)
    counts = np.array(list(clusters.values()), np.float32)
    points, drawn = _values(counts.sum(axis=0)), _values(cluster_draws(len(counts)) @ counts)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return {
        name: Figure(float(point), float(least), float(most))
        for (name, *_), point, least, most in zip(_SHARES, points, low, high, strict=True)
        if not math.isnan(point + least + most)
    }


def _values(sums: Array) -> Array:
    """Every probe of the sums of counts in the last axis; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        return np.array([value(sums) for _, _, _, value in _SHARES])


def _counts(outcome: Outcome) -> Array:
    first, last = outcome.verdicts
    counts = np.zeros(8)
    counts[_ITEMS] = 1
    counts[_FIRST] = (first == "a") + (last == "b")
    counts[_SECOND] = (first == "b") + (last == "a")
    counts[_TIE] = outcome.verdicts.count("tie")
    counts[_INVALID] = outcome.verdicts.count("invalid")
    counts[_CONSISTENT] = first == last != "invalid"
    if outcome.shorter_right and first == last and first in ("a", "b"):
        counts[_SHORTER_RIGHT if first == "a" else _SHORTER_WRONG] = 1
    return counts


def length_beyond_merit(outcomes: Sequence[Outcome]) -> Figure | None:
    """How much more the length of a response moves the verdict than its being right; None without decisions.

    A logistic regression of "the response shown first wins" on whether it is the right one (1 or -1), on
    whether it is the longer one (likewise), and on a constant, which is the bias of position; errors are
    clustered by instruction. The value is |length's coefficient| minus that of being right. Two
    pseudo-observations for each coefficient keep it finite where a judge is perfect (log-F(2,2) prior,
    Greenland and Mansournia 2015).
    """
    rows, wins, groups = [], [], []
    for outcome in outcomes:
        for shown, verdict in zip((1.0, -1.0), outcome.verdicts, strict=True):
            if verdict in ("a", "b"):
                rows.append([1.0, shown, shown * np.sign(outcome.length)])
                wins.append((verdict == "a") == (shown > 0))
                groups.append(outcome.cluster)
    if len(set(groups)) < 2:
        return None
    prior = np.repeat(np.eye(3), 2, axis=0)
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    clusters = [names[group] for group in groups] + [len(names) + number for number in range(len(prior))]
    fitted = sm.Logit(np.r_[np.array(wins, float), np.tile([0.0, 1.0], 3)], np.r_[np.array(rows), prior]).fit(
        disp=False, cov_type="cluster", cov_kwds={"groups": np.array(clusters)}
    )
    contrast = np.array([0.0, -1.0, math.copysign(1.0, fitted.params[2])])
    test = fitted.t_test(contrast)
    low, high = test.conf_int(alpha=1 - LEVEL)[0]
    return Figure(float(test.effect[0]), float(low), float(high))


def distinct_trigrams(reasoned: Mapping[Role, Sequence[Outcome]]) -> dict[Role, Figure]:
    """Share of different word trigrams among all in the rationales, at equal amounts of text for each judge.

    A count, so its interval is a point. Judges with too few rationales are left out.
    """
    found: dict[Role, list[Any]] = {}
    for role, outcomes in reasoned.items():
        texts = [outcome.rationale.split() for outcome in outcomes if outcome.rationale]
        grams = [gram for words in texts for gram in zip(words, words[1:], words[2:], strict=False)]
        if len(texts) >= FEWEST_RATIONALES and grams:
            found[role] = grams
    amount = min((len(grams) for grams in found.values()), default=0)
    shares = {role: len(set(grams[:amount])) / amount for role, grams in found.items()}
    return {role: Figure(share, share, share) for role, share in shares.items()}
