"""Many requests to the backend at once, stored in portions, so that a killed stage loses little."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from judge.store.database import outlasting

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_portions(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[Result]],
    store: Callable[[list[Result]], None],
    *,
    concurrency: int,
    every_s: float = 5.0,
) -> None:
    """Do `work` for each item, `concurrency` at a time; give finished results to `store` as time passes.

    `store` runs in a thread beside the work, about every `every_s` seconds and once at the end, never twice
    at a time; with 0, nothing goes on before all is stored. It also reports progress. While the database is
    away it is called again with the same results, which it must not store twice. What it raises (a lost
    lease, a cancellation) ends everything, as does what `work` raises, once what was finished by then is
    stored.
    """
    waiting = list(reversed(items))
    running: set[asyncio.Task[Result]] = set()
    finished: list[Result] = []
    storing: asyncio.Future[None] | None = None
    failures: list[BaseException] = []
    last = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < concurrency:
                running.add(asyncio.ensure_future(work(waiting.pop())))
            done, running = await asyncio.wait(running, timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            results = await asyncio.gather(*done, return_exceptions=True)
            finished += [result for result in results if not isinstance(result, BaseException)]
            failures = [result for result in results if isinstance(result, BaseException)]
            if failures:
                break
            if storing is not None and storing.done():
                storing.result()
                storing = None
            if storing is None and time.monotonic() - last >= every_s:
                last = time.monotonic()
                storing = asyncio.ensure_future(asyncio.to_thread(outlasting, partial(store, finished)))
                finished = []
                if not every_s:
                    await storing
        if storing is not None:
            await storing
        await asyncio.to_thread(outlasting, partial(store, finished))
        if failures:
            raise failures[0]
    finally:
        for task in running:
            task.cancel()
        # A thread cannot be cancelled: what it stores is whole before anybody goes on.
        beside = [storing] if storing is not None else []
        await asyncio.gather(*running, *beside, return_exceptions=True)
