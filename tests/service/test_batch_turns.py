"""Who works on a batch: gateways take turns, hand over and are fenced; cancelling, expiry, fair shares."""

import asyncio
import json
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from judge.batches import ledger
from judge.batches.ledger import Lease, Submission
from judge.batches.line_store import Line, Result
from judge.errors import Fenced
from judge.store.keys import Principal
from judge.store.tables import BatchLineRow, BatchRow, DecisionRow
from service.requests.batches import Turn
from tests.service.batch_calls import (
    PAIR,
    gateway,
    many,
    names,
    results,
    rows_of,
    some_done,
    status,
    stored,
    submit,
    wait_for,
    wait_until_over,
)


def test_a_cancelled_batch_keeps_what_is_done_and_names_the_rest(world):
    world.script.delay_s = 0.15
    made = submit(world.http, many(200))
    wait_for(world.http, made["id"], some_done)

    asked = world.http.post(f"/judge/batches/{made['id']}/cancel").json()
    over = wait_until_over(world.http, made["id"])
    found = results(world.http, made["id"])
    done = [item for item in found if item["error"] is None]

    assert asked["status"] == "cancelling"
    assert over["status"] == "cancelled"
    assert over["cancelling_at"] <= over["cancelled_at"]
    assert names(found) == names(many(200))
    assert 0 < len(done) == over["request_counts"]["completed"] < 200
    assert {item["error"]["code"] for item in found if item["error"]} == {"batch_cancelled"}
    requests = world.script.requests
    time.sleep(0.3)
    assert world.script.requests == requests
    assert world.http.post(f"/judge/batches/{made['id']}/cancel").json()["status"] == "cancelled"


def test_a_batch_expires_after_a_day_whoever_holds_it(world):
    world.script.delay_s = 0.15
    made = submit(world.http, many(400))
    wait_for(world.http, made["id"], some_done)
    with world.sessions.begin() as session:
        session.execute(update(BatchRow).values(expires_at=func.now()))

    over = wait_until_over(world.http, made["id"])

    assert made["expires_at"] - made["created_at"] == 24 * 3600
    assert world.http.post(f"/judge/batches/{made['id']}/cancel").status_code == 409
    assert over["status"] == "expired"
    assert results(world.http, made["id"])[-1]["error"]["code"] == "batch_expired"


def test_a_stopped_gateway_gives_its_batches_back_and_another_finishes_them(world):
    """Eight batches: as many as two gateways work on at a time."""
    world.script.delay_s = 1.0
    with gateway(world) as other:
        made = [submit(other, many(12))["id"] for _ in range(8)]
        wait_for(other, made[-1], lambda _: all(row.lease_holder for row in rows_of(world)))
        holders = {row.lease_holder for row in rows_of(world)}
        wait_for(other, made[0], some_done)
    world.script.delay_s = 0.0

    over = [wait_until_over(world.http, batch) for batch in made]

    assert len(holders) == 2
    assert [state["request_counts"] for state in over] == [{"total": 12, "completed": 12, "failed": 0}] * 8
    assert {row.epoch for row in rows_of(world)} == {1, 2}
    for batch in made:
        assert names(results(world.http, batch)) == names(many(12))
    assert stored(world, DecisionRow) >= stored(world) == 96


def test_when_a_lease_runs_out_another_gateway_goes_on_and_the_old_one_writes_nothing(world):
    """The first holder does what a killed gateway does: nothing more."""
    dead = held(world.sessions, many(3))
    assert dead.write([Result(1, 200, '{"by": "the first"}')])
    time.sleep(0.7)
    assert world.script.requests == 0

    with world.sessions.begin() as session:
        session.get_one(BatchRow, dead.batch).lease_until = func.now()
    over = wait_until_over(world.http, dead.batch)
    first, second, third = (item["response"]["body"] for item in results(world.http, dead.batch))

    assert over["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert second == {"by": "the first"}
    assert first["verdict"] == third["verdict"]
    assert stored(world, DecisionRow) == 2
    with pytest.raises(Fenced):
        dead.write([Result(0, 200, '{"by": "the first"}')])
    with pytest.raises(Fenced):
        dead.release()


def test_a_write_of_an_old_epoch_is_refused_while_the_new_one_works(sessions):
    old = held(sessions, many(2))
    new = taken_over(sessions, old)

    with pytest.raises(Fenced):
        old.write([Result(0, 200, '{"by": "old"}')])
    assert new.write([Result(0, 200, '{"by": "new"}')])


async def test_a_batch_whose_turn_is_over_finishes_what_it_has_begun(sessions):
    lease = held(sessions, many(40))
    begun, done = [], []

    async def judge(item, caller):
        begun.append(item.ordinal)
        await asyncio.sleep(0.02)
        done.append(item.ordinal)
        return Result(item.ordinal, 200, "{}")

    more = await Turn(lease, judge, ahead=4).run(stopped=lambda: False, over=lambda: len(begun) >= 10)

    assert more
    assert 10 <= len(begun) < 40
    with sessions() as session:
        assert session.get_one(BatchRow, lease.batch).completed == len(done) == len(begun)


def test_the_next_batch_is_that_of_a_tenant_without_one_then_the_one_left_alone_longest(sessions):
    with sessions.begin() as session:
        made = {
            name: ledger.submit(session, Submission(name[0], "test", name, {}), [Line(0, "x", "y", "{}")])[
                0
            ].id
            for name in ("a1", "a2", "b1", "a3")
        }

    taken = [Lease.take(sessions, "test") for _ in range(4)]
    assert [lease.batch for lease in taken[:2]] == [made["a1"], made["b1"]]
    assert Lease.take(sessions, "test") is None

    for lease in (taken[3], taken[0]):
        lease.release()
    assert Lease.take(sessions, "test").batch == taken[3].batch


def test_a_result_is_written_once_and_counted_once(sessions):
    lease = held(sessions, many(2))

    assert lease.write([Result(0, 200, '{"n": 1}')])
    assert lease.write([Result(0, 422, '{"n": 2}')])

    with sessions() as session:
        row, line_row = (
            session.get_one(BatchRow, lease.batch),
            session.get_one(BatchLineRow, (lease.batch, 0)),
        )
    assert (row.completed, row.failed) == (1, 0)
    assert (line_row.status_code, line_row.answer, line_row.body) == (200, {"n": 1}, None)


def held(sessions, items):
    """A batch in the hands of the test: it is submitted and taken before a gateway can see it."""
    lines = [
        Line(n, item["custom_id"], item["url"], json.dumps(item["body"])) for n, item in enumerate(items)
    ]
    with sessions.begin() as session:
        row, _ = ledger.submit(session, Submission("local", "test", "digest", {}), lines)
        row.status, row.epoch, row.lease_until = "in_progress", 1, func.now() + timedelta(seconds=60)
    return Lease(sessions, row.id, 1, Principal("test", "local", frozenset({"judge"})))


def taken_over(sessions, lease):
    with sessions.begin() as session:
        session.get_one(BatchRow, lease.batch).lease_until = func.now()
    new = Lease.take(sessions, "new")
    assert (new.batch, new.epoch) == (lease.batch, lease.epoch + 1)
    return new


def test_an_overloaded_gateway_or_a_dead_backend_is_waited_for(make_world):
    world = make_world(max_concurrent_decisions=2)
    world.script.dead = True
    made = submit(world.http, many(20))
    time.sleep(0.6)
    waiting = status(world.http, made["id"])
    world.script.dead = False

    over = wait_until_over(world.http, made["id"])

    assert waiting["request_counts"] == {"total": 20, "completed": 0, "failed": 0}
    assert over["request_counts"] == {"total": 20, "completed": 20, "failed": 0}


def test_live_requests_and_short_batches_do_not_wait_for_a_long_batch(make_world):
    world = make_world(batch_concurrency=8, max_concurrent_decisions=12)
    world.script.delay_s = 0.1
    long = submit(world.http, many(400))
    wait_for(world.http, long["id"], some_done)
    short = submit(world.http, many(4))

    codes = [world.http.post("/judge/pairwise", json=PAIR).status_code for _ in range(5)]
    wait_until_over(world.http, short["id"])

    assert codes == [200] * 5
    assert status(world.http, long["id"])["status"] == "in_progress"
    world.http.post(f"/judge/batches/{long['id']}/cancel")


def test_a_swap_in_the_middle_mixes_and_loses_nothing(world):
    world.script.delay_s = 0.1
    world.script.reload_s = 0.1
    first, second, _ = world.versions
    expected = {first: world.http.post("/judge/pairwise", json=PAIR).json()["probability_a"]}
    made = submit(world.http, many(400))
    wait_for(world.http, made["id"], some_done)

    world.http.post(f"/admin/models/{second}/promote").raise_for_status()
    world.script.delay_s = 0.0
    expected[second] = world.http.post("/judge/pairwise", json=PAIR).json()["probability_a"]
    over = wait_until_over(world.http, made["id"])
    bodies = [item["response"]["body"] for item in results(world.http, made["id"])]

    assert over["request_counts"] == {"total": 400, "completed": 400, "failed": 0}
    assert {body["model_version"] for body in bodies} == {first, second}
    assert {(body["model_version"], body["probability_a"]) for body in bodies} == set(expected.items())
