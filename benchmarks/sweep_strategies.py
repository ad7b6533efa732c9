"""What a run of `benchmarks.sweep` learns, and how it is measured: by the pointwise read, by the label of a
comparison, or by written judgments."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep_pool import read
from judge.backend.vllm import Sampling
from judge.comparison import PreferencePair, Side
from judge.evaluation.anchors import LabeledPair
from judge.judging.judge import SIDES, Judge, Options
from judge.pairs.balance import even_places
from judge.prompts.templates import pairwise_direct
from judge.teaching.examples import Example
from workers.batches import in_portions
from workers.tokens import pointwise_row, read_row, reasoned_row

JUDGMENTS = "judgments.jsonl"
_CUT = Options(cut=True)
Datasets = dict[str, list[dict[str, list[int]]]]


def read_lessons(
    judge: Judge, pairs: Sequence[PreferencePair], validation: Sequence[PreferencePair]
) -> Datasets:
    """For the pointwise read."""
    return {
        "pointwise": [pointwise_row(judge, pair) for pair in pairs],
        "reads": [read_row(judge, pair) for pair in validation],
    }


def label_lessons(judge: Judge, pairs: Sequence[PreferencePair]) -> Datasets:
    """For the label of a comparison: each pair in both orders."""
    return {"reasoned": [_label_row(judge, pair, first) for pair in pairs for first in SIDES]}


def _label_row(judge: Judge, pair: PreferencePair, first: Side) -> dict[str, list[int]]:
    prompt = judge.comparison_prompt(pairwise_direct(), pair.comparison("a"), first, 1, _CUT).token_ids
    label = judge.assembler.encoder.label("A" if first == "a" else "B")
    return {"input_ids": [*prompt, label], "completion_mask": [0] * len(prompt) + [1]}


def written_lessons(
    judge: Judge, pairs: Sequence[PreferencePair], judgments: Sequence[dict[str, Any]]
) -> Datasets:
    """For reasoning: a right judgment of each ordered prompt that has one, as many of either place."""
    right: dict[tuple[int, bool], list[str]] = defaultdict(list)
    for row in judgments:
        if row["right"]:
            right[row["pair"], row["chosen_first"]].append(row["text"])
    rng = random.Random("sweep judgments")
    examples = [
        Example(place, place, pairs[place], chosen_first, rng.choice(texts))
        for (place, chosen_first), texts in sorted(right.items())
    ]
    orders = [example.chosen_first for example in examples]
    kept = even_places([example.pair for example in examples], orders, len(examples), rng)
    return {"reasoned": [reasoned_row(judge, examples[index]) for index in kept]}


async def judged(
    work: Path, judge: Judge, pairs: Sequence[PreferencePair], samples: int
) -> list[dict[str, Any]]:
    """Judgments of the pairs in both orders, `samples` of each; those of earlier runs are in WORK."""
    path = work / JUDGMENTS
    known = {(row["pair"], row["chosen_first"], row["sample"]) for row in read(path)}
    tasks = [
        (place, first, sample)
        for place in range(len(pairs))
        for first in SIDES
        for sample in range(samples)
        if (place, first == "a", sample) not in known
    ]

    async def one(task: tuple[int, Side, int]) -> dict[str, Any]:
        place, first, sample = task
        seed = 2 * (place * samples + sample) + (first == "a")
        sampling = Sampling(judge.reasoning_tokens, seed=seed)
        vote, _ = await judge.vote(pairs[place].comparison("a"), first, sampling, _CUT)
        known = {"pair": place, "chosen_first": first == "a", "sample": sample}
        return {**known, "right": vote.verdict == "a", "text": vote.text}

    def store(rows: list[dict[str, Any]]) -> None:
        with path.open("a") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows))

    await in_portions(tasks, one, store, concurrency=64)
    return [row for row in read(path) if row["pair"] < len(pairs) and row["sample"] < samples]


async def right(judge: Judge, strategy: str, pair: LabeledPair) -> bool:
    """Whether the better response wins; by a strategy that depends on the order, in both."""
    if strategy == "reasoning":
        greedy = Sampling(judge.reasoning_tokens, 0.0, 1.0)
        votes = await asyncio.gather(*(judge.vote(pair.comparison, first, greedy, _CUT) for first in SIDES))
        return all(vote.verdict == pair.label for vote, _ in votes)
    direct = await judge.log_odds(
        pair.comparison, "pairwise" if strategy == "pairwise" else "pointwise", _CUT
    )
    return all(one > 0 if pair.label == "a" else one < 0 for one in direct.per_order)
