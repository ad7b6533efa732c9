"""How many decisions one gateway process makes where the backend costs nothing.

    python -m benchmarks.gateway [--vllm-judge PYTHON]

Starts the stack (`judgesmith up`: Postgres, Valkey, gateway, workers) before a scripted backend, and asks
for direct pairwise decisions in both orders, each of other texts, so that no cache answers. Then the same
load on the API server of the package `vllm-judge` before the same backend, if the Python of an environment
with `vllm-judge[api]` is given: in turn, as machines are noisy. Gateway and server are kept on one core,
backend and load on the rest.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from judge.backend.engine import free_port

HERE = Path(__file__).resolve().parent
FIRST, REST = {0}, set(range(1, os.cpu_count() or 2)) or {0}
Body = Callable[[int], dict[str, Any]]
WORDS = ["blue", "red", "green", "seven", "under", "over", "bread", "river", "stone", "light", "paper"]


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vllm-judge", metavar="PYTHON", help="a Python that has vllm-judge[api]")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    os.sched_setaffinity(0, REST)
    with tempfile.TemporaryDirectory(prefix="judgesmith-bench-") as folder:
        home, backend = Path(folder), free_port()
        environment = os.environ | {"SCRIPTED_MODELS": str(home / "models")}
        uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "--no-access-log"]
        serve = [*uvicorn, "--log-level", "warning", "--port", str(backend), "scripted_backend:app"]
        with running(serve, REST, environment, home / "backend.log"):
            targets = [("judgesmith", judgesmith(home, backend), "/judge/pairwise", ours)]
            if options.vllm_judge:
                targets.append(
                    ("vllm-judge", vllm_judge(options.vllm_judge, home, backend), "/evaluate", theirs)
                )
            with ExitStack() as open_targets:
                urls = [
                    (name, open_targets.enter_context(start()) + path, body)
                    for name, start, path, body in targets
                ]
                alone = f"http://127.0.0.1:{backend}/inference/v1/generate"
                for _ in range(options.rounds):
                    for name, url, body in urls:
                        asyncio.run(measure(name, url, body, options.seconds))
                    asyncio.run(measure_backend(alone, options.seconds))


def judgesmith(home: Path, backend: int) -> Callable[[], Any]:
    """The stack with a gateway on the first core; the same home each time."""

    @contextmanager
    def start() -> Iterator[str]:
        port = free_port()
        settings = {
            "HOME": home,
            "PORT": port,
            "AUTH": "off",
            "BACKEND_URLS": f'["http://127.0.0.1:{backend}"]',
            "LOG_LEVEL": "WARNING",
        }
        environment = os.environ | {f"JUDGESMITH_{name}": str(value) for name, value in settings.items()}
        up = [sys.executable, "-m", "stack.main", "up", "--no-teach"]
        with running(up, FIRST | REST, environment, home / "up.log") as process:
            url = f"http://127.0.0.1:{port}"
            asyncio.run(until_ready(f"{url}/readyz"))
            pin(process.pid, "-m service", FIRST)
            yield url

    return start


def vllm_judge(python: str, home: Path, backend: int) -> Callable[[], Any]:
    """The other server on the first core."""

    @contextmanager
    def start() -> Iterator[str]:
        port = free_port()
        code = (
            "from vllm_judge.api.server import start_server as s; "
            f"s(base_url='http://127.0.0.1:{backend}', model='judge', host='127.0.0.1', port={port}, "
            "max_concurrent=64, timeout=30.0, reload=False)"
        )
        with running([python, "-c", code], FIRST, dict(os.environ), home / "other.log"):
            url = f"http://127.0.0.1:{port}"
            asyncio.run(until_ready(f"{url}/health"))
            yield url

    return start


@contextmanager
def running(
    command: list[str], cores: set[int], environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A child on these cores, stopped at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=output,
            cwd=HERE.parent,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def pin(parent: int, words: str, cores: set[int]) -> None:
    """Keep the child of `parent` whose command line ends with `words`, and its threads, on these cores."""
    children = psutil.Process(parent).children()
    (found,) = (child for child in children if " ".join(child.cmdline()).endswith(words))
    for thread in found.threads():
        os.sched_setaffinity(thread.id, cores)


async def until_ready(url: str) -> None:
    """Wait for 200, two minutes at most."""
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
    raise SystemExit(f"{url} was not ready within two minutes")


def ours(number: int) -> dict[str, Any]:
    """A direct decision about texts that no other request has."""
    question, first, second = texts(number)
    return {"instruction": question, "response_a": first, "response_b": second, "mode": "direct"}


def read(number: int) -> dict[str, Any]:
    """One label read of the length that `ours` comes to."""
    sampling = {"max_tokens": 1, "logprob_token_ids": [1, 2]}
    return {"token_ids": [number % 1000] * 250, "sampling_params": sampling}


def theirs(number: int) -> dict[str, Any]:
    """The same for the other server, which reads one order and writes a verdict."""
    question, first, second = texts(number)
    content = {"a": first, "b": second}
    return {"content": content, "input": question, "criteria": "helpfulness", "template_engine": "format"}


def texts(number: int) -> tuple[str, str, str]:
    """A question of a dozen words and two responses of forty."""
    chosen = [WORDS[(number * 7 + place * (1 + number % 5)) % len(WORDS)] for place in range(40)]
    return f"Question {number}: {' '.join(chosen[:12])}?", " ".join(chosen), " ".join(reversed(chosen))


async def measure(name: str, url: str, body: Body, seconds: float) -> None:
    """Closed loop with 64 callers, one caller, and an open loop of 100 requests a second."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        load = Load(session, url, body)
        await load.closed(64, 3)
        for callers in (64, 1):
            began, taken = time.perf_counter(), await load.closed(callers, seconds)
            rate = len(taken) / (time.perf_counter() - began)
            print(f"{name:12} {callers:3} at once      {rate:7.0f}/s   {spread(taken)}", flush=True)
        taken = await load.opened(100, seconds)
        print(f"{name:12} 100 a second    {len(taken) / seconds:7.0f}/s   {spread(taken)}", flush=True)


async def measure_backend(url: str, seconds: float) -> None:
    """What the backend and the load on it take by themselves, at the 200 reads a second of 100 decisions."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        taken = await Load(session, url, read).opened(200, seconds)
        print(f"{'backend':12} 200 a second    {len(taken) / seconds:7.0f}/s   {spread(taken)}", flush=True)


class Load:
    """Requests of ever new texts; a failure ends the measurement."""

    def __init__(self, session: aiohttp.ClientSession, url: str, body: Body) -> None:
        self._session, self._url, self._body = session, url, body
        self._number = int(time.time() * 1000) % 10**9 * 1000

    async def closed(self, callers: int, seconds: float) -> list[float]:
        """Each caller sends its next request when it has its answer."""
        end = time.perf_counter() + seconds
        taken: list[float] = []

        async def call() -> None:
            while time.perf_counter() < end:
                taken.append(await self._one())

        await asyncio.gather(*(call() for _ in range(callers)))
        return taken

    async def opened(self, rate: int, seconds: float) -> list[float]:
        """Requests at fixed times, whether or not the earlier ones are answered."""
        began = time.perf_counter()
        tasks = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(self._one()))
        return await asyncio.gather(*tasks)

    async def _one(self) -> float:
        self._number += 1
        began = time.perf_counter()
        async with self._session.post(self._url, json=self._body(self._number)) as response:
            text = await response.text()
            if response.status != 200:
                raise SystemExit(f"{self._url} answered {response.status}: {text[:300]}")
        return time.perf_counter() - began


def spread(taken: list[float]) -> str:
    """Median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(taken, n=100)
    return f"p50 {cuts[49] * 1000:7.1f} ms   p99 {cuts[98] * 1000:7.1f} ms"


if __name__ == "__main__":
    main()
