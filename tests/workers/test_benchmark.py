"""Evaluations as jobs: each item is judged once, by the version that was asked for, whatever happens."""

import math
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select, update

from judge.comparison import Instruction
from judge.errors import Conflict
from judge.evaluation import report, runs
from judge.evaluation.benchmarks.items import Item, Judged
from judge.evaluation.lease import MAX_ATTEMPTS, Lease, claim_due
from judge.judging.scoring import NOT_FINITE
from judge.store import queue
from judge.store.tables import BenchmarkRunRow
from stack.processes.spawn import CODE
from tests.workers.measured import answers, items, row, submit
from workers import benchmark
from workers.batches import in_portions
from workers.benchmark import run_evaluation
from workers.main import sweep


def test_a_version_that_does_not_serve_is_measured_on_the_engine_that_serves_nobody(loop, other):
    run = submit(loop, other)

    run_evaluation(run)

    done = row(loop, run)
    assert (done.status, done.done, done.total, done.error) == ("done", 12, 12, None)
    assert loop.evaluation.script.reloads == [other]
    assert loop.serving.script.requests == 0
    assert done.figures["items"] == 12
    assert done.figures["cost"]["prompt_tokens"] > 0
    assert done.figures["calibration"]["ece"][0] >= 0
    assert [one.item for one in answers(loop, run)] == items()


def test_the_same_evaluation_gives_the_same_report(loop, other):
    def digest():
        numbers = [submit(loop, version) for version in (loop.version, other)]
        for run in numbers:
            run_evaluation(run)
        built = report.build([runs.load_run(loop.sessions, run) for run in numbers])
        with loop.sessions.begin() as session:
            for run in session.scalars(select(BenchmarkRunRow)):
                session.delete(run)
        return built["digest"], [one["version"] for one in built["sets"][0]["runs"]]

    first, again = digest(), digest()

    assert first == again
    assert first[1] == [loop.version, other]


def test_a_killed_evaluation_asks_only_for_what_is_missing(loop, monkeypatch):
    run, whole, calls = submit(loop, concurrency=1), benchmark.answer, []

    async def dies(judge, item, how):
        calls.append(item.id)
        if len(calls) == 8:
            raise OSError("killed")
        return await whole(judge, item, how)

    async def often(*arguments, **options):
        await in_portions(*arguments, **options, every_s=0)

    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "answer", dies)
        patch.setattr(benchmark, "in_portions", often)
        run_evaluation(run)
    stored = len(answers(loop, run))
    assert 0 < stored < 12
    assert row(loop, run).status == "queued"
    assert "OSError: killed" in row(loop, run).error
    before = loop.evaluation.script.requests

    run_evaluation(run)

    assert loop.evaluation.script.requests - before == 2 * (12 - stored)
    assert (row(loop, run).status, row(loop, run).error) == ("done", None)
    run_evaluation(run)
    assert loop.evaluation.script.requests - before == 2 * (12 - stored)


def test_after_its_last_attempt_it_has_failed_and_asking_again_goes_on(loop, monkeypatch):
    run = submit(loop)
    monkeypatch.setenv("JUDGESMITH_EVALUATION_URL", "http://127.0.0.1:9")

    for _ in range(3):
        run_evaluation(run)

    assert row(loop, run).status == "failed"
    assert "127.0.0.1:9" in row(loop, run).error
    monkeypatch.setenv("JUDGESMITH_EVALUATION_URL", loop.evaluation.url)
    assert submit(loop) == run
    run_evaluation(run)
    assert row(loop, run).status == "done"


def test_an_evaluation_that_kills_its_workers_is_not_begun_for_ever(loop):
    """Real worker processes, killed before the first answer; the queue would ask for it again each time."""
    run = submit(loop)
    loop.evaluation.script.delay_s = 2.0
    code = f"from workers.benchmark import run_evaluation; run_evaluation({run})"
    for _ in range(MAX_ATTEMPTS):
        asked = loop.evaluation.script.requests
        with subprocess.Popen([sys.executable, "-c", code], cwd=CODE) as worker:
            while loop.evaluation.script.requests == asked:
                assert worker.poll() is None
                time.sleep(0.02)
            worker.send_signal(signal.SIGKILL)
        expire(loop)
        assert row(loop, run).status == "running"
    asked = loop.evaluation.script.requests

    run_evaluation(run)

    assert (row(loop, run).status, row(loop, run).done) == ("failed", 0)
    assert "killed again and again" in row(loop, run).error
    assert loop.evaluation.script.requests == asked
    with loop.sessions.begin() as session:
        assert claim_due(session) == []


def expire(loop):
    with loop.sessions.begin() as session:
        session.execute(update(BenchmarkRunRow).values(lease_until=func.now()))


def test_an_evaluation_that_gets_on_may_lose_its_worker_however_often(loop):
    run = submit(loop)
    for ordinal, item in enumerate(items(3 * MAX_ATTEMPTS)):
        lease = Lease.take(loop.sessions, run)
        lease.write([(ordinal, Judged(item.id, ("a", "a"), "a", 0.9))])
        expire(loop)

    run_evaluation(run)

    assert (row(loop, run).status, row(loop, run).done) == ("done", 12)


def test_probabilities_that_are_not_finite_are_invalid_answers(loop):
    loop.evaluation.script.margin = lambda prompt, _: math.nan if "of the kind 3." in prompt else 2.0
    given = [
        Item(f"Math-{n}", "Math", Instruction.of(f"Question of the kind {n}."), tuple("abcd"), None, "rate",
             {"correct": 1, "id": str(n)})
        for n in (3, 4)
    ]  # fmt: skip
    compared, ratings = submit(loop), submit(loop, given=given, name="rewardbench2")

    run_evaluation(compared)
    run_evaluation(ratings)

    invalid = [one for one in answers(loop, compared) if "invalid" in one.judged.verdicts]
    assert [one.item.id for one in invalid] == ["item-3"]
    assert (invalid[0].judged.verdict, invalid[0].judged.verdicts) == ("invalid", ("invalid", "invalid"))
    assert (invalid[0].judged.probability_a, invalid[0].judged.reason) == (None, NOT_FINITE)
    assert row(loop, compared).figures["measures"]["invalid"]["value"] == pytest.approx(1 / 12, abs=1e-4)
    broken, whole = answers(loop, ratings)
    assert (broken.judged.scores, broken.judged.reason) == ((None,) * 4, NOT_FINITE)
    assert whole.judged.scores == (2.0,) * 4


def test_a_cancelled_evaluation_keeps_what_it_has_and_goes_on_when_asked_again(loop, monkeypatch):
    run, whole, seen = submit(loop, concurrency=1), benchmark.answer, []

    async def cancels(judge, item, how):
        seen.append(item.id)
        if len(seen) == 5:
            with loop.sessions.begin() as session:
                runs.cancel(session, run, "test")
        return await whole(judge, item, how)

    async def often(*arguments, **options):
        await in_portions(*arguments, **options, every_s=0)

    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "answer", cancels)
        patch.setattr(benchmark, "in_portions", often)
        run_evaluation(run)

    kept = len(answers(loop, run))
    assert row(loop, run).status == "cancelled"
    assert 0 < kept < 12
    with loop.sessions.begin() as session, pytest.raises(Conflict, match="nothing to cancel"):
        runs.cancel(session, run, "test")
    assert submit(loop) == run
    run_evaluation(run)
    assert row(loop, run).status == "done"


def test_one_that_is_queued_is_cancelled_at_once(loop):
    run = submit(loop)

    with loop.sessions.begin() as session:
        runs.cancel(session, run, "test")
    run_evaluation(run)

    assert row(loop, run).status == "cancelled"
    assert loop.evaluation.script.requests == 0


def test_a_worker_that_was_given_up_writes_nothing(loop):
    run = submit(loop)
    old = Lease.take(loop.sessions, run)
    with loop.sessions.begin() as session:
        session.execute(update(BenchmarkRunRow).values(lease_until=func.now()))

    run_evaluation(run)

    with pytest.raises(Conflict, match="taken over"):
        old.write([])
    with pytest.raises(Conflict, match="taken over"):
        old.complete({"items": 0})
    assert row(loop, run).figures["items"] == 12


def test_what_is_due_and_was_lost_is_asked_for_again(loop, clean_redis):
    run = submit(loop)
    held = submit(loop, seed=1)
    Lease.take(loop.sessions, held)

    with queue.connect(clean_redis) as redis:
        sweep(loop.sessions, redis)
        sweep(loop.sessions, redis)
        jobs = [job for job in _jobs(redis) if job.func_name == queue.RUN_EVALUATION]

    assert [job.args for job in jobs] == [[run]]
    assert queue.RUN_EVALUATION in queue.ALLOWED_JOBS


def _jobs(redis):
    from rq import Queue

    return Queue(queue.STAGES, connection=redis, serializer="json").jobs
