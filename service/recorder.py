"""Recording decisions before they are answered, many in one transaction.

Each request waits for its own row to be committed; rows that come in while a commit is under way share
the next one. Captured instructions of the same requests go to the stream in the same breath.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import insert

from judge import queue
from judge.database import Sessions
from judge.instructions import STREAM, Gathered, to_stream_entry
from judge.tables import DecisionRow
from service.metrics import Metrics

logger = logging.getLogger(__name__)
_LARGEST_BATCH = 500


@dataclass(slots=True)
class _Entry:
    row: dict[str, Any]
    captured: Gathered | None
    stored: "asyncio.Future[None]"


class Recorder:
    """One background task that writes what requests give it."""

    def __init__(self, sessions: Sessions, redis: Redis, capture_max: int, metrics: Metrics) -> None:
        self._sessions = sessions
        self._redis = redis
        self._capture_max = capture_max
        self._metrics = metrics
        self._waiting: asyncio.Queue[_Entry] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        await self._waiting.join()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def record(self, row: dict[str, Any], captured: Gathered | None) -> None:
        """Return when the row is committed; raises what the database raised."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Entry(row, captured, stored))
        await stored

    async def _run(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _LARGEST_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._settle(batch)
            await asyncio.to_thread(self._capture, [e.captured for e in batch if e.captured])
            for _ in batch:
                self._waiting.task_done()

    async def _settle(self, batch: list[_Entry]) -> None:
        """Commit a batch and tell every request what became of its row."""
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._write, [entry.row for entry in batch])
        except Exception as caught:
            error = caught
        for entry in batch:
            if entry.stored.done():  # the caller has hung up
                continue
            if error:
                entry.stored.set_exception(error)
            else:
                entry.stored.set_result(None)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with self._sessions.begin() as session:
            session.execute(insert(DecisionRow.__table__), rows)  # type: ignore[arg-type]

    def _capture(self, items: list[Gathered]) -> None:
        if not items:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for item in items:
                    entry = to_stream_entry(item)
                    pipe.xadd(STREAM, entry, maxlen=self._capture_max, approximate=True)  # type: ignore[arg-type]
                pipe.execute()
            queue.enqueue_gather(self._redis)
            self._metrics.captured.labels("stored").inc(len(items))
        except RedisError as error:
            # Judging must go on without the queue; what is lost is counted.
            self._metrics.captured.labels("lost").inc(len(items))
            logger.warning("%d instructions were not captured: %s", len(items), error)
