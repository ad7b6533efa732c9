"""Judging the lines of batches in the background of a gateway, beside what is asked live.

Every gateway looks for batches that nobody works on and takes a few by a lease (`judge.batches.ledger`). A
line goes through the very coroutine of its synchronous route. A gateway that is stopped gives its batches
back; one that is killed lets the leases run out; the next one goes on with the lines that have no result.
"""

import asyncio
import json
import logging
import os
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from judge.batches.ledger import Lease
from judge.batches.line_store import Line, Result
from judge.errors import Fenced, Unavailable
from judge.store.keys import Principal
from service.door import problems
from service.requests.judging import pairwise, single
from service.requests.ranking import rank
from service.schemas.judging import PairwiseRequest, SingleRequest
from service.schemas.ranking import RankRequest
from service.state import State

logger = logging.getLogger(__name__)
_POLL_S = 0.5
_WRITE_S = 0.5
_STOP_S = 10.0
# Batches that a gateway works on at a time, so that a short one need not wait for a long one.
_AT_ONCE = 4
# How long a batch stays before it makes way for one that may be waiting.
_TURN_S = 60.0
# Lines of a batch begun at a time, in places to be judged at; the others wait for a place, or to try again.
_AHEAD = 2
_LONGEST_PAUSE_S = 30.0
# What passes: the synchronous routes answer 503 to it, a batch tries again.
_PASSING = (Unavailable, OperationalError, InterfaceError, PoolTimeout, RedisError)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a line's `url` means: the request model of that route, and the coroutine that answers it."""

    request: type[BaseModel]
    judge: Callable[[Any, Principal, State], Awaitable[BaseModel]]


KINDS = {
    "/judge/pairwise": Kind(PairwiseRequest, pairwise),
    "/judge/single": Kind(SingleRequest, single),
    "/judge/rank": Kind(RankRequest, rank),
}


async def answer(line: Line, caller: Principal, app: State) -> Result:
    """A line's result: what its synchronous route would answer, with the status code.

    Raises:
        Unavailable, OperationalError, InterfaceError, PoolTimeout, RedisError: later it may go well.
    """
    try:
        kind = KINDS[line.url]
        try:
            # `from_attributes` is what FastAPI has; an error's text depends on it.
            request = kind.request.model_validate(json.loads(line.body), from_attributes=True)
        except ValidationError as error:
            return _result(line, problems.invalid(error.errors()))
        made = await kind.judge(request, caller, app)
        return Result(line.ordinal, 200, json.dumps(made.model_dump(mode="json"), allow_nan=False))
    except _PASSING:
        raise
    except Exception as error:  # known, or a defect: this line has failed, and the others go on
        return _result(line, problems.problem_of(error))


def _result(line: Line, document: dict[str, Any]) -> Result:
    return Result(line.ordinal, document["status"], json.dumps(document))


class Batches:
    """One background task that takes batches, and one for each that it has taken."""

    def __init__(self, app: State) -> None:
        self._app = app
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._ahead = _AHEAD * app.settings.batch_concurrency
        self._places = asyncio.Semaphore(app.settings.batch_concurrency)
        self._stopping = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to look for batches."""
        self._taking = asyncio.create_task(self._take())

    async def stop(self) -> None:
        """Keep what is done, drop what is in progress (another gateway will do it), give the batches back."""
        self._stopping.set()
        if self._taking:
            await self._taking
        if self._working:
            _, late = await asyncio.wait(self._working, timeout=_STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self) -> None:
        while not self._stopping.is_set():
            lease = None
            try:
                if len(self._working) < _AT_ONCE:
                    lease = await asyncio.to_thread(Lease.take, self._app.sessions, self._holder)
            except SQLAlchemyError as error:
                logger.warning("batches cannot be looked for: %s", error)
            if lease is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _POLL_S)
                continue
            task = asyncio.create_task(self._work(lease))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _work(self, lease: Lease) -> None:
        """Work on a batch until it is over, or this gateway stops. What goes wrong leaves it to its lease."""
        clock = asyncio.get_running_loop().time
        end = clock() + _TURN_S
        turn = Turn(lease, self._line, self._ahead)
        try:
            if await turn.run(
                stopped=self._stopping.is_set, over=lambda: len(self._working) >= _AT_ONCE and clock() > end
            ):
                await asyncio.to_thread(lease.release)
        except Fenced as error:
            logger.info("%s", error)
        except Exception:
            logger.exception("batch %s is left until its lease runs out", lease.batch)

    async def _line(self, line: Line, caller: Principal) -> Result:
        pause = 0.2
        lines = self._app.metrics.batch_lines
        while True:
            try:
                async with self._places:
                    result = await answer(line, caller, self._app)
                    lines.labels("failed" if result.status_code >= 400 else "answered").inc()
                    return result
            except _PASSING as error:
                lines.labels("tried again").inc()
                logger.debug("a line of a batch is tried again: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)


class Turn:
    """A batch in one gateway's hands: which lines were begun, and results that wait to be written.

    Args:
        judge: makes a line's result; it is cancelled where the result is not wanted any more.
        ahead: lines begun at a time.
    """

    def __init__(
        self, lease: Lease, judge: Callable[[Line, Principal], Awaitable[Result]], ahead: int
    ) -> None:
        self._lease = lease
        self._judge = judge
        self._ahead = ahead
        self._begun = -1
        self._all_begun = False
        self._running: set[asyncio.Task[Result]] = set()
        self._finished: list[Result] = []

    async def run(self, stopped: Callable[[], bool], over: Callable[[], bool]) -> bool:
        """Judge lines until there is no more to do; returns whether there is.

        Once `over` says so, lines in progress are finished and no others begun; once `stopped` does, they
        are dropped.

        Raises:
            Fenced: another gateway has the batch.
        """
        clock = asyncio.get_running_loop().time
        try:
            written, more = clock(), await self._write()
            while more and not stopped():
                if not over():
                    await self._begin()
                elif not self._running:
                    break
                if self._running:
                    done, self._running = await asyncio.wait(
                        self._running, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    self._finished += [task.result() for task in done]
                else:  # the database is away
                    await asyncio.sleep(_POLL_S)
                if clock() - written >= _WRITE_S or not self._running:
                    written, more = clock(), await self._write()
        finally:
            for task in self._running:
                task.cancel()
            left = await asyncio.gather(*self._running, return_exceptions=True)
            self._finished += [result for result in left if isinstance(result, Result)]
        return more and await self._write()

    async def _begin(self) -> None:
        # In portions, so that a finished line does not cost a query.
        if self._all_begun or len(self._running) > self._ahead // 2:
            return
        limit = self._ahead - len(self._running)
        try:
            lines = await asyncio.to_thread(self._lease.unfinished, self._begun, limit)
        except _PASSING as error:
            logger.warning("batch %s waits for the database: %s", self._lease.batch, error)
            return
        self._all_begun = len(lines) < limit
        for line in lines:
            self._begun = line.ordinal
            self._running.add(asyncio.ensure_future(self._judge(line, self._lease.caller)))

    async def _write(self) -> bool:
        """Write what is finished, keep it if the database is away; returns whether there is more to do."""
        try:
            more = await asyncio.to_thread(self._lease.write, self._finished)
        except _PASSING as error:
            logger.warning("batch %s waits for the database: %s", self._lease.batch, error)
            return True
        self._finished = []
        return more
