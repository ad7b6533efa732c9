"""Filter: the training examples of an iteration.

Reasoned judgments by rejection sampling: one random correct sample for each ordered prompt, none where no
sample was right, then as many with A winning as with B. Pointwise pairs: all training pairs, drawn so
that the longer response is the chosen one about half of the time.
"""

import random
from collections import defaultdict
from typing import Any

from sqlalchemy import delete, select

from judge.pairs import balance_lengths
from judge.tables import ExampleRow, JudgmentRow, PairRow
from workers.stage import Stage


def run(stage: Stage) -> dict[str, Any]:
    """Write the examples in one transaction, in place of earlier ones."""
    rng = random.Random(f"{stage.settings.seed} filter")
    with stage.lease.transaction() as session:
        session.execute(delete(ExampleRow).where(ExampleRow.iteration_id == stage.iteration))
        pairs = list(
            session.scalars(
                select(PairRow)
                .where(PairRow.iteration_id == stage.iteration, ~PairRow.held_out)
                .order_by(PairRow.id)
            )
        )
        judgments = list(
            session.scalars(
                select(JudgmentRow)
                .join(PairRow, PairRow.id == JudgmentRow.pair_id)
                .where(PairRow.iteration_id == stage.iteration)
                .order_by(JudgmentRow.pair_id, JudgmentRow.chosen_first, JudgmentRow.sample)
            )
        )
        kept, counts = accept(judgments, stage.settings.min_agreement, stage.settings.max_reasoned, rng)
        balanced = balance_lengths([row.to_pair() for row in pairs], rng)
        pointwise = sorted(rng.sample(balanced, min(len(balanced), stage.settings.max_pointwise)))
        session.add_all(
            ExampleRow(
                iteration_id=stage.iteration,
                pair_id=row.pair_id,
                kind="reasoned",
                chosen_first=row.chosen_first,
                judgment=row.text,
            )
            for row in kept
        )
        session.add_all(
            ExampleRow(
                iteration_id=stage.iteration, pair_id=pairs[index].id, kind="pointwise", chosen_first=True
            )
            for index in pointwise
        )
    return {**counts, "length_balanced": len(balanced), "pointwise": len(pointwise)}


def accept(
    judgments: list[JudgmentRow], min_agreement: float, limit: int, rng: random.Random
) -> tuple[list[JudgmentRow], dict[str, int]]:
    """Rejection sampling and the balance of winning positions."""
    prompts: dict[tuple[int, bool], list[JudgmentRow]] = defaultdict(list)
    for row in judgments:
        prompts[(row.pair_id, row.chosen_first)].append(row)
    chosen: dict[bool, list[JudgmentRow]] = {True: [], False: []}
    for (_, chosen_first), samples in prompts.items():
        right = [row for row in samples if row.correct]
        if right and len(right) >= min_agreement * len(samples):
            chosen[chosen_first].append(rng.choice(right))
    smaller = min(limit // 2, *(len(rows) for rows in chosen.values()))
    kept = [row for rows in chosen.values() for row in rng.sample(rows, smaller)]
    accepted = sum(len(rows) for rows in chosen.values())
    counts = {
        "ordered_prompts": len(prompts),
        "accepted": accepted,
        "reasoned": len(kept),
    }
    return sorted(kept, key=lambda row: (row.pair_id, row.chosen_first)), counts
