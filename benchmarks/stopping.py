"""What stopping confident votes early saves, and what it makes of the verdict, for judges of known rates.

    python benchmarks/stopping.py

A judge votes for A at one rate with A shown first and at another with it shown last; sixteen votes an order.
"""

import random
from collections import Counter

from judge.voting import Vote, majority, stopped

RATES = ((1.0, 0.0), (0.95, 0.05), (0.9, 0.2), (0.5, 0.5), (0.65, 0.65), (0.7, 0.6), (0.9, 0.7))
ORDERS, RUNS = 16, 400


def main() -> None:
    """Print a line for each pair of rates."""
    rng = random.Random(0)
    print("| A first | A last | votes saved | a | b | tie |\n|---|---|---|---|---|---|")
    for first, last in RATES:
        kept, verdicts = 0, Counter[str]()
        for _ in range(RUNS):
            votes = [
                Vote("a" if place == 0 else "b", "a" if rng.random() < rate else "b")
                for _ in range(ORDERS)
                for place, rate in enumerate((first, last))
            ]
            cast = stopped(votes, "confident")
            kept += len(cast)
            verdicts[majority(cast, allow_tie=True)[0]] += 1
        shares = " | ".join(f"{verdicts[name] / RUNS:.2f}" for name in ("a", "b", "tie"))
        print(f"| {first} | {last} | {1 - kept / (2 * ORDERS * RUNS):.0%} | {shares} |")


if __name__ == "__main__":
    main()
