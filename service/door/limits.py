"""Refusing what is too much: large bodies before they are read, decisions before they begin."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.door.problems import Overloaded, problem
from service.metrics import Metrics


class _TooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: 413 for a body over `max_bytes`, declared or streamed.

    `by_path` has the paths to which more, or less, may be sent.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, by_path: Mapping[str, int]) -> None:
        self._app = app
        self._max = max_bytes
        self._by_path = by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._by_path.get(scope["path"], self._max)
        received = 0
        started = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if declared.isdigit() and int(declared) > most:
                raise _TooLarge
            await self._app(scope, counted, watched)
        except _TooLarge:
            if started:
                raise
            detail = f"the body may have {most} bytes; send less at a time"
            await problem("too-large", 413, "The body is too large", detail)(scope, receive, send)


class Admission:
    """Decisions in progress in this gateway, up to a limit."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._running = 0
        metrics.in_progress.set_function(lambda: self._running)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count one decision while the block runs.

        Raises:
            Overloaded: the limit is reached; answered with `Retry-After`, before any work was done.
        """
        if self._running >= self._limit:
            self._metrics.shed.inc()
            raise Overloaded(f"{self._limit} decisions are in progress; try again")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
