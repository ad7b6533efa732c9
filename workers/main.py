"""A worker process: `python -m workers.main --queue stages` (or `gather`)."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.job import Job
from sqlalchemy.exc import SQLAlchemyError

from judge.backend.processor import keep_niceness
from judge.errors import JudgesmithError
from judge.evaluation.lease import claim_due
from judge.settings import Settings
from judge.store import database, queue
from judge.store.database import Sessions
from judge.teaching import campaigns, iterations, schedule

logger = logging.getLogger(__name__)
SWEEP_S = 10


class AllowedJob(Job):
    """A job that may only name the functions of `judge.store.queue.ALLOWED_JOBS`."""

    @property
    def func(self) -> Any:
        """The function to run.

        Raises:
            PermissionError: somebody with access to the queue named another one.
        """
        if self.func_name not in queue.ALLOWED_JOBS:
            raise PermissionError(f"job {self.id} names {self.func_name!r}, which no worker may run")
        return super().func


class JudgesmithWorker(Worker):
    """An RQ worker that also asks for what Postgres says is due."""

    job_class = AllowedJob

    def __init__(self, queues: list[Queue], *, sessions: Sessions, **options: Any) -> None:
        super().__init__(queues, **options)
        self.sessions = sessions

    def run_maintenance_tasks(self) -> None:
        """RQ's own cleaning, then the sweep."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        try:
            sweep(self.sessions, self.connection)
        except (SQLAlchemyError, RedisError):
            logger.exception("sweep failed; trying again in %d s", SWEEP_S)


def sweep(sessions: Sessions, redis: Any) -> int:
    """Start what is next or scheduled; enqueue stages and evaluations that should be running, a gathering.

    Returns how many stages were enqueued.
    """
    begin(sessions)
    with sessions.begin() as session:
        due = iterations.claim_due(session)
        measured = claim_due(session)
    for iteration, stage in due:
        logger.info("asking for stage %s of iteration %d", stage, iteration)
        queue.enqueue_stage(redis, iteration, stage)
    for run in measured:
        queue.enqueue_evaluation(redis, run)
    queue.enqueue_gather(redis, every_s=SWEEP_S)
    return len(due)


def begin(sessions: Sessions) -> None:
    """Start the next iteration of a campaign, or one that the schedule asks for."""
    for source in (campaigns.advance, schedule.begin_due):
        try:
            with sessions.begin() as session:
                row = source(session)
                if row is not None:
                    logger.info("started iteration %d", row.id)
        except JudgesmithError as error:
            logger.warning("no iteration was started: %s", error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGTERM; a running job is finished first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", choices=(queue.STAGES, queue.GATHER), required=True)
    parser.add_argument("--nice", type=int, default=0, help="lower this process's priority by so much")
    options = parser.parse_args(arguments)
    os.nice(options.nice)
    keep_niceness()
    name = options.queue
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request otherwise
    if name == queue.GATHER:
        from workers.gather import prepare

        prepare()
    engine = database.connect(settings.database_url, pool_size=1)
    redis = queue.connect(settings.redis_url)
    worker = JudgesmithWorker(
        [Queue(name, connection=redis, serializer="json", job_class=AllowedJob)],
        connection=redis,
        serializer="json",
        sessions=database.sessions(engine),
        maintenance_interval=SWEEP_S,
        # The sweep runs between waits for jobs, so the wait is what sets its pace.
        worker_ttl=SWEEP_S + 15,
    )
    return 0 if worker.work(logging_level=settings.log_level) is not None else 1


if __name__ == "__main__":
    sys.exit(main())
