"""Forgetting: an instruction goes with everything derived from it, in the database and on disk."""

import pytest
from sqlalchemy import delete, select, text, update

from judge import forgetting
from judge.errors import Conflict
from judge.tables import (
    AuditEntry,
    ErasureRow,
    ExampleRow,
    InstructionRow,
    IterationRow,
    ModelVersion,
    PairRow,
    ResponseRow,
)
from judge.tenants import Policy
from workers.gather import run_gather


def forget(loop, **which):
    with loop.sessions.begin() as session:
        return forgetting.forget(session, "test", **which)


@pytest.fixture
def taught(loop):
    """A loop with an iteration that is over, as far as its examples, and a version that it made."""
    number = loop.start()
    loop.run(number, "select", "pair", "judge", "filter")
    folder = loop.store.root.parent / "work" / f"iteration-{number}"
    folder.mkdir(parents=True)
    (folder / "pointwise.jsonl").write_text("{}")
    with loop.sessions.begin() as session:
        session.execute(update(IterationRow).values(status="promoted"))
        session.execute(update(ModelVersion).values(iteration_id=number))
    return loop, number, folder


def everything(loop):
    """Every value of every row of the loop's own tables, as text."""
    tables = ("instructions", "responses", "preference_pairs", "judgments", "training_examples", "audit")
    with loop.sessions() as session:
        return "\n".join(
            row for name in tables for row in session.scalars(text(f"SELECT t::text FROM {name} AS t"))
        )


def an_example(loop):
    pair = loop.rows(select(PairRow).join(ExampleRow, ExampleRow.pair_id == PairRow.id))[0]
    topic = pair.messages[-1]["content"].split("topic-")[1].split()[0]
    return pair.instruction_id, f"topic-{topic} "


def test_nothing_of_it_is_left_in_any_table_nor_among_the_files(taught):
    loop, number, folder = taught
    instruction, topic = an_example(loop)
    responses = loop.rows(select(ResponseRow).where(ResponseRow.instruction_id == instruction))
    lent = [
        row
        for row in loop.rows(select(PairRow).where(PairRow.instruction_id != instruction))
        if row.rejected == responses[0].text
    ]
    assert topic in everything(loop)

    done = forget(loop, ids=[instruction])
    run_gather()

    assert topic not in everything(loop)
    assert (done.instructions, done.iterations, done.versions) == (1, (number,), (loop.version,))
    assert done.pairs >= 1 + len(lent)
    assert not folder.exists()
    entry = loop.rows(select(AuditEntry).where(AuditEntry.act == "forget"))[0]
    assert entry.details["versions"] == [loop.version]
    assert [row.files_due for row in loop.rows(select(ErasureRow))] == [False]


def test_forgetting_again_does_nothing(taught):
    loop, _, _ = taught
    instruction, _ = an_example(loop)
    forget(loop, ids=[instruction])

    assert forget(loop, ids=[instruction]) == forgetting.Forgotten()
    assert len(loop.rows(select(ErasureRow))) == 1


def test_what_an_iteration_works_with_waits_for_its_end(loop):
    number = loop.start()
    loop.run(number, "select", "pair")
    used = loop.rows(select(PairRow))[0].instruction_id

    with pytest.raises(Conflict, match=f"iteration {number} works with"):
        forget(loop, ids=[used])

    assert loop.rows(select(InstructionRow).where(InstructionRow.id == used))


def test_a_tenant_goes_as_a_whole_and_no_other_does(loop):
    with loop.sessions.begin() as session:
        session.execute(update(InstructionRow).where(InstructionRow.id <= 20).values(tenant="leaving"))

    assert forget(loop, tenant="leaving", of_tenant="another").instructions == 0
    assert forget(loop, tenant="leaving").instructions == 20
    assert len(loop.rows(select(InstructionRow))) == 40


def test_what_is_older_than_its_tenant_allows_is_deleted_by_the_worker(loop, monkeypatch):
    monkeypatch.setenv("JUDGESMITH_RETENTION_DAYS", "30")
    with loop.sessions.begin() as session:
        old = update(InstructionRow).where(InstructionRow.id <= 20)
        session.execute(old.values(created_at=text("now() - interval '31 days'")))

    run_gather()

    assert {row.id for row in loop.rows(select(InstructionRow))} == set(range(21, 61))


def test_retention_waits_for_an_iteration_in_progress(loop):
    number = loop.start()
    loop.run(number, "select")
    with loop.sessions.begin() as session:
        session.execute(update(InstructionRow).values(created_at=text("now() - interval '31 days'")))
        done = forgetting.purge(session, Policy(retention_days=30))

    assert done.instructions == 20
    with loop.sessions.begin() as session:
        session.execute(delete(IterationRow))
        assert forgetting.purge(session, Policy(retention_days=30)).instructions == 40
