"""Review items: which comparisons people are asked about, and what never becomes training data."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from judge.comparison import Instruction
from judge.evaluation import anchors
from judge.gathering import forgetting, intake, protected
from judge.gathering.instructions import Gathered, store
from judge.gathering.intake import Rules
from judge.review import figures, items
from judge.review.items import Judged, Signals
from judge.store.tables import (
    AnchorRow,
    AuditEntry,
    InstructionRow,
    ModelVersion,
    ProtectedRow,
    QuarantineRow,
    ReviewItemRow,
    ReviewRow,
    SelectionRow,
    TrialDecisionRow,
    TrialRow,
)
from tests.judge.review.review_items import TEXT, add, answer, claim, decision, iteration, offer, rows, seen


def test_the_same_texts_are_there_once_for_a_tenant(sessions):
    assert add(sessions, offer(), offer(), offer(1)) == 2
    assert add(sessions, offer()) == 0
    assert add(sessions, offer(), tenant="two") == 1


def test_the_random_sample_has_its_rate_and_says_so():
    found = [items.drawn(f"decision {n}", decision(), 0.1, 0.0) for n in range(5000)]
    chosen = [one for one in found if one]

    assert 400 < len(chosen) < 600
    assert {probability for probability, _ in chosen} == {0.1}
    assert found == [items.drawn(f"decision {n}", decision(), 0.1, 0.0) for n in range(5000)]


def test_disagreeing_decisions_are_chosen_beside_the_sample():
    split = decision("tie", ("a", "b"), 0.5)
    found = [items.drawn(str(n), split, 0.1, 1.0) for n in range(1000)]

    assert all(found)
    assert 850 < sum(probability is None for probability, _ in found) < 950
    agreed = [items.drawn(str(n), decision(), 0.1, 1.0) for n in range(99)]
    assert {one and one[0] for one in agreed} == {None, 0.1}
    assert (None, Signals.of(decision())) not in agreed


@pytest.mark.parametrize(
    ("made", "orders_differ", "votes_differ", "uncertainty"),
    [
        (decision(), False, False, 0.2),
        (decision("tie", ("a", "b"), 0.5), True, False, 1.0),
        (decision("a", ("a", "tie"), 0.75), False, False, 0.5),
        (decision("a", votes={"a": 5, "b": 3, "tie": 0}), False, True, 0.2),
        (decision("invalid", ("invalid", "invalid"), None), False, False, 1.0),
    ],
)
def test_signals_say_how_a_judge_disagreed_with_itself(made, orders_differ, votes_differ, uncertainty):
    found = Signals.of(made)

    assert (found.orders_differ, found.votes_differ) == (orders_differ, votes_differ)
    assert found.uncertainty == pytest.approx(uncertainty)


# What people judge is never training data.


def test_what_people_judge_leaves_the_pool_and_cannot_come_in_again(sessions):
    words = Instruction.of(TEXT)
    with sessions.begin() as session:
        store(session, [Gathered(words, "live", "one")])

    add(sessions, offer(text=TEXT))
    again = intake.admit(
        sessions,
        [Gathered(words, "live", "one"), Gathered(Instruction.of(f"Please: {TEXT} Thanks!"), "live", "two")],
        Rules(),
    )

    assert rows(sessions, InstructionRow) == []
    (kept_apart,) = rows(sessions, QuarantineRow, QuarantineRow.digest == words.digest)
    assert kept_apart.kind == "contaminated"
    assert again.stored == 0
    assert "review queue" in again.quarantined[1]


def test_an_instruction_that_an_iteration_has_worked_with_is_not_asked_about(sessions):
    with sessions.begin() as session:
        session.add(ModelVersion(id="v1", origin="test", manifest={}))
        session.flush()
        store(session, [Gathered(Instruction.of(TEXT), "live", "one")])
        session.add(iteration(7, "promoted"))
        session.flush()
        number = session.scalar(select(InstructionRow.id))
        session.add(SelectionRow(iteration_id=7, instruction_id=number, held_out=False))

    assert add(sessions, offer(text=TEXT), offer(1)) == 1
    assert len(rows(sessions, InstructionRow)) == 1


def test_forgetting_takes_items_reviews_protection_and_anchors_with_it(sessions):
    add(sessions, offer(text=TEXT, answers=(("ann", "a"), ("bob", "a"))), offer(1, answers=(("ann", "b"),)))
    with sessions.begin() as session:
        anchors.replace_anchors(session, "people", figures.as_anchors(seen(sessions), 1))

    with sessions.begin() as session:
        forgetting.forget(session, "test", digests=[Instruction.of(TEXT).digest])

    assert [row.response_a for row in rows(sessions, ReviewItemRow)] == ["yes 1"]
    assert [review.reviewer for review in rows(sessions, ReviewRow)] == ["ann"]
    assert len(rows(sessions, ProtectedRow, ProtectedRow.name == protected.REVIEW_QUEUE)) == 1
    assert [anchor.label for anchor in rows(sessions, AnchorRow)] == ["b"]
    assert [entry.details for entry in rows(sessions, AuditEntry)] == [{"items": 1}]
    with sessions() as session:
        assert protected.closest(session, [Instruction.of(TEXT)]) == [None]


# Upkeep.


def test_live_items_that_nobody_has_judged_leave_after_their_days(sessions):
    live = [replace(offer(n), source=items.LIVE) for n in range(3)]
    add(sessions, *live, offer(3))
    judged = claim(sessions)
    answer(sessions, judged.id, "a")
    with sessions.begin() as session:
        session.execute(update(ReviewItemRow).values(created_at=datetime.now(UTC) - timedelta(days=31)))

    with sessions.begin() as session:
        items.keep_up(session, days=30)

    left = rows(sessions, ReviewItemRow)
    assert judged.id in {row.id for row in left}
    assert all(row.source == "given" or row.id == judged.id for row in left)


def test_what_a_candidate_on_trial_says_is_kept_beside_the_champions_verdict(sessions):
    judged = (Judged("v1", "a", 0.8),)
    add(sessions, replace(offer(0, None), decision_id="d1", judged=judged))
    with sessions.begin() as session:
        session.add_all(ModelVersion(id=name, origin="test", manifest={}) for name in ("v1", "v2"))
        session.flush()
        session.add(iteration(1, "shadow"))
        session.flush()
        session.add(TrialRow(iteration_id=1, mode="shadow", version="v2", champion="v1"))
        session.flush()
        session.add(
            TrialDecisionRow(
                iteration_id=1,
                decision_id="d1",
                answered_by="champion",
                champion_verdict="a",
                candidate_verdict="b",
                candidate_probability_a=0.2,
            )
        )

    for _ in range(2):
        with sessions.begin() as session:
            items.keep_up(session, days=30)

    (item,) = seen(sessions)
    assert item.judged == {"v1": Judged("v1", "a", 0.8), "v2": Judged("v2", "b", 0.2)}
    assert item.row.versions_differ


# Figures and files.
