"""The training examples of an iteration, as they are trained on and as they are exported.

Reasoned and pointwise ones are the filter stage's rows. Preferences are drawn here from the stored judgments:
a right one against a wrong, tied or invalid one of the same ordered prompt. Some training instructions are
set apart as validation; none of theirs is trained on, which both know before they draw even sets.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from judge.comparison import PreferencePair, Side
from judge.draw import is_drawn
from judge.pairs.balance import even_places
from judge.store.tables import ExampleRow, JudgmentRow, PairRow
from judge.teaching.profiles import IterationSettings


@dataclass(frozen=True, slots=True)
class Example:
    """One training example. `judgment` and `wrong` are texts of the judge, where its kind has them."""

    instruction: int
    pair_id: int
    pair: PreferencePair
    chosen_first: bool
    judgment: str = ""
    wrong: str = ""

    @property
    def first(self) -> Side:
        """The side shown first, where side A is the chosen response."""
        return "a" if self.chosen_first else "b"


@dataclass(frozen=True, slots=True)
class Examples:
    """All of an iteration, each list in a fixed order."""

    reasoned: list[Example]
    preferences: list[Example]
    pointwise: list[Example]
    validation: list[Example]


def load_examples(session: Session, iteration: int, settings: IterationSettings) -> Examples:
    """Read and draw them; the same rows and settings always give the same examples."""
    pairs = {
        row.id: row
        for row in session.scalars(
            select(PairRow).where(PairRow.iteration_id == iteration, ~PairRow.held_out).order_by(PairRow.id)
        )
    }
    kept = session.scalars(
        select(ExampleRow)
        .where(ExampleRow.iteration_id == iteration)
        .order_by(ExampleRow.pair_id, ExampleRow.kind, ExampleRow.chosen_first)
    )
    by_kind: dict[str, list[Example]] = defaultdict(list)
    for row in kept:
        by_kind[row.kind].append(_example(pairs[row.pair_id], row.chosen_first, row.judgment or ""))
    validation = [
        row for row in pairs.values() if is_validation(row.instruction_id, settings.validation_share)
    ]
    rng = random.Random(f"{settings.seed} validation")
    measured = rng.sample(validation, min(len(validation), settings.validation_pairs))
    return Examples(
        reasoned=by_kind["reasoned"],
        preferences=_preferences(session, pairs, settings) if settings.dpo_epochs else [],
        pointwise=by_kind["pointwise"],
        validation=[_example(row, True) for row in sorted(measured, key=lambda row: row.id)],
    )


def is_validation(instruction: int, share: float) -> bool:
    """Whether an instruction of the training share is set apart for early stopping."""
    return is_drawn(f"validation {instruction}", share)


def contrast(judgments: Iterable[JudgmentRow], rng: random.Random) -> list[tuple[JudgmentRow, JudgmentRow]]:
    """One right and one wrong judgment of each ordered prompt that has both."""
    prompts: dict[tuple[int, bool], tuple[list[JudgmentRow], list[JudgmentRow]]] = defaultdict(
        lambda: ([], [])
    )
    for row in judgments:
        prompts[(row.pair_id, row.chosen_first)][0 if row.correct else 1].append(row)
    return [
        (rng.choice(right), rng.choice(wrong))
        for _, (right, wrong) in sorted(prompts.items())
        if right and wrong
    ]


def _preferences(session: Session, pairs: dict[int, PairRow], settings: IterationSettings) -> list[Example]:
    trained: Sequence[int] = [
        row.id for row in pairs.values() if not is_validation(row.instruction_id, settings.validation_share)
    ]
    judgments = session.scalars(
        select(JudgmentRow)
        .where(JudgmentRow.pair_id.in_(trained))
        .order_by(JudgmentRow.pair_id, JudgmentRow.chosen_first, JudgmentRow.sample)
    )
    rng = random.Random(f"{settings.seed} preferences")
    found = [
        _example(pairs[right.pair_id], right.chosen_first, right.text, wrong.text)
        for right, wrong in contrast(judgments, rng)
    ]
    places = [example.chosen_first for example in found]
    kept = even_places([example.pair for example in found], places, settings.max_preferences, rng)
    return [found[index] for index in kept]


def _example(row: PairRow, chosen_first: bool, judgment: str = "", wrong: str = "") -> Example:
    return Example(row.instruction_id, row.id, row.to_pair(), chosen_first, judgment, wrong)
