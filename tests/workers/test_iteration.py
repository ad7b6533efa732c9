"""A whole iteration on a tiny model: real stages, real training, a scripted vLLM."""

import json
from functools import partial
from importlib.util import find_spec
from itertools import count

import pytest
from sqlalchemy import select

from judge.backend.vllm import Backends
from judge.comparison import Instruction
from judge.judging.judge import Judge
from judge.prompts.assembler import Assembler, load_encoder
from judge.prompts.templates import pairwise_reasoning, pointwise
from judge.store.tables import EvaluationRow, ExampleRow, JudgmentRow, PairRow, ResponseRow, SelectionRow
from judge.teaching import iterations
from judge.teaching.examples import Example, load_examples
from judge.teaching.profiles import iteration_settings
from judge.versions.pointer import read_pointer
from tests.scripted_vllm import hashed_margin
from tests.workers.conftest import SMALL, respond
from workers import responses, tokens
from workers.batches import in_portions
from workers.stage import run_stage


def test_an_iteration_teaches_measures_and_swaps(loop):
    number = loop.start()

    row = loop.run(number)

    assert (row.status, row.error) == ("promoted", None)
    assert [stage.status for stage in stages(loop, number)] == ["done"] * 7
    counts = row.counts
    assert counts["select"]["selected"] == 40
    pairs = counts["pair"]["funnel"][1]
    # Two of each, and up to four of each that is held out, as far as two strategies give different ones.
    assert 2 * 40 < pairs["came_in"] <= 2 * 40 + 2 * counts["select"]["held_out"]
    assert counts["pair"]["training"] + counts["pair"]["held_out"] == pairs["kept"]
    assert pairs["dropped"].keys() <= {"repeated"}
    # The scripted judge always says A: right in one order, wrong in the other, so nothing is balanced.
    assert counts["judge"] | {"funnel": None} == {
        "judgments": 16, "correct": 8, "invalid": 0, "funnel": None,
    }  # fmt: skip
    assert counts["filter"]["reasoned"] == 0
    assert counts["finetune"]["pointwise"] == 12
    assert row.gate["decision"] == "promote"
    manifest = loop.store.verify(row.candidate)
    assert (manifest.parent, manifest.judged_by) == (loop.version, loop.version)
    assert manifest.calibration.keys() == {"pairwise", "pointwise"}
    card = (loop.store.path(row.candidate) / "README.md").read_text()
    assert f"training started from {loop.version}" in card
    assert "## Known weaknesses" in card
    with loop.sessions() as session:
        assert read_pointer(session).champion == row.candidate
    assert loop.serving.script.label == row.candidate
    assert loop.serving.script.weights.name == row.candidate


def stages(loop, number):
    with loop.sessions() as session:
        return iterations.stages(session, number)


def test_a_candidate_that_is_no_better_is_refused_and_nothing_is_swapped(loop):
    champion = loop.store.path(loop.version)
    loop.evaluation.script.margin = lambda prompt, weights: hashed_margin(prompt, champion)
    number = loop.start()

    row = loop.run(number)

    assert row.status == "refused"
    assert "not shown to be better" in row.gate["reasons"][0]
    with loop.sessions() as session:
        assert read_pointer(session).champion == loop.version
    assert loop.serving.script.reloads == []


def test_too_few_held_out_pairs_are_no_decision(loop):
    number = loop.start(gate_min_items=1000)

    assert loop.run(number).status == "no_decision"


def test_with_approval_the_candidate_waits(loop):
    number = loop.start(promote="approve")

    row = loop.run(number)

    assert row.status == "awaiting_approval"
    assert row.gate["decision"] == "promote"
    assert loop.serving.script.label == loop.version


def test_training_and_held_out_share_no_instruction_and_no_response(loop):
    number = loop.start()
    loop.run(number, "select", "pair")

    pairs = loop.rows(select(PairRow))
    chosen = {row.chosen: row.held_out for row in pairs}

    assert {row.instruction_id for row in pairs if row.held_out}.isdisjoint(
        {row.instruction_id for row in pairs if not row.held_out}
    )
    assert all(chosen[row.rejected] == row.held_out for row in pairs)


def test_reasoned_examples_are_right_judgments_balanced_over_positions(loop):
    def fair(prompt):
        if "[Response A]" not in prompt:
            return respond(prompt)
        topic = prompt.split("topic-")[1].split()[0]
        first = prompt.split("[Response A]")[1].split("[Response B]")[0]
        return f"It is the one on topic.\n\nVerdict: [[{'A' if f'topic-{topic} ' in first else 'B'}]]"

    loop.serving.script.text = fair
    number = loop.start(max_reasoned=8, judged_pairs=16)
    loop.run(number, "select", "pair", "judge", "filter")

    examples = [row for row in loop.rows(select(ExampleRow)) if row.kind == "reasoned"]

    assert len(examples) == 8
    assert sum(row.chosen_first for row in examples) == 4
    assert all(row.judgment.endswith("[[A]]" if row.chosen_first else "[[B]]") for row in examples)


def test_what_is_trained_is_what_is_served_token_for_token(loop):
    number = loop.start()
    loop.run(number, "select", "pair")
    row = loop.rows(select(PairRow))[0]
    judge = Judge.load(loop.store, loop.version, Backends([]), 4096, reasoning_tokens=64, field_tokens=64)
    pair_ = row.to_pair()
    encoder = load_encoder(loop.store.path(loop.version))
    assembler = Assembler(encoder, 4096)
    example = Example(1, row.id, pair_, False, "Because.\n\nVerdict: [[B]]", "No.\n\nVerdict: [[A]]")

    served_one = assembler.response(pointwise(), Instruction.from_json(row.messages), row.chosen, 1, 64)
    served_two = assembler.comparison(pairwise_reasoning(), pair_.comparison("b"), 88, 64)
    reasoned, preference = tokens.reasoned_row(judge, example), tokens.preference_row(judge, example)
    masked = [t for t, m in zip(reasoned["input_ids"], reasoned["completion_mask"], strict=True) if not m]
    seen = [t for t, m in zip(reasoned["input_ids"], reasoned["completion_mask"], strict=True) if m]

    assert tokens.pointwise_row(judge, pair_)["chosen_ids"] == served_one.token_ids
    assert masked == served_two.token_ids
    assert encoder._trusted.decode(seen, False) == "Because.\n\nVerdict: [[B]]<|im_end|>"
    assert preference["prompt_ids"] == served_two.token_ids
    assert preference["chosen_ids"] == seen
    assert encoder._trusted.decode(preference["rejected_ids"], False) == "No.\n\nVerdict: [[A]]<|im_end|>"
    assert tokens.verdict_row(judge, pair_)["lower"][: len(masked)] == masked


def test_preferences_and_validation_are_drawn_from_the_training_share(loop):
    verdicts = count()

    def wavering(prompt):
        return (
            f"Hm.\n\nVerdict: [[{'AABB'[next(verdicts) % 4]}]]"
            if "[Response A]" in prompt
            else respond(prompt)
        )

    loop.serving.script.text = wavering
    settings = {"dpo_epochs": 1, "judged_pairs": 20, "samples": 6, "concurrency": 1, "validation_share": 0.3}
    number = loop.start(**settings, max_reasoned=20, max_pointwise=30)

    counts = loop.run(number, "select", "pair", "judge", "filter", "finetune").counts["finetune"]

    assert counts["preferences"] > 0
    assert counts["preferences"] % 2 == 0
    assert counts["validation"] > 0
    assert counts["lessons"].keys() == {"reasoned", "preferences", "pointwise"}
    assert counts["lessons"]["preferences"]["examples"] == counts["preferences"]
    assert all(0 <= lesson["accuracy"] <= 1 for lesson in counts["lessons"].values())
    with loop.sessions() as session:
        examples = load_examples(session, number, iteration_settings("smoke", {**SMALL, **settings}))
    trained = {e.instruction for e in [*examples.reasoned, *examples.preferences, *examples.pointwise]}
    held_out = {row.instruction_id for row in loop.rows(select(PairRow)) if row.held_out}
    measured = {example.instruction for example in examples.validation}
    assert measured.isdisjoint(trained)
    assert held_out.isdisjoint(trained | measured)


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed here")
def test_a_tracker_that_is_not_installed_ends_the_iteration_before_it_trains(loop, monkeypatch):
    monkeypatch.setenv("JUDGESMITH_TRACKER", "mlflow")
    number = loop.start()

    row = loop.run(number, "select", "pair", "judge", "filter", "finetune")

    assert row.status == "failed"
    assert "pip install 'judgesmith[mlflow]'" in row.error


def test_a_stage_that_is_done_is_not_run_again(loop):
    number = loop.start()
    loop.run(number, "select", "pair")
    asked = loop.serving.script.requests

    loop.run(number, "pair")

    assert loop.serving.script.requests == asked
    assert len(loop.rows(select(SelectionRow))) == 40


def test_a_killed_pair_stage_asks_only_for_what_is_missing(loop, monkeypatch):
    number = loop.start()
    loop.run(number, "select")
    calls = []
    whole = responses.Writer.work

    async def dies(self, task):
        calls.append(task)
        if len(calls) == 25:
            raise OSError("killed")
        return await whole(self, task)

    monkeypatch.setattr(responses.Writer, "work", dies)
    monkeypatch.setattr(responses, "in_portions", partial(in_portions, every_s=0))
    run_stage(number, "pair")
    stored = len(loop.rows(select(ResponseRow)))
    assert 0 < stored < 40
    asked = loop.serving.script.requests
    monkeypatch.setattr(responses.Writer, "work", whole)

    run_stage(number, "pair")

    assert loop.serving.script.requests - asked == 40 - stored
    assert loop.row(number).counts["pair"]["responses"] == 40


def test_the_same_data_give_the_same_dataset(loop):
    number = loop.start()
    loop.run(number, "select", "pair", "judge", "filter")
    first = dataset(loop, number)

    with loop.sessions.begin() as session:
        session.execute(iterations.update(iterations.StageRow).values(status="due"))
    loop.run(number, "filter")

    assert dataset(loop, number) == first


def dataset(loop, number):
    rows = loop.rows(select(ExampleRow).order_by(ExampleRow.pair_id, ExampleRow.kind))
    return [(row.pair_id, row.kind, row.chosen_first, row.judgment) for row in rows]


def test_outcomes_are_kept_item_by_item(loop):
    number = loop.start()
    loop.run(number)

    rows = loop.rows(select(EvaluationRow).where(EvaluationRow.dataset == "held_out"))

    assert {(row.role, row.strategy) for row in rows} == {
        (role, how) for role in ("candidate", "champion") for how in ("pairwise", "pointwise", "reasoning")
    }
    for row in rows:
        assert row.metrics["items"] == len(row.items)
        assert json.dumps(row.items)


def test_a_champion_changed_under_an_iteration_ends_it_with_a_reason(loop):
    number = loop.start()
    loop.run(number, "select")
    loop.serving.script.label = "another"

    row = loop.run(number, "pair")

    assert row.status == "failed"
    assert "the champion was changed to another" in row.error


def test_judgments_are_stored_right_and_wrong(loop):
    number = loop.start()
    loop.run(number, "select", "pair", "judge")

    rows = loop.rows(select(JudgmentRow))

    assert {(row.chosen_first, row.correct, row.verdict) for row in rows} == {
        (True, True, "a"),
        (False, False, "b"),
    }
