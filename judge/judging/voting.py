"""Many judgments into one decision. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.special import betainc

from judge.backend.answers import Usage
from judge.comparison import Side
from judge.verdict import Verdict

Mode = Literal["direct", "reasoning", "cascade"]
# How a decision came about: a check without the model, label probabilities, or written judgments.
Path = Literal["check", "direct", "reasoning"]
Stopping = Literal["fixed", "curtailed", "confident"]
# The posterior at which a leader is believed (GUARANTEES: adaptive votes).
CONFIDENCE = 0.95
# Further from one half than this, sixteen votes in each order find the better side nineteen times in twenty.
EVEN = 0.15
_CELLS = 200
# Complete pairs before which `p_even` cannot reach `CONFIDENCE`, whatever the votes are.
_PAIRS_EVEN = 7
VERDICTS: tuple[Verdict, ...] = ("a", "b", "tie", "invalid")


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgment of a comparison: which response was shown first, and the verdict about A and B."""

    first: Side
    verdict: Verdict
    text: str = ""
    reason: str | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What was decided with one response shown first; `probability_a` is None where none was had."""

    first: Side
    verdict: Verdict
    probability_a: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The service's answer to a comparison, and all that it rests on."""

    verdict: Verdict
    probability_a: float | None
    orders: tuple[OrderResult, ...]
    mode: Mode
    strategy: str | None
    model_version: str
    prompt_hash: str
    usage: Usage
    truncated: bool = False
    reason: str | None = None
    rationale: str | None = None
    votes: dict[Verdict, int] = field(default_factory=dict)
    path: Path = "direct"
    direct_probability_a: float | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Rating:
    """The service's answer to a single response. `rating` is on the scale asked for, None if invalid."""

    rating: float | None
    mode: Mode
    model_version: str
    prompt_hash: str
    usage: Usage
    truncated: bool = False
    reason: str | None = None
    critique: str | None = None
    votes: int = 1
    criteria: tuple["CriterionRating", ...] = ()
    suggestions: tuple[str, ...] = ()
    path: Path = "direct"
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CriterionRating:
    """The rating by one criterion alone."""

    name: str
    weight: float
    rating: float | None
    critique: str | None = None
    reason: str | None = None


def enough(votes: Sequence[Vote], planned: int, stopping: Stopping) -> bool:
    """Whether voting may stop after these votes (complete pairs of orders) of `planned` ones.

    `curtailed`: what is left cannot change which side leads, so the verdict equals that of all votes.
    `confident`: also when P(the leader is the majority | votes) reaches 0.95 under a uniform prior, which
    is 1 - I_0.5(leader + 1, other + 1), I being the regularized incomplete beta function; and when it is as
    sure that the votes are even (`p_even`), as they are where they follow the order and not the responses.
    """
    counts = Counter(vote.verdict for vote in votes)
    leader, other = max(counts["a"], counts["b"]), min(counts["a"], counts["b"])
    left = planned - len(votes)
    if left <= 0:
        return True
    # A tie vote counts for a third side in `majority`: it must be out of reach as well.
    if stopping != "fixed" and leader > max(other, counts["tie"]) + left:
        return True
    if stopping != "confident":
        return False
    sure = 1 - float(betainc(leader + 1, other + 1, 0.5))
    return sure >= CONFIDENCE or p_even(votes) >= CONFIDENCE


def pairs_needed(votes: Sequence[Vote], planned: int, stopping: Stopping) -> int:
    """Pairs of orders that have to be cast before voting may stop, whatever they say; 0 where it may.

    So many can be cast at once, and there is never a vote that the rule would have done without.
    """
    if enough(votes, planned, stopping):
        return 0
    left = (planned - len(votes)) // 2
    if stopping == "fixed":
        return left
    counts = Counter(vote.verdict for vote in votes)
    leader, other = max(counts["a"], counts["b"]), min(counts["a"], counts["b"])
    # The soonest: every vote that comes is for the leader.
    beyond_reach = (max(other, counts["tie"]) + planned - len(votes) - leader) // 4 + 1
    if stopping == "curtailed":
        return min(beyond_reach, left)
    sure = next(
        pairs
        for pairs in range(1, planned + 2)
        if 1 - float(betainc(leader + 2 * pairs + 1, other + 1, 0.5)) >= CONFIDENCE
    )
    even = max(_PAIRS_EVEN - len(votes) // 2, 1)
    return min(beyond_reach, sure, even, left)


def stopped(votes: Sequence[Vote], stopping: Stopping) -> Sequence[Vote]:
    """Of all the votes that were planned, in pairs of orders, those that are cast under a rule."""
    count = 0
    while pairs := pairs_needed(votes[:count], len(votes), stopping):
        count += 2 * pairs
    return votes[:count]


def p_even(votes: Sequence[Vote], prior: float = 1.0) -> float:
    """P(the two orders' rates of votes for A have a mean within `EVEN` of one half | votes).

    Each order has a rate of its own under a beta prior (1 is the uniform one, 0.5 Jeffreys'), so votes that
    follow the order soon show that they cancel out, which a single rate for both would never do. A tie counts
    half for either side.
    """
    (x_a, x_b), (y_a, y_b) = (_posterior(votes, first, prior) for first in ("a", "b"))
    edges = np.linspace(0, 1, _CELLS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    low, high = (np.clip(1 - middles + 2 * sign * EVEN, 0, 1) for sign in (-1, 1))
    within = betainc(y_a, y_b, high) - betainc(y_a, y_b, low)
    return float((np.diff(betainc(x_a, x_b, edges)) * within).sum())


def _posterior(votes: Sequence[Vote], first: str, prior: float) -> tuple[float, float]:
    """The beta distribution of one order's rate of votes for A."""
    counts = Counter(vote.verdict for vote in votes if vote.first == first)
    return counts["a"] + counts["tie"] / 2 + prior, counts["b"] + counts["tie"] / 2 + prior


def majority(votes: Sequence[Vote], *, allow_tie: bool) -> tuple[Verdict, str | None]:
    """The verdict of most valid votes, and the reason where there is none.

    Equal counts for A and B are a tie, as is a majority of ties; without ties allowed they are invalid.
    """
    counts = Counter(vote.verdict for vote in votes)
    valid = len(votes) - counts["invalid"]
    if not valid:
        reasons = Counter(vote.reason for vote in votes if vote.reason)
        return "invalid", f"no valid judgment: {reasons.most_common(1)[0][0]}" if reasons else "no judgment"
    leaders = [v for v in ("a", "b", "tie") if counts[v] == max(counts["a"], counts["b"], counts["tie"])]
    if leaders == ["a"]:
        return "a", None
    if leaders == ["b"]:
        return "b", None
    if allow_tie:
        return "tie", None
    return "invalid", "the votes are evenly split and a tie was not allowed"


def share_for_a(votes: Sequence[Vote]) -> float | None:
    """Share of the valid votes for A, a tie counting half; None without valid votes."""
    counts = Counter(vote.verdict for vote in votes)
    valid = len(votes) - counts["invalid"]
    return (counts["a"] + counts["tie"] / 2) / valid if valid else None


def tally(votes: Sequence[Vote]) -> dict[Verdict, int]:
    """How many votes each verdict got, zeros included."""
    counts = Counter(vote.verdict for vote in votes)
    return {verdict: counts[verdict] for verdict in VERDICTS}
