"""Shadow and canary: a candidate on live traffic, answered for, watched, stopped, promoted."""

import random
import time

import pytest
from sqlalchemy import select

from judge.gate import trials
from judge.gate.trials import Seen
from judge.store.tables import AuditEntry, DecisionRow, IterationRow, TrialDecisionRow, TrialRow
from judge.teaching.profiles import iteration_settings
from judge.versions.pointer import read_pointer
from tests.scripted_vllm import Script, ScriptedVLLM


def pair(number):
    return {
        "instruction": f"Name color number {number}.",
        "response_a": "Blue.",
        "response_b": "Seven.",
        "mode": "direct",
    }


@pytest.fixture
def tried(make_world, tmp_path):
    """A gateway with an engine for candidates, and a function that begins a trial of the second version."""
    with ScriptedVLLM(Script(None, tmp_path)).serve() as engine:  # type: ignore[arg-type]
        world = make_world(candidate_urls=[engine.url])
        engine.script.tokenizer = world.script.tokenizer
        engine.script.weights = world.store.path(world.versions[0])

        def begin(mode, **overrides):
            first, second, _ = world.versions
            # Two untaught judges disagree by chance; the alarms are tested one by one.
            loose = {
                "trial_share": 1.0,
                "trial_flip_rate": 1,
                "trial_latency_ratio": 1000,
                "trial_tie_rate": 1,
            }
            settings = iteration_settings("smoke", {**loose, "promote": mode, **overrides})
            with world.sessions.begin() as session:
                row = IterationRow(
                    status=mode, profile="smoke", settings=settings.model_dump(), seed_version=first,
                    judged_by=first, candidate=second, gate={"decision": "promote"}, actor="test",
                )  # fmt: skip
                session.add(row)
                session.flush()
                trials.begin(session, row.id, mode, second, first)
            until(lambda: engine.script.label == second)
            # The gateway takes part from its next look on.
            time.sleep(0.3)
            return row.id

        yield world, engine, begin


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(world, number):
    return world.http.get(f"/admin/iterations/{number}").json()["status"]


def shadow(world, number):
    return world.http.get(f"/admin/iterations/{number}/shadow").json()


def ask(world, count, begin=0):
    return [world.http.post("/judge/pairwise", json=pair(n)).json() for n in range(begin, begin + count)]


def recorded(world):
    with world.sessions() as session:
        return list(session.scalars(select(TrialDecisionRow)))


def audit(world):
    with world.sessions() as session:
        return [entry.act for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def test_a_shadow_is_answered_by_the_champion_and_judged_by_both(tried):
    world, _engine, begin = tried
    number = begin("shadow", trial_decisions=12)

    answers = []
    for index in range(12):
        answers += ask(world, 1, index)
        until(lambda wanted=index + 1: len(recorded(world)) == wanted)

    assert {answer["model_version"] for answer in answers} == {world.versions[0]}
    rows = {row.decision_id: row for row in recorded(world)}
    assert rows.keys() == {answer["id"] for answer in answers}
    for answer in answers:
        row = rows[answer["id"]]
        assert (row.champion_verdict, row.champion_probability_a) == (
            answer["verdict"],
            answer["probability_a"],
        )
        assert row.candidate_verdict is not None
        assert row.candidate_probability_a != row.champion_probability_a
    report = shadow(world, number)
    turned = sum({row.champion_verdict, row.candidate_verdict} == {"a", "b"} for row in rows.values())
    assert report["flips"]["successes"] == turned
    assert sum(sum(row.values()) for row in report["verdicts"].values()) == report["decisions"] == 12
    # A person decides, on the report.
    assert (report["outcome"], report["status"]) == ("passed", "awaiting_approval")
    assert world.http.get("/admin/models").json()["candidate"] == world.versions[1]
    approved = world.http.post(f"/admin/iterations/{number}/approve")
    assert approved.json() == {"champion": world.versions[1], "previous": world.versions[0]}
    assert status(world, number) == "promoted"
    assert audit(world)[-3:] == ["begin shadow", "end shadow", "approve"]


def test_only_the_share_is_tried_and_a_pinned_version_or_a_cached_answer_never(tried):
    world, _engine, begin = tried
    begin("canary", trial_share=0.3, trial_decisions=1000)

    answers = ask(world, 60)
    pinned = [
        world.http.post("/judge/pairwise", json={**pair(n), "version": "champion"}).json() for n in range(20)
    ]

    by_candidate = {a["id"] for a in answers if a["model_version"] == world.versions[1]}
    assert 5 <= len(by_candidate) <= 35
    assert {answer["model_version"] for answer in pinned} == {world.versions[0]}
    until(lambda: len(recorded(world)) == len(by_candidate))
    assert {row.decision_id for row in recorded(world)} == by_candidate
    with world.sessions() as session:
        stored = {row.id: row.model_version for row in session.scalars(select(DecisionRow))}
    assert stored == {answer["id"]: answer["model_version"] for answer in answers + pinned}


def test_a_canary_without_an_alarm_is_promoted(tried):
    world, _engine, begin = tried
    number = begin("canary", trial_decisions=10)

    answers = ask(world, 10)

    until(lambda: status(world, number) == "promoted")
    assert {answer["model_version"] for answer in answers} == {world.versions[1]}
    assert all(row.answered_by == "candidate" for row in recorded(world))
    with world.sessions() as session:
        assert read_pointer(session).champion == world.versions[1]
    until(lambda: ask(world, 1, 50)[0]["model_version"] == world.versions[1])
    assert world.script.weights.name == world.versions[1]
    assert audit(world)[-3:] == ["end canary", "promote", "end canary"]


def test_an_alarm_stops_a_canary_and_refuses_the_candidate(tried):
    world, engine, begin = tried
    number = begin("canary", trial_decisions=1000, trial_flip_rate=0.2)
    # The candidate says the opposite of the champion, always.
    engine.script.margin = lambda prompt, weights: (
        -world.script.margin(prompt, world.store.path(world.versions[0]))
    )

    asked = 0
    while status(world, number) == "canary":
        ask(world, 1, asked)
        asked += 1
        assert asked < 100
    after = ask(world, 8, 200)

    report = shadow(world, number)
    assert (report["status"], report["outcome"]) == ("refused", "refused")
    assert report["reason"].startswith("turned verdicts")
    assert {answer["model_version"] for answer in after} == {world.versions[0]}
    assert len(recorded(world)) < 40
    with world.sessions() as session:
        assert read_pointer(session).champion == world.versions[0]
    assert world.http.post(f"/admin/iterations/{number}/approve").status_code == 409


def test_a_candidate_that_answers_at_random_is_refused_at_the_default_limits(tried):
    world, _engine, begin = tried
    usual = iteration_settings("smoke", {})
    names = ("trial_decisions", "trial_flip_rate", "trial_tie_rate", "trial_latency_ratio")
    number = begin("canary", **{name: getattr(usual, name) for name in names})
    rng = random.Random(4)

    outcome, count = None, 0
    while outcome is None:
        sides = [rng.choice("ab") for _ in range(2)]
        with world.sessions.begin() as session:
            trial = trials.current(session)
            outcome = trials.record(session, trial, Seen(str(count), "candidate", *sides, 0.5, 0.5, 9.0, 9.0))
        count += 1

    assert (outcome, status(world, number)) == ("refused", "refused")
    assert shadow(world, number)["reason"].startswith("turned verdicts")
    assert count < usual.trial_decisions


def test_a_restarted_engine_pauses_the_trial_and_nobody_notices(tried):
    world, engine, begin = tried
    begin("canary", trial_decisions=1000)
    assert ask(world, 1)[0]["model_version"] == world.versions[1]

    engine.script.label = "default"
    meanwhile = ask(world, 3, 10)

    assert {answer["model_version"] for answer in meanwhile} <= set(world.versions[:2])
    assert all(answer["verdict"] in ("a", "b", "tie") for answer in meanwhile)
    until(lambda: engine.script.label == world.versions[1])
    until(lambda: ask(world, 1, int(time.monotonic() * 1000))[0]["model_version"] == world.versions[1])
    assert all(row.failure is None for row in recorded(world))


def test_a_person_who_changes_the_champion_ends_the_trial(tried):
    world, _engine, begin = tried
    number = begin("shadow", trial_decisions=1000)

    world.http.post(f"/admin/models/{world.versions[2]}/promote").raise_for_status()

    until(lambda: status(world, number) == "refused")
    assert "the champion was changed" in shadow(world, number)["reason"]


def test_a_trial_can_be_cancelled_and_blocks_the_next_iteration_until_then(tried):
    world, _engine, begin = tried
    number = begin("canary", trial_decisions=1000)

    busy = world.http.post("/admin/iterations", json={"profile": "smoke"})
    cancelled = world.http.post(f"/admin/iterations/{number}/cancel").json()

    assert busy.status_code == 409
    assert "on trial" in busy.json()["detail"]
    assert cancelled["status"] == "cancelled"
    until(lambda: ask(world, 1, int(time.monotonic() * 1000))[0]["model_version"] == world.versions[0])
    assert world.http.post("/admin/iterations", json={"profile": "smoke"}).status_code == 202


def test_the_same_comparison_counts_once_and_nothing_counts_after_the_end(tried):
    world, _engine, begin = tried
    number = begin("canary", trial_decisions=2)
    seen = Seen("one", "candidate", "a", "a", 0.6, 0.7, 10.0, 11.0)
    with world.sessions.begin() as session:
        trial = trials.current(session)
        outcomes = [trials.record(session, trial, seen) for _ in range(3)]
    assert outcomes == [None, None, None]

    for name in ("two", "three"):
        with world.sessions.begin() as session:
            trials.record(session, trial, Seen(name, "candidate", "a", "b", 0.6, 0.7, 10.0, 11.0))

    assert {row.decision_id for row in recorded(world)} == {"one", "two"}
    with world.sessions() as session:
        row = session.get(TrialRow, number)
        assert (row.outcome, row.reason) == ("passed", "2 comparisons without an alarm")


def test_approval_is_for_what_was_compared_and_a_no_is_kept(tried):
    world, _engine, begin = tried
    number = begin("shadow", trial_decisions=1)
    ask(world, 1)
    until(lambda: status(world, number) == "awaiting_approval")
    world.http.post(f"/admin/models/{world.versions[2]}/promote").raise_for_status()

    late = world.http.post(f"/admin/iterations/{number}/approve")
    rejected = world.http.post(f"/admin/iterations/{number}/reject", json={"reason": "too late"})

    assert late.status_code == 409
    assert "serves no more" in late.json()["detail"]
    assert rejected.json() == {"status": "refused"}
    assert world.http.post(f"/admin/iterations/{number}/reject", json={}).status_code == 409
    with world.sessions() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (entry.act, entry.details["reason"]) == ("reject", "too late")


def test_without_an_engine_for_it_a_trial_is_refused_at_the_start(world):
    answer = world.http.post(
        "/admin/iterations", json={"profile": "smoke", "settings": {"promote": "canary"}}
    )

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "settings.promote"
    assert "JUDGESMITH_CANDIDATE_URLS" in error["reason"]


def test_an_iteration_without_a_trial_has_no_report(world):
    world.http.post("/admin/iterations", json={"profile": "smoke"})

    assert world.http.get("/admin/iterations/1/shadow").status_code == 404
    assert world.http.get("/admin/iterations/9/shadow").status_code == 404
