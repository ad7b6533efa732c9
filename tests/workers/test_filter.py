"""Filter: rejection sampling, caps and balance, over real rows."""

import random

import pytest
from sqlalchemy import select

from judge.store.tables import DropRow, ExampleRow, InstructionRow, JudgmentRow, PairRow, SelectionRow
from judge.teaching.examples import load_examples
from judge.teaching.profiles import IterationSettings
from workers.drops import Dropping
from workers.filter import accept


def pair(number):
    return PairRow(id=number, instruction_id=number)


def judgment(pair_id, chosen_first, correct):
    return JudgmentRow(
        pair_id=pair_id, chosen_first=chosen_first, correct=correct, text=f"{pair_id} {correct}"
    )


def accepted(rows, agreement=0.0):
    dropping = Dropping(1, "reasoned", 0)
    pairs = {row.pair_id: pair(row.pair_id) for row in rows}
    return accept(rows, pairs, agreement, dropping, random.Random(1)), dropping.step


def test_one_correct_sample_of_each_ordered_prompt_is_kept():
    rows = [judgment(number, True, True) for number in range(6) for _ in range(3)]
    rows += [judgment(number, False, number < 2) for number in range(6) for _ in range(3)]

    kept, step = accepted(rows)

    assert [(one.pair.id, one.chosen_first, one.judgment) for one in kept] == [
        *((number, True, f"{number} True") for number in range(6)),
        (0, False, "0 True"),
        (1, False, "1 True"),
    ]
    assert step.to_json() == {
        "step": "reasoned",
        "came_in": 12,
        "dropped": {"never_right": 4},
        "kept": 8,
    }


@pytest.mark.parametrize(("agreement", "kept"), [(0.0, 2), (0.5, 2), (0.6, 1), (1.0, 1)])
def test_agreement_can_be_required(agreement, kept):
    rows = [
        judgment(1, True, True),
        judgment(1, True, False),
        judgment(1, False, True),
        judgment(1, False, True),
    ]

    found, step = accepted(rows, agreement)

    assert len(found) == step.kept == kept
    assert step.dropped["too_little_agreement"] == 2 - kept


@pytest.fixture
def judged(loop):
    """An iteration whose stages before filter are done, with room for some of the examples."""
    return judge_pairs(loop, max_reasoned=40, max_pointwise=30, classify=True, category_cap=0.5)


def judge_pairs(loop, **settings):
    """Ninety pairs of two strategies, each judged right once and wrong once in both orders.

    Two thirds have the longer response chosen; two thirds of the instructions are about coding.
    """
    number = loop.start(**settings)
    with loop.sessions.begin() as session:
        keys = session.scalars(select(InstructionRow.id).order_by(InstructionRow.id)).all()[:45]
        for place, key in enumerate(keys):
            category = "coding" if place % 3 else "rewriting"
            session.add(
                SelectionRow(iteration_id=number, instruction_id=key, held_out=False, category=category)
            )
            for ordinal in range(2):
                longer = (place + ordinal) % 3 > 0
                row = PairRow(
                    iteration_id=number,
                    instruction_id=key,
                    ordinal=ordinal,
                    held_out=False,
                    strategy=("random", "neighbor")[place % 2],
                    messages=[{"role": "user", "content": "x"}],
                    chosen="c" * (20 if longer else 10),
                    rejected="r" * 15,
                )
                session.add(row)
                session.flush()
                session.add_all(
                    JudgmentRow(
                        pair_id=row.id,
                        chosen_first=first,
                        sample=sample,
                        verdict=verdict,
                        correct=verdict == "a",
                        text=verdict,
                        model_version="x",
                    )
                    for first in (True, False)
                    for sample, verdict in enumerate("ab")
                )
        session.add(loop_stage(number))
    return number


def loop_stage(number):
    from judge.store.tables import StageRow

    return StageRow(iteration_id=number, name="filter", status="due")


@pytest.mark.parametrize(("kind", "room"), [("reasoned", 40), ("pointwise", 30)])
def test_neither_length_nor_place_nor_category_tells_the_winner(loop, judged, kind, room):
    counts = loop.run(judged, "filter").counts["filter"]

    with loop.sessions() as session:
        rows = session.execute(
            select(ExampleRow, PairRow, SelectionRow)
            .join(PairRow, PairRow.id == ExampleRow.pair_id)
            .join(SelectionRow, SelectionRow.instruction_id == PairRow.instruction_id)
            .where(ExampleRow.kind == kind)
        ).all()
    longer = sum(len(row.chosen) > len(row.rejected) for _, row, _ in rows)
    coding = sum(selection.category == "coding" for _, _, selection in rows)
    assert counts[kind] == len(rows)
    assert 0.2 * room <= len(rows) <= room
    assert 0.45 * len(rows) <= longer <= 0.55 * len(rows)
    assert coding <= room / 2
    if kind == "reasoned":
        assert sum(example.chosen_first for example, _, _ in rows) * 2 == len(rows)


def test_what_was_left_out_of_the_examples_is_told_by_reason(loop, judged):
    counts = loop.run(judged, "filter").counts["filter"]

    reasoned, pointwise = counts["funnel"]
    assert (reasoned["came_in"], pointwise["came_in"]) == (180, 90)
    assert reasoned["dropped"]["category_cap"] == 180 - 2 * 20
    assert pointwise["dropped"]["category_cap"] == 90 - 2 * 15
    for step in (reasoned, pointwise):
        assert step["came_in"] - sum(step["dropped"].values()) == step["kept"]
        rows = loop.rows(select(DropRow).where(DropRow.step == step["step"]))
        assert len(rows) == sum(step["dropped"].values())


def test_what_is_trained_on_is_even_after_the_validation_share_is_taken_out(loop):
    settings = {"validation_share": 0.3, "max_reasoned": 200, "max_pointwise": 200, "max_preferences": 200}
    number = judge_pairs(loop, **settings, dpo_epochs=1)

    counts = loop.run(number, "filter").counts["filter"]

    with loop.sessions() as session:
        examples = load_examples(session, number, IterationSettings.model_validate(loop.row(number).settings))
    for lesson in (examples.reasoned, examples.preferences, examples.pointwise):
        assert len(lesson) > 20
        for strategy in ("random", "neighbor"):
            own = [example for example in lesson if example.pair.strategy == strategy]
            longer = sum(len(example.pair.chosen) > len(example.pair.rejected) for example in own)
            assert 0.45 * len(own) <= longer <= 0.55 * len(own)
            if lesson is not examples.pointwise:
                assert sum(example.chosen_first for example in own) * 2 == len(own)
        assert {one.instruction for one in lesson}.isdisjoint(one.instruction for one in examples.validation)
    # Nothing is taken out between the filter's figures and the training.
    assert (counts["reasoned"], counts["pointwise"]) == (len(examples.reasoned), len(examples.pointwise))
    assert counts["funnel"][1]["dropped"]["validation"] > 0
