"""What does not fit the context: refused at the start, or left out and counted, and no stage fails for it."""

import pytest
from sqlalchemy import select

from judge.comparison import Instruction
from judge.evaluation.anchors import parse_anchors, replace_anchors
from judge.gathering.instructions import Gathered, store
from judge.store.tables import DropRow, InstructionRow, JudgmentRow, PairRow
from judge.teaching import budget, iterations
from judge.teaching.planning import judge_of
from judge.teaching.profiles import IterationSettings, iteration_settings
from tests.workers.conftest import SMALL, WORDS
from tests.workers.test_generator import able, topic

# One token a letter in the tests' tokenizer.
FILLER = "zq"


def room(loop, number):
    settings = IterationSettings.model_validate(loop.row(number).settings)
    return budget.room(judge_of(loop.store, loop.version, 4096, settings))


def say(loop, text):
    with loop.sessions.begin() as session:
        store(session, [Gathered(Instruction.of(text), "test", "local", "en")])


def steps(row, stage):
    return {step["step"]: step for step in row.counts[stage]["funnel"]}


def test_an_iteration_whose_judgments_fill_the_context_ends_at_its_start_with_what_to_change(loop):
    number = loop.start(reasoning_tokens=4096)

    row = loop.run(number, "select")

    assert row.status == "failed"
    assert "JUDGESMITH_MAX_MODEL_LEN=4096 leaves 0 for an instruction and two responses" in row.error
    assert "lower settings.reasoning_tokens" in row.error


def test_a_pair_that_does_not_fit_is_left_out_and_the_others_are_taught_and_measured(loop):
    number = loop.start(
        instructions=61,
        max_instruction_chars=20_000,
        field_tokens=4096,
        judged_pairs=100,
        validation_share=0.3,
    )
    say(loop, f"Tell me about topic-900 that is {FILLER * (room(loop, number) // 2)}.")

    row = loop.run(number)

    assert (row.error, row.status) == (None, "promoted")
    long = max(loop.rows(select(InstructionRow.id)))
    assert loop.rows(select(PairRow).where(PairRow.instruction_id == long)) == []
    dropped = loop.rows(select(DropRow).where(DropRow.reason == "too_long"))
    assert [(one.step, one.instruction_id) for one in dropped] == [("pairs", long)] * 2
    assert steps(row, "pair")["pairs"]["dropped"]["too_long"] == 2


def test_an_instruction_that_leaves_no_room_to_answer_it_is_not_selected(loop):
    number = loop.start(instructions=61, max_instruction_chars=20_000)
    say(loop, f"Tell me about topic-900 that is {FILLER * 2000}.")

    row = loop.run(number, "select", "pair")

    assert row.error is None
    assert steps(row, "select")["instructions"]["dropped"]["too_long"] == 1


def test_a_long_anchor_after_all_the_training_is_left_out_and_counted(loop):
    lines = [
        f'{{"instruction": "Tell me about topic-{n} please.", "response_a": "All about topic-{n} .", '
        f'"response_b": "Bread.{FILLER * (3000 if n == 1 else 1)}", "label": "a"}}'
        for n in range(3)
    ]
    with loop.sessions.begin() as session:
        replace_anchors(session, "people", parse_anchors(lines))
    number = loop.start(field_tokens=4096)

    row = loop.run(number)

    assert row.error is None
    assert row.counts["evaluate"]["pairs"]["anchor:people"] == 2
    assert steps(row, "evaluate")["anchors"] == {
        "step": "anchors", "came_in": 3, "dropped": {"too_long": 1}, "kept": 2,
    }  # fmt: skip


def varied(prompt):
    """A generator as above; its answers to modified instructions are longer and shorter than the others."""
    long = "in colors" in prompt and topic(prompt) % 2
    return f"{able(prompt)} {' '.join(WORDS)}." if long else able(prompt)


def test_the_papers_recipe_runs_in_the_default_context(loop):
    sizes = {
        name: SMALL[name]
        for name in SMALL
        if name not in ("mix", "reasoning_tokens", "response_tokens", "field_tokens", "method")
    }
    settings = iteration_settings("paper", {**sizes, "max_preferences": 4, "evaluated_pairs": 40})
    loop.serving.script.text = varied
    with loop.sessions.begin() as session:
        number = iterations.start(session, "paper", settings, "test").id

    row = loop.run(number)

    assert row.error is None
    assert row.status in ("promoted", "refused", "no_decision")
    assert row.counts["pair"]["training_strategies"].keys() == {"modified"}
    assert "too_long" not in steps(row, "pair")["pairs"]["dropped"]
    assert len(loop.rows(select(JudgmentRow))) == 4 * 2 * 2


@pytest.mark.parametrize("profile", ["smoke", "small", "full", "paper"])
def test_every_profile_fits_the_default_context(loop, profile):
    settings = iteration_settings(profile, {})

    budget.check(judge_of(loop.store, loop.version, 4096, settings), settings)
