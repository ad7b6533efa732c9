"""Recording decisions before they are answered, many in one transaction.

Each request waits for its own row to be committed; rows that come in while a commit is under way share
the next one. Captured instructions of the same requests go to the stream in the same breath.
"""

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from judge.gathering.instructions import STREAM, Gathered, to_stream_entry
from judge.store import queue
from judge.store.database import Sessions
from judge.store.tables import DecisionRow
from service.metrics import Metrics
from service.shared.capture import Capture

logger = logging.getLogger(__name__)
_LARGEST_BATCH = 500
# A worker is asked to gather no more often; its own sweep finds what came after the last time.
_ASK_S = 1.0
# Redaction takes the interpreter from those who wait for answers: it gets a tenth of the time.
_LARGEST_CAPTURE = 8
_RESTS = 9
# All rows as one parameter of one statement: a third of the time of an insert for each. The commit does not
# wait for the disk, whose worst syncs take longer than a decision (docs/decisions/0012).
_COLUMNS = ", ".join(column.name for column in DecisionRow.__table__.columns if column.name != "at")
_INSERT = text(
    f"INSERT INTO {DecisionRow.__tablename__} ({_COLUMNS}) SELECT {_COLUMNS} "
    f"FROM jsonb_populate_recordset(NULL::{DecisionRow.__tablename__}, CAST(:rows AS jsonb)), "
    "(SELECT set_config('synchronous_commit', 'off', true)) AS setting"
)
Item = TypeVar("Item")


@dataclass(slots=True)
class _Entry:
    row: dict[str, Any]
    stored: "asyncio.Future[None]"


class Recorder:
    """Two background tasks that write what requests give: rows, which they wait for, and instructions."""

    def __init__(
        self, sessions: Sessions, redis: Redis, capture: Capture, capture_max: int, metrics: Metrics
    ) -> None:
        self._sessions = sessions
        self._redis = redis
        self._filter = capture
        self._capture_max = capture_max
        self._metrics = metrics
        self._waiting: asyncio.Queue[_Entry] = asyncio.Queue()
        self._captured: asyncio.Queue[Gathered] = asyncio.Queue()
        self._asked = -_ASK_S
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to write."""
        self._tasks = [asyncio.create_task(self._record_all()), asyncio.create_task(self._capture_all())]

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        self._stopping.set()
        await self._waiting.join()
        await self._captured.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def record(self, row: dict[str, Any], captured: Gathered | None) -> None:
        """Return when the row is committed; raises what the database raised."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Entry(row, stored))
        await stored
        if captured and self._filter.has_room():
            self._captured.put_nowait(captured)
        elif captured:
            self._metrics.captured.labels("skipped").inc()

    async def _record_all(self) -> None:
        while True:
            batch = await _gathered(self._waiting, _LARGEST_BATCH)
            await self._settle(batch)
            for _ in batch:
                self._waiting.task_done()

    async def _capture_all(self) -> None:
        while True:
            batch = await _gathered(self._captured, _LARGEST_CAPTURE)
            began = time.monotonic()
            await asyncio.to_thread(self._capture, batch)
            for _ in batch:
                self._captured.task_done()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RESTS * (time.monotonic() - began)):
                    await self._stopping.wait()

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
            session.execute(_INSERT, {"rows": json.dumps(rows)})

    def _capture(self, seen: list[Gathered]) -> None:
        items = self._filter.choose(seen)
        self._metrics.captured.labels("left_out").inc(len(seen) - len(items))
        if not items:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for item in items:
                    entry = to_stream_entry(item)
                    pipe.xadd(STREAM, entry, maxlen=self._capture_max, approximate=True)  # type: ignore[arg-type]
                pipe.execute()
            if time.monotonic() - self._asked >= _ASK_S:
                self._asked = time.monotonic()
                queue.enqueue_gather(self._redis)
            self._metrics.captured.labels("stored").inc(len(items))
        except RedisError as error:
            # Judging must go on without the queue; what is lost is counted.
            self._metrics.captured.labels("lost").inc(len(items))
            logger.warning("%d instructions were not captured: %s", len(items), error)


async def _gathered(items: "asyncio.Queue[Item]", most: int) -> list[Item]:
    """The next item, as soon as there is one, and what waits behind it."""
    batch = [await items.get()]
    while len(batch) < most and not items.empty():
        batch.append(items.get_nowait())
    return batch
