"""Judge: the champion judges training pairs by reasoning, several samples in each order.

Kept are all samples, right or wrong; the filter stage chooses. Stored as they come, one row a sample.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from judge.comparison import Comparison, Side
from judge.errors import Conflict, VersionChanged
from judge.judging import Judge
from judge.llm import Backends, Sampling
from judge.tables import JudgmentRow, PairRow
from judge.voting import Vote
from workers.batches import in_portions
from workers.stage import Stage


@dataclass(frozen=True, slots=True)
class Task:
    """One sample to take of one pair in one order."""

    pair_id: int
    comparison: Comparison
    first: Side
    sample: int


def run(stage: Stage) -> dict[str, Any]:
    """Take the samples that are missing; count the right, wrong and invalid ones."""
    asyncio.run(judge_pairs(stage))
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(JudgmentRow.verdict, JudgmentRow.correct, func.count())
            .join(PairRow, PairRow.id == JudgmentRow.pair_id)
            .where(PairRow.iteration_id == stage.iteration)
            .group_by(JudgmentRow.verdict, JudgmentRow.correct)
        ).all()
    total = sum(count for _, _, count in rows)
    return {
        "judgments": total,
        "correct": sum(count for _, correct, count in rows if correct),
        "invalid": sum(count for verdict, _, count in rows if verdict == "invalid"),
    }


async def judge_pairs(stage: Stage) -> None:
    """Sample every judgment that the database does not have yet."""
    settings = stage.settings
    tasks, total = _missing(stage)
    backends = Backends.connect(stage.process.backend_urls, stage.process.backend_timeout_s)
    judge = Judge.load(
        stage.store,
        stage.judged_by,
        backends,
        stage.process.max_model_len,
        reasoning_tokens=settings.reasoning_tokens,
        field_tokens=settings.field_tokens,
    )
    done = total - len(tasks)

    async def work(task: Task) -> tuple[Task, Vote]:
        seed = (settings.seed * 1_000_003 + task.pair_id) * 1_009 + task.sample * 2 + (task.first == "a")
        sampling = Sampling(settings.reasoning_tokens, 0.7, 0.9, seed=seed % 2**31)
        try:
            vote, _ = await judge.vote(task.comparison, task.first, sampling)
        except VersionChanged as error:
            raise Conflict(
                f"the champion was changed during the iteration ({error}); start it again"
            ) from error
        return task, vote

    def store(results: list[tuple[Task, Vote]]) -> None:
        nonlocal done
        done += len(results)
        if results:
            _store(stage, results)
        stage.lease.progress(done, total, "judgments")

    try:
        stage.lease.progress(done, total, "judgments")
        await in_portions(tasks, work, store, concurrency=settings.concurrency)
    finally:
        await backends.aclose()


def _missing(stage: Stage) -> tuple[list[Task], int]:
    """Samples without a row, and how many there are in all. The chosen response is always side A here."""
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = list(
            session.scalars(
                select(PairRow)
                .where(PairRow.iteration_id == stage.iteration, ~PairRow.held_out)
                .order_by(PairRow.id)
            )
        )
        # By position, not by id: a repeated pair stage writes the same pairs under new ids.
        rng = random.Random(f"{settings.seed} judged")
        rows = [rows[i] for i in sorted(rng.sample(range(len(rows)), min(settings.judged_pairs, len(rows))))]
        stored = set(
            session.execute(
                select(JudgmentRow.pair_id, JudgmentRow.chosen_first, JudgmentRow.sample).where(
                    JudgmentRow.pair_id.in_([row.id for row in rows])
                )
            )
        )
    tasks = []
    for row in rows:
        comparison = row.to_pair().comparison("a")
        for sample in range(settings.samples):
            # Both samples of an order lie side by side, so that the prompt's prefix is in the cache.
            tasks += [
                Task(row.id, comparison, first, sample)
                for first in ("a", "b")
                if (row.id, first == "a", sample) not in stored
            ]
    return tasks, len(rows) * settings.samples * 2


def _store(stage: Stage, results: list[tuple[Task, Vote]]) -> None:
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
        session.execute(insert(JudgmentRow).values(rows).on_conflict_do_nothing())
