"""Gathering: captured instructions into Postgres, and the upkeep of what is stored. RQ job."""

import logging
import os

from judge import languages
from judge.batches import ledger, replays
from judge.evaluation import drift_windows
from judge.gathering import forgetting, intake, quarantine
from judge.gathering.intake import Rules
from judge.review import items
from judge.settings import Settings
from judge.store import database, queue
from workers.scan import scan

logger = logging.getLogger(__name__)


def run_gather() -> None:
    """Empty the stream (each instruction is stored exactly once), scan what is new, do what is due."""
    settings = Settings()
    rules = Rules.of(settings)
    engine = database.connect(settings.database_url, pool_size=1)
    sessions = database.sessions(engine)
    redis = queue.connect(settings.redis_url)
    try:
        counts = intake.gather(sessions, redis, rules, consumer=f"gather-{os.getpid()}")
        if counts:
            logger.info("gathered: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
        scan(sessions)
        with sessions.begin() as session:
            quarantine.settle(session)
        purge(sessions, rules)
        forgetting.delete_files(sessions, settings.work_dir)
        ledger.purge(sessions, settings.batch_days)
        with sessions.begin() as session:
            items.keep_up(session, settings.review_days)
        with sessions.begin() as session:
            drift_windows.close(session, settings.drift_decisions, settings.drift_hours)
            replays.purge(session)
    finally:
        redis.close()
        engine.dispose()


def prepare() -> None:
    """Load what every job needs: a job is a fork of its worker, and comes by what is there already."""
    languages.detect("")


def purge(sessions: database.Sessions, rules: Rules) -> None:
    """Delete all instructions whose time is over, a portion in a transaction."""
    while True:
        with sessions.begin() as session:
            done = forgetting.purge(session, rules.policy)
        if not done.instructions and not done.quarantined:
            return
        logger.info("deleted %d instructions whose time was over", done.instructions + done.quarantined)
