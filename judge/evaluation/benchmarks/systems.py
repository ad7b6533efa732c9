"""Systems ranked by what a judge makes of their outputs, and how that agrees with a reference order.

Rows: an instruction with `responses` by system, or one output a row (`instruction`, `output`, `generator`, as
AlpacaEval has them). Rows `{"system", "score"}` are the reference: higher is better. Each response is rated
alone, as Auto-J ranks systems.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from judge.comparison import Instruction
from judge.errors import Fault, InvalidInput
from judge.evaluation.benchmarks.arithmetic import Credit, Mean
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item
from judge.evaluation.benchmarks.pairs import instruction
from judge.judging.ranking import (
    Match,
    Reward,
    Score,
    drawn_means,
    drawn_strengths,
    mean_rewards,
    rank_order,
    scored,
)

Array = np.ndarray[Any, Any]
# Of the correlations' intervals by mean rating.
_DRAWS = 500


def read(rows: Sequence[Row]) -> list[Item]:
    """One item an instruction, with the systems that answered it."""
    reference = dict(each([row for row in rows if _is_reference(row)], _reference))
    asked: dict[str, tuple[Instruction, dict[str, str]]] = {}
    for found, responses in each([row for row in rows if not _is_reference(row)], _responses):
        asked.setdefault(found.digest, (found, {}))[1].update(responses)
    items = [_item(found, responses, reference) for found, responses in asked.values() if len(responses) > 1]
    if not items:
        raise InvalidInput(Fault("responses", "no instruction was answered by two systems"))
    return items


def _is_reference(row: Row) -> bool:
    return "system" in row.values and "score" in row.values


def _reference(row: Row) -> tuple[str, float]:
    value = row.values["score"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise row.wrong("score", "must be a number")
    return row.text("system"), float(value)


def _responses(row: Row) -> tuple[Instruction, dict[str, str]]:
    if "output" in row.values:
        return instruction(row), {row.text("generator"): row.response("output")}
    given = row.values.get("responses")
    if not isinstance(given, dict) or not given:
        raise row.wrong("responses", "must be an object with one response a system")
    own = Row(f"{row.place}: responses", row.file, given)
    return instruction(row), {name: own.response(name) for name in given}


def _item(found: Instruction, responses: dict[str, str], reference: dict[str, float]) -> Item:
    names = sorted(responses)
    return Item(
        id=found.digest[:16],
        subset="systems",
        instruction=found,
        responses=tuple(responses[name] for name in names),
        task="rate",
        facts={"systems": names, "reference": {n: reference[n] for n in names if n in reference}},
    )


def score(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """How often two systems' responses are rated in the reference's order (equal: half); mean ratings."""
    ordered = [credit for one in answered for credit in _ordered(one)]
    ratings: dict[str, list[Credit]] = {name: [] for one in answered for name in one.item.facts["systems"]}
    for one in answered:
        for name, value in _rated(one):
            ratings[name].append(Credit(one.item.cluster, name, value))
    means = {f"mean rating of {name}": Mean(ratings[name]) for name in sorted(ratings)}
    return ({"pairs in the reference's order": Mean(ordered)} if ordered else {}) | means


def ranking(answered: Sequence[Answered], seed: int) -> dict[str, Any]:
    """Mean rating and Bradley-Terry strength of each system with ranks and intervals, and their correlations.

    Strengths are of who is rated higher within each instruction; equal ratings are a tie. `rank` is by the
    mean rating.
    """
    names = _names(answered)
    numbers = {name: index for index, name in enumerate(names)}
    rewards = [Reward(numbers[name], a.item.cluster, value) for a in answered for name, value in _rated(a)]
    if not rewards:
        return {"systems": [], "reference": None}
    means = mean_rewards(rewards, names, seed=seed)
    strengths = _strengths(list(_matches(answered, numbers)), names, seed)
    ranks = _ranks(means)
    by_strength = _ranks(strengths.scores) if strengths else None
    table = [
        {
            "system": name,
            "rank": ranks[index],
            "rating": _cell(means[index]),
            "strength": _cell(strengths.scores[index]) if strengths else None,
            "strength_rank": by_strength[index] if by_strength else None,
        }
        for index, name in sorted(enumerate(names), key=lambda one: (ranks[one[0]], one[1]))
    ]
    drawn = drawn_means(rewards, names, draws=_DRAWS, seed=seed)
    ratings = _Drawn(means, np.column_stack([draws for _, draws in drawn]))
    return {"systems": table, "reference": _correlations(answered, names, ratings, strengths)}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A score of each system, and the same on instructions drawn again, (draws, systems), if there are."""

    scores: Sequence[Score]
    draws: Array | None


def _strengths(matches: Sequence[Match], names: Sequence[str], seed: int) -> _Drawn | None:
    """None where the systems fall into groups that were never compared with each other."""
    try:
        values, draws = drawn_strengths(matches, names, seed=seed)
    except InvalidInput:
        return None
    return _Drawn(scored(values, draws), draws)


def _ranks(scores: Sequence[Score]) -> dict[int, int]:
    return dict(rank_order([one.value for one in scores]))


def _correlations(
    answered: Sequence[Answered], names: Sequence[str], ratings: _Drawn, strengths: _Drawn | None
) -> dict[str, Any] | None:
    """With the reference's scores, over the systems that it has; None for fewer than three.

    Intervals are by a bootstrap over instructions with the same systems.
    """
    # Imported here, as in `arithmetic`.
    from scipy.stats import pearsonr, spearmanr

    reference = {name: value for one in answered for name, value in one.item.facts["reference"].items()}
    kept = [index for index, name in enumerate(names) if name in reference]
    if len(kept) < 3:
        return None
    gold = [reference[names[index]] for index in kept]
    found: dict[str, Any] = {"systems": len(kept)}
    for label, correlation in (("spearman", spearmanr), ("pearson", pearsonr)):

        def of(values: Any, correlation: Any = correlation) -> float:
            # Of a constant there is none.
            several = len(set(map(float, values))) > 1 and len(set(gold)) > 1
            return float(correlation(gold, values).statistic) if several else float("nan")

        found[label] = {
            "rating": _correlated(of, ratings, kept),
            "strength": _correlated(of, strengths, kept) if strengths else None,
        }
    return found


def _correlated(of: Callable[[Any], float], drawn: _Drawn, kept: Sequence[int]) -> dict[str, float | None]:
    draws = () if drawn.draws is None else drawn.draws[:, kept]
    known = [value for value in map(of, draws) if value == value]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (None, None)
    value = of([drawn.scores[index].value for index in kept])
    return {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 4)


def _names(answered: Sequence[Answered]) -> list[str]:
    return sorted({name for one in answered for name, _ in _rated(one)})


def _rated(answered: Answered) -> Iterator[tuple[str, float]]:
    for name, value in zip(answered.item.facts["systems"], answered.judged.scores, strict=False):
        if value is not None:
            yield name, value


def _ordered(answered: Answered) -> Iterator[Credit]:
    reference: dict[str, float] = answered.item.facts["reference"]
    known = [(name, value) for name, value in _rated(answered) if name in reference]
    for (one, mine), (other, theirs) in combinations(known, 2):
        if reference[one] != reference[other]:
            agree = (mine - theirs) * (reference[one] - reference[other])
            yield Credit(answered.item.cluster, "order", 1.0 if agree > 0 else 0.5 if agree == 0 else 0.0)


def _matches(answered: Sequence[Answered], numbers: dict[str, int]) -> Iterator[Match]:
    for one in answered:
        for (name, mine), (other, theirs) in combinations(_rated(one), 2):
            if mine == theirs:
                yield Match(numbers[name], numbers[other], one.item.cluster, 0.5)
            else:
                winner, loser = (name, other) if mine > theirs else (other, name)
                yield Match(numbers[winner], numbers[loser], one.item.cluster)


def _cell(score: Score) -> dict[str, float | None]:
    return {"value": score.value, "low": score.low, "high": score.high}
