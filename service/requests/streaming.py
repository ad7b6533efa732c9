"""A rationale as it is written, as server-sent events, and at the end the answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from judge.backend.vllm import OnText
from service.door.problems import problem_of


class Pieces:
    """Pieces of a rationale on their way to the client; None stands for a new beginning."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._attempt = 0
        self._told = False

    def begin(self) -> OnText:
        """What a judge gives its text to. What the one before goes on to give is dropped."""
        self._attempt += 1
        attempt = self._attempt

        def give(text: str | None) -> None:
            # A beginning voids what was told, if anything was.
            if attempt == self._attempt and (text is not None or self._told):
                self._told = text is not None
                self.queue.put_nowait(text)

        return give


async def streamed(answer: Callable[[Pieces], Awaitable[BaseModel]]) -> AsyncIterator[str]:
    """Events `rationale`, `restart`, then `decision` or `error`; a caller that hangs up ends the work."""
    pieces = Pieces()
    task = asyncio.ensure_future(answer(pieces))
    try:
        while True:
            piece = asyncio.ensure_future(pieces.queue.get())
            await asyncio.wait({piece, task}, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                break
            yield _piece(piece.result())
        try:
            yield f"event: decision\ndata: {(await task).model_dump_json()}\n\n"
        except Exception as error:
            yield _event("error", problem_of(error))
    finally:
        task.cancel()


def _piece(text: str | None) -> str:
    return _event("restart", {}) if text is None else _event("rationale", {"text": text})


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
