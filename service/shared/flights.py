"""Work that is under way under a key, for those who ask for the same meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Flights(Generic[Result]):
    """Begins work once for all that wait for it at a time; it goes on when they leave."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Result]] = {}

    async def join(
        self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, Result]]
    ) -> tuple[Result, bool]:
        """The result of what is under way under a key, or of `begin`; and whether it was under way."""
        task = self._tasks.get(key)
        joined = task is not None
        if task is None:
            task = asyncio.create_task(begin())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task), joined

    def _over(self, key: Hashable, task: "asyncio.Task[Result]") -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # fetched: perhaps nobody waits any more
