"""Waiting for a backend that was killed: until it is up again and its weights have their name.

For the loop, which has time. A caller who waits for a verdict is told that the backend is away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from judge.backend.vllm import VLLM
from judge.errors import BackendError, Conflict

Result = TypeVar("Result")
# The largest models take so long to load.
PATIENCE_S = 1800.0
# What a backend calls its weights after a start, and while others are being read.
NAMELESS = frozenset({"default", "loading"})
_AWAY = "away"
_TRIES = 3
_POLL_S = 1.0


async def patiently(
    ask: Callable[[], Awaitable[Result]], servers: Sequence[VLLM], version: str | None = None
) -> Result:
    """Ask; after a failure wait until the servers are back, and ask again.

    `version` is what they have to serve; None where they serve a model that is not ours.

    Raises:
        BackendError, Conflict: as `ask` did, where waiting or asking again does not help.
    """
    for _ in range(_TRIES - 1):
        try:
            return await ask()
        except (BackendError, Conflict) as error:
            if not await back(servers, version):
                raise error
    return await ask()


async def back(
    servers: Sequence[VLLM], version: str | None = None, tell: Callable[[], None] = lambda: None
) -> bool:
    """Wait until all servers answer, and serve that version if one is given; whether they do.

    False at once where one serves another version, and after `PATIENCE_S`. `tell` is called while it waits,
    in a thread; what it raises ends the waiting.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        states = {await _state(server, version) for server in servers}
        if states <= {version}:
            return True
        if not states <= {version, _AWAY, *NAMELESS} or time.monotonic() > deadline:
            return False
        await asyncio.to_thread(tell)
        await asyncio.sleep(_POLL_S)


async def _state(server: VLLM, version: str | None) -> str | None:
    """The name of a server's weights, or `_AWAY`; where nobody wants to know the name, None."""
    if not await server.healthy():
        return _AWAY
    if version is None:
        return None
    try:
        return await server.weights()
    except BackendError:
        return _AWAY
