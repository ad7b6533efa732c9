"""What the pointwise reads of the two responses of one instruction cost beside a single read.

    python -m benchmarks.prefixes MODEL_FOLDER PAIRS.jsonl [PAIRS.jsonl ...] [--pairs N] [--field-tokens N]
                                  [--dtype float32]

Starts a vLLM of its own and reads N pairs, evenly from the files: one response of each, the other, both at
once, both one after the other. The prefix cache is emptied before each round, so what is shared is shared by
the two of a pair (and the first words by all). `P(Yes) moved` is the largest difference to a single read's.
"""

import argparse
import asyncio
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx
from scipy.special import expit

from benchmarks.judging import sample
from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM, Backends
from judge.judging.judge import Judge, Options
from judge.prompts.templates import pointwise
from judge.versions.version import VersionStore

AT_ONCE = 16
Pair = tuple[list[int], list[int]]


def main() -> None:
    """Start, read, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--field-tokens", type=int, help="cut longer texts; default: whole")
    parser.add_argument("--dtype", default="auto", choices=("auto", "bfloat16", "float32"))
    options = parser.parse_args()
    store = VersionStore(options.model.parent)
    judge = Judge.load(store, options.model.name, Backends([]), 4096, field_tokens=options.field_tokens)
    labels = [judge.assembler.encoder.label(label) for label in pointwise().labels]
    pairs = prompts(judge, options.files, options.pairs)
    with tempfile.TemporaryDirectory() as logs:
        engine = Engine.start(
            options.model, Path(logs) / "vllm.log", port=free_port(), max_model_len=4096, dtype=options.dtype
        )
        try:
            for _ in engine.wait_ready():
                pass
            asyncio.run(compare(engine.url, pairs, labels))
        finally:
            engine.stop()


def prompts(judge: Judge, files: Sequence[Path], count: int) -> list[Pair]:
    """The two prompts of so many pairs, in a fixed random order."""
    found: list[Pair] = []
    for file in files:
        for pair in sample(file, count // len(files)):
            one = pair.comparison
            first, second = (
                judge.response_prompt(pointwise(), one.instruction, text, 1, Options(cut=True)).token_ids
                for text in (one.response_a, one.response_b)
            )
            found.append((first, second))
    random.Random(17).shuffle(found)
    return found


async def compare(url: str, pairs: Sequence[Pair], labels: Sequence[int]) -> None:
    """A row for each way of reading."""
    server = VLLM(url)

    async def yes(prompt: list[int]) -> float:
        return float(expit((await server.read_labels(prompt, labels)).read.margin))

    async def first(pair: Pair) -> list[float]:
        return [await yes(pair[0])]

    async def second(pair: Pair) -> list[float]:
        return [await yes(pair[1])]

    async def at_once(pair: Pair) -> list[float]:
        return list(await asyncio.gather(*map(yes, pair)))

    async def in_turn(pair: Pair) -> list[float]:
        return [await yes(prompt) for prompt in pair]

    await first(pairs[0])
    tokens = sum(len(prompt) for pair in pairs for prompt in pair) / 2 / len(pairs)
    print(f"{len(pairs)} pairs; a single prompt has {tokens:.0f} tokens\n")
    print("| read | seconds | cost, in single reads | tokens from the cache | P(Yes) moved |")
    print("|---|---|---|---|---|", flush=True)
    singles: list[list[float]] = []
    alone = 0.0
    rounds = (
        ("the first", first, 1),
        ("the second", second, 1),
        ("both at once", at_once, 2),
        ("in turn", in_turn, 1),
    )
    for name, work, requests in rounds:
        await server._control("POST", "/reset_prefix_cache")
        before = cached(url)
        took, read = await timed(pairs, work, AT_ONCE // requests)
        hits, asked = (now - then for now, then in zip(cached(url), before, strict=True))
        cells = ["", ""]
        if len(singles) < 2:
            singles.append([one for (one,) in read])
            alone += took / 2
        else:
            known = [*zip(*singles, strict=True)]
            moved = max(
                abs(now - own)
                for pair, singly in zip(read, known, strict=True)
                for now, own in zip(pair, singly, strict=True)
            )
            cells = [f"{took / alone:.2f}", f"{moved:.1e}"]
        print(f"| {name} | {took:.1f} | {cells[0]} | {hits / asked:.3f} | {cells[1]} |", flush=True)
    await server.aclose()


async def timed(
    pairs: Sequence[Pair], work: Callable[[Pair], Awaitable[list[float]]], at_once: int
) -> tuple[float, list[list[float]]]:
    """Seconds for all pairs, and what was read."""
    waiting, read = iter(enumerate(pairs)), {}

    async def worker() -> None:
        for index, pair in waiting:
            read[index] = await work(pair)

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return time.monotonic() - began, [read[index] for index in range(len(pairs))]


def cached(url: str) -> tuple[float, float]:
    """Prompt tokens found in the prefix cache so far, and all that were looked for."""
    text = httpx.get(f"{url}/metrics").text
    names = ("hits", "queries")
    hits, asked = (re.search(rf"^vllm:prefix_cache_{name}_total{{.*}} (\S+)", text, re.M) for name in names)
    assert hits
    assert asked
    return float(hits[1]), float(asked[1])


if __name__ == "__main__":
    main()
