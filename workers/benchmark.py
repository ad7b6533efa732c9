"""Evaluating one version on one benchmark, on an engine of its own. The job that RQ workers execute."""

import asyncio
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from judge.backend.vllm import VLLM, Backends
from judge.errors import Cancelled, Conflict, Fenced, JudgesmithError
from judge.evaluation import item_store, runs
from judge.evaluation.benchmarks.catalog import BENCHMARKS
from judge.evaluation.benchmarks.items import Item, Judged
from judge.evaluation.evaluating import How, answer
from judge.evaluation.lease import Lease
from judge.evaluation.report import figures
from judge.judging.judge import Judge
from judge.settings import Settings
from judge.store import database
from judge.store.tables import BenchmarkSetRow
from judge.versions.version import VersionStore
from workers.batches import in_portions
from workers.engine import evaluation_engine, take_weights
from workers.stage import heartbeat

logger = logging.getLogger(__name__)


def run_evaluation(run: int) -> None:
    """Judge the items that have no answer yet, then write the figures. RQ job.

    Running it twice, or for an evaluation that somebody else runs or that is over, does nothing.
    """
    process = Settings()
    engine = database.connect(process.database_url, pool_size=4)
    sessions = database.sessions(engine)
    try:
        lease = Lease.take(sessions, run)
        if lease is None:
            logger.info("evaluation %d: nothing to do", run)
            return
        _guarded(lease, process)
    finally:
        engine.dispose()


def _guarded(lease: Lease, process: Settings) -> None:
    try:
        with heartbeat(lease):
            _run(lease, process)
    except Fenced as error:
        logger.warning("%s", error)
    except Cancelled:
        lease.cancelled()
    except JudgesmithError as error:
        logger.exception("evaluation %d failed", lease.run)
        lease.fail(str(error), final=isinstance(error, Conflict))
    except Exception as error:
        logger.exception("evaluation %d failed", lease.run)
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        lease.fail(f"{type(error).__name__}: {error} ({place})", final=False)


def _run(lease: Lease, process: Settings) -> None:
    with lease.transaction() as session:
        row = runs.get(session, lease.run)
        known = session.get_one(BenchmarkSetRow, row.set_digest)
        items = item_store.load(session, row.set_digest)
    answered = lease.answered()
    missing = [(ordinal, item) for ordinal, item in enumerate(items) if ordinal not in answered]
    if missing:
        how = runs.settings_of(row).how(allow_tie=BENCHMARKS[known.benchmark].allows_tie(items))
        store = VersionStore(process.models_dir)
        store.verify(row.version)
        with evaluation_engine(process, lease.sessions, store.path(row.version), lease.note) as url:
            asyncio.run(_judge(lease, process, Asked(store, row.version, url, how), missing))
    measured = runs.load_run(lease.sessions, lease.run)
    lease.complete(figures(measured, measured.load()))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which version is asked, on which engine, and how."""

    store: VersionStore
    version: str
    url: str
    how: How


async def _judge(lease: Lease, process: Settings, asked: Asked, missing: Sequence[tuple[int, Item]]) -> None:
    """Answer the items that are left; stored as they come."""
    with lease.transaction() as session:
        concurrency = runs.settings_of(runs.get(session, lease.run)).concurrency
    server = VLLM(asked.url, timeout_s=process.backend_timeout_s)
    try:
        await take_weights(server, asked.store.path(asked.version), asked.version)
        judge = Judge.load(asked.store, asked.version, Backends([server]), process.max_model_len)

        async def work(task: tuple[int, Item]) -> tuple[int, Judged]:
            return task[0], await answer(judge, task[1], asked.how)

        lease.write([])
        await in_portions(missing, work, lease.write, concurrency=concurrency)
    finally:
        await server.aclose()
