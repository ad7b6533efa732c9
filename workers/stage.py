"""Running one stage: its lease, its heartbeat, what follows it. The job that RQ workers execute."""

import logging
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select

from judge.errors import BadModel, Cancelled, Conflict, Fenced, JudgesmithError
from judge.settings import Settings
from judge.store import database, queue
from judge.store.tables import ModelVersion
from judge.teaching import iterations
from judge.teaching.iterations import LEASE_S, Lease
from judge.teaching.profiles import IterationSettings
from judge.versions.version import VersionStore, read_manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage gets: its lease, the iteration's settings and versions, and where things are."""

    lease: Lease
    settings: IterationSettings
    profile: str
    seed_version: str
    judged_by: str
    store: VersionStore
    redis: Redis
    process: Settings

    @property
    def iteration(self) -> int:
        """The iteration's id."""
        return self.lease.iteration

    @property
    def folder(self) -> Path:
        """Where this iteration's artifacts are made."""
        return self.process.work_dir / f"iteration-{self.iteration}"


Run = Callable[[Stage], dict[str, Any]]


class Extended(Protocol):
    """A lease that has to be extended: a stage's, or an evaluation's."""

    def extend(self) -> None:
        """Keep it for a while; raises `Fenced` if it is lost."""


def run_stage(iteration: int, name: str) -> None:
    """Run one stage of one iteration, then ask for the next. RQ job.

    Running it twice, or for a stage that somebody else runs or that is done, does nothing.
    """
    if name not in iterations.STAGES:
        raise ValueError(f"{name!r} is not a stage")
    process = Settings()
    engine = database.connect(process.database_url, pool_size=3)
    sessions = database.sessions(engine)
    redis = queue.connect(process.redis_url)
    try:
        lease = Lease.take(sessions, iteration, name)
        if lease is None:
            logger.info("stage %s of iteration %d: nothing to do", name, iteration)
            return
        following = _run(lease, name, redis, process)
        if following:
            _ask(redis, iteration, following)
    finally:
        redis.close()
        engine.dispose()


def help_stage(iteration: int, name: str, epoch: int, number: int) -> None:
    """Take part in a stage that another worker runs, as its `number`-th helper. RQ job.

    A helper writes under the same lease, so it ends when that is over or taken over; it may fail or never
    come, and the stage is done all the same.
    """
    if name not in iterations.STAGES:
        raise ValueError(f"{name!r} is not a stage")
    process = Settings()
    engine = database.connect(process.database_url, pool_size=3)
    redis = queue.connect(process.redis_url)
    lease = Lease(database.sessions(engine), iteration, name, epoch)
    try:
        import_module(f"workers.{name}").assist(_stage(lease, redis, process), number)
    except (Fenced, Cancelled) as over:
        logger.info("helping with %s is over: %s", name, over)
    finally:
        redis.close()
        engine.dispose()


def _run(lease: Lease, name: str, redis: Redis, process: Settings) -> str | None:
    # Loaded by name so that a stage's worker imports no other stage.
    run: Run = import_module(f"workers.{name}").run
    try:
        with heartbeat(lease):
            counts = run(_stage(lease, redis, process))
            return database.outlasting(lambda: _complete(lease, counts))
    except Fenced as error:
        logger.warning("%s", error)
    except Cancelled:
        # First what is left, then the end: a kill between the two leads here again.
        _leave_nothing(_stage(lease, redis, process))
        lease.cancelled()
    except (Conflict, JudgesmithError) as error:
        logger.exception("stage %s failed", name)
        lease.fail(str(error), final=isinstance(error, Conflict))
    except Exception as error:
        logger.exception("stage %s failed", name)
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        lease.fail(f"{type(error).__name__}: {error} ({place})", final=False)
    return None


def _complete(lease: Lease, counts: dict[str, Any]) -> str | None:
    with lease.transaction(at_the_end=True) as session:
        return lease.complete(session, counts)


def _stage(lease: Lease, redis: Redis, process: Settings) -> Stage:
    with lease.sessions() as session:
        row = iterations.get(session, lease.iteration)
        return Stage(
            lease=lease,
            settings=IterationSettings.model_validate(row.settings),
            profile=row.profile,
            seed_version=row.seed_version,
            judged_by=row.judged_by,
            store=VersionStore(process.models_dir),
            redis=redis,
            process=process,
        )


def _leave_nothing(stage: Stage) -> None:
    """Remove what a cancelled iteration was making: half-trained weights, and a version nobody registered."""
    shutil.rmtree(stage.folder, ignore_errors=True)
    origin = f"iteration {stage.iteration}"
    with stage.lease.sessions() as session:
        registered = set(session.scalars(select(ModelVersion.id).where(ModelVersion.origin == origin)))
    for folder in stage.store.root.glob("*/"):
        with suppress(BadModel):  # somebody else's folder
            if folder.name not in registered and read_manifest(folder).origin == origin:
                shutil.rmtree(folder)


def _ask(redis: Redis, iteration: int, name: str) -> None:
    try:
        queue.enqueue_stage(redis, iteration, name)
    except RedisError:
        logger.warning("the queue is down: the sweeper will ask for %s when it is back", name)


@contextmanager
def heartbeat(lease: Extended) -> Iterator[None]:
    """Extend a lease from a thread while the work goes on; stop quietly once it is lost."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(LEASE_S / 4):
            try:
                lease.extend()
            except Fenced:
                return
            except Exception:
                logger.exception("the lease could not be extended; trying again")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
