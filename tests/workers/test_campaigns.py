"""Iterations in a row, and by themselves: what begins when, once, however many workers look."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from judge.errors import Conflict, InvalidInput
from judge.store.queue import connect
from judge.store.tables import AuditEntry, CampaignRow, IterationRow, ScheduleRow
from judge.teaching import campaigns, iterations, schedule
from judge.versions.pointer import move_champion
from tests.versions import register
from workers.main import begin, sweep


def start(loop, times, **overrides):
    with loop.sessions.begin() as session:
        return campaigns.start(session, "smoke", overrides, times, "test").id


def end(loop, number, status):
    with loop.sessions.begin() as session:
        iterations.finish(session, number, status)


def numbers(loop):
    return loop.rows(select(IterationRow.id).order_by(IterationRow.id))


def campaign(loop):
    (row,) = loop.rows(select(CampaignRow))
    return row.status, row.reason


def test_the_next_iteration_begins_when_one_is_over_judged_by_the_champion_it_left(loop, tmp_path):
    first = start(loop, 2, seed=5)
    begin(loop.sessions)
    assert numbers(loop) == [first]

    taught = register(loop.sessions, loop.store, tmp_path, 9)
    with loop.sessions.begin() as session:
        move_champion(session, taught, 1, actor="test", act="promote", details={})
    end(loop, first, "promoted")
    begin(loop.sessions)
    begin(loop.sessions)

    assert numbers(loop) == [first, first + 1]
    one, two = loop.row(first), loop.row(first + 1)
    assert (one.judged_by, two.judged_by) == (loop.version, taught)
    assert (one.settings["seed"], two.settings["seed"]) == (5, 6)
    assert (two.status, two.campaign_id) == ("queued", one.campaign_id)
    end(loop, first + 1, "refused")
    begin(loop.sessions)
    assert numbers(loop) == [first, first + 1]
    assert campaign(loop) == ("done", "2 iterations")


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([], None),
        (["promoted"], None),
        (["refused"], None),
        (["refused", "promoted", "refused"], None),
        (["refused", "refused"], "stopped"),
        (["promoted", "no_decision", "refused"], "stopped"),
        (["promoted", "failed"], "stopped"),
        (["promoted", "cancelled"], "cancelled"),
        (["awaiting_approval"], "stopped"),
        (["promoted"] * 5, "done"),
    ],
)
def test_a_campaign_ends_for_a_reason(statuses, outcome):
    found = campaigns.verdict(statuses, 5)

    assert (found and found[0]) == outcome


def test_two_refusals_in_a_row_end_it(loop):
    first = start(loop, 9)
    for number in (first, first + 1):
        end(loop, number, "refused")
        begin(loop.sessions)

    assert numbers(loop) == [first, first + 1]
    assert campaign(loop) == ("stopped", "the gate promoted none of the last 2 candidates")


def test_cancelling_an_iteration_cancels_the_rest(loop):
    first = start(loop, 3)
    with loop.sessions.begin() as session:
        assert campaigns.cancel(session, first, "test").status == "cancelling"
    assert loop.run(first, "select").status == "cancelled"

    begin(loop.sessions)

    assert numbers(loop) == [first]
    assert campaign(loop) == ("cancelled", "by test")


def test_between_two_iterations_the_rest_can_be_cancelled_too(loop):
    first = start(loop, 3)
    end(loop, first, "refused")

    with loop.sessions.begin() as session:
        assert campaigns.cancel(session, first, "test").status == "refused"
    begin(loop.sessions)

    assert numbers(loop) == [first]
    with loop.sessions.begin() as session, pytest.raises(Conflict, match="nothing to cancel"):
        campaigns.cancel(session, first, "test")


def test_there_is_one_campaign_and_it_needs_the_place_to_be_free(loop):
    first = start(loop, 3)

    with pytest.raises(Conflict, match="campaign is in progress"):
        start(loop, 3)
    end(loop, first, "failed")
    begin(loop.sessions)
    loop.start()
    with pytest.raises(Conflict, match="already running"):
        start(loop, 3)
    assert len(loop.rows(select(CampaignRow))) == 1


def test_many_workers_start_one_iteration(loop):
    first = start(loop, 2)
    end(loop, first, "promoted")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: begin(loop.sessions), range(24)))

    assert numbers(loop) == [first, first + 1]


def test_the_sweep_starts_and_enqueues(loop, clean_redis):
    put(loop, every=1)
    loop.bring_in(61)

    with connect(clean_redis) as redis:
        assert sweep(loop.sessions, redis) == 1
        assert sweep(loop.sessions, redis) == 0

    assert len(numbers(loop)) == 1


def put(loop, **when):
    with loop.sessions.begin() as session:
        schedule.put(session, "smoke", {"seed": 3}, "test", **when)


def begin_at(loop, now):
    with loop.sessions.begin() as session:
        row = schedule.begin_due(session, now)
        return row.id if row else None


def test_missed_times_are_made_up_once(loop):
    put(loop, cron="0 3 * * *")
    set_on = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with loop.sessions.begin() as session:
        session.execute(update(ScheduleRow).values(served_until=set_on))

    assert begin_at(loop, set_on + timedelta(hours=14)) is None
    number = begin_at(loop, set_on + timedelta(days=5))
    assert number is not None
    assert begin_at(loop, set_on + timedelta(days=5)) is None
    end(loop, number, "promoted")
    assert begin_at(loop, set_on + timedelta(days=5, hours=14)) is None
    assert begin_at(loop, set_on + timedelta(days=5, hours=15, minutes=1)) is not None
    assert loop.row(number).actor == "schedule of test"
    assert loop.row(number).settings["seed"] == 3


def nightly(loop, status):
    """A schedule whose first iteration has ended: that iteration, and the times of the next nights."""
    put(loop, cron="0 3 * * *")
    nights = [datetime.now(UTC) + timedelta(days=2 * n + 2) for n in range(4)]
    first = begin_at(loop, nights[0])
    end(loop, first, status)
    return first, nights[1:]


@pytest.mark.parametrize("status", ["refused", "no_decision"])
def test_a_schedule_begins_nothing_where_nothing_came_since_one_that_promoted_nothing(loop, status):
    first, (second, third, fourth) = nightly(loop, status)

    assert begin_at(loop, second) is None
    assert begin_at(loop, third) is None
    loop.bring_in(61)
    number = begin_at(loop, fourth)

    assert numbers(loop) == [first, number]
    # Another draw than the refused one: with the same one it would spend alpha to hear the same.
    assert [loop.row(one).settings["seed"] for one in (first, number)] == [3, 4]


def test_what_was_refused_against_another_champion_is_tried_again(loop, tmp_path):
    _, (second, *_) = nightly(loop, "refused")
    other = register(loop.sessions, loop.store, tmp_path, 9)
    with loop.sessions.begin() as session:
        move_champion(session, other, 1, actor="somebody", act="promote", details={})

    assert begin_at(loop, second) is not None


@pytest.mark.parametrize("status", ["promoted", "failed", "cancelled"])
def test_a_schedule_goes_on_after_what_was_not_in_vain(loop, status):
    _, (second, *_) = nightly(loop, status)

    assert begin_at(loop, second) is not None


def test_a_schedule_waits_while_a_candidate_waits_for_approval(loop):
    first, (second, *_) = nightly(loop, "awaiting_approval")

    assert begin_at(loop, second) is None
    end(loop, first, "promoted")
    assert begin_at(loop, second) is not None


def test_a_schedule_stops_after_two_refusals_in_a_row_until_it_is_set_again(loop):
    first, (second, third, fourth) = nightly(loop, "refused")
    loop.bring_in(61)
    end(loop, begin_at(loop, second), "no_decision")
    loop.bring_in(62)

    assert begin_at(loop, third) is None
    with loop.sessions() as session:
        row = schedule.get(session)
        assert f"iterations {first} and {first + 1} promoted nothing" in row.stopped
        assert "set the schedule again" in row.stopped
        assert schedule.next_time(row) is None
    assert [entry.act for entry in loop.rows(select(AuditEntry))].count("stop schedule") == 1
    put(loop, cron="0 3 * * *")
    number = begin_at(loop, fourth)
    assert loop.row(number).settings["seed"] == 3


def test_a_time_that_comes_during_an_iteration_waits_for_its_end(loop):
    put(loop, cron="* * * * *")
    number = loop.start()
    later = datetime.now(UTC) + timedelta(minutes=5)

    assert begin_at(loop, later) is None
    end(loop, number, "refused")
    assert begin_at(loop, later) is not None


def test_every_so_many_instructions_counts_the_new_ones_only(loop):
    put(loop, every=5)
    with loop.sessions() as session:
        row = schedule.get(session)
        assert schedule.new_instructions(session, row) == 0

    loop.bring_in(64)
    assert begin_at(loop, None) is None
    loop.bring_in(66)
    number = begin_at(loop, None)
    assert number is not None
    end(loop, number, "promoted")
    assert begin_at(loop, None) is None


def test_many_workers_start_one_scheduled_iteration(loop):
    put(loop, every=1)
    loop.bring_in(70)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: begin(loop.sessions), range(24)))

    assert len(numbers(loop)) == 1


def test_a_campaign_goes_before_the_schedule(loop):
    first = start(loop, 2)
    put(loop, every=1)
    loop.bring_in(70)
    end(loop, first, "promoted")

    begin(loop.sessions)

    assert loop.row(first + 1).campaign_id == loop.row(first).campaign_id
    assert len(numbers(loop)) == 2


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"cron": "0 3 * * *", "every": 5},
        {"cron": "often"},
        {"cron": "0 3 * * * *"},
        {"cron": "61 3 * * *"},
    ],
)
def test_a_schedule_is_one_of_both_and_a_cron_expression(loop, when):
    with pytest.raises(InvalidInput):
        put(loop, **when)


def test_a_schedule_can_be_replaced_and_removed(loop):
    put(loop, cron="0 3 * * *")
    put(loop, every=7)
    with loop.sessions.begin() as session:
        row = schedule.get(session)
        assert (row.cron, row.every) == (None, 7)
        schedule.remove(session, "test")
        schedule.remove(session, "test")

    with loop.sessions() as session:
        assert schedule.get(session) is None
        acts = session.scalar(select(func.count()).where(AuditEntry.act == "remove schedule"))
    assert acts == 1


@pytest.mark.parametrize("mode", iterations.ON_TRIAL)
def test_a_candidate_on_trial_is_waited_for_and_may_be_cancelled_with_the_rest(loop, mode):
    first = start(loop, 2)
    end(loop, first, mode)

    begin(loop.sessions)

    assert (numbers(loop), campaign(loop)) == ([first], ("running", None))
    with loop.sessions.begin() as session:
        campaigns.cancel(session, first, "somebody")
    assert loop.row(first).status == "cancelled"
    assert campaign(loop)[0] == "cancelled"
