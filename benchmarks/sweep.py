"""What a small judge learns from which pairs: one row a run, all runs kept.

    python benchmarks/sweep.py --model SEED_FOLDER --data FOLDER --work FOLDER [--runs NAME ...]

DATA holds `instructions_*.jsonl` (`messages`, `in_dev_pairs`) and `pairs_*.jsonl` (labeled pairs). The
instructions are answered once by the seed model and kept in WORK. Each run of `RUNS` then constructs its
pairs, trains by `workers.train` as an iteration does, and is measured as the pointwise difference on
held-out constructed pairs and on every set of labeled pairs; so is each model of `--measure`. A run that is
in WORK/results.jsonl already is not repeated; `--table` prints the results as Markdown and does nothing else.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from judge.anchors import LabeledPair, parse_anchors
from judge.balance import even_lengths
from judge.comparison import Instruction, PreferencePair, Side, other
from judge.engine import Engine, free_port
from judge.generator import Champion
from judge.judging import Judge, Options
from judge.llm import VLLM, Backends
from judge.pairs import Answered, construct
from judge.profiles import IterationSettings, PairMix
from judge.prompts import Assembler, load_encoder
from judge.responses import flaw
from judge.templates import pairwise_reasoning, pointwise
from judge.versions import Manifest
from workers.responses import Task, Writer
from workers.tokens import pointwise_row, read_row

MIXES: dict[str, dict[str, float]] = {
    "topic": {"neighbor": 0.7, "random": 0.3},
    "first": {
        "neighbor": 0.40, "modified": 0.10, "random": 0.15, "requirement": 0.10, "corrupted": 0.15,
        "shortened": 0.10,
    },
    "varied": {
        "neighbor": 0.20, "modified": 0.10, "random": 0.05, "hotter": 0.10, "requirement": 0.25,
        "shortened": 0.05, "corrupted": 0.05, "substituted": 0.05, "spliced": 0.05, "renumbered": 0.05,
        "repeating": 0.03, "broken_off": 0.02,
    },
    "damage": {
        "hotter": 0.15, "corrupted": 0.2, "substituted": 0.2, "spliced": 0.15, "renumbered": 0.2,
        "broken_off": 0.1,
    },
    "demands": {"requirement": 0.7, "neighbor": 0.3},
    "asked": {
        "requirement": 0.40, "neighbor": 0.20, "modified": 0.15, "random": 0.07, "incomplete": 0.09,
        "shortened": 0.09,
    },
}  # fmt: skip
DEFAULTS: dict[str, Any] = {"mix": "varied", "pairs": 480, "per_instruction": 3, "field_tokens": 96}
RUNS: dict[str, dict[str, Any]] = {
    "varied": {},
    "topic": {"mix": "topic"},
    "first": {"mix": "first"},
    "damage": {"mix": "damage"},
    "demands": {"mix": "demands"},
    "asked": {
        "mix": "asked",
        "pairs": 800,
        "per_instruction": 4,
        "method": "full",
        "pointwise_learning_rate": 1e-4,
    },
}
HELD_OUT = {
    "neighbor": "held-out neighbor",
    "modified": "held-out modified",
    "requirement": "held-out requirement",
}
LONGEST = 1200
# What else is written for an instruction, in turns.
WORSE = (["modified"], ["hotter"], [], ["modified"], ["hotter"])


def main() -> None:
    """Read the arguments, prepare, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the seed model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    parser.add_argument("--instructions", type=int, default=900)
    parser.add_argument("--limit", type=int, default=100, help="labeled pairs of each set")
    parser.add_argument("--sets", nargs="*", help="names of the sets of labeled pairs, all by default")
    parser.add_argument("--measure", nargs="*", default=[], metavar="NAME=FOLDER", help="models as they are")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(read(options.work / "results.jsonl")))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    engine = Engine.start(options.model, options.work / "vllm.log", port=free_port(), max_model_len=4096)
    try:
        for _ in engine.wait_ready():
            pass
        asyncio.run(sweep(options, engine.url))
    finally:
        engine.stop()
    print(table(read(options.work / "results.jsonl")))


async def sweep(options: argparse.Namespace, url: str) -> None:
    """Everything that needs the engine."""
    server = VLLM(url, timeout_s=600)
    try:
        pool = await answered(options, server)
        training, held_out = split(pool)
        sets = labeled(options.data, options.limit, options.sets) | constructed(held_out)
        folders = {"seed": options.model} | dict(one.split("=", 1) for one in options.measure)
        runs = dict.fromkeys(folders) | {name: DEFAULTS | RUNS[name] for name in options.runs}
        for name, settings in runs.items():
            done = {row["run"] for row in read(options.work / "results.jsonl")}
            if name in done:
                continue
            began = time.monotonic()
            folder = train(options, name, settings, training) if settings else Path(folders[name])
            trained = time.monotonic() - began
            outcomes = await measure(server, folder, sets, (settings or DEFAULTS)["field_tokens"])
            row = {"run": name, "settings": settings, "minutes": round(trained / 60, 1), "outcomes": outcomes}
            with (options.work / "results.jsonl").open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(table(read(options.work / "results.jsonl")), flush=True)
    finally:
        await server.aclose()


async def answered(options: argparse.Namespace, server: VLLM) -> list[Answered]:
    """The pool, generated once: a response to each instruction, and for shares of them a worse one."""
    path = options.work / "responses.jsonl"
    writer = Writer(Champion(judge_of(options.model, "seed", server, None)), IterationSettings())
    await server.label_weights("seed")
    instructions = drawn(options.data, options.instructions)
    tasks = [
        Task(index, instruction, kind)
        for index, instruction in enumerate(instructions)
        for kind in ("response", *WORSE[index % len(WORSE)])
    ]
    known = {(row["index"], row["kind"]) for row in read(path)}
    missing = [task for task in tasks if (task.instruction_id, task.kind) not in known]
    done = len(tasks) - len(missing)

    with path.open("a") as stream:

        async def one(task: Task) -> None:
            nonlocal done
            made = await writer.work(task)
            asked = Instruction.of(made.prompt or "") if task.kind == "modified" else task.instruction
            reason = flaw(asked, made.text, made.finished)
            text = None if reason else made.text.replace("\x00", "")
            row = {"index": task.instruction_id, "kind": task.kind, "text": text, "flaw": reason}
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            done += 1
            if done % 50 == 0:
                print(f"{done} of {len(tasks)} responses", flush=True)

        await together(missing, one, 64)
    texts = {(row["index"], row["kind"]): row["text"] for row in read(path)}
    return [
        Answered(index, instruction, text, texts.get((index, "modified")), texts.get((index, "hotter")))
        for index, instruction in enumerate(instructions)
        if (text := texts.get((index, "response")))
    ]


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


def constructed(pool: Sequence[Answered]) -> dict[str, list[LabeledPair]]:
    """Held-out pairs of the strategies that the target names."""
    sets = {}
    for strategy, name in HELD_OUT.items():
        made = construct(pool, {strategy: 1.0}, 1, random.Random(f"held out {strategy}"))
        sets[name] = [LabeledPair(str(key), pair.comparison("a"), "a") for key, pair in made]
    return sets


def labeled(data: Path, limit: int, names: Sequence[str] | None) -> dict[str, list[LabeledPair]]:
    """Up to `limit` pairs with a winner of every set, the same ones each time."""
    sets = {}
    for path in sorted(data.glob("pairs_*.jsonl")):
        if names and path.stem.removeprefix("pairs_") not in names:
            continue
        pairs = [pair for pair in parse_anchors(path.read_text("utf-8").split("\n")) if pair.label != "tie"]
        random.Random(3).shuffle(pairs)
        sets[path.stem.removeprefix("pairs_")] = pairs[:limit]
    return sets


def train(options: argparse.Namespace, name: str, settings: dict[str, Any], pool: list[Answered]) -> Path:
    """The folder of the trained model."""
    folder = Path(options.work) / name
    folder.mkdir(exist_ok=True)
    fields = {field: settings[field] for field in IterationSettings.model_fields if field in settings}
    iteration = IterationSettings.model_validate(fields | {"mix": MIXES[settings["mix"]], "sft_epochs": 0})
    pairs = training_pairs(settings, pool)
    # As in an iteration, a share of the training pairs chooses the checkpoint.
    validation, lessons = pairs[: len(pairs) // 10], pairs[len(pairs) // 10 :]
    judge = judge_of(options.model, "seed", None, settings["field_tokens"])
    rows = {
        "reasoned": [],
        "preferences": [],
        "pointwise": [pointwise_row(judge, pair) for pair in lessons],
        "verdicts": [],
        "reads": [read_row(judge, pair) for pair in validation],
    }
    for file, lines in rows.items():
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    labels = {
        f"label_{text.lower()}": judge.assembler.encoder.label(text)
        for template in (pairwise_reasoning(), pointwise())
        for text in template.labels
    }
    config = {
        "seed_model": str(options.model),
        "folder": str(folder),
        **labels,
        "settings": iteration.model_dump(),
        "tracker": "none",
        "run": name,
    }
    (folder / "train.json").write_text(json.dumps(config))
    print(f"{name}: training on {len(lessons)} pairs", flush=True)
    command = [sys.executable, "-m", "workers.train", str(folder / "train.json")]
    with (folder / "train.log").open("wb") as log:
        # A training ends with who started it: when its input is closed.
        training = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        if training.wait():
            raise SystemExit(f"the training failed: see {folder / 'train.log'}")
    return folder / "candidate"


def training_pairs(settings: dict[str, Any], pool: list[Answered]) -> list[PreferencePair]:
    """As the pair and filter stages make them: by shares, balanced by length, so many at most."""
    mix = PairMix.model_validate(MIXES[settings["mix"]]).model_dump()
    rng = random.Random(f"sweep {settings['mix']}")
    made = [pair for _, pair in construct(pool, mix, settings["per_instruction"], rng)]
    kept = [made[index] for index in even_lengths(made, settings["pairs"], rng)]
    rng.shuffle(kept)
    return kept


async def measure(
    server: VLLM, folder: Path, sets: dict[str, list[LabeledPair]], field_tokens: int
) -> dict[str, list[list[Any]]]:
    """For each set, of each pair: its id, whether it is right, whether the shorter one is the better."""
    await server.pause()
    await server.reload(folder)
    await server.label_weights("measured")
    await server.resume()
    judge = judge_of(folder, "measured", server, field_tokens)
    outcomes: dict[str, list[list[Any]]] = defaultdict(list)

    async def one(task: tuple[str, LabeledPair]) -> None:
        name, pair = task
        odds = (await judge.log_odds(pair.comparison, "pointwise", Options(cut=True))).overall
        better: Side = "a" if pair.label == "a" else "b"
        lengths = [len(pair.comparison.response(side)) for side in (better, other(better))]
        right = odds > 0 if pair.label == "a" else odds < 0
        outcomes[name].append([pair.item, right, lengths[0] < lengths[1]])

    await together([(name, pair) for name, pairs in sets.items() for pair in pairs], one, 32)
    return {name: sorted(rows) for name, rows in sorted(outcomes.items())}


def judge_of(folder: Path, label: str, server: VLLM | None, field_tokens: int | None) -> Judge:
    """A judge on a model folder."""
    manifest = Manifest(origin=label, files={}, tensors="")
    backends = Backends([server] if server else [])
    return Judge(label, manifest, Assembler(load_encoder(folder), 4096), backends, field_tokens=field_tokens)


async def together(items: Sequence[Any], task: Callable[[Any], Awaitable[None]], at_once: int) -> None:
    """Run a task for each item, so many at once."""
    waiting = list(reversed(items))

    async def work() -> None:
        while waiting:
            await task(waiting.pop())

    await asyncio.gather(*(work() for _ in range(at_once)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Accuracy of each run on each set; in brackets where both lengths count alike; * is p < 0.05."""
    if not rows:
        return "no results"
    seed = rows[0]["outcomes"]
    lines = ["| set | n | " + " | ".join(row["run"] for row in rows) + " |", "|---" * (len(rows) + 2) + "|"]
    for name, base in seed.items():
        cells = [cell(row["outcomes"].get(name, []), base) for row in rows]
        lines.append(f"| {name} | {len(base)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(outcomes: list[list[Any]], seed: list[list[Any]]) -> str:
    """One figure of the table; the test is McNemar's exact one against the seed, one-sided."""
    if not outcomes:
        return ""
    before = {item: right for item, right, _ in seed}
    gained = sum(right and not before.get(item, right) for item, right, _ in outcomes)
    lost = sum(not right and before.get(item, right) for item, right, _ in outcomes)
    p = stats.binomtest(gained, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    halves = [[right for _, right, shorter in outcomes if shorter is kind] for kind in (True, False)]
    balanced = [sum(half) / len(half) for half in halves if half]
    accuracy = sum(right for _, right, _ in outcomes) / len(outcomes)
    return f"{accuracy:.3f} ({sum(balanced) / len(balanced):.3f}){'*' if p < 0.05 else ''}"


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; none where it is missing."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
