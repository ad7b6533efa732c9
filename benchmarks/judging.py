"""Judging by a running service: speed beside vLLM driven directly, and what cascade and early stops save.

    python -m benchmarks.judging speed   --home HOME PAIRS.jsonl [--mode direct|reasoning]
    python -m benchmarks.judging cascade --home HOME PAIRS.jsonl [PAIRS.jsonl ...] [--limit 40] [--tokens 512]

HOME is the home of a running `judgesmith up`, which names its gateway and its backend. Pair files have the
lines `{"id", "instruction" | "messages", "response_a", "response_b", "label": "a" | "b" | "tie"}`.

`speed` sends the same token ids for the same pairs to vLLM itself and through the gateway, in turn, each
round with other pairs, so that neither finds the other's prompts in the prefix cache.
`cascade` judges each pair by 16 fixed votes in each order, by the cascade, and directly, and replays the
fixed votes under the stopping rules.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.running import Served, served
from judge.comparison import Side
from judge.evaluation.anchors import LabeledPair, parse_anchors
from judge.evaluation.statistics import wilson
from judge.judging.judge import SIDES, Judge, Options
from judge.judging.voting import Stopping, Vote, majority, stopped
from judge.prompts.templates import pairwise_direct, pairwise_reasoning

CONCURRENCY = 16
VOTES = 16
# Pairs at a time where each takes many votes: both orders of two fill the batch.
AT_ONCE = 2
Task = Callable[[LabeledPair], Awaitable[Any]]


def main() -> None:
    """Read the arguments, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["speed", "cascade"])
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mode", choices=["direct", "reasoning"], default="direct")
    parser.add_argument("--limit", type=int, default=40, help="pairs a file (cascade) or a round (speed)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512, help="longest rationale")
    options = parser.parse_args()
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    """One of the two measurements."""
    async with served(options.home, 2 * CONCURRENCY) as running:
        if options.what == "speed":
            await speed(options, running)
        else:
            for file in options.pairs:
                await cascade(file, options.limit, options.tokens, running.judge, running.gateway)


async def speed(options: argparse.Namespace, running: Served) -> None:
    """Pairs per second of both, round by round, and the median ratio."""
    pairs = sample(options.pairs[0], options.limit * options.rounds * 2)
    body = {"mode": options.mode, "cache": False} | (
        {"strategy": "pairwise"} if options.mode == "direct" else {}
    )

    async def through_gateway(pair: LabeledPair) -> None:
        await ask(running.gateway, pair, body)

    async def by_hand(pair: LabeledPair) -> None:
        await asyncio.gather(*(direct_call(running, pair, first, options.mode) for first in SIDES))

    ratios = []
    for number in range(options.rounds):
        rates = {}
        arms: list[tuple[str, Task]] = [("gateway", through_gateway), ("vLLM", by_hand)]
        for place, (name, task) in enumerate(arms if number % 2 else arms[::-1]):
            start = (2 * number + place) * options.limit
            own = pairs[start : start + options.limit]
            rates[name] = len(own) / (await timed(own, task))
        ratios.append(rates["gateway"] / rates["vLLM"])
        print(
            f"{options.mode}: vLLM {rates['vLLM']:.2f} pairs/s, gateway {rates['gateway']:.2f}, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"{options.mode}: median ratio {statistics.median(ratios):.3f}")


async def direct_call(running: Served, pair: LabeledPair, first: Side, mode: str) -> None:
    """What a user of vLLM alone would send: the same token ids, the label ids or the sampling."""
    judge, encoder = running.judge, running.judge.assembler.encoder
    if mode == "direct":
        template = pairwise_direct()
        prompt = judge.comparison_prompt(template, pair.comparison, first, 1, CUT)
        await running.hand.read(prompt.token_ids, [encoder.label(label) for label in template.labels])
        return
    template = pairwise_reasoning()
    prompt = judge.comparison_prompt(template, pair.comparison, first, judge.reserve(CUT), CUT)
    text = (
        await running.hand.write(prompt.token_ids, max_tokens=judge.longest(CUT), temperature=0.0)
    ).strip()
    if "[[" not in text:
        # A text that stops without a verdict takes a second request for it: that is part of a judgment.
        ids = prompt.token_ids + encoder.untrusted(text) + encoder.trusted(template.ending)
        choice = {"choice": list(template.labels)}
        await running.hand.write(ids, max_tokens=8, temperature=0.0, structured_outputs=choice)


CUT = Options(cut=True)


async def cascade(file: Path, limit: int, tokens: int, judge: Judge, http: httpx.AsyncClient) -> None:
    """Accuracy on pairs with a winner, decisions per second, and what the stopping rules save."""
    pairs = [pair for pair in sample(file, 10**9) if pair.label != "tie"][:limit]
    arms: dict[str, dict[str, Any]] = {
        "direct": {"mode": "direct"},
        "cascade": {"mode": "cascade", "votes": VOTES},
    }
    print(f"\n{file.name}: {len(pairs)} pairs; cascade threshold {judge.threshold(Options())}")
    print(f"| {'mode':16} | right | 95% | decisions/s | by reasoning |\n|---|---|---|---|---|")
    fixed: dict[str, list[Vote]] = {}

    async def sixteen(pair: LabeledPair) -> str:
        options = Options(votes=VOTES, cut=True, rationale_tokens=tokens)
        jobs = [
            judge.vote(pair.comparison, first, judge.sampling(options, index), options)
            for index in range(VOTES)
            for first in ("a", "b")
        ]
        fixed[pair.item] = [vote for vote, _ in await asyncio.gather(*jobs)]
        return majority(fixed[pair.item], allow_tie=False)[0]

    found: dict[str, str] = {}

    async def vote(pair: LabeledPair) -> None:
        found[pair.item] = await sixteen(pair)

    took = await timed(pairs, vote, AT_ONCE)
    show(f"{VOTES} fixed votes", [(pair, found[pair.item]) for pair in pairs], took, len(pairs))
    for name, fields in arms.items():
        answers: dict[str, Any] = {}

        async def one(
            pair: LabeledPair, fields: dict[str, Any] = fields, answers: dict[str, Any] = answers
        ) -> None:
            asked: dict[str, Any] = {"cache": False, "allow_tie": False, "rationale_tokens": tokens}
            answers[pair.item] = await ask(http, pair, fields | asked)

        took = await timed(pairs, one, AT_ONCE)
        verdicts = [(pair, answers[pair.item]["verdict"]) for pair in pairs]
        show(name, verdicts, took, sum(answer["path"] == "reasoning" for answer in answers.values()))
    replay(list(fixed.values()))


def replay(every: Sequence[Sequence[Vote]]) -> None:
    """What each rule would have saved of the fixed votes, and what it would have said otherwise."""
    print("\n| rule | votes saved | same verdict | a tie instead | a side instead | the other side |")
    print("|---|---|---|---|---|---|", flush=True)
    rules: tuple[Stopping, ...] = ("curtailed", "confident")
    for rule in rules:
        cast = [stopped(votes, rule) for votes in every]
        kept, total = sum(map(len, cast)), sum(map(len, every))
        changes = Counter(
            change(majority(votes, allow_tie=True)[0], majority(few, allow_tie=True)[0])
            for few, votes in zip(cast, every, strict=True)
        )
        cells = " | ".join(str(changes[name]) for name in ("same", "tie", "side", "turned"))
        print(f"| {rule} | {1 - kept / total:.0%} | {cells} |", flush=True)
    leads = Counter(abs(sum(SIGN[vote.verdict] for vote in votes)) for votes in every)
    print(
        "lead of all votes: " + ", ".join(f"{lead} in {count}" for lead, count in sorted(leads.items())),
        flush=True,
    )


SIGN = {"a": 1, "b": -1, "tie": 0, "invalid": 0}


def change(whole: str, early: str) -> str:
    """How the verdict of the votes that were cast differs from that of all votes."""
    if whole == early:
        return "same"
    if early == "tie":
        return "tie"
    return "side" if whole == "tie" else "turned"


def show(name: str, verdicts: Sequence[tuple[LabeledPair, str]], took: float, reasoned: int) -> None:
    """One line of the table."""
    right = sum(pair.label == verdict for pair, verdict in verdicts)
    low, high = wilson(right, len(verdicts))
    print(
        f"| {name:16} | {right / len(verdicts):.3f} | {low:.3f} to {high:.3f} "
        f"| {len(verdicts) / took:.2f} | {reasoned} |",
        flush=True,
    )


async def ask(http: httpx.AsyncClient, pair: LabeledPair, fields: dict[str, Any]) -> dict[str, Any]:
    """One decision of the service."""
    comparison = pair.comparison
    texts = {"response_a": comparison.response_a, "response_b": comparison.response_b}
    answer = await http.post(
        "/judge/pairwise", json={"messages": comparison.instruction.to_json()} | texts | fields
    )
    if answer.status_code != 200:
        raise SystemExit(f"{pair.item}: {answer.text[:300]}")
    return dict(answer.json())


async def timed(pairs: Sequence[LabeledPair], task: Task, concurrency: int = CONCURRENCY) -> float:
    """Seconds that all pairs take, so many at once."""
    waiting = list(reversed(pairs))

    async def work() -> None:
        while waiting:
            await task(waiting.pop())

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return time.perf_counter() - began


def sample(file: Path, limit: int) -> list[LabeledPair]:
    """Pairs of a file in a fixed random order."""
    pairs = list(parse_anchors(file.read_text("utf-8").split("\n")))
    random.Random(0).shuffle(pairs)
    return pairs[:limit]


if __name__ == "__main__":
    main()
