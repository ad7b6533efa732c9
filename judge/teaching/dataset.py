"""An iteration's training examples as a dataset that other trainers read: JSONL in TRL's formats.

`reasoned` is conversational prompt and completion (SFT), `preferences` prompt, chosen and rejected (DPO), and
`pointwise` the pairs themselves, prompt, chosen and rejected (reward modeling). Every row names what it came
from. Prompts are the judge's own, as text: trained here are token ids, which a tokenizer that sees the whole
text may divide differently where two spans meet.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from judge.judging.judge import Judge
from judge.prompts.templates import pairwise_reasoning
from judge.teaching.examples import Example, Examples

Part = Literal["reasoned", "preferences", "pointwise"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class File:
    """One part of a dataset: its rows and the SHA-256 of its JSONL."""

    name: Part
    rows: int
    sha256: str


def lines(judge: Judge, examples: Examples, part: Part) -> Iterator[bytes]:
    """One row after the other, each a line of JSON."""
    for example in getattr(examples, part):
        row = _pair(example) if part == "pointwise" else _judgment(judge, example, part)
        yield json.dumps(row | _lineage(example), ensure_ascii=False).encode() + b"\n"


def describe(judge: Judge, examples: Examples) -> list[File]:
    """The parts that have rows."""
    files = []
    for part in PARTS:
        digest, count = hashlib.sha256(), 0
        for line in lines(judge, examples, part):
            digest.update(line)
            count += 1
        if count:
            files.append(File(part, count, digest.hexdigest()))
    return files


def digest(files: list[File]) -> str:
    """The name of a dataset's content: 16 hex digits over the digests of its parts."""
    parts = [(file.name, file.sha256) for file in files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _judgment(judge: Judge, example: Example, part: Part) -> dict[str, Any]:
    template = pairwise_reasoning()
    comparison = example.pair.comparison("a")
    prompt = judge.comparison_prompt(template, comparison, example.first, judge.reserve())
    messages = judge.assembler.messages(template, prompt)
    if part == "reasoned":
        return {"prompt": messages, "completion": _said(example.judgment)}
    return {"prompt": messages, "chosen": _said(example.judgment), "rejected": _said(example.wrong)}


def _pair(example: Example) -> dict[str, Any]:
    pair = example.pair
    return {
        "prompt": pair.instruction.to_json(),
        "chosen": _said(pair.chosen),
        "rejected": _said(pair.rejected),
    }


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _lineage(example: Example) -> dict[str, Any]:
    return {
        "instruction_id": example.instruction,
        "pair_id": example.pair_id,
        "strategy": example.pair.strategy,
        "chosen_first": example.chosen_first,
    }
