"""Two versions on the same items: by how much one is better, how sure that is, where verdicts flipped."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from judge.evaluation.benchmarks.arithmetic import LEVEL, Estimate, Mean
from judge.evaluation.benchmarks.items import Answered
from judge.evaluation.benchmarks.measures import outcomes
from judge.evaluation.statistics import Difference, compare


@dataclass(frozen=True, slots=True)
class Flip:
    """An item that was right in both orders under one of the versions and not under the other."""

    before: Answered
    after: Answered
    gained: bool


@dataclass(frozen=True, slots=True)
class Versus:
    """The second version against the first.

    `gain`: of the benchmark's own score, paired. `right`: of the share right in both orders, None where there
    are no comparisons with a winner; `p_different` is the two-sided exact McNemar test of it.
    """

    items: int
    gain: Estimate | None
    right: Difference | None
    gained: int
    lost: int
    p_different: float | None
    flips: tuple[Flip, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON value, without the flips."""
        right = None
        if self.right is not None:
            # Which of the two is the champion is not known here.
            value = asdict(self.right)
            names = {"champion": "before", "candidate": "after", "p_better": "p_second_is_better"}
            right = {names.get(name, name): _rounded(own) for name, own in value.items()}
        return {
            "items": self.items,
            "gain": self.gain.to_json() if self.gain else None,
            "right_in_both_orders": right,
            "gained": self.gained,
            "lost": self.lost,
            "p_different": None if self.p_different is None else _rounded(self.p_different),
        }


def versus(
    before: Sequence[Answered],
    after: Sequence[Answered],
    headlines: tuple[Mean, Mean] | None,
    seed: int = 0,
) -> Versus:
    """Compare two versions on the items that both have answered.

    Args:
        headlines: the benchmark's own score of each, over these items.
    """
    first = {one.item.id: one for one in before}
    pairs = [(first[one.item.id], one) for one in after if one.item.id in first]
    old, new = outcomes(one for one, _ in pairs), outcomes(two for _, two in pairs)
    flips = tuple(_flips(pairs))
    gained = sum(flip.gained for flip in flips)
    lost = len(flips) - gained
    return Versus(
        items=len(pairs),
        gain=headlines[0].gain(headlines[1], seed) if headlines else None,
        right=compare(old, new, LEVEL, seed=seed) if old else None,
        gained=gained,
        lost=lost,
        p_different=mcnemar(gained, lost) if old else None,
        flips=flips,
    )


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact McNemar test: are gains and losses equally likely?"""
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def common(runs: Mapping[str, Sequence[Answered]]) -> dict[str, list[Answered]]:
    """Each run's answers to the items that all of them have answered, in the first one's order."""
    if not runs:
        return {}
    by_run = {name: {one.item.id: one for one in answered} for name, answered in runs.items()}
    shared = set.intersection(*(set(own) for own in by_run.values()))
    order = [item for item in next(iter(by_run.values())) if item in shared]
    return {name: [own[item] for item in order] for name, own in by_run.items()}


def _flips(pairs: Sequence[tuple[Answered, Answered]]) -> list[Flip]:
    return [
        Flip(old, new, gained=new.right)
        for old, new in pairs
        if old.item.task == "compare" and old.item.label in ("a", "b") and old.right != new.right
    ]


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
