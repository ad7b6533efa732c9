"""Judge: the champion judges training pairs by reasoning, several samples in each order.

Kept are all samples, right or wrong; the filter stage chooses. Stored as they come, one row a sample, so a
killed stage takes only the samples that are missing. All samples of a pair are asked one after the other, and
of the same server, whose prefix cache then has the prompt. Other workers may take a part (`assist`): they
write under the lease of the worker that runs the stage, and whoever is done goes on with what is left.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.backend.patience import patiently
from judge.backend.vllm import Backends, Sampling
from judge.comparison import Comparison, Side
from judge.errors import Conflict, VersionChanged
from judge.judging.judge import SIDES
from judge.judging.voting import Vote
from judge.store import queue
from judge.store.tables import JudgmentRow, PairRow
from judge.teaching.funnel import Step
from judge.teaching.planning import judge_of
from workers.batches import in_portions
from workers.stage import Stage

logger = logging.getLogger(__name__)
# Requests of one worker between two looks at what others have done, in multiples of those in progress.
_ROUND = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One sample to take of one pair in one order. `place`: of the pair among those judged."""

    place: int
    pair_id: int
    comparison: Comparison
    first: Side
    sample: int


def run(stage: Stage) -> dict[str, Any]:
    """Take the samples that are missing; count the right, wrong and invalid ones."""
    helpers = stage.process.judge_workers - 1
    try:
        for number in range(1, helpers + 1):
            queue.enqueue_help(stage.redis, stage.iteration, "judge", stage.lease.epoch, number)
    except RedisError:
        logger.warning("the queue is down: judging without the help of other workers")
    asyncio.run(judge_pairs(stage, 0))
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(JudgmentRow.verdict, JudgmentRow.correct, func.count())
            .join(PairRow, PairRow.id == JudgmentRow.pair_id)
            .where(PairRow.iteration_id == stage.iteration)
            .group_by(JudgmentRow.verdict, JudgmentRow.correct)
        ).all()
    step = Step("judgments", sum(count for _, _, count in rows))
    for verdict, correct, count in rows:
        if not correct:
            step.drop("wrong" if verdict == "b" else verdict, count)
    return {
        "judgments": step.came_in,
        "correct": step.kept,
        "invalid": step.dropped["invalid"],
        "funnel": [step.to_json()],
    }


def assist(stage: Stage, number: int) -> None:
    """Take samples beside the worker that runs the stage."""
    asyncio.run(judge_pairs(stage, number))


async def judge_pairs(stage: Stage, number: int) -> None:
    """Sample every judgment that the database does not have yet, as the `number`-th of the workers."""
    backends = Backends.connect(stage.process.backend_urls, stage.process.backend_timeout_s)
    # A judge for each server, so that a pair stays with one of them.
    judges = [
        judge_of(
            stage.store, stage.judged_by, stage.process.max_model_len, stage.settings, Backends([server])
        )
        for server in backends.servers
    ]

    async def work(task: Task) -> tuple[Task, Vote]:
        judge, sampling = judges[task.place % len(judges)], _sampling(stage, task)
        try:
            vote, _ = await patiently(
                lambda: judge.vote(task.comparison, task.first, sampling),
                judge.backends.servers,
                stage.judged_by,
            )
        except VersionChanged as error:
            raise Conflict(
                f"the champion was changed during the iteration ({error}); start it again"
            ) from error
        return task, vote

    alone = stage.process.judge_workers == 1
    most = None if alone else _ROUND * stage.settings.concurrency
    try:
        tasks, total = missing(stage, number)
        store = _storing(stage, total)
        store([])
        while tasks:
            await in_portions(tasks[:most], work, store, concurrency=stage.settings.concurrency)
            tasks = [] if alone else missing(stage, number)[0]
    finally:
        await backends.aclose()


def _sampling(stage: Stage, task: Task) -> Sampling:
    settings = stage.settings
    seed = (settings.seed * 1_000_003 + task.place) * 1_009 + task.sample * 2 + (task.first == "a")
    return Sampling(settings.reasoning_tokens, 0.7, 0.9, seed=seed % 2**31)


def missing(stage: Stage, number: int) -> tuple[list[Task], int]:
    """Samples without a row in the order of this worker, and how many samples there are in all.

    Each worker begins with a part of its own. Then it takes what others have left, from the end, while they
    go on from the beginning of theirs. The chosen response is always side A here.
    """
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = _judged(stage, session)
        stored = set(
            session.execute(
                select(JudgmentRow.pair_id, JudgmentRow.chosen_first, JudgmentRow.sample)
                .join(PairRow, PairRow.id == JudgmentRow.pair_id)
                .where(PairRow.iteration_id == stage.iteration)
            )
        )
    tasks = [
        Task(place, row.id, row.to_pair().comparison("a"), first, sample)
        for place, row in enumerate(rows)
        for first in SIDES
        for sample in range(settings.samples)
        if (row.id, first == "a", sample) not in stored
    ]
    parts = stage.process.judge_workers
    own = [task for task in tasks if task.place * parts // len(rows) == number]
    others = [task for task in tasks if task.place * parts // len(rows) != number]
    return own + others[::-1], len(rows) * settings.samples * len(SIDES)


def _judged(stage: Stage, session: Session) -> Sequence[PairRow]:
    """The training pairs to judge."""
    rows = session.scalars(
        select(PairRow).where(PairRow.iteration_id == stage.iteration, ~PairRow.held_out).order_by(PairRow.id)
    ).all()
    # By position, not by id: a repeated pair stage writes the same pairs under new ids.
    rng = random.Random(f"{stage.settings.seed} judged")
    return [
        rows[i] for i in sorted(rng.sample(range(len(rows)), min(stage.settings.judged_pairs, len(rows))))
    ]


def _storing(stage: Stage, total: int) -> Callable[[list[tuple[Task, Vote]]], None]:
    """What keeps results, whoever asked twice, and publishes how many there are of all workers."""

    def store(results: list[tuple[Task, Vote]]) -> None:
        rows = [
            {
                "pair_id": task.pair_id,
                "chosen_first": task.first == "a",
                "sample": task.sample,
                "verdict": vote.verdict,
                # A tie or an invalid judgment is a wrong one here.
                "correct": vote.verdict == "a",
                "text": vote.text.replace("\x00", ""),
                "model_version": stage.judged_by,
            }
            for task, vote in results
        ]
        with stage.lease.transaction() as session:
            if rows:
                session.execute(insert(JudgmentRow).values(rows).on_conflict_do_nothing())
            done = session.scalar(
                select(func.count())
                .select_from(JudgmentRow)
                .join(PairRow, PairRow.id == JudgmentRow.pair_id)
                .where(PairRow.iteration_id == stage.iteration)
            )
        stage.lease.progress(done or 0, total, "judgments")

    return store
