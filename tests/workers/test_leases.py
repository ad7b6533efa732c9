"""Leases: one worker a stage, and one that was given up for dead writes nothing."""

import pytest
from sqlalchemy import text

from judge.errors import Cancelled, Conflict, Fenced
from judge.store.queue import connect
from judge.store.tables import StageRow
from judge.teaching import iterations
from judge.teaching.iterations import MAX_ATTEMPTS, Lease
from workers.main import AllowedJob, sweep


def age(loop, seconds):
    """Let time pass for every lease and request."""
    with loop.sessions.begin() as session:
        session.execute(
            text(
                "UPDATE stages SET lease_until = lease_until - make_interval(secs => :s), "
                "enqueued_at = enqueued_at - make_interval(secs => :s)"
            ),
            {"s": seconds},
        )


def test_a_stage_has_one_holder(loop):
    number = loop.start()

    assert Lease.take(loop.sessions, number, "select") is not None
    assert Lease.take(loop.sessions, number, "select") is None


def test_a_worker_that_was_given_up_writes_nothing(loop):
    number = loop.start()
    old = Lease.take(loop.sessions, number, "select")
    age(loop, 120)
    new = Lease.take(loop.sessions, number, "select")

    assert new.epoch == old.epoch + 1
    for act in (old.extend, lambda: old.progress(1, 2), lambda: old.fail("x", final=True), old.cancelled):
        with pytest.raises(Fenced):
            act()
    with pytest.raises(Fenced), old.transaction():
        pass
    new.progress(1, 2)


def test_an_extended_lease_is_not_taken(loop):
    number = loop.start()
    lease = Lease.take(loop.sessions, number, "select")
    age(loop, 50)
    lease.extend()
    age(loop, 50)

    assert Lease.take(loop.sessions, number, "select") is None


def test_a_failing_stage_is_tried_again_and_then_ends_the_iteration(loop):
    number = loop.start()

    for attempt in range(1, MAX_ATTEMPTS + 1):
        lease = Lease.take(loop.sessions, number, "select")
        lease.fail(f"failure {attempt}", final=False)

    assert Lease.take(loop.sessions, number, "select") is None
    row = loop.row(number)
    assert (row.status, row.error) == ("failed", f"select: failure {MAX_ATTEMPTS}")


def test_a_cancelled_iteration_stops_at_the_next_step(loop):
    number = loop.start()
    lease = Lease.take(loop.sessions, number, "select")
    with loop.sessions.begin() as session:
        iterations.cancel(session, number, "test")

    with pytest.raises(Cancelled):
        lease.progress(1, 2)
    loop_row = loop.row(number)
    assert loop_row.status == "cancelling"


def test_a_stage_that_runs_into_the_cancellation_ends_the_iteration(loop):
    number = loop.start()
    with loop.sessions.begin() as session:
        iterations.cancel(session, number, "test")

    assert loop.run(number, "select").status == "cancelled"
    with loop.sessions.begin() as session, pytest.raises(Conflict, match="nothing to cancel"):
        iterations.cancel(session, number, "test")


def test_there_is_one_active_iteration(loop):
    loop.start()

    with pytest.raises(Conflict, match="already running"):
        loop.start()


def test_the_sweep_asks_for_what_is_due_once_and_again_when_nobody_came(loop, clean_redis):
    number = loop.start()

    with connect(clean_redis) as redis:
        assert sweep(loop.sessions, redis) == 1
        assert sweep(loop.sessions, redis) == 0
        age(loop, 120)
        assert sweep(loop.sessions, redis) == 1
        redis.flushall()  # the queue is lost with everything in it
        age(loop, 120)
        assert sweep(loop.sessions, redis) == 1
        lease = Lease.take(loop.sessions, number, "select")
        age(loop, 30)
        assert sweep(loop.sessions, redis) == 0
        age(loop, 120)
        assert sweep(loop.sessions, redis) == 1
    assert lease is not None


def test_a_queue_cannot_name_foreign_code(clean_redis):
    with connect(clean_redis) as redis:
        job = AllowedJob.create("os.system", args=("true",), connection=redis, serializer="json")

        with pytest.raises(PermissionError, match=r"os\.system"):
            _ = job.func


def test_progress_gives_a_time_to_go_by_the_pace_since_it_was_begun(loop):
    number = loop.start()
    lease = Lease.take(loop.sessions, number, "select")
    assert lease is not None

    def left(done: int, *, after_s: int = 0) -> float | None:
        lease.progress(done, 25)
        with loop.sessions.begin() as session:
            ago = f"counted_at - interval '{after_s} seconds'"
            session.execute(text(f"UPDATE stages SET counted_at = {ago}"))
            row = session.get(StageRow, (number, "select"), populate_existing=True)
            return iterations.eta_seconds(row, session.scalar(text("SELECT now()")))

    # Five were done by whoever had it before, and a minute went by with loading.
    assert left(5, after_s=60) is None
    assert left(5, after_s=10) is None
    assert left(10) == pytest.approx(30, rel=0.1)
    assert left(25) is None
