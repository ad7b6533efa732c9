"""What the runs of `benchmarks.sweep` learn from and are measured on: answered instructions, pairs."""

import json
import random
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from judge.comparison import Instruction
from judge.evaluation.anchors import LabeledPair, parse_anchors
from judge.judging.judge import Judge
from judge.pairs.generator import Champion
from judge.pairs.responses import flaw, near_identical
from judge.pairs.strategies import Answered, construct
from judge.teaching.profiles import OF_LOGS, IterationSettings
from workers.batches import in_portions
from workers.responses import Task, Writer
from workers.turns import Turn, turns

RESPONSES = "responses.jsonl"
HELD_OUT = {
    "neighbor": "held-out neighbor",
    "modified": "held-out modified",
    "requirement": "held-out requirement",
}
LONGEST = 1200
# What else is written for an instruction, in turns.
WORSE: tuple[list[str], ...] = (["modified"], ["hotter"], [], ["modified"], ["hotter"])


async def answer(work: Path, instructions: Sequence[Instruction], judge: Judge, strategies: Set[str]) -> None:
    """Write what is missing: a response to each instruction, and for shares of them a worse one.

    For `hotter` pairs some are sampled so, for `logged` ones each earlier turn of a conversation is answered.
    """
    writer = Writer(Champion(judge), IterationSettings())
    tasks = [
        Task(index, instruction, kind)
        for index, instruction in enumerate(instructions)
        for kind in ("response", *WORSE[index % len(WORSE)])
        if kind != "hotter" or kind in strategies
    ]
    if not strategies.isdisjoint(OF_LOGS):
        tasks += [Task.of(turn) for turn in earlier_turns(instructions)]
    known = {(row["index"], row["kind"]) for row in read(work / RESPONSES)}
    missing = [task for task in tasks if (task.instruction_id, task.kind) not in known]
    done = len(tasks) - len(missing)

    async def one(task: Task) -> dict[str, Any]:
        made = await writer.work(task)
        asked = Instruction.of(made.prompt or "") if task.kind == "modified" else task.instruction
        reason = flaw(asked, made.text, made.finished)
        text = None if reason else made.text.replace("\x00", "")
        return {
            "index": task.instruction_id,
            "kind": task.kind,
            "text": text,
            "flaw": reason,
            "prompt": made.prompt,
        }

    def store(rows: list[dict[str, Any]]) -> None:
        nonlocal done
        done += len(rows)
        with (work / RESPONSES).open("a") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{done} of {len(tasks)} responses", flush=True)

    await in_portions(missing, one, store, concurrency=64)


def answered(
    work: Path, instructions: Sequence[Instruction], strategies: Set[str] = frozenset()
) -> list[Answered]:
    """The instructions with a response that can be used.

    For `logged` pairs a conversation is there by its earlier turns alone, as an iteration trains on it.
    """
    rows = read(work / RESPONSES)
    texts = {(row["index"], row["kind"]): row["text"] for row in rows}
    rewritten = {row["index"]: Instruction.of(row["prompt"]) for row in rows if row["prompt"]}
    earlier = [] if strategies.isdisjoint(OF_LOGS) else earlier_turns(instructions)
    by_turns = {turn.instruction_id for turn in earlier}
    pool = [
        Answered(
            index,
            instruction,
            text,
            texts.get((index, "modified")),
            texts.get((index, "hotter")),
            modified=rewritten.get(index),
        )
        for index, instruction in enumerate(instructions)
        if index not in by_turns and (text := texts.get((index, "response")))
    ]
    return pool + [turn.answered(texts.get((turn.instruction_id, turn.kind))) for turn in earlier]


def earlier_turns(instructions: Sequence[Instruction]) -> list[Turn]:
    """What was answered to the earlier turns of conversations."""
    return turns((index, instruction, None) for index, instruction in enumerate(instructions))


def drawn(data: Path, wanted: int) -> list[Instruction]:
    """Instructions of all files in turn that occur in no labeled pair."""
    rng = random.Random(5)
    files = []
    for path in sorted(data.glob("instructions_*.jsonl")):
        rows = [row for row in read(path) if not row.get("in_dev_pairs") and row["language"] == "en"]
        rng.shuffle(rows)
        files.append([row for row in rows if 8 <= sum(len(m["content"]) for m in row["messages"]) <= LONGEST])
    found: dict[str, Instruction] = {}
    while len(found) < wanted and any(files):
        for rows in files:
            if rows:
                instruction = Instruction.from_json(rows.pop()["messages"])
                found[instruction.digest] = instruction
    return list(found.values())[:wanted]


def split(pool: Sequence[Answered]) -> tuple[list[Answered], list[Answered]]:
    """Four fifths to train on, one fifth to measure on."""
    return [item for item in pool if item.key % 5], [item for item in pool if item.key % 5 == 0]


def constructed(pool: Sequence[Answered], limit: int) -> dict[str, list[LabeledPair]]:
    """Held-out pairs, up to `limit` of each of the strategies that the target names, the same each time."""
    sets = {}
    for strategy, name in HELD_OUT.items():
        made = construct(pool, {strategy: 1.0}, 1, random.Random(f"held out {strategy}"))
        pairs = [
            LabeledPair(str(key), pair.comparison("a"), "a") for key, pair in made if not near_identical(pair)
        ]
        random.Random(3).shuffle(pairs)
        sets[name] = pairs[:limit]
    return sets


def labeled(data: Path, limit: int, names: Sequence[str] | None) -> dict[str, list[LabeledPair]]:
    """Up to `limit` pairs with a winner of every set, the same ones each time."""
    sets = {}
    for path in sorted(data.glob("pairs_*.jsonl")):
        if names is not None and path.stem.removeprefix("pairs_") not in names:
            continue
        pairs = [pair for pair in parse_anchors(path.read_text("utf-8").split("\n")) if pair.label != "tie"]
        random.Random(3).shuffle(pairs)
        sets[path.stem.removeprefix("pairs_")] = pairs[:limit]
    return sets


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; none where it is missing."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
