"""Judgments made before, in Valkey; and one computation for equal requests in flight.

A key holds the tenant, so nobody is answered with another tenant's judgment, nor learns from the time that
there was one. Lookups of the same moment share one round trip. Without the queue's server every judgment
is simply made.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import redis.asyncio
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from service.metrics import Metrics

logger = logging.getLogger(__name__)
Value = TypeVar("Value")
_PREFIX = "judgesmith:judgment:"


class Cache:
    """Looks up and stores judgments; close it with `aclose`."""

    def __init__(self, redis_url: str, keep_s: int, metrics: Metrics) -> None:
        """`keep_s`: seconds that a judgment is kept; 0 turns the cache off, not the sharing in flight."""
        self._redis = redis.asyncio.Redis.from_url(redis_url)
        self._keep_s = keep_s
        self._metrics = metrics
        self._wanted: list[tuple[str, asyncio.Future[bytes | None]]] = []
        self._fetching: asyncio.Task[None] | None = None
        self._made: list[tuple[str, bytes]] = []
        self._storing: asyncio.Task[None] | None = None
        self._secret = secrets.token_bytes(32)

    async def aclose(self) -> None:
        """Store what is being stored, then close the connections."""
        if self._storing is not None:
            await self._storing
        await self._redis.aclose()

    def salt(self, tenant: str) -> str:
        """What keeps a tenant's prefixes in the backend's cache from others; new with each process."""
        return hmac.new(self._secret, tenant.encode(), hashlib.sha256).hexdigest()

    async def fetch(self, key: str) -> bytes | None:
        """What is stored under a key; None also where the cache is off or away."""
        if not self._keep_s:
            return None
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._wanted.append((key, future))
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_wanted())
        return await future

    def store(self, key: str, value: bytes) -> None:
        """Keep a value, in the background."""
        if self._keep_s:
            self._made.append((key, value))
            if self._storing is None or self._storing.done():
                self._storing = asyncio.create_task(self._store_made())

    def count(self, outcome: str) -> None:
        """Count what became of a lookup: `hit`, `miss` or `shared`."""
        self._metrics.cache.labels(outcome).inc()

    async def _fetch_wanted(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, []
            try:
                found: list[Any] = await self._redis.mget([_PREFIX + key for key, _ in batch])
            except (RedisError, OSError) as error:
                logger.warning("the cache is away: %s", error)
                found = [None] * len(batch)
            for (_, future), value in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(value)

    async def _store_made(self) -> None:
        while self._made:
            batch, self._made = self._made, []
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for key, value in batch:
                        pipe.set(_PREFIX + key, value, ex=self._keep_s)
                    await pipe.execute()
            except (RedisError, OSError) as error:
                logger.warning("%d judgments were not kept: %s", len(batch), error)


class Memo(Generic[Value]):
    """The cache for one kind of judgment."""

    def __init__(self, cache: Cache, kind: type[Value]) -> None:
        self._cache = cache
        self._adapter = TypeAdapter(kind)
        self._flights: dict[str, asyncio.Task[tuple[Value, bool]]] = {}

    async def judged(
        self, parts: tuple[object, ...], compute: Callable[[], Awaitable[Value]]
    ) -> tuple[Value, bool]:
        """The judgment that `parts` (all that decides it, the tenant included) stand for.

        Returns it, and whether it was made before or for another request. Equal requests in flight wait
        for the first one's, and fail as it fails.
        """
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        flight = self._flights.get(key)
        shared = flight is not None
        if flight is None:
            flight = asyncio.create_task(self._look_or_make(key, compute))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        # Shielded: a caller that hangs up takes nothing from the others.
        value, found = await asyncio.shield(flight)
        self._cache.count("shared" if shared else "hit" if found else "miss")
        return value, found or shared

    async def _look_or_make(self, key: str, compute: Callable[[], Awaitable[Value]]) -> tuple[Value, bool]:
        stored = await self._cache.fetch(key)
        if stored is not None:
            return self._adapter.validate_json(stored), True
        value = await compute()
        self._cache.store(key, self._adapter.dump_json(value))
        return value, False
