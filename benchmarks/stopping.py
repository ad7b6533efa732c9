"""What stopping confident votes early saves, and what it makes of the verdict, for judges of known rates.

    python -m benchmarks.stopping [--rules]

A judge votes for A at one rate with A shown first and at another with it shown last; sixteen votes an order.
`--rules` adds the rules that were tried and not taken: Jeffreys' prior in `judge.judging.voting.p_even`,
and with it the exact test on the pairs of orders that agree.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence

from scipy.special import betainc

from judge.judging.voting import CONFIDENCE, Vote, enough, majority, p_even, stopped

RATES = ((1.0, 0.0), (0.95, 0.05), (0.9, 0.1), (0.9, 0.2), (0.5, 0.5), (0.65, 0.65), (0.7, 0.6), (0.9, 0.7))
ORDERS, RUNS = 16, 400
JEFFREYS = 0.5
Rule = Callable[[Sequence[Vote]], Sequence[Vote]]


def main() -> None:
    """Print a line for each rule and pair of rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rules", action="store_true")
    rules: dict[str, Rule] = {"confident": lambda votes: stopped(votes, "confident")}
    if parser.parse_args().rules:
        rules |= {
            "Jeffreys' prior": lambda votes: first_that(votes, even_by_jeffreys),
            "agreeing pairs too": lambda votes: first_that(
                votes, lambda cast: even_by_jeffreys(cast) or sure_by_agreeing(cast)
            ),
        }
    print("| rule | A first | A last | votes saved | a | b | tie | as all votes |\n" + "|---" * 8 + "|")
    for name, rule in rules.items():
        for first, last in RATES:
            print(f"| {name} | {first} | {last} | {line(rule, first, last)} |", flush=True)


def line(rule: Rule, first: float, last: float) -> str:
    """The last cells of a row; the same votes for each rule."""
    rng = random.Random(f"{first} {last}")
    kept, same, verdicts = 0, 0, Counter[str]()
    for _ in range(RUNS):
        votes = [
            Vote("a" if place == 0 else "b", "a" if rng.random() < rate else "b")
            for _ in range(ORDERS)
            for place, rate in enumerate((first, last))
        ]
        cast = rule(votes)
        verdict = majority(cast, allow_tie=True)[0]
        kept += len(cast)
        verdicts[verdict] += 1
        same += verdict == majority(votes, allow_tie=True)[0]
    shares = " | ".join(f"{verdicts[name] / RUNS:.2f}" for name in ("a", "b", "tie"))
    return f"{1 - kept / (2 * ORDERS * RUNS):.0%} | {shares} | {same / RUNS:.2f}"


def first_that(votes: Sequence[Vote], may_stop: Callable[[Sequence[Vote]], bool]) -> Sequence[Vote]:
    """The votes until the product's rule stops, or this one."""
    for count in range(2, len(votes), 2):
        if enough(votes[:count], len(votes), "confident") or may_stop(votes[:count]):
            return votes[:count]
    return votes


def even_by_jeffreys(votes: Sequence[Vote]) -> bool:
    """Whether the votes cancel out, under Jeffreys' prior."""
    return p_even(votes, JEFFREYS) >= CONFIDENCE


def sure_by_agreeing(votes: Sequence[Vote]) -> bool:
    """Whether one side leads among the pairs of orders that name the same one."""
    both = [a.verdict for a, b in zip(votes[::2], votes[1::2], strict=True) if a.verdict == b.verdict]
    least, most = sorted((both.count("a"), both.count("b")))
    return 1 - float(betainc(most + 1, least + 1, 0.5)) >= CONFIDENCE


if __name__ == "__main__":
    main()
