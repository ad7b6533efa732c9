"""What an evaluation asks, and what it takes for an answer."""

import pytest
from sqlalchemy import func, select

from judge.comparison import Instruction
from judge.errors import InvalidInput, NotFound
from judge.evaluation import runs
from judge.evaluation.benchmarks.items import Item
from judge.gathering.protected import closest
from judge.store.tables import BenchmarkItemRow, BenchmarkOutcomeRow
from tests.workers.measured import answers, items, row, submit
from workers.benchmark import run_evaluation


def test_reasoning_keeps_the_rationales(loop):
    loop.evaluation.script.text = lambda prompt: "The first is better.\n\nVerdict: [[A]]"
    run = submit(loop, mode="reasoning")

    run_evaluation(run)

    found = answers(loop, run)
    assert {one.judged.verdicts for one in found} == {("a", "b")}
    assert row(loop, run).figures["measures"]["right, winner first"]["value"] == 1.0
    assert row(loop, run).figures["measures"]["same in both orders"]["value"] == 0.0


def test_responses_are_rated_alone_where_the_benchmark_says_so(loop):
    given = [
        Item(
            f"Math-{n}",
            "Math",
            Instruction.of(f"Question {n}"),
            tuple("abcd"),
            None,
            "rate",
            {"correct": 1, "id": str(n)},
        )
        for n in range(4)
    ]
    run = submit(loop, given=given, name="rewardbench2")

    run_evaluation(run)

    found = answers(loop, run)
    assert all(len(one.judged.scores) == 4 and None not in one.judged.scores for one in found)
    assert row(loop, run).figures["headline"] == "final"


def test_what_the_judge_cannot_take_is_an_invalid_answer_with_the_reason(loop):
    loop.evaluation.script.refused = "of the kind 3."
    run = submit(loop)

    run_evaluation(run)

    invalid = [one for one in answers(loop, run) if one.judged.verdicts is None]
    assert [one.item.id for one in invalid] == ["item-3"]
    assert "not like this" in invalid[0].judged.reason
    assert row(loop, run).figures["measures"]["invalid"]["value"] == pytest.approx(1 / 12, abs=1e-4)


def test_a_limit_draws_the_same_items_for_every_version(loop, other):
    one, two = submit(loop, limit=5), submit(loop, other, limit=5)
    another = submit(loop, limit=5, seed=9)

    with loop.sessions() as session:
        sets = [runs.get(session, run).set_digest for run in (one, two, another)]
        count = session.scalar(select(func.count()).select_from(BenchmarkItemRow))
    assert sets[0] == sets[1] != sets[2]
    assert count == 10
    assert row(loop, one).total == 5


def test_items_of_a_benchmark_are_kept_out_of_what_is_learned_from(loop):
    submit(loop)

    with loop.sessions() as session:
        (close,) = closest(session, [items()[3].instruction])
    assert close is not None
    assert close.name.startswith("benchmark mine")


def test_a_version_or_a_benchmark_that_is_not_known_is_refused(loop):
    with pytest.raises(NotFound, match="0000"):
        submit(loop, "0" * 16)
    with pytest.raises(NotFound, match="previous"):
        submit(loop, "previous")
    with pytest.raises(InvalidInput, match="must be one of"):
        submit(loop, name="nothing")
    assert loop.rows(select(BenchmarkOutcomeRow)) == []


def test_two_workers_do_not_share_the_given_engine(loop, other):
    from workers.engine import evaluation_engine

    class Stopped(Exception):
        pass

    def stop(note):
        assert note == "waiting for the evaluation engine"
        raise Stopped

    from judge.settings import Settings

    process, folder = Settings(), loop.store.path(other)
    with evaluation_engine(process, loop.sessions, folder, print) as url:
        assert url == loop.evaluation.url
        with pytest.raises(Stopped), evaluation_engine(process, loop.sessions, folder, stop):
            pass
    with evaluation_engine(process, loop.sessions, folder, stop) as url:
        assert url == loop.evaluation.url
