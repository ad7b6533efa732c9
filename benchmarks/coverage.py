"""How often the interval of two judges' difference holds the truth, which is known here.

    python -m benchmarks.coverage

Needs no model: two judges that are right 70% and 73% of the time, on the same items, 1,000 times over. What
is hard is hard for both, and for all items of an instruction.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from judge.evaluation.benchmarks.arithmetic import Credit, Mean
from judge.evaluation.benchmarks.versus import mcnemar
from judge.evaluation.statistics import Outcome, compare

ROUNDS, ITEMS, INSTRUCTIONS = 1000, 400, 250
TRUTH = 0.03
# The normal quantiles of .70 and .73.
_ABILITY = np.array([[0.524401], [0.612813]])
Array = np.ndarray[Any, Any]


def simulate(rounds: int = ROUNDS, seed: int = 20) -> dict[str, float]:
    """Shares of the rounds: intervals that hold the truth, and differences found by McNemar's test at 5%."""
    counts = {"right in both orders": 0, "gain of the score": 0, "found by McNemar": 0}
    for clusters, old, new in planted(rounds, seed):
        before, after = (
            [
                Outcome(str(n), c, bool(r), ("a", "a"), False)
                for n, (c, r) in enumerate(zip(clusters, own, strict=True))
            ]
            for own in (old, new)
        )
        pairs = compare(before, after, 0.95)
        means = [
            Mean([Credit(c, "", float(r)) for c, r in zip(clusters, own, strict=True)]) for own in (old, new)
        ]
        gain = means[0].gain(means[1])
        assert gain.low is not None
        assert gain.high is not None
        counts["right in both orders"] += pairs.low <= TRUTH <= pairs.high
        counts["gain of the score"] += gain.low <= TRUTH <= gain.high
        counts["found by McNemar"] += mcnemar(int((new & ~old).sum()), int((old & ~new).sum())) < 0.05
    return {name: count / rounds for name, count in counts.items()}


def planted(rounds: int, seed: int) -> Iterator[tuple[list[str], Array, Array]]:
    """Each item's instruction, and whether the one and the other judge is right about it."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        more = rng.integers(INSTRUCTIONS, size=ITEMS - INSTRUCTIONS)
        cluster = rng.permutation(np.r_[np.arange(INSTRUCTIONS), more])
        hard = 0.5 * rng.normal(size=INSTRUCTIONS)[cluster] + 0.5 * rng.normal(size=ITEMS)
        right = hard + math.sqrt(0.5) * rng.normal(size=(2, ITEMS)) < _ABILITY
        yield [str(number) for number in cluster], right[0], right[1]


if __name__ == "__main__":
    print(f"{ROUNDS} rounds, {ITEMS} items of {INSTRUCTIONS} instructions, true difference {TRUTH}")
    for name, share in simulate().items():
        print(f"{name}: {share:.3f}")
