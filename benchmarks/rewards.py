"""Rewards of a running service: speed beside vLLM driven directly, one by one beside together, best of n.

    python -m benchmarks.rewards speed --home HOME PAIRS.jsonl
    python -m benchmarks.rewards best  --home HOME PAIRS.jsonl [PAIRS.jsonl ...]

HOME is the home of a running `judgesmith up`, which names its gateway and its backend. Pair files have the
lines `{"id", "instruction" | "messages", "response_a", "response_b", "label": "a" | "b" | "tie"}`.

`speed` sends the same kind of token ids to vLLM itself, in one call of `POST /reward`, and as 64 callers with
one response each; in turn, each round and each way with other pairs, so that none finds another's prompts in
the prefix cache.
`best` puts the right response of each pair among n - 1 others (the wrong ones of its instruction, then right
ones of other instructions) and has the highest reward choose. Random choice is right once in n.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx

from benchmarks.running import Served, served
from judge.comparison import Instruction
from judge.evaluation.anchors import LabeledPair, parse_anchors
from judge.evaluation.statistics import wilson
from judge.judging.judge import Options
from judge.prompts.templates import pointwise

CALLERS = 64
SIZES = (4, 8, 16)
CUT = Options(cut=True)
Shown = tuple[Instruction, str]
Way = Callable[[Sequence[Shown]], Awaitable[None]]


def main() -> None:
    """Read the arguments, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["speed", "best"])
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument(
        "--limit", type=int, default=200, help="responses a way and round (speed), pairs (best)"
    )
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    """One of the two measurements."""
    async with served(options.home, CALLERS) as running:
        if options.what == "speed":
            await speed(options, running)
        else:
            for file in options.pairs:
                await best(file, options.limit, running.gateway)


async def speed(options: argparse.Namespace, running: Served) -> None:
    """Responses per second of the three ways, round by round, and the median ratios."""

    http, judge = running.gateway, running.judge

    async def directly(items: Sequence[Shown]) -> None:
        template = pointwise()
        labels = [judge.assembler.encoder.label(label) for label in template.labels]

        async def read(item: Shown) -> None:
            prompt = judge.response_prompt(template, *item, 1, CUT)
            await running.hand.read(prompt.token_ids, labels)

        await by_callers(items, read)

    async def together(items: Sequence[Shown]) -> None:
        await reward(http, items)

    async def one_by_one(items: Sequence[Shown]) -> None:
        async def ask(item: Shown) -> None:
            await reward(http, [item])

        await by_callers(items, ask)

    ways: dict[str, Way] = {"vLLM": directly, "together": together, "one by one": one_by_one}
    waiting = responses(options.pairs[0])
    needed = options.limit * options.rounds * len(ways)
    if len(waiting) < needed:
        raise SystemExit(f"{options.pairs[0]} has {len(waiting)} responses; {needed} are needed")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds):
        # Another one begins each round.
        names = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
        for name in names:
            own, waiting = waiting[: options.limit], waiting[options.limit :]
            began = time.perf_counter()
            await ways[name](own)
            found[name].append(len(own) / (time.perf_counter() - began))
        print(", ".join(f"{name} {rates[-1]:.2f}/s" for name, rates in found.items()), flush=True)
    print(f"together / vLLM:       {ratio(found['together'], found['vLLM']):.3f}")
    print(f"one by one / together: {ratio(found['one by one'], found['together']):.3f}")


async def best(file: Path, limit: int, http: httpx.AsyncClient) -> None:
    """How often the highest reward is the right response's, for each n, with a 95 percent interval."""
    pairs = [pair for pair in sample(file) if pair.label in ("a", "b")]
    print(
        f"\n{file.name}: {min(limit, len(pairs))} pairs\n| n | right | 95% | by chance |\n|---|---|---|---|"
    )
    for n in SIZES:
        hits = 0
        chosen = pairs[:limit]
        for place, pair in enumerate(chosen):
            instruction = pair.comparison.instruction
            texts = candidates(pairs, place, n)
            rewards = await reward(http, [(instruction, text) for text in texts])
            hits += max(range(n), key=lambda index: rewards[index]) == 0
        low, high = wilson(hits, len(chosen))
        print(f"| {n} | {hits / len(chosen):.3f} | {low:.3f} to {high:.3f} | {1 / n:.3f} |", flush=True)


def candidates(pairs: Sequence[LabeledPair], place: int, n: int) -> list[str]:
    """The right response of a pair first, then wrong ones of its instruction, then other instructions'."""
    pair, rng = pairs[place], random.Random(place)
    digest = pair.comparison.instruction.digest
    kin = [one for one in pairs if one.comparison.instruction.digest == digest]
    strangers = [one for one in pairs if one.comparison.instruction.digest != digest]
    right = labeled(pair)[0]
    wrong = list(dict.fromkeys([labeled(pair)[1], *(labeled(one)[1] for one in kin)]))[: n - 1]
    others = rng.sample(strangers, n - 1 - len(wrong))
    return [right, *wrong, *(labeled(one)[0] for one in others)]


def labeled(pair: LabeledPair) -> tuple[str, str]:
    """The better response, then the worse."""
    both = pair.comparison.response_a, pair.comparison.response_b
    return both if pair.label == "a" else (both[1], both[0])


async def reward(http: httpx.AsyncClient, items: Sequence[Shown]) -> list[float]:
    """One call; every item has to have a reward."""
    body = {"items": [{"messages": instruction.to_json(), "response": text} for instruction, text in items]}
    answer = await http.post("/reward", json=body)
    if answer.status_code != 200:
        raise SystemExit(answer.text[:300])
    return [float(one["reward"]) for one in answer.json()["rewards"]]


async def by_callers(items: Sequence[Shown], ask: Callable[[Shown], Awaitable[None]]) -> None:
    """Each of the callers asks about its next item when it has its answer."""
    waiting = list(items)

    async def caller() -> None:
        while waiting:
            await ask(waiting.pop())

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def responses(file: Path) -> list[Shown]:
    """Every response of a file, none of them twice, in a fixed random order."""
    both = [
        (pair.comparison.instruction, text)
        for pair in sample(file)
        for text in (pair.comparison.response_a, pair.comparison.response_b)
    ]
    found = list(dict.fromkeys(both))
    random.Random(1).shuffle(found)
    return found


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios."""
    return statistics.median(one / two for one, two in zip(some, others, strict=True))


def sample(file: Path) -> list[LabeledPair]:
    """Pairs of a file in a fixed random order."""
    pairs = list(parse_anchors(file.read_text("utf-8").split("\n")))
    random.Random(0).shuffle(pairs)
    return pairs


if __name__ == "__main__":
    main()
