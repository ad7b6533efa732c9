"""The version in service, as this gateway knows it, and decisions that never mix two."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from judge.backend.vllm import Backends
from judge.errors import BackendError, JudgesmithError, NotFound, NotServed, Unavailable, VersionChanged
from judge.judging.judge import Judge
from judge.store.database import Sessions
from judge.store.queue import CHAMPION_CHANNEL
from judge.store.tables import ModelVersion
from judge.versions.pointer import Pointer, read_pointer
from judge.versions.swap import Swapper
from judge.versions.version import VersionStore
from service.metrics import Metrics

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_POLL_S = 1.0
_RECONCILE_S = 5.0
# A reload takes seconds; a decision waits for it and no longer than this.
_PATIENCE_S = 90.0


class Champion:
    """Follows the pointer: at once when told by the queue, else by polling."""

    def __init__(
        self,
        sessions: Sessions,
        store: VersionStore,
        backends: Backends,
        swapper: Swapper,
        redis_url: str,
        max_model_len: int,
        metrics: Metrics,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._backends = backends
        self._swapper = swapper
        self._redis_url = redis_url
        self._max_model_len = max_model_len
        self._metrics = metrics
        self._judge: Judge | None = None
        self.pointer: Pointer | None = None
        self.backend_ready = False
        self.database_ready = False
        self._refreshing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the pointer once, then follow it in the background."""
        await self._try_refresh()
        self._tasks = [
            asyncio.create_task(loop()) for loop in (self._poll, self._listen, self._watch_backends)
        ]

    async def stop(self) -> None:
        """End the background tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether a decision could be made now."""
        return self._judge is not None and self.backend_ready and self.database_ready

    async def decide(self, requested: str | None, work: Callable[[Judge], Awaitable[Answer]]) -> Answer:
        """Run `work` with one version from beginning to end.

        If the weights changed under it, take the new champion and run it again.

        Raises:
            NotFound: the requested version is unknown.
            NotServed: the requested version is not the one in service.
            Unavailable: no champion, or none that the backend serves within the patience.
        """
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        pause = 0.02
        while True:
            judge = await self._resolve(requested)
            try:
                return await work(judge)
            except VersionChanged as error:
                # From the first change on: a long ranking may be minutes into its work by then.
                deadline = deadline or loop.time() + _PATIENCE_S
                if loop.time() > deadline:
                    raise Unavailable(f"the backend does not serve the champion: {error}") from error
            self._metrics.repeated.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the pointer; load the judge if it has moved."""
        async with self._refreshing:
            pointer = await asyncio.to_thread(self._read)
            if pointer == self.pointer:
                return
            if pointer is not None and (self._judge is None or pointer.champion != self._judge.version):
                self._judge = await asyncio.to_thread(
                    Judge.load, self._store, pointer.champion, self._backends, self._max_model_len
                )
                self._metrics.champion.clear()
                self._metrics.champion.labels(pointer.champion).set(1)
                logger.info("the champion is %s", pointer.champion)
            self.pointer = pointer

    async def _resolve(self, requested: str | None) -> Judge:
        if self._judge is None:
            await self.refresh()
        judge, pointer = self._judge, self.pointer
        if judge is None or pointer is None:
            raise Unavailable("no model version is in service yet; run `judgesmith seed`")
        if requested in (None, "champion", judge.version):
            return judge
        version = pointer.previous if requested == "previous" else requested
        if not await asyncio.to_thread(self._known, version):
            raise NotFound(f"model version {requested!r} is not known")
        raise NotServed(f"version {version} is not in service; {judge.version} is")

    def _read(self) -> Pointer | None:
        with self._sessions() as session:
            return read_pointer(session)

    def _known(self, version: str | None) -> bool:
        with self._sessions() as session:
            return version is not None and session.get(ModelVersion, version) is not None

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
            self.database_ready = True
        except (SQLAlchemyError, JudgesmithError):
            self.database_ready = False
            logger.exception("the pointer could not be read; trying again")

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            await self._try_refresh()

    async def _listen(self) -> None:
        while True:
            client = redis.asyncio.Redis.from_url(self._redis_url)
            try:
                async with client.pubsub() as channel:
                    await channel.subscribe(CHAMPION_CHANNEL)
                    async for _ in channel.listen():
                        await self._try_refresh()
            except RedisError:
                await asyncio.sleep(_POLL_S)
            finally:
                await client.aclose()

    async def _watch_backends(self) -> None:
        """Find backends that serve other weights (a restarted one) and bring them back to the champion."""
        suspicious = False
        while True:
            try:
                suspicious = await self._check_backends(suspicious)
            except BackendError:
                self.backend_ready = False
            except (SQLAlchemyError, JudgesmithError):
                logger.exception("reconciling failed; trying again")
            await asyncio.sleep(_RECONCILE_S if self.backend_ready else 1.0)

    async def _check_backends(self, suspicious: bool) -> bool:
        """One look; returns whether the weights are others than the champion's.

        Only the second such look in a row acts, so that a swap in another process is left alone.
        """
        served = {await server.weights() for server in self._backends.servers}
        champion = self.pointer.champion if self.pointer else None
        self.backend_ready = champion is not None and served == {champion}
        if self.backend_ready or champion is None:
            return False
        if suspicious:
            for url in await self._swapper.reconcile():
                logger.warning("%s was brought back to %s", url, champion)
        return not suspicious
