"""The connection to one server: JSON in and out, another attempt where one may help, failures told as ours.

What vLLM's routes take and give is `judge.backend.vllm`.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from judge.errors import BackendError, BackendRefused

logger = logging.getLogger(__name__)
# After the first attempt.
_RETRIES = 3
_SOON = aiohttp.ClientTimeout(total=5.0)


class Retryable(BackendError):
    """A failure that another attempt may not meet: a closed connection, overload, an aborted request."""


class Connection:
    """One HTTP server. Safe to share between tasks of one event loop; close it with `aclose`."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=5.0)
        self._opened: aiohttp.ClientSession | None = None

    @property
    def _http(self) -> aiohttp.ClientSession:
        # Opened on first use: a session belongs to the event loop that runs then.
        if self._opened is None:
            # vLLM closes idle connections after 5 s: give them up earlier, or a request may meet one closing.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
            self._opened = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, headers={"Content-Type": "application/json"}
            )
        return self._opened

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def healthy(self) -> bool:
        """Whether `/health` is answered with 200, and soon."""
        try:
            async with self._http.get(f"{self.url}/health", timeout=_SOON) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        may_refuse: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """The answer's JSON, or an empty dictionary; the arguments and errors are those of `call`."""
        async with self.call(method, path, body=body, may_refuse=may_refuse, **options) as response:
            content = await response.read()
        return dict(msgspec.json.decode(content)) if content else {}

    def call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        may_refuse: bool = False,
        **options: Any,
    ) -> "Call":
        """A request, to be entered for its response, of which the status is below 400.

        Args:
            may_refuse: whether a status from 400 to 499 is about what was asked.
            options: what aiohttp's `request` takes besides.

        Raises:
            BackendRefused: the server does not accept what was asked.
            Retryable: the server is away, starting or overloaded.
            BackendError: it failed otherwise, or did not answer in time.
        """
        data = None if body is None else msgspec.json.encode(body)
        request = self._http.request(method, f"{self.url}{path}", data=data, **options)
        return Call(self.url, path, request, may_refuse)


class Call:
    """One request, whose failures are told as ours, also those while the response is read."""

    def __init__(self, url: str, path: str, request: Any, may_refuse: bool) -> None:
        self._url, self._path, self._request, self._may_refuse = url, path, request, may_refuse

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._request.__aenter__()
        except Exception as error:
            raise self._told(error) from error
        if response.status >= 400:
            text = await response.text()
            await self._request.__aexit__(None, None, None)
            if response.status in (429, 502, 503):
                raise Retryable(f"{self._url} is overloaded or starting ({response.status})")
            kind = BackendRefused if response.status < 500 and self._may_refuse else BackendError
            raise kind(f"{self._url}{self._path} answered {response.status}: {text[:300]}")
        return response

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        await self._request.__aexit__(kind, error, trace)
        if isinstance(error, Exception):
            raise self._told(error) from error

    def _told(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            return BackendError(f"{self._url} did not answer {self._path} in time")
        if isinstance(error, aiohttp.ClientError):
            return Retryable(f"{self._url} cannot be reached: {error}")
        return error


async def persistently(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Ask, and after a `Retryable` failure again; an answer that took `retries` has their number."""
    try:
        return await ask()
    except Retryable as error:
        logger.warning("%s; trying again", error)
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(Retryable),
        stop=stop_after_attempt(_RETRIES),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            answer = await ask()
    answer["retries"] = attempt.retry_state.attempt_number
    return answer
