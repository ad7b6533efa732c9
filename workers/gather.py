"""Gathering: captured instructions from the stream into Postgres. RQ job."""

import logging
import os

from judge import database, instructions, queue
from judge.settings import Settings

logger = logging.getLogger(__name__)


def run_gather() -> None:
    """Empty the stream; each instruction is stored exactly once (`judge.instructions.gather`)."""
    settings = Settings()
    engine = database.connect(settings.database_url, pool_size=1)
    redis = queue.connect(settings.redis_url)
    try:
        new, known = instructions.gather(database.sessions(engine), redis, consumer=f"gather-{os.getpid()}")
        if new or known:
            logger.info("gathered %d new instructions, %d known ones", new, known)
    finally:
        redis.close()
        engine.dispose()
