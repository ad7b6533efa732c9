"""An iteration's progress as server-sent events.

Events are made from the state in Postgres, not kept: each has a place in the iteration (its `id`), so a
client that comes back with `Last-Event-ID`, to any gateway, gets what came after it and nothing twice.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

from judge.teaching.iterations import ACTIVE, STAGES
from service.door.problems import problem_of
from service.schemas.iterations import IterationAnswer, StageAnswer

# Of the event `end`. Stage n (from 0) begins at 2n + 1, where its progress is too, and ends at 2n + 2.
LAST = 2 * len(STAGES) + 1
_EVERY_S = 1.0
_SILENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `progress` repeats the id of its stage's beginning."""

    id: int
    name: str
    data: dict[str, Any]

    def encode(self) -> str:
        """The event on the wire."""
        data = json.dumps(self.data, ensure_ascii=False)
        return f"id: {self.id}\nevent: {self.name}\ndata: {data}\n\n"


def events(state: IterationAnswer) -> Iterator[Event]:
    """All that has happened so far, in order: `stage`, `progress`, and `end` when it is over."""
    for stage in state.stages:
        begun = 2 * STAGES.index(stage.name) + 1
        if stage.started_at is not None:
            yield Event(begun, "stage", {"stage": stage.name, "status": "begun"})
            if stage.finished_at is None:
                yield Event(begun, "progress", _progress(stage))
        if stage.finished_at is not None:
            yield Event(
                begun + 1, "stage", {"stage": stage.name, "status": stage.status, "error": stage.error}
            )
    if state.status not in ACTIVE:
        gate = state.gate["decision"] if state.gate else None
        yield Event(
            LAST,
            "end",
            {"status": state.status, "candidate": state.candidate, "gate": gate, "error": state.error},
        )


async def followed(
    read: Callable[[], IterationAnswer], last: int, stopping: Flag, every_s: float = _EVERY_S
) -> AsyncIterator[str]:
    """Events after `last` as they happen, up to `end`; `stopping` ends the stream before."""
    shown: dict[str, Any] = {}
    silent = 0.0
    yield "retry: 2000\n\n"
    while not stopping.is_set():
        try:
            state = await asyncio.to_thread(read)
        except Exception as error:
            yield f"event: error\ndata: {json.dumps(problem_of(error))}\n\n"
            return
        for event in events(state):
            if event.name != "progress":
                new, last = event.id > last, max(event.id, last)
            else:
                # The time to go shrinks by itself; that alone is no news.
                news = event.data | {"eta_s": None}
                new, shown = event.id >= last and news != shown, news
            if new:
                silent = 0.0
                yield event.encode()
        if last >= LAST:
            return
        if silent >= _SILENCE_S:
            silent = 0.0
            yield ": still here\n\n"  # so that no proxy takes the connection for idle
        await asyncio.sleep(every_s)
        silent += every_s


def _progress(stage: StageAnswer) -> dict[str, Any]:
    told = {"status", "done", "total", "note", "eta_s", "error"}
    return {"stage": stage.name, **stage.model_dump(include=told)}
