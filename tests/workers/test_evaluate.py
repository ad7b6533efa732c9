"""Evaluate: what the gate sees is judged by the rule that serves."""

import pytest
from sqlalchemy import select

from benchmarks.sweep import seed_judge
from judge.judging.scoring import Calibration
from judge.prompts.templates import pointwise
from judge.store.tables import EvaluationRow, IterationRow, ModelVersion, PairRow, StageRow
from judge.versions.pointer import move_champion
from tests.tiny_model import make_tiny_model
from tests.versions import probe_of
from tests.workers.conftest import on_topic

MINE = {name: {"temperature": 2.0, "tie_band": 0.08, "pairs": 50} for name in ("pairwise", "pointwise")}


def blind_in_part(prompt, weights):
    """Right about most topics; about every fourth it is a little wrong, and nearly even."""
    topic = int(prompt.split("topic-")[1].split()[0]) if "topic-" in prompt else 1
    margin = on_topic(prompt, weights)
    return -0.005 * (1 + topic % 7) * margin if weights.name == "candidate" and topic % 4 == 0 else margin


@pytest.fixture
def calibrated(loop, tmp_path):
    """A loop whose champion has a calibration of its own."""
    folder = make_tiny_model(tmp_path / "calibrated", 7)
    manifest = loop.store.add(folder, origin="test 7", probe=probe_of(folder), calibration=MINE)
    with loop.sessions.begin() as session:
        session.add(ModelVersion(id=manifest.id, origin="test 7", manifest=manifest.model_dump()))
        session.flush()
        move_champion(session, manifest.id, 1, actor="test", act="promote", details={})
    loop.serving.script.label = manifest.id
    loop.serving.script.weights = loop.store.path(manifest.id)
    return loop


def start(loop):
    """An iteration with pairs enough to fit on."""
    loop.bring_in(160)
    loop.evaluation.script.margin = blind_in_part
    return loop.start(
        instructions=160, held_out_share=0.5, pairs_per_instruction=4, evaluated_pairs=400, max_pointwise=8
    )


def test_each_version_is_measured_with_the_calibration_that_serves(calibrated):
    loop = calibrated
    number = start(loop)

    row = loop.run(number)

    assert row.error is None
    served = loop.store.manifest(row.candidate).calibration
    assert served["pointwise"].tie_band > 0
    rows = {
        (one.role, one.strategy): one
        for one in loop.rows(select(EvaluationRow).where(EvaluationRow.dataset == "held_out"))
    }
    for role, calibration in (
        ("candidate", Calibration(**served["pointwise"].model_dump())),
        ("champion", Calibration(**MINE["pointwise"])),
    ):
        measured = rows[role, "pointwise"]
        for item in measured.items:
            assert set(item["verdicts"]) == {calibration.verdict(item["log_odds"], allow_tie=True)}
            # A tie leaves open what the side would decide.
            assert item["correct"] == (item["log_odds"] > 0)
            assert set(item["sides"]) == {calibration.verdict(item["log_odds"], allow_tie=False)}
        assert measured.metrics["tie_share"] > 0
    strategy = loop.store.manifest(row.candidate).strategy
    probe = row.gate["probes"]["tie share"]["candidate"]["value"]
    assert probe == pytest.approx(rows["candidate", strategy].metrics["tie_share"], abs=1e-3)
    assert probe > 0


def test_who_counts_characters_is_right_about_half_of_the_held_out_pairs(calibrated):
    loop = calibrated
    number = start(loop)

    loop.run(number)

    made = loop.rows(select(PairRow).where(PairRow.iteration_id == number, PairRow.held_out))
    longer = [
        len(pair.chosen) > len(pair.rejected) for pair in made if len(pair.chosen) != len(pair.rejected)
    ]
    assert sum(longer) != len(longer) - sum(longer)
    for row in loop.rows(
        select(EvaluationRow).where(EvaluationRow.dataset.in_(["held_out_fit", "held_out"]))
    ):
        if row.strategy != "reasoning":
            lengths = [item["length"] for item in row.items]
            assert sum(length > 0 for length in lengths) == sum(length < 0 for length in lengths) > 20


def test_a_stage_that_is_run_again_measures_the_rest_with_the_same_calibration(calibrated):
    loop = calibrated
    number = start(loop)
    before = loop.run(number).candidate
    later = EvaluationRow.dataset != "held_out_fit"
    query = select(EvaluationRow).where(EvaluationRow.role == "candidate", later)
    whole = {(row.dataset, row.strategy): row.items for row in loop.rows(query)}

    again(loop, number)

    assert {(row.dataset, row.strategy): row.items for row in loop.rows(query)} == whole
    assert loop.row(number).candidate == before


def again(loop, number):
    """As if it had been killed after the first looks at the candidate."""
    with loop.sessions.begin() as session:
        for row in session.scalars(select(EvaluationRow)):
            if row.dataset != "held_out_fit":
                session.delete(row)
        stage = session.get_one(StageRow, (number, "evaluate"))
        stage.status = "due"
        session.get_one(IterationRow, number).status = "running"
    loop.run(number, "evaluate")


def test_pairs_with_a_text_that_is_cut_are_told_from_the_others(loop):
    loop.bring_in(80)
    number = loop.start(instructions=80, held_out_share=0.5, field_tokens=110, max_pointwise=8)

    assert loop.run(number).error is None

    held_out = (EvaluationRow.dataset == "held_out", EvaluationRow.strategy == "pointwise")
    judge = seed_judge(loop.store.path(loop.rows(select(IterationRow))[0].seed_version), 110)
    (row,) = loop.rows(select(EvaluationRow).where(*held_out, EvaluationRow.role == "candidate"))
    texts = {pair.item: pair.to_pair() for pair in loop.rows(select(PairRow).where(PairRow.held_out))}
    for item in row.items:
        pair = texts[item["item"]]
        prompts = [
            judge.response_prompt(pointwise(), pair.instruction, text, 1)
            for text in (pair.chosen, pair.rejected)
        ]
        assert item["truncated"] == any(prompt.truncated for prompt in prompts)
    cut = [item for item in row.items if item["truncated"]]
    assert 0 < len(cut) < len(row.items)
    right = sum(item["correct"] for item in cut)
    assert row.metrics["accuracy_truncated"][0] == pytest.approx(right / len(cut), abs=1e-4)
