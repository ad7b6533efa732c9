"""The sync and the async client. Both only move bytes: what is sent and what it means is in `calls`."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import httpx

from judgesmith_client import calls
from judgesmith_client.retrying import Request, Retries, steps
from judgesmith_client.values import Decision, Item, Messages, Pin, Rewards

_TIMEOUT = httpx.Timeout(600.0, connect=10.0)


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


class Client:
    """Asks a Judgesmith service. Safe to share between threads; close it, or use it with `with`.

    Args:
        url: of the gateway.
        key: API key with the scope `reward` (for `compare` and `rank`: `judge`).
        pin: name of the pin that all rewards come under.
        batch: items in one request.
        at_once: requests of one call at a time.
        transport: httpx's, for proxies and tests.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        pin: str | None = None,
        batch: int = 256,
        at_once: int = 4,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.pin = pin
        self._batch = batch
        self._retries = retries or Retries()
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=_TIMEOUT, transport=transport)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="judgesmith")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._http.close()

    def reward(self, items: Sequence[Item], *, key: str | None = None, **options: Any) -> Rewards:
        """Reward items; `options` are the fields of `POST /reward` (`form`, `against`, `rubric`, …).

        `key` is the call's idempotency key, for a caller that asks again after a crash.

        Raises:
            VersionGone: the pinned or named version serves no more.
            OutOfReach, Refused, Malformed.
        """
        driven = calls.reward_steps(items, self._batch, options, key, self.pin)
        answers: list[Any] | None = None
        while True:
            try:
                requests = driven.send(answers)
            except StopIteration as done:
                return cast("Rewards", done.value)
            answers = list(self._threads.map(self._send, requests))

    def compare(
        self, instruction: str | Messages, response_a: str, response_b: str, **options: Any
    ) -> Decision:
        """Which of two responses is better; `options` are the fields of `POST /judge/pairwise`."""
        return calls.to_decision(
            self._send(calls.compare_request(instruction, response_a, response_b, options))
        )

    def rank(self, instruction: str | Messages, responses: Sequence[str], **options: Any) -> list[int]:
        """Indexes of the responses from the best down; `options` are the fields of `POST /judge/rank`."""
        return calls.to_order(self._send(calls.rank_request(instruction, responses, options)))

    def make_pin(self, name: str, version: str | None = None, ttl_s: int = 3600) -> Pin:
        """Hold a version (default: the champion) for a run; made before, it keeps the version that it has."""
        return calls.to_pin(self._send(calls.pin_request(name, version, ttl_s)))

    def release_pin(self, name: str) -> None:
        """Let the version go."""
        self._send(Request("DELETE", f"/reward/pins/{name}"))

    def _send(self, request: Request) -> Any:
        driven = steps(request, self._retries)
        wait = next(driven)
        while True:
            time.sleep(wait)
            came: httpx.Response | httpx.TransportError
            try:
                came = self._http.request(
                    request.method, request.path, json=request.body, headers=request.headers
                )
            except httpx.TransportError as error:
                came = error
            try:
                wait = driven.send(came)
            except StopIteration as done:
                return done.value


class AsyncClient:
    """The same for one event loop; close it with `aclose`, or use it with `async with`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        pin: str | None = None,
        batch: int = 256,
        at_once: int = 4,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.pin = pin
        self._batch = batch
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key), timeout=_TIMEOUT, transport=transport
        )
        self._places = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def reward(self, items: Sequence[Item], *, key: str | None = None, **options: Any) -> Rewards:
        """As `Client.reward`."""
        driven = calls.reward_steps(items, self._batch, options, key, self.pin)
        answers: list[Any] | None = None
        while True:
            try:
                requests = driven.send(answers)
            except StopIteration as done:
                return cast("Rewards", done.value)
            answers = await asyncio.gather(*(self._send(request) for request in requests))

    async def compare(
        self, instruction: str | Messages, response_a: str, response_b: str, **options: Any
    ) -> Decision:
        """As `Client.compare`."""
        request = calls.compare_request(instruction, response_a, response_b, options)
        return calls.to_decision(await self._send(request))

    async def rank(self, instruction: str | Messages, responses: Sequence[str], **options: Any) -> list[int]:
        """As `Client.rank`."""
        return calls.to_order(await self._send(calls.rank_request(instruction, responses, options)))

    async def make_pin(self, name: str, version: str | None = None, ttl_s: int = 3600) -> Pin:
        """As `Client.make_pin`."""
        return calls.to_pin(await self._send(calls.pin_request(name, version, ttl_s)))

    async def release_pin(self, name: str) -> None:
        """As `Client.release_pin`."""
        await self._send(Request("DELETE", f"/reward/pins/{name}"))

    async def _send(self, request: Request) -> Any:
        async with self._places:
            driven = steps(request, self._retries)
            wait = next(driven)
            while True:
                await asyncio.sleep(wait)
                came: httpx.Response | httpx.TransportError
                try:
                    came = await self._http.request(
                        request.method, request.path, json=request.body, headers=request.headers
                    )
                except httpx.TransportError as error:
                    came = error
                try:
                    wait = driven.send(came)
                except StopIteration as done:
                    return done.value
