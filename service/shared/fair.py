"""One queue of small works for all callers, so that the backend's batch is always full, and fairly filled.

Works that come in one call and works that come one by one are the same to it: so many are under way at a
time, the next one is of another tenant where another waits, and of another call of that tenant. The backend
puts together what is under way at the same moment; nothing is gained by holding a work back for company.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from service.door.problems import Overloaded, OverShare
from service.metrics import Metrics

Result = TypeVar("Result")
Work = Callable[[], Awaitable[Any]]
# Callers that may stand before a full queue, each with its request in memory.
_DOORSTEP = 512
_LONGEST_RETRY_S = 30


class _Call:
    """The works of one caller: those to come, those under way, and the results so far."""

    def __init__(self, works: Sequence[Work]) -> None:
        self.waiting = deque(enumerate(works))
        self.running: set[asyncio.Task[Any]] = set()
        self.results: list[Any] = [None] * len(works)
        self.left = len(works)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairQueue:
    """Runs works, `at_once` at a time; up to `most` wait, of one tenant half of that.

    A single call is taken whatever its size, if nothing else of its tenant waits.
    """

    def __init__(self, at_once: int, most: int, metrics: Metrics) -> None:
        self._at_once = at_once
        self._most = most
        self._metrics = metrics
        self._lines: OrderedDict[str, deque[_Call]] = OrderedDict()
        self._counts: dict[str, int] = {}
        self._running = 0
        self._finished = 0
        self._since = time.monotonic()
        self._pace = 0.0
        self._room = asyncio.Event()
        self._doorstep = 0
        metrics.rewards_waiting.set_function(lambda: sum(self._counts.values()))

    async def run(
        self, tenant: str, works: Sequence[Callable[[], Awaitable[Result]]], patience_s: float = 0.0
    ) -> list[Result]:
        """The results, in order. The first failure drops what is left of the call, as does cancelling it.

        Where there is no room, wait for it up to `patience_s`.

        Raises:
            OverShare: the tenant has too much waiting. Overloaded: all together have.
        """
        if not works:
            return []
        await self._enter(tenant, len(works), patience_s)
        call = _Call(works)
        self._counts[tenant] = self._counts.get(tenant, 0) + len(works)
        self._lines.setdefault(tenant, deque()).append(call)
        self._pump()
        try:
            await call.done
        finally:
            self._leave(tenant, call)
        return call.results

    async def _enter(self, tenant: str, count: int, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        while error := self._refusal(tenant, count):
            left = end - time.monotonic()
            if left <= 0 or self._doorstep >= _DOORSTEP:
                self._metrics.shed.inc()
                raise error
            self._room.clear()
            self._doorstep += 1
            try:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._room.wait(), left)
            finally:
                self._doorstep -= 1

    def _refusal(self, tenant: str, count: int) -> Overloaded | None:
        mine, all_ = self._counts.get(tenant, 0), sum(self._counts.values())
        if mine and mine + count > self._most // 2:
            detail = f"{mine} of your rewards wait here, and {self._most // 2} may; send fewer at a time"
            return OverShare(detail, self._wait_s(mine + count - self._most // 2))
        if all_ and all_ + count > self._most:
            return Overloaded(
                f"{all_} rewards wait here, and {self._most} may; try again",
                self._wait_s(all_ + count - self._most),
            )
        return None

    def _wait_s(self, too_many: int) -> int:
        """Whole seconds until so many are done, at the pace of late."""
        return max(1, min(_LONGEST_RETRY_S, round(too_many / self._pace) if self._pace else 2))

    def _pump(self) -> None:
        while self._running < self._at_once and self._lines:
            tenant, line = self._lines.popitem(last=False)
            call = line.popleft()
            index, work = call.waiting.popleft()
            if call.waiting:
                line.append(call)
            if line:
                self._lines[tenant] = line
            self._start(tenant, call, index, work)

    def _start(self, tenant: str, call: _Call, index: int, work: Work) -> None:
        async def do() -> None:
            call.results[index] = await work()

        task = asyncio.create_task(do())
        self._running += 1
        call.running.add(task)
        task.add_done_callback(lambda done: self._ended(tenant, call, done))

    def _ended(self, tenant: str, call: _Call, task: "asyncio.Task[Any]") -> None:
        self._running -= 1
        call.running.discard(task)
        self._forget(tenant, 1)
        self._count_pace()
        if not call.done.done():
            if task.cancelled():
                call.done.cancel()
            elif error := task.exception():
                call.done.set_exception(error)
            else:
                call.left -= 1
                if not call.left:
                    call.done.set_result(None)
        elif not task.cancelled():
            task.exception()  # fetched: the call has failed already, or its caller is gone
        self._pump()

    def _leave(self, tenant: str, call: _Call) -> None:
        """Drop what is left of a call that is over."""
        if call.waiting:
            self._forget(tenant, len(call.waiting))
            call.waiting.clear()
            line = self._lines.get(tenant)
            if line is not None and call in line:
                line.remove(call)
                if not line:
                    del self._lines[tenant]
        for task in call.running:
            task.cancel()

    def _forget(self, tenant: str, count: int) -> None:
        self._counts[tenant] -= count
        if not self._counts[tenant]:
            del self._counts[tenant]
        self._room.set()

    def _count_pace(self) -> None:
        self._finished += 1
        took = time.monotonic() - self._since
        if took >= 1.0:
            self._pace = self._finished / took
            self._finished, self._since = 0, time.monotonic()
