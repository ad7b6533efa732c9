"""What the engine keeps of its speed beside busy processes, for each way of having its threads wait.

    python -m benchmarks.neighbours MODEL_FOLDER [--settings NAME ...] [--neighbours 0 1 2] [--seconds S]

Each setting is one start of vLLM; beside it run so many processes that do nothing but count, each in a
session of its own as another user's would be. Label reads (some 190 tokens) and generation, 16 at once, in
reads and tokens a second. The last columns are shares of the same setting's quiet speed.
"""

import argparse
import asyncio
import itertools
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM, Sampling
from stack.processes.spawn import die_with_parent

AT_ONCE = 16
PROMPT_TOKENS, WRITTEN_TOKENS = 190, 32
SETTINGS: dict[str, dict[str, str]] = {
    "as it is": {},
    "spins 200 ms": {"KMP_BLOCKTIME": "200"},
    "spins 20 us": {"KMP_BLOCKTIME": "20us"},
    "spins 5 us": {"KMP_BLOCKTIME": "5us"},
    "sleeps at once": {"KMP_BLOCKTIME": "0"},
    "passive": {"KMP_BLOCKTIME": "0", "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "three threads": {"OMP_NUM_THREADS": "3"},
    "four threads": {"OMP_NUM_THREADS": "4"},
    "four threads, sleep at once": {"OMP_NUM_THREADS": "4", "KMP_BLOCKTIME": "0"},
}


def main() -> None:
    """One table row a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS), metavar="NAME"
    )
    parser.add_argument("--neighbours", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure")
    options = parser.parse_args()
    names = [f"{what}, {n} beside" for what in ("reads/s", "tokens/s") for n in options.neighbours]
    kept = [f"{what} kept, {n}" for what in ("reads", "tokens") for n in options.neighbours[1:]]
    print("| setting | " + " | ".join([*names, *kept]) + " |")
    print("|---" * (1 + len(names) + len(kept)) + "|", flush=True)
    for setting in options.settings:
        with engine(options.model, SETTINGS[setting]) as url:
            figures = asyncio.run(measure(url, options.neighbours, options.seconds))
        shares = [one / row[0] for row in figures for one in row[1:]]
        cells = [f"{one:.1f}" for row in figures for one in row] + [f"{share:.2f}" for share in shares]
        print(f"| {setting} | " + " | ".join(cells) + " |", flush=True)


@contextmanager
def engine(model: Path, variables: dict[str, str]) -> Iterator[str]:
    """A server of its own, with some variables set."""
    with tempfile.TemporaryDirectory() as logs:
        started = Engine.start(
            model, Path(logs) / "vllm.log", port=free_port(), max_model_len=4096, env=variables
        )
        try:
            for _ in started.wait_ready():
                pass
            yield started.url
        finally:
            started.stop()


@contextmanager
def beside(count: int) -> Iterator[None]:
    """So many busy processes."""
    counting = [sys.executable, "-c", "while True: pass"]
    last = die_with_parent(signal.SIGKILL)
    busy = [subprocess.Popen(counting, start_new_session=True, preexec_fn=last) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


async def measure(url: str, neighbours: list[int], seconds: float, first: int = 0) -> list[list[float]]:
    """Reads and written tokens a second, by number of neighbours; prompts are numbered from `first`."""
    server, numbers = VLLM(url), itertools.count(first)

    async def read() -> float:
        await server.read_labels(prompt(next(numbers)), [49, 50])
        return 1.0

    async def write() -> float:
        # Without a stop a random prompt may end after one token; the figure is of those really written.
        answer = await server.sample(prompt(next(numbers))[:60], Sampling(WRITTEN_TOKENS))
        return float(answer.usage.completion_tokens)

    await pace(read, 2.0)
    await pace(write, 2.0)
    rows: list[list[float]] = [[], []]
    for count in neighbours:
        with beside(count):
            rows[0].append(await pace(read, seconds))
            rows[1].append(await pace(write, seconds))
    await server.aclose()
    return rows


def prompt(number: int) -> list[int]:
    """Token ids that share no block with another number's."""
    return [1000 + (number * 7919 + place * 31) % 40000 for place in range(PROMPT_TOKENS)]


async def pace(work: Callable[[], Awaitable[float]], seconds: float) -> float:
    """What is done a second with 16 at once; those under way at the end are waited for and counted."""
    began, done = time.monotonic(), 0.0

    async def worker() -> None:
        nonlocal done
        while time.monotonic() - began < seconds:
            made = await work()  # apart: `done += await …` would take the sum from before the wait
            done += made

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return done / (time.monotonic() - began)


if __name__ == "__main__":
    main()
