"""What an iteration's versions are measured on: shares of its held-out pairs, and every anchor set."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from judge.comparison import Comparison
from judge.draw import is_drawn
from judge.evaluation import anchors
from judge.evaluation.anchors import LabeledPair
from judge.pairs.balance import even_lengths
from judge.store.tables import PairRow
from judge.teaching import budget
from judge.teaching.funnel import Step
from judge.teaching.planning import judge_of
from workers.seal import FIT, HELD_OUT
from workers.stage import Stage

_FIT_SHARE = 0.35
Sets = dict[str, list[LabeledPair]]


def load_sets(stage: Stage) -> tuple[Sets, Step]:
    """The labeled pairs to measure on; the same ones each time for the same data.

    Anchors that no prompt can hold are dropped, and counted.
    """
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = list(
            session.scalars(
                select(PairRow)
                .where(PairRow.iteration_id == stage.iteration, PairRow.held_out)
                .order_by(PairRow.instruction_id, PairRow.ordinal)
            )
        )
        anchored = anchors.load_anchors(session)
    sets: Sets = {}
    for name, share in ((FIT, _FIT_SHARE), (HELD_OUT, 1 - _FIT_SHARE)):
        own = [row for row in rows if is_drawn(f"fit {row.instruction_id}", _FIT_SHARE) == (name == FIT)]
        rng = random.Random(f"{settings.seed} {name}")
        # As many whose better response is the longer one as the shorter one: length alone is worth nothing.
        even = even_lengths([row.to_pair() for row in own], round(share * settings.evaluated_pairs), rng)
        sets[name] = [LabeledPair(own[i].item, own[i].to_pair().comparison("a"), "a") for i in even]
    judge = judge_of(stage.store, stage.judged_by, stage.process.max_model_len, settings)
    step = Step("anchors")
    for name, pairs in anchored.items():
        decided = [_preferred_first(pair) for pair in pairs if pair.label != "tie"]
        drawn = _sample(decided, settings.evaluated_anchors, f"{settings.seed} {name}")
        kept = [pair for pair in drawn if budget.fits(judge, pair.comparison, reasoned=False)]
        step.came_in += len(drawn)
        step.drop("too_long", len(drawn) - len(kept))
        sets[f"anchor:{name}"] = kept
    return sets, step


def anchored_in(sets: Sets) -> list[str]:
    return [dataset for dataset in sets if dataset not in (FIT, HELD_OUT) and sets[dataset]]


def pairs_for(stage: Stage, sets: Sets, dataset: str, how: str) -> list[LabeledPair]:
    pairs = sets[dataset]
    return pairs[: stage.settings.evaluated_reasoning] if how == "reasoning" else pairs


def _preferred_first(pair: LabeledPair) -> LabeledPair:
    if pair.label == "a":
        return pair
    comparison = pair.comparison
    swapped = Comparison(comparison.instruction, comparison.response_b, comparison.response_a)
    return replace(pair, comparison=swapped, label="a")


def _sample(items: Sequence[Any], limit: int, seed: str) -> list[Any]:
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]
