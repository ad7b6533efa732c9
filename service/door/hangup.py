"""Callers that hang up: a killed trainer waits for nothing, and is worked for no longer."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from service.door.problems import Overloaded

Answer = TypeVar("Answer")


async def unless_gone(http: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, which is dropped if the caller hangs up. The body has to be read by then."""
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(http.receive())
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            doing.cancel()
            with suppress(asyncio.CancelledError):
                await doing
            raise Overloaded("the caller has gone")
        return doing.result()
    finally:
        gone.cancel()
        doing.cancel()
