"""The engine that measures: it serves nobody, so weights may come and go in it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM
from judge.settings import Settings
from judge.store.database import Sessions

_LOCK = 6020211
_EVERY_S = 2.0


@contextmanager
def evaluation_engine(
    process: Settings, sessions: Sessions, model: Path, note: Callable[[str], None]
) -> Iterator[str]:
    """The URL of an engine that serves nobody: a given one, or a child process that begins with `model`.

    A given one is shared by all workers, and its weights are the ones of whoever uses it: one at a time.
    `note` is told what is waited for, again and again, and ends the waiting by raising.
    """
    if process.evaluation_url:
        with _alone(sessions, note):
            yield process.evaluation_url
        return
    engine = Engine.start(
        model,
        process.home / "log" / "evaluation.log",
        port=free_port(),
        max_model_len=process.max_model_len,
        dtype=process.dtype,
    )
    try:
        for waited in engine.wait_ready():
            note(f"starting the evaluation engine, {waited:.0f} s")
        yield engine.url
    finally:
        engine.stop()


async def take_weights(server: VLLM, folder: Path, label: str) -> None:
    """Read a version's weights into an engine that serves nobody, and name them."""
    await server.pause()
    await server.reload(folder)
    await server.label_weights(label)
    await server.resume()


@contextmanager
def _alone(sessions: Sessions, note: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock in Postgres on a connection of its own; it is freed even if this process dies."""
    session = sessions()
    try:
        # The lock is the connection's; a transaction open for hours would keep Postgres from cleaning up.
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        while not session.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
            note("waiting for the evaluation engine")
            time.sleep(_EVERY_S)
        yield
    finally:
        # The connection goes back to the pool, which would keep the lock: end it.
        session.invalidate()
        session.close()
