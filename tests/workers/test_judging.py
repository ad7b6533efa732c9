"""Judge: in which order and where prompts are asked, and by how many workers."""

import json
from collections import Counter

import pytest
from rq import Queue
from sqlalchemy import delete, select, update

from judge.judging.judge import Judge
from judge.store import queue
from judge.store.tables import JudgmentRow, StageRow
from judge.teaching import iterations
from judge.teaching.iterations import Lease
from tests.scripted_vllm import scripted
from workers import judge
from workers.batches import in_portions
from workers.stage import help_stage, run_stage


@pytest.fixture
def second(loop, monkeypatch):
    """Another server with the champion."""
    server = scripted(loop.store.path(loop.version), label=loop.version, text=loop.serving.script.text)
    with server.serve():
        monkeypatch.setenv("JUDGESMITH_BACKEND_URLS", json.dumps([loop.serving.url, server.url]))
        yield server


def judged(server):
    return [prompt for prompt in server.script.prompts if "[Response A]" in prompt]


def results(loop):
    rows = loop.rows(select(JudgmentRow))
    return sorted((row.pair_id, row.chosen_first, row.sample, row.verdict, row.text) for row in rows)


def ready(loop, **settings):
    number = loop.start(samples=4, judged_pairs=6, **settings)
    loop.run(number, "select", "pair")
    return number


def test_all_samples_of_a_prompt_are_asked_one_after_the_other(loop):
    loop.run(ready(loop, concurrency=1), "judge")

    prompts = judged(loop.serving)
    assert len(prompts) == 6 * 2 * 4
    assert [len(set(prompts[start : start + 4])) for start in range(0, 48, 4)] == [1] * 12
    assert len(set(prompts)) == 12


def test_a_pair_stays_with_one_server(loop, second):
    loop.run(ready(loop), "judge")

    here, there = judged(loop.serving), judged(second)
    assert len(here) == len(there) == 24
    assert set(here).isdisjoint(there)


def test_a_killed_stage_asks_only_for_the_missing_samples_and_ends_alike(loop, monkeypatch):
    number = ready(loop, concurrency=1)
    whole = Judge.vote
    calls = []

    async def dies(self, *arguments):
        calls.append(arguments)
        if len(calls) == 30:
            raise OSError("killed")
        return await whole(self, *arguments)

    async def often(*arguments, **options):
        await in_portions(*arguments, **options, every_s=0)

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "vote", dies)
        patch.setattr(judge, "in_portions", often)
        run_stage(number, "judge")
    stored = len(results(loop))
    assert 0 < stored < 48
    before = len(judged(loop.serving))

    run_stage(number, "judge")

    assert len(judged(loop.serving)) - before == 48 - stored
    assert loop.row(number).counts["judge"]["judgments"] == 48


def test_helpers_take_parts_of_their_own_and_write_under_the_same_lease(loop, monkeypatch):
    alone = ready(loop)
    loop.run(alone, "judge")
    expected = [row[1:] for row in results(loop)]
    with loop.sessions.begin() as session:
        session.execute(delete(JudgmentRow))
        session.execute(update(StageRow).where(StageRow.name == "judge").values(status="due"))
    loop.serving.script.prompts.clear()
    monkeypatch.setenv("JUDGESMITH_JUDGE_WORKERS", "3")
    lease = Lease.take(loop.sessions, alone, "judge")

    help_stage(alone, "judge", lease.epoch, 2)

    assert [row[1:] for row in results(loop)] == expected


def stage_of(loop, lease):
    from judge.settings import Settings
    from workers.stage import _stage

    return _stage(lease, None, Settings())


def test_each_worker_begins_with_its_own_part_and_ends_with_the_others_from_behind(loop, monkeypatch):
    number = ready(loop)
    monkeypatch.setenv("JUDGESMITH_JUDGE_WORKERS", "3")
    stage = stage_of(loop, Lease.take(loop.sessions, number, "judge"))

    orders = [[task.place for task in judge.missing(stage, worker)[0]] for worker in range(3)]

    assert [list(dict.fromkeys(order)) for order in orders] == [
        [0, 1, 5, 4, 3, 2],
        [2, 3, 5, 4, 1, 0],
        [4, 5, 3, 2, 1, 0],
    ]
    assert all(Counter(order) == dict.fromkeys(range(6), 8) for order in orders)


def test_the_stage_asks_for_help_and_needs_none(loop, monkeypatch, clean_redis):
    number = ready(loop)
    monkeypatch.setenv("JUDGESMITH_JUDGE_WORKERS", "3")

    row = loop.run(number, "judge")

    assert row.counts["judge"]["judgments"] == 48
    with queue.connect(clean_redis) as redis:
        jobs = Queue(queue.STAGES, connection=redis, serializer="json").jobs
    helping = [job.args for job in jobs if job.func_name == queue.HELP_STAGE]
    assert helping == [[number, "judge", 1, 1], [number, "judge", 1, 2]]
    assert queue.HELP_STAGE in queue.ALLOWED_JOBS


def test_a_helper_that_comes_late_or_under_an_old_lease_writes_nothing(loop):
    number = ready(loop)
    lease = Lease.take(loop.sessions, number, "judge")

    help_stage(number, "judge", lease.epoch - 1, 1)

    assert results(loop) == []
    with loop.sessions.begin() as session:
        iterations.get(session, number).status = "cancelling"
    help_stage(number, "judge", lease.epoch, 1)
    assert results(loop) == []
