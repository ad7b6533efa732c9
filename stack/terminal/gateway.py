"""The command line's view of the gateway: JSON in, JSON out, and errors that a person can act on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

from judge.errors import Fault
from stack.errors import Problem, Unreachable

# As long as a decision of many reasoned votes may take.
_TIMEOUT = httpx.Timeout(330.0, connect=5.0)


class Gateway:
    """A client of one gateway. Every call raises `Unreachable` or `Problem` where it gets no good answer."""

    def __init__(
        self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, transport=transport)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read something."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        """Send a JSON object, if there is one to send."""
        sent = {} if body is None else {"json": body}
        return self._send("POST", path, params=query, **sent)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a JSON object in place of what is there."""
        return self._send("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """Remove something."""
        self._send("DELETE", path)

    def put_jsonl(self, path: str, body: bytes) -> dict[str, Any]:
        """Send lines of JSON."""
        return self._send("PUT", path, content=body, headers={"Content-Type": "application/jsonl"})

    def post_file(self, path: str, file: Path, **query: Any) -> dict[str, Any]:
        """Send a file of lines of JSON, read as it is sent."""
        headers = {"Content-Type": "application/jsonl"}
        with file.open("rb") as lines:
            return self._send("POST", path, content=lines, headers=headers, params=query)

    def post_lines(self, path: str, body: bytes, **query: Any) -> dict[str, Any]:
        """Send lines of JSON that are at hand, with a query."""
        headers = {"Content-Type": "application/jsonl"}
        return self._send("POST", path, content=body, headers=headers, params=query)

    def save(self, path: str, out: Path, **query: Any) -> None:
        """Write an answer to a file, which is there only once all of it has come."""
        part = out.with_name(out.name + ".part")
        try:
            with part.open("wb") as target:
                self.copy(path, target, **query)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    def copy(self, path: str, target: IO[bytes], **query: Any) -> None:
        """Write an answer as it comes."""
        with self._reachable(path), self._http.stream("GET", path, params=query) as response:
            if not response.is_success:
                response.read()
                raise problem(response)
            for chunk in response.iter_bytes():
                target.write(chunk)

    def alive(self) -> bool:
        """Whether it answers at all."""
        return self._ask("/livez") is not None

    def ready(self) -> bool:
        """Whether it answers and all that it needs does too."""
        answer = self._ask("/readyz")
        return answer is not None and answer.status_code == 200

    def _ask(self, path: str) -> httpx.Response | None:
        try:
            return self._http.get(path, timeout=5.0)
        except httpx.HTTPError:
            return None

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._reachable(path):
            response = self._http.request(method, path, **options)
        if response.is_success:
            return _object(response)
        raise problem(response)

    @contextmanager
    def _reachable(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise Unreachable(
                f"nothing answers at {self.url}: start Judgesmith with `judgesmith up`, or give --url"
            ) from None
        except httpx.TimeoutException:
            raise Unreachable(f"{self.url} did not answer {path} in time") from None
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(f"{self.url} cannot be asked: {error}") from None


class Patience:
    """Asking a gateway again and again, through its absences: a restart, a swap."""

    LONGEST_S = 120.0

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._answered = time.monotonic()

    def get(self, path: str) -> dict[str, Any] | None:
        """The answer, or None while nothing answers; raises what else is wrong, or takes too long."""
        try:
            answer = self._gateway.get(path)
        except (Unreachable, Problem) as error:
            gone = isinstance(error, Unreachable) or error.status in (502, 503, 504)
            if not gone or time.monotonic() - self._answered > self.LONGEST_S:
                raise
            return None
        self._answered = time.monotonic()
        return answer


def problem(response: httpx.Response) -> Problem:
    """What an error answer says, whether or not it is problem+json: a proxy's page is none."""
    body = _object(response)
    faults = tuple(
        Fault(str(fault.get("field", "")), str(fault.get("reason", "")))
        for fault in body.get("errors") or []
        if isinstance(fault, dict)
    )
    title = str(body.get("title") or f"{response.status_code} {response.reason_phrase}")
    detail = str(body.get("detail") or ("" if body else response.text.strip()[:200]))
    if response.status_code == 401:
        detail = f"{detail} (set JUDGESMITH_KEY; `judgesmith keys create` makes a key)".strip()
    return Problem(response.status_code, title, detail, faults)


def _object(response: httpx.Response) -> dict[str, Any]:
    body = _json(response)
    return body if isinstance(body, dict) else {}


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
