"""The queue of rewards: fair, bounded, and it forgets who has gone."""

import asyncio

import pytest

from service.door.problems import Overloaded, OverShare
from service.metrics import Metrics
from service.shared.fair import FairQueue


def queue(at_once=2, most=100):
    return FairQueue(at_once, most, Metrics())


def works(log, name, count, seconds=0.0):
    async def work(number):
        log.append(name)
        await asyncio.sleep(seconds)
        return (name, number)

    return [lambda number=number: work(number) for number in range(count)]


async def test_results_are_in_order_and_no_more_than_allowed_run_at_once():
    running, most = 0, 0

    async def work(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (number % 3))
        running -= 1
        return number

    found = await queue(at_once=3).run("t", [lambda n=n: work(n) for n in range(30)])

    assert found == list(range(30))
    assert most == 3


async def test_tenants_take_turns_and_so_do_calls_of_one_tenant():
    log = []
    fair = queue(at_once=1)

    await asyncio.gather(
        fair.run("big", works(log, "big", 20)),
        fair.run("big", works(log, "other", 5)),
        fair.run("small", works(log, "small", 3)),
    )

    last = {name: max(place for place, own in enumerate(log) if own == name) for name in set(log)}
    assert last["small"] <= 6
    assert last["other"] <= 15
    assert last["big"] == 27


async def test_one_tenant_may_fill_half_and_all_together_the_whole():
    fair = queue(at_once=1, most=10)
    log = []
    waiting = [asyncio.create_task(fair.run(name, works(log, name, 4, 0.02))) for name in ("a", "b")]
    await asyncio.sleep(0)

    with pytest.raises(OverShare) as mine:
        await fair.run("a", works(log, "a", 4))
    with pytest.raises(Overloaded) as everybodys:
        await fair.run("c", works(log, "c", 4))

    assert not isinstance(everybodys.value, OverShare)
    assert mine.value.retry_after_s >= 1
    assert len(await fair.run("c", works(log, "c", 2))) == 2
    await asyncio.gather(*waiting)


async def test_who_is_patient_waits_for_room():
    fair = queue(at_once=1, most=10)
    log = []
    first = asyncio.create_task(fair.run("a", works(log, "a", 5, 0.01)))
    await asyncio.sleep(0)

    found = await fair.run("a", works(log, "late", 5), patience_s=20)

    assert len(found) == 5
    assert first.done()


async def test_a_failure_drops_the_rest_of_its_call_and_nothing_else():
    log = []

    async def fail():
        log.append("bad")
        raise ValueError("no")

    fair = queue(at_once=1)
    other = asyncio.create_task(fair.run("b", works(log, "b", 10)))
    with pytest.raises(ValueError, match="no"):
        await fair.run("a", [fail, fail, *works(log, "a", 50)])

    assert len(await other) == 10
    assert log.count("bad") <= 2
    assert "a" not in log[4:]
    assert await fair.run("a", works(log, "again", 1)) == [("again", 0)]


async def test_a_cancelled_call_leaves_its_room_to_others():
    fair = queue(at_once=1, most=10)
    log = []
    gone = asyncio.create_task(fair.run("a", works(log, "gone", 5, 30)))
    await asyncio.sleep(0.01)

    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    found = await fair.run("a", works(log, "a", 5))

    assert len(found) == 5
    assert log.count("gone") == 1


async def test_nothing_to_do_is_done_at_once():
    assert await queue().run("t", []) == []
