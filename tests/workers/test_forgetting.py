"""Forgetting: an instruction goes with everything derived from it, in the database and on disk."""

import re

import pytest
from sqlalchemy import delete, select, text, update

from judge.comparison import Instruction
from judge.errors import Conflict
from judge.gathering import forgetting
from judge.gathering.tenants import Policy
from judge.store.tables import (
    AnchorRow,
    AuditEntry,
    Base,
    ErasureRow,
    EvaluationRow,
    ExampleRow,
    InstructionRow,
    IterationRow,
    ModelVersion,
    PairRow,
    ResponseRow,
    ReviewItemRow,
)
from tests.workers.conftest import respond
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
    """Every value of every row of every table, as text."""
    with loop.sessions() as session:
        return "\n".join(
            row
            for name in Base.metadata.tables
            for row in session.scalars(text(f"SELECT t::text FROM {name} AS t"))
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


def word_of(topic):
    """A long word that only the responses about this topic hold."""
    return "zebra" + "".join("abcdefghij"[int(digit)] for digit in f"{int(topic):03}")


def tell(prompt):
    """A generator with a word of its own for each topic, and a judge that names the topics it saw."""
    if "[Response A]" not in prompt:
        word = word_of(prompt.rsplit("topic-", 1)[1].split()[0])
        return f"{respond(prompt)} Nobody forgets {word}. Then {word} comes again. People like it."
    topic = prompt.split("topic-")[1].split()[0]
    first, second = prompt.split("[Response A]")[1].split("[Response B]")
    seen = " ".join(dict.fromkeys(re.findall(r"zebra\w{3}", first + second, re.IGNORECASE)))
    return f"{seen}\n\nVerdict: [[{'A' if f'topic-{topic} ' in first else 'B'}]]"


@pytest.fixture
def told(loop):
    """A loop whose iteration is over; many of its pairs have parts of others' responses."""
    loop.serving.script.text = loop.evaluation.script.text = tell
    mix = {"neighbor": 1, "spliced": 2, "substituted": 2, "shortened": 1}
    number = loop.start(mix=mix, pairs_per_instruction=4, evaluated_reasoning=30, max_pointwise=40)
    row = loop.run(number)
    assert row.status in ("promoted", "refused"), row.error
    return loop


def asked_about(loop, row):
    """People are asked about a response to this instruction, and their answer has become an anchor."""
    instruction = Instruction.from_json(row.messages)
    texts = {
        "messages": row.messages,
        "instruction_digest": instruction.digest,
        "response_a": f"All about {word_of(topic_of(row))}.",
        "response_b": "Nothing.",
    }
    with loop.sessions.begin() as session:
        session.add(
            ReviewItemRow(
                id="item-1", tenant="local", source="live", content_digest="c", place=0.5, wanted=1, **texts
            )
        )
        session.add(AnchorRow(anchor_set="people", item="item-1", label="a", **texts))


def topic_of(row):
    return row.messages[-1]["content"].split("topic-")[1].split()[0]


@pytest.mark.parametrize("held_out", [False, True])
def test_no_table_holds_a_word_of_it_whoever_borrowed_it_or_wrote_about_it(told, held_out):
    pairs = [row for row in told.rows(select(PairRow)) if row.held_out == held_out]
    lenders = {row.lender_id for row in pairs if row.strategy in ("spliced", "substituted")}
    evaluated = str([row.items for row in told.rows(select(EvaluationRow))])
    row = next(
        row
        for row in told.rows(select(InstructionRow).where(InstructionRow.id.in_(lenders)))
        if not held_out or word_of(topic_of(row)) in evaluated
    )
    asked_about(told, row)
    word = word_of(topic_of(row))
    assert word in everything(told).lower()

    done = forget(told, ids=[row.id])
    run_gather()

    assert word not in everything(told).lower()
    assert f"topic-{topic_of(row)} " not in everything(told)
    assert done.pairs > len([pair for pair in pairs if pair.instruction_id == row.id])
    assert told.rows(select(ReviewItemRow)) == told.rows(select(AnchorRow)) == []


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
