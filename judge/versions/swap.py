"""Putting a version into service: in-place reload of full weights, probed before the pointer moves.

The order is what makes it safe. Everything is checked on disk first; then each backend lets its requests
finish, reads the new weights, is relabeled and answers the probe; only then does the pointer move. Until
it does, gateways see answers from weights that are not the champion's and ask again, so nothing unproven
is ever handed out. If any step fails the old weights are read back before requests go on.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from judge.backend.vllm import VLLM, Backends
from judge.errors import BackendError, Conflict, JudgesmithError, NotFound, Pinned, SwapFailed
from judge.store.database import Lock, Sessions
from judge.store.queue import CHAMPION_CHANNEL
from judge.versions import pins
from judge.versions.pointer import Pointer, move_champion, read_pointer
from judge.versions.version import Manifest, VersionStore

logger = logging.getLogger(__name__)
# Served in bfloat16 on other kernels than it was measured with; wrong weights are off by whole nats.
PROBE_TOLERANCE = 0.5


class Swapper:
    """Moves the backends and the pointer together. One swap at a time, held by a lock in Postgres."""

    def __init__(
        self,
        sessions: Sessions,
        store: VersionStore,
        backends: Backends,
        redis: Redis,
        pinned: Sequence[VLLM] = (),
    ) -> None:
        """`pinned` are the servers of versions that trainers have pinned (`judge.versions.pins`)."""
        self.sessions = sessions
        self.store = store
        self.backends = backends
        self.redis = redis
        self.pinned = pinned

    async def promote(
        self,
        version: str,
        *,
        actor: str,
        act: str = "promote",
        details: dict[str, object] | None = None,
        force: bool = False,
    ) -> Pointer:
        """Load, probe and make champion; with `force` also where trainers have pinned the one that serves.

        Raises:
            NotFound: no such version.
            BadModel: the version's files fail their checks.
            Conflict: another swap is in progress, or it is the champion already.
            Pinned: the champion is pinned, and no engine of its own serves it.
            SwapFailed: the backend could not load it or the probe failed; the old champion serves on.
        """
        pointer = await asyncio.to_thread(self._pointer)
        if pointer.champion == version:
            raise Conflict(f"{version} is the champion already")
        kept = force or await self._kept(pointer.champion)
        manifest = await asyncio.to_thread(self.store.verify, version, pointer.champion)
        async with _SwapLock(self.sessions):
            loaded: list[VLLM] = []
            try:
                for server in self.backends.servers:
                    loaded.append(server)
                    await load(server, self.store.path(version), manifest)
                moved = await asyncio.to_thread(
                    self._move, version, pointer, actor, act, dict(details or {}), kept
                )
            except Exception as error:
                logger.exception("swap to %s failed; reading %s back", version, pointer.champion)
                await self._read_back(loaded, pointer.champion)
                if isinstance(error, Conflict | NotFound):
                    raise
                raise SwapFailed(f"{version} was not put into service: {error}") from error
        self._announce(version)
        return moved

    async def reconcile(self) -> list[str]:
        """Bring backends that serve other weights than the champion's back to it.

        A restarted backend calls its weights `default`. Returns the URLs of those that were changed.
        """
        changed: list[str] = []
        try:
            async with _SwapLock(self.sessions):
                pointer = await asyncio.to_thread(self._pointer)
                for server in self.backends.servers:
                    if await server.healthy() and await server.weights() != pointer.champion:
                        manifest = await asyncio.to_thread(self.store.verify, pointer.champion)
                        await load(server, self.store.path(pointer.champion), manifest)
                        changed.append(server.url)
        except Conflict:
            logger.info("a swap is in progress; nothing to reconcile")
        return changed

    async def prepare(self, version: str, servers: Sequence[VLLM]) -> None:
        """Load a version into servers that serve nobody else; one that has it already is left alone.

        Raises:
            NotFound, BadModel: as in `promote`.
            Conflict: a swap is in progress.
            BackendError: a server is away, could not load it, or failed the probe.
        """
        behind = [server for server in servers if await server.weights() != version]
        if not behind:
            return
        pointer = await asyncio.to_thread(self._pointer)
        manifest = await asyncio.to_thread(self.store.verify, version, pointer.champion)
        async with _SwapLock(self.sessions):
            for server in behind:
                await load(server, self.store.path(version), manifest)

    def _pointer(self) -> Pointer:
        with self.sessions() as session:
            pointer = read_pointer(session)
        if pointer is None:
            raise Conflict("no champion yet: run `judgesmith seed`")
        return pointer

    def _move(
        self,
        version: str,
        pointer: Pointer,
        actor: str,
        act: str,
        details: dict[str, object],
        kept: bool,
    ) -> Pointer:
        with self.sessions.begin() as session:
            moved = move_champion(session, version, pointer.fence, actor=actor, act=act, details=details)
            # The pointer's row is locked now, as it is for a new pin: none can be missed.
            if not kept:
                _require_unpinned(session, pointer.champion)
            return moved

    async def _kept(self, version: str) -> bool:
        """Whether an engine of its own serves a version; raises `Pinned` where none does and one must."""
        for server in self.pinned:
            try:
                if await server.weights() == version:
                    return True
            except BackendError:
                continue
        await asyncio.to_thread(self._look_for_pins, version)
        return False

    def _look_for_pins(self, version: str) -> None:
        with self.sessions() as session:
            _require_unpinned(session, version)

    async def _read_back(self, servers: list[VLLM], version: str) -> None:
        """Restore the old weights where the new ones were tried. A dead backend comes back by itself."""
        manifest = self.store.manifest(version)
        for server in servers:
            try:
                await load(server, self.store.path(version), manifest)
            except JudgesmithError:
                logger.exception("%s could not be restored; it will be when it is healthy", server.url)

    def _announce(self, version: str) -> None:
        try:
            self.redis.publish(CHAMPION_CHANNEL, version)
        except RedisError:
            logger.warning("the queue is down: gateways learn of %s by polling", version)


def _require_unpinned(session: Session, version: str) -> None:
    held = pins.holding(session, version)
    if held:
        raise Pinned(
            f"{version} is pinned by {pins.named(held)}; wait, give pinned versions an engine "
            "(JUDGESMITH_PINNED_URLS), or swap with force=true: these runs then get no more rewards"
        )


async def load(server: VLLM, folder: Path, manifest: Manifest) -> None:
    """Reload one backend in place and probe it. In-flight requests finish first, new ones wait.

    Raises:
        BackendError: the reload failed or the probe's answer is wrong. The backend then holds weights
            that nobody vouches for, under a label that no gateway accepts.
    """
    await server.pause()
    # Requests that slip in before the probe are answered under a label that is no version's.
    await server.label_weights("loading")
    try:
        await server.reload(folder)
    except BackendError:
        # Left paused: resuming half a model kills the engine. The caller reads good weights back.
        logger.warning("%s failed to read %s", server.url, folder.name)
        raise
    await server.resume()
    await probe(server, manifest)
    await server.label_weights(manifest.id)


async def probe(server: VLLM, manifest: Manifest) -> None:
    """Ask the question whose answer is in the manifest.

    Raises:
        BackendError: the log-probabilities are not finite, or not those of this version.
    """
    if manifest.probe is None:
        return
    answer = await server.read_labels(manifest.probe.token_ids, manifest.probe.labels)
    got = answer.read.logprobs
    if not all(math.isfinite(value) for value in got):
        raise BackendError(f"the probe of {manifest.id} gave values that are not finite: {got}")
    worst = max(abs(a - b) for a, b in zip(got, manifest.probe.logprobs, strict=True))
    if worst > PROBE_TOLERANCE:
        raise BackendError(
            f"the probe of {manifest.id} gave {got} where {manifest.probe.logprobs} was measured: "
            "these are not its weights"
        )


class _SwapLock:
    """A Postgres advisory lock on a connection of its own; freed even if this process dies."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def __aenter__(self) -> None:
        self._session = self._sessions()
        query = text("SELECT pg_try_advisory_lock(:key)")
        got = await asyncio.to_thread(lambda: self._session.scalar(query, {"key": int(Lock.SWAP)}))
        if not got:
            self._session.close()
            raise Conflict("another swap is in progress; wait for it")

    async def __aexit__(self, *_: object) -> None:
        # Closing returns the connection to the pool, which would keep the lock: unlock first.
        query = text("SELECT pg_advisory_unlock(:key)")
        try:
            await asyncio.to_thread(lambda: self._session.execute(query, {"key": int(Lock.SWAP)}))
        except OperationalError:
            logger.warning("the database went away during a swap; the lock went with its connection")
        finally:
            self._session.invalidate()
            self._session.close()
