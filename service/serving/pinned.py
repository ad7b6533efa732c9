"""Which version rewards a trainer: the one that its pin or its request names, wherever that is served.

The champion's backends serve most. A pinned version that was swapped away is served by an engine of its own
(`JUDGESMITH_PINNED_URLS`), which is given the version as soon as it is pinned, so that a swap finds it there.
Nobody else's weights ever answer: every answer of an engine names its weights.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from judge.backend.vllm import VLLM, Backends
from judge.errors import (
    BackendError,
    Conflict,
    JudgesmithError,
    NotServed,
    PinLapsed,
    Unavailable,
    VersionChanged,
)
from judge.judging.judge import Judge
from judge.store.database import Sessions
from judge.versions import pins
from judge.versions.pins import Pin
from judge.versions.swap import Swapper
from judge.versions.version import VersionStore
from service.serving.champion import Champion

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_POLL_S = 1.0
# How long a pin that was read is believed, and so how often its use is written.
_REMEMBER_S = 5.0
_PATIENCE_S = 90.0


class PinnedVersions:
    """Follows the pins; loads their versions into the engines that are there for them."""

    def __init__(
        self,
        champion: Champion,
        sessions: Sessions,
        store: VersionStore,
        engines: Backends,
        swapper: Swapper,
        max_model_len: int,
    ) -> None:
        self._champion = champion
        self._sessions = sessions
        self._store = store
        self._engines = engines
        self._swapper = swapper
        self._max_model_len = max_model_len
        self._judges: dict[str, Judge] = {}
        self._loading: str | None = None
        self._looking = asyncio.Lock()
        self._known: dict[tuple[str, str], tuple[float, Pin]] = {}
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow, if there are engines for it."""
        if self._engines.servers:
            self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def decide(
        self,
        tenant: str,
        version: str | None,
        pin_name: str | None,
        work: Callable[[Judge], Awaitable[Answer]],
    ) -> Answer:
        """Run `work` with the version that is asked for, from beginning to end.

        Raises:
            NotFound: no such pin or version.
            NotServed: the version serves no more; the message names the one that does.
            PinLapsed: the same, of a pin that had run out before.
            Conflict: both are given, and they differ.
            Unavailable: the version has an engine, which is away or loading it.
        """
        pin = await self._pin(tenant, pin_name) if pin_name else None
        requested = _named(version, pin)
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await self._champion.decide(requested, work)
            except NotServed as error:
                if pin and not pin.lapsed and pin.version not in self._judges:
                    await self._look_now()  # pinned and swapped away within the last second
                judge = self._judges.get(requested or "")
                if judge is None:
                    raise self._absence(requested, pin, error) from error
            try:
                return await work(judge)
            except VersionChanged as error:
                if time.monotonic() > end:
                    raise Unavailable(f"the engine of {requested} does not serve it: {error}") from error
                await asyncio.sleep(0.5)

    async def resolve(self, tenant: str, version: str | None, pin_name: str | None) -> str | None:
        """The version that is asked for, the pin read anew; None where the champion of the moment is.

        Raises:
            NotFound: no such pin. Conflict: both are given, and they differ.
        """
        if not pin_name:
            return version
        pin = await asyncio.to_thread(self._read, tenant, pin_name)
        _, known = self._known.get((tenant, pin_name), (0.0, pin))
        if known.version != pin.version:  # another gateway was told
            self.forget(tenant, pin_name)
        return _named(version, pin)

    def serves(self, version: str) -> bool:
        """Whether a reward of this version could be had now, as far as this gateway knows."""
        pointer = self._champion.pointer
        return version in self._judges or (pointer is not None and pointer.champion == version)

    def forget(self, tenant: str, name: str) -> None:
        """Read a pin again at its next use: it was changed here."""
        self._known.pop((tenant, name), None)

    def _absence(self, requested: str | None, pin: Pin | None, error: NotServed) -> JudgesmithError:
        if requested == self._loading:
            return Unavailable(f"an engine is loading {requested}; try again")
        if pin and pin.lapsed:
            return PinLapsed(f"pin {pin.name!r} ran out at {pin.expires_at:%Y-%m-%d %H:%M} UTC, and {error}")
        return error

    async def _pin(self, tenant: str, name: str) -> Pin:
        read_at, pin = self._known.get((tenant, name), (0.0, None))
        if pin is not None and time.monotonic() - read_at < min(_REMEMBER_S, pin.ttl_s / 2):
            return pin
        pin = await asyncio.to_thread(self._use, tenant, name)
        if len(self._known) > 10_000:
            self._known.clear()
        if not pin.lapsed:
            self._known[tenant, name] = (time.monotonic(), pin)
        return pin

    def _read(self, tenant: str, name: str) -> Pin:
        with self._sessions() as session:
            return pins.get(session, tenant, name)

    def _use(self, tenant: str, name: str) -> Pin:
        with self._sessions.begin() as session:
            pin = pins.use(session, tenant, name)
            if pin.lapsed and pins.revive(session, tenant, name):
                return pins.get(session, tenant, name)
            return pin

    async def _follow(self) -> None:
        while True:
            await self._look_now()
            await asyncio.sleep(_POLL_S)

    async def _look_now(self) -> None:
        # One at a time, or two would load into the same engine; while one loads, requests are told so.
        if self._loading is not None:
            return
        async with self._looking:
            try:
                await self._look()
            except (SQLAlchemyError, JudgesmithError) as error:
                logger.warning("pinned versions are not looked after: %s", error)

    async def _look(self) -> None:
        wanted = await asyncio.to_thread(self._versions)
        served: dict[VLLM, str | None] = {server: await _weights(server) for server in self._engines.servers}
        for version in sorted(wanted - set(served.values())):
            free = [server for server, own in served.items() if own is not None and own not in wanted]
            if not free:
                logger.warning("no engine is left for the pinned version %s", version)
                break
            self._loading = version
            try:
                await self._swapper.prepare(version, free[:1])
            finally:
                self._loading = None
            served[free[0]] = version
        for version in wanted & set(served.values()):
            servers = [server for server, own in served.items() if own == version]
            known = self._judges.get(version)
            if known is None or known.backends.servers != servers:
                self._judges[version] = await asyncio.to_thread(
                    Judge.load, self._store, version, Backends(servers), self._max_model_len
                )
        self._judges = {version: judge for version, judge in self._judges.items() if version in wanted}

    def _versions(self) -> set[str]:
        with self._sessions() as session:
            return pins.versions(session)


def _named(version: str | None, pin: Pin | None) -> str | None:
    if pin and version not in (None, pin.version):
        raise Conflict(f"pin {pin.name!r} holds {pin.version}, and the request names {version}")
    return pin.version if pin else version


async def _weights(server: VLLM) -> str | None:
    try:
        return await server.weights()
    except BackendError:
        return None
