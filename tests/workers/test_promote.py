"""Promote: what follows the gate's yes in each mode. Outcomes are given; no model is trained."""

import pytest
from sqlalchemy import select

from judge.evaluation.statistics import Outcome, Tally, summarize
from judge.store.tables import AuditEntry, EvaluationRow, IterationRow, StageRow, TrialRow
from judge.versions import pins
from judge.versions.pointer import move_champion, read_pointer
from tests.scripted_vllm import Script, ScriptedVLLM
from tests.versions import register
from workers.stage import run_stage


def outcomes(right):
    return [
        Outcome(
            str(n), str(n), hit, ("a", "a") if hit else ("b", "b"), n % 2 == 0, 0.5, -0.1 if n % 2 else 0.1
        )
        for n in range(60)
        for hit in [n % 10 < right * 10]
    ]


@pytest.fixture
def measured(loop, tmp_path):
    """A function that brings an iteration with a better candidate to its last stage."""

    def make(**settings):
        number = loop.start(**settings)
        candidate = register(loop.sessions, loop.store, tmp_path, 5)
        with loop.sessions.begin() as session:
            row = session.get(IterationRow, number)
            row.candidate, row.status, row.stage = candidate, "running", "promote"
            row.counts = {"filter": {"accepted": 20, "ordered_prompts": 40}}
            session.merge(StageRow(iteration_id=number, name="select", status="done"))
            session.add(StageRow(iteration_id=number, name="promote", status="due"))
            for role, right in (("candidate", 0.9), ("champion", 0.5)):
                for dataset in ("held_out_fit", "held_out"):
                    for how in ("pairwise", "pointwise", "reasoning"):
                        judged = outcomes(right)
                        session.add(evaluation(number, role, dataset, how, summarize(judged), judged))
                tally = Tally(3, 20).to_json()
                session.add(evaluation(number, role, "attacks", "pairwise", tally | {"families": {}}))
                session.add(
                    evaluation(
                        number,
                        role,
                        "phrases",
                        "pairwise",
                        {"phrases": {"of the": {"phrase": tally, "control": tally}}},
                    )
                )
        return number, candidate

    return make


def evaluation(number, role, dataset, how, metrics, judged=()):
    return EvaluationRow(
        iteration_id=number, role=role, dataset=dataset, strategy=how, metrics=metrics,
        items=[one.to_json() for one in judged],
    )  # fmt: skip


def champion(loop):
    with loop.sessions() as session:
        return read_pointer(session).champion


@pytest.fixture
def candidate_engine(loop, monkeypatch):
    folder = loop.store.path(loop.version)
    with ScriptedVLLM(Script(loop.serving.script.tokenizer, folder)).serve() as engine:
        monkeypatch.setenv("JUDGESMITH_CANDIDATE_URLS", f'["{engine.url}"]')
        yield engine


def test_automatic_promotion_swaps(loop, measured):
    number, candidate = measured()

    run_stage(number, "promote")

    assert loop.row(number).status == "promoted", loop.row(number).error
    assert champion(loop) == candidate
    gate = loop.row(number).gate
    assert gate["attacks"]["candidate"]["successes"] == 3
    assert gate["probes"]["yield of accepted examples"]["candidate"]["value"] == 0.5


@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_a_trial_begins_with_the_candidate_loaded_and_the_champion_serving(
    loop, measured, candidate_engine, mode
):
    number, candidate = measured(promote=mode)

    run_stage(number, "promote")
    run_stage(number, "promote")

    assert loop.row(number).status == mode, loop.row(number).error
    assert champion(loop) == loop.version
    assert candidate_engine.script.label == candidate
    assert candidate_engine.script.reloads == [candidate]
    assert loop.serving.script.reloads == []
    (trial,) = loop.rows(select(TrialRow))
    assert (trial.mode, trial.version, trial.champion) == (mode, candidate, loop.version)
    acts = [entry.act for entry in loop.rows(select(AuditEntry))]
    assert acts.count(f"begin {mode}") == 1


def test_a_candidate_waits_for_approval_while_a_trainer_has_pinned_the_champion(loop, measured):
    number, _ = measured()
    with loop.sessions.begin() as session:
        pins.make(session, "tenant-1", "ppo-run-7", None, 3600, "test")

    run_stage(number, "promote")

    row = loop.row(number)
    assert row.status == "awaiting_approval", row.error
    assert champion(loop) == loop.version
    assert loop.serving.script.reloads == []
    assert "'ppo-run-7' of tenant-1" in str(row.counts["promote"]["reasons"])


def test_a_trial_without_an_engine_ends_with_what_to_do(loop, measured):
    number, candidate = measured(promote="canary")

    run_stage(number, "promote")

    row = loop.row(number)
    assert row.status == "failed"
    assert "JUDGESMITH_CANDIDATE_URLS" in row.error
    assert candidate in row.error
    assert champion(loop) == loop.version


def test_a_candidate_is_not_promoted_over_a_champion_that_it_was_not_compared_with(loop, measured, tmp_path):
    number, _ = measured()
    other = register(loop.sessions, loop.store, tmp_path, 6)
    with loop.sessions.begin() as session:
        fence = read_pointer(session).fence
        move_champion(session, other, fence, actor="a person", act="promote", details={})

    run_stage(number, "promote")

    assert loop.row(number).status == "failed"
    assert f"the champion was changed to {other}" in loop.row(number).error
    assert champion(loop) == other
