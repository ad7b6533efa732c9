"""The gate: whether a candidate may replace the champion. Pure; it sees outcomes, not models.

An item counts as correct only if the judge is right in both orders. The candidate must be better on the
held-out pairs (one-sided exact McNemar test and a bootstrap interval above zero, both at this round's
share of alpha), and on no guard slice worse than a stated margin (Holm over the slices). Repeated rounds
spend alpha as 6/(pi^2 k^2), so that it is never exceeded in total. Too few items is no decision.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from judge.statistics import Difference, Outcome, compare, holm, p_worse_than

GateDecision = Literal["promote", "refuse", "no_decision"]


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`alpha` over all rounds, `delta` tolerated on guard slices, at `guard_alpha` over all of them."""

    alpha: float
    delta: float
    guard_alpha: float
    min_items: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's answer and every figure behind it."""

    decision: GateDecision
    reasons: tuple[str, ...]
    main: Difference
    guards: dict[str, Difference]
    alpha: float

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "decision": self.decision,
            "reasons": list(self.reasons),
            "main": self.main.to_json(),
            "guards": {name: guard.to_json() for name, guard in self.guards.items()},
            "alpha": round(self.alpha, 6),
        }


Paired = tuple[Sequence[Outcome], Sequence[Outcome]]


def decide(
    main: Paired, guards: Mapping[str, Paired], settings: GateSettings, round_number: int
) -> GateResult:
    """Compare candidate and champion.

    Args:
        main: outcomes of the champion and of the candidate on held-out items.
        guards: the same for each slice that must not get worse.
        settings: see `GateSettings`.
        round_number: how many times this champion line has been tested, this time included.
    """
    alpha = settings.alpha * 6 / (math.pi**2 * round_number**2)
    difference = compare(*main, level=1 - 2 * alpha)
    slices = {name: compare(*pair, level=0.95) for name, pair in guards.items()}
    if difference.items < settings.min_items:
        reason = f"{difference.items} held-out items, {settings.min_items} are needed for a decision"
        return GateResult("no_decision", (reason,), difference, slices, alpha)
    reasons = []
    if difference.p_better > alpha or difference.low <= 0:
        reasons.append(
            f"not shown to be better on held-out pairs: {difference.champion:.3f} to "
            f"{difference.candidate:.3f}, lower bound {difference.low:+.3f}, p = {difference.p_better:.4f} "
            f"against alpha = {alpha:.4f}"
        )
    judged = {name: guard for name, guard in slices.items() if guard.items >= settings.min_items // 2}
    p_values = [p_worse_than(guard, settings.delta) for guard in judged.values()]
    for (name, guard), worse in zip(judged.items(), holm(p_values, settings.guard_alpha), strict=True):
        if worse:
            reasons.append(
                f"worse on {name}: {guard.champion:.3f} to {guard.candidate:.3f} "
                f"({guard.items} items, margin {settings.delta})"
            )
    if reasons:
        return GateResult("refuse", tuple(reasons), difference, slices, alpha)
    passed = (
        f"better on held-out pairs: {difference.champion:.3f} to {difference.candidate:.3f}, "
        f"lower bound {difference.low:+.3f}, p = {difference.p_better:.2g}"
    )
    return GateResult("promote", (passed,), difference, slices, alpha)
