"""One request, tried until it is answered: without any I/O, so that both clients share it."""

import random
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import httpx

from judgesmith_client.errors import Malformed, OutOfReach, refusal

# What passes by itself. A 500 is a defect, and would come again.
PASSING = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How often and how soon to try again.

    Pauses have full jitter (uniform up to a bound that doubles), so that workers that failed together do not
    come back together; `Retry-After` is the least. `give_up_s` ends it all, whatever is left.
    """

    tries: int = 10
    first_s: float = 0.5
    longest_s: float = 30.0
    give_up_s: float = 900.0
    rng: random.Random = field(default_factory=random.Random, compare=False)

    def pause(self, attempt: int, retry_after_s: float = 0.0) -> float:
        """Seconds to wait after the `attempt`-th failure, the first of which is 0."""
        return retry_after_s + self.rng.uniform(0, min(self.longest_s, self.first_s * 2.0**attempt))


@dataclass(frozen=True)
class Request:
    """A request that may be sent more than once."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


# A step is the number of seconds to wait before sending (again); what came of it is sent back.
Steps = Generator[float, "httpx.Response | httpx.TransportError", Any]


def steps(request: Request, retries: Retries) -> Steps:
    """Drive it with `send(response or error)`; returns the answer's JSON, None for 204.

    Raises:
        OutOfReach, Refused, VersionGone, Malformed.
    """
    end = time.monotonic() + retries.give_up_s
    wait = 0.0
    for attempt in range(retries.tries):
        came = yield wait
        if isinstance(came, httpx.TransportError):
            why, wait = f"{type(came).__name__}: {came}", retries.pause(attempt)
        elif _passes(came):
            why, wait = f"{came.status_code}: {came.text[:300]}", retries.pause(attempt, _retry_after(came))
        else:
            return _read(came)
        if time.monotonic() + wait > end:
            break
    raise OutOfReach(f"{request.method} {request.path} failed after {attempt + 1} tries; the last: {why}")


def _passes(response: httpx.Response) -> bool:
    # A 5xx without a problem document is not the service's word, but that of a server that was stopped.
    problem = "json" in response.headers.get("content-type", "")
    return response.status_code in PASSING or (response.status_code >= 500 and not problem)


def _retry_after(response: httpx.Response) -> float:
    # Whole seconds is all that the service sends; a date, which proxies may, is not worth a parser.
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0


def _read(response: httpx.Response) -> Any:
    if response.status_code == 204:
        return None
    try:
        body = response.json()
    except ValueError as error:
        raise Malformed(f"{response.url} answered {response.status_code} without JSON") from error
    if response.status_code >= 400:
        raise refusal(response.status_code, body if isinstance(body, dict) else {})
    return body
