"""Filter: the training examples of an iteration.

Reasoned judgments by rejection sampling: one random correct sample for each ordered prompt, none where no
sample was right or too few were. Pointwise pairs: all training pairs. Of both, those of instructions that are
set apart for validation are left out, and no category takes more than its cap; then they are drawn so that
neither place nor length tells which response is the chosen one. What is written is what is trained on.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from judge.pairs.balance import capped, even_lengths, even_places
from judge.store.tables import ExampleRow, JudgmentRow, PairRow, SelectionRow
from judge.teaching.examples import is_validation
from workers.drops import Dropping
from workers.stage import Stage


@dataclass(frozen=True, slots=True)
class Example:
    """A pair to learn from, in one order; with a judgment, or without one for the pointwise read."""

    pair: PairRow
    chosen_first: bool
    judgment: str | None = None


# Indexes of examples to keep, at most so many.
Choose = Callable[[Sequence[Example], int], list[int]]


def run(stage: Stage) -> dict[str, Any]:
    """Write the examples in one transaction, in place of earlier ones."""
    settings = stage.settings
    rng = random.Random(f"{settings.seed} filter")
    reasoned = Dropping(stage.iteration, "reasoned", 0)
    pointwise = Dropping(stage.iteration, "pointwise", 0)
    with stage.lease.transaction() as session:
        pairs = _pairs(stage, session)
        categories = _categories(stage, session) if settings.category_cap < 1 else {}

        def places(examples: Sequence[Example], room: int) -> list[int]:
            orders = [example.chosen_first for example in examples]
            return even_places([example.pair.to_pair() for example in examples], orders, room, rng)

        def lengths(examples: Sequence[Example], room: int) -> list[int]:
            return even_lengths([example.pair.to_pair() for example in examples], room, rng)

        accepted = accept(_judgments(stage, session), pairs, settings.min_agreement, reasoned, rng)
        judged = _taught(accepted, settings.validation_share, reasoned)
        judged = _capped(judged, categories, _cap(stage, settings.max_reasoned), reasoned, rng)
        judged = _even(judged, places, settings.max_reasoned, reasoned)
        pointwise.step.came_in = len(pairs)
        read = [Example(pair, True) for pair in pairs.values()]
        read = _taught(read, settings.validation_share, pointwise)
        read = _capped(read, categories, _cap(stage, settings.max_pointwise), pointwise, rng)
        read = _even(read, lengths, settings.max_pointwise, pointwise)
        _write(stage, session, judged, "reasoned")
        _write(stage, session, read, "pointwise")
        for step in (reasoned, pointwise):
            step.write(session)
    return {
        "ordered_prompts": reasoned.step.came_in,
        "accepted": len(accepted),
        "reasoned": len(judged),
        "pointwise": len(read),
        "funnel": [reasoned.step.to_json(), pointwise.step.to_json()],
    }


def accept(
    judgments: Iterable[JudgmentRow],
    pairs: Mapping[int, PairRow],
    min_agreement: float,
    dropping: Dropping,
    rng: random.Random,
) -> list[Example]:
    """Rejection sampling: a random correct judgment of each ordered prompt that has enough of them."""
    prompts: dict[tuple[int, bool], list[JudgmentRow]] = defaultdict(list)
    for row in judgments:
        prompts[row.pair_id, row.chosen_first].append(row)
    dropping.step.came_in += len(prompts)
    accepted = []
    for (pair_id, chosen_first), samples in prompts.items():
        pair = pairs[pair_id]
        right = [row for row in samples if row.correct]
        if not right:
            dropping.drop(pair.instruction_id, "never_right")
        elif len(right) < min_agreement * len(samples):
            dropping.drop(pair.instruction_id, "too_little_agreement")
        else:
            accepted.append(Example(pair, chosen_first, rng.choice(right).text))
    return accepted


def _taught(examples: list[Example], validation_share: float, dropping: Dropping) -> list[Example]:
    """Without what early stopping measures on. This comes before the balance, which it would upset."""
    kept = [
        index
        for index, example in enumerate(examples)
        if not is_validation(example.pair.instruction_id, validation_share)
    ]
    return _only(examples, kept, "validation", dropping)


def _capped(
    examples: list[Example],
    categories: Mapping[int, str | None],
    cap: int,
    dropping: Dropping,
    rng: random.Random,
) -> list[Example]:
    groups = [categories.get(example.pair.instruction_id) for example in examples]
    return _only(examples, capped(groups, cap, rng), "category_cap", dropping)


def _even(examples: list[Example], choose: Choose, room: int, dropping: Dropping) -> list[Example]:
    """An even set, and of that again an even one that is small enough: two reasons to be left out."""
    examples = _only(examples, choose(examples, len(examples)), "balance", dropping)
    return _only(examples, choose(examples, room), "not_needed", dropping)


def _only(examples: list[Example], indexes: Iterable[int], reason: str, dropping: Dropping) -> list[Example]:
    kept = set(indexes)
    dropping.drop_all(
        [one.pair.instruction_id for index, one in enumerate(examples) if index not in kept], reason
    )
    return [one for index, one in enumerate(examples) if index in kept]


def _cap(stage: Stage, room: int) -> int:
    return max(int(stage.settings.category_cap * room), 1)


def _pairs(stage: Stage, session: Session) -> dict[int, PairRow]:
    rows = session.scalars(
        select(PairRow).where(PairRow.iteration_id == stage.iteration, ~PairRow.held_out).order_by(PairRow.id)
    )
    return {row.id: row for row in rows}


def _judgments(stage: Stage, session: Session) -> Sequence[JudgmentRow]:
    return session.scalars(
        select(JudgmentRow)
        .join(PairRow, PairRow.id == JudgmentRow.pair_id)
        .where(PairRow.iteration_id == stage.iteration)
        .order_by(JudgmentRow.pair_id, JudgmentRow.chosen_first, JudgmentRow.sample)
    ).all()


def _categories(stage: Stage, session: Session) -> dict[int, str | None]:
    rows = session.execute(
        select(SelectionRow.instruction_id, SelectionRow.category).where(
            SelectionRow.iteration_id == stage.iteration
        )
    )
    return {row.instruction_id: row.category for row in rows}


def _write(stage: Stage, session: Session, examples: Sequence[Example], kind: str) -> None:
    session.execute(
        delete(ExampleRow).where(ExampleRow.iteration_id == stage.iteration, ExampleRow.kind == kind)
    )
    session.add_all(
        ExampleRow(
            iteration_id=stage.iteration,
            pair_id=example.pair.id,
            kind=kind,
            chosen_first=example.chosen_first,
            judgment=example.judgment,
        )
        for example in examples
    )
