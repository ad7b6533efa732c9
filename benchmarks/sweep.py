"""What a small judge learns from which pairs: one row a run, all runs kept.

    python -m benchmarks.sweep --model SEED_FOLDER --data FOLDER --work FOLDER [--runs NAME ...]
    python -m benchmarks.sweep --model SEED_FOLDER --data FOLDER --work FOLDER --describe
    python -m benchmarks.sweep --work FOLDER --table

DATA holds `instructions_*.jsonl` (`messages`, `in_dev_pairs`) and `pairs_*.jsonl` (labeled pairs). The
instructions are answered once by the seed model and kept in WORK. Each run of `sweep_runs.RUNS` then
constructs its pairs, trains by `workers.train` as an iteration does, and is measured on held-out constructed
pairs and on the sets of labeled pairs, by the pointwise read where it does not name another strategy; so is
each model of `--measure`. A run that is in WORK/results.jsonl already is not repeated.

Two flags start no engine. `--table` prints the results as Markdown. `--describe` prints what was wrong with
the responses of the pool, by kind, and of each run in WORK the strategies of its training pairs, in how many
of each the longer response is chosen, and their tokens. It finds the strategy of a row by making the rows
once more, so it needs the same data and the same number of instructions.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import sft
from benchmarks import sweep_tables as tables
from benchmarks.sweep_pool import RESPONSES, answer, answered, constructed, drawn, labeled, read, split
from benchmarks.sweep_runs import DEFAULTS, MIXES, RUNS
from benchmarks.sweep_strategies import (
    JUDGMENTS,
    Datasets,
    judged,
    label_lessons,
    read_lessons,
    right,
    written_lessons,
)
from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM, Backends
from judge.comparison import Instruction, PreferencePair, Side, other
from judge.evaluation.anchors import LabeledPair
from judge.judging.judge import Judge
from judge.pairs.balance import even_lengths
from judge.pairs.responses import near_identical
from judge.pairs.strategies import Answered, construct
from judge.teaching.profiles import IterationSettings, PairMix
from workers.batches import in_portions
from workers.engine import take_weights

MAX_MODEL_LEN = 4096
RESULTS = "results.jsonl"


def main() -> None:
    """Read the arguments, prepare, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the seed model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    parser.add_argument("--instructions", type=int, default=900)
    parser.add_argument("--limit", type=int, default=100, help="pairs of each set")
    parser.add_argument("--sets", nargs="*", help="names of labeled sets; default: all")
    parser.add_argument("--measure", nargs="*", default=[], metavar="NAME=FOLDER", help="models as they are")
    parser.add_argument("--describe", action="store_true", help="print what was trained on, and stop")
    parser.add_argument("--table", action="store_true", help="print the results, and stop")
    options = parser.parse_args()
    if options.table:
        print(printed(options.work))
        return
    if options.model is None or options.data is None:
        parser.error("--model and --data are needed for all but --table")
    if options.describe:
        describe(options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    engine = Engine.start(
        options.model, options.work / "vllm.log", port=free_port(), max_model_len=MAX_MODEL_LEN
    )
    try:
        for _ in engine.wait_ready():
            pass
        asyncio.run(sweep(options, engine.url))
    finally:
        engine.stop()
    print(printed(options.work))


def printed(work: Path) -> str:
    """The results, and what rejection sampling left of the judgments."""
    return f"{tables.results(read(work / RESULTS))}\n\n{tables.yields(read(work / JUDGMENTS))}"


def describe(options: argparse.Namespace) -> None:
    """Print the pool, and what each run in WORK was trained on."""
    print(tables.pool(read(options.work / RESPONSES)))
    instructions = drawn(options.data, options.instructions)
    for name, settings in ((name, DEFAULTS | RUNS[name]) for name in options.runs):
        rows = read(options.work / name / "pointwise.jsonl")
        if rows:
            lessons, _ = apart(settings, training_pool(options, name, instructions))
            judge = seed_judge(options.model, settings["field_tokens"])
            datasets = read_lessons(judge, lessons, [])
            print(f"\n{described(name, rows, datasets, lessons)}", flush=True)


def described(
    name: str, rows: Sequence[tables.Row], datasets: Datasets, lessons: Sequence[PreferencePair]
) -> str:
    """The strategies and lengths of a run's rows, found in the pairs that they are made from."""
    known = {tables.key(row): pair for row, pair in zip(datasets["pointwise"], lessons, strict=True)}
    return tables.lessons(name, rows, known)


async def sweep(options: argparse.Namespace, url: str) -> None:
    """Everything that needs the engine."""
    server = VLLM(url, timeout_s=600)
    instructions = drawn(options.data, options.instructions)
    try:
        await server.label_weights("seed")
        writer = seed_judge(options.model, None, server)
        await answer(options.work, instructions, writer, set().union(*map(strategies, options.runs)))
        _, held_out = split(answered(options.work, instructions))
        sets = labeled(options.data, options.limit, options.sets) | constructed(held_out, options.limit)
        folders = {"seed": options.model} | dict(one.split("=", 1) for one in options.measure)
        runs = dict.fromkeys(folders) | {name: DEFAULTS | RUNS[name] for name in options.runs}
        for name, settings in runs.items():
            done = {row["run"] for row in read(options.work / RESULTS)}
            if name in done:
                continue
            began = time.monotonic()
            folder = (
                Path(folders[name])
                if name in folders
                else await taught(options, name, settings, training_pool(options, name, instructions), server)
            )
            trained = time.monotonic() - began
            outcomes = await measure(server, folder, sets, settings or DEFAULTS)
            row = {"run": name, "settings": settings, "minutes": round(trained / 60, 1), "outcomes": outcomes}
            with (options.work / RESULTS).open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(tables.results(read(options.work / RESULTS)), flush=True)
    finally:
        await server.aclose()


def strategies(run: str) -> set[str]:
    """Those by which a run's pairs are made."""
    return {name for name, share in MIXES[(DEFAULTS | RUNS[run])["mix"]].items() if share}


def training_pool(
    options: argparse.Namespace, run: str, instructions: Sequence[Instruction]
) -> list[Answered]:
    """What a run constructs its pairs from."""
    return split(answered(options.work, instructions, strategies(run)))[0]


async def taught(
    options: argparse.Namespace, name: str, settings: dict[str, Any], pool: list[Answered], server: VLLM
) -> Path:
    """The folder of the model that the run has trained; the seed's if it trains none."""
    if not settings["pairs"]:
        return Path(options.model)
    lessons, validation = apart(settings, pool)
    judge = seed_judge(options.model, settings["field_tokens"], server)
    if settings["strategy"] == "pointwise":
        datasets = read_lessons(judge, lessons, validation)
        print(described(name, datasets["pointwise"], datasets, lessons), flush=True)
    elif settings["strategy"] == "pairwise":
        datasets = label_lessons(judge, lessons)
    else:
        await take_weights(server, options.model, "seed")
        judgments = await judged(options.work, judge, lessons, settings["samples"])
        datasets = written_lessons(judge, lessons, judgments)
    return train(options, name, settings, datasets)


def train(options: argparse.Namespace, name: str, settings: dict[str, Any], datasets: Datasets) -> Path:
    """Train in a process of its own; the folder of the model."""
    folder = Path(options.work) / name
    folder.mkdir(exist_ok=True)
    fields = {"sft_epochs": 0} | {
        field: settings[field]
        for field in IterationSettings.model_fields
        if field in settings and field != "mix"
    }
    iteration = IterationSettings.model_validate(fields)
    judge = seed_judge(options.model, settings["field_tokens"])
    config = sft.write(judge, options.model, datasets, iteration, folder, name)
    command = [sys.executable, "-m", "workers.train", str(config)]
    with (folder / "train.log").open("wb") as log:
        # A training ends with who started it: when its input is closed.
        training = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        if training.wait():
            raise SystemExit(f"the training failed: see {folder / 'train.log'}")
    return folder / "candidate"


def apart(
    settings: dict[str, Any], pool: Sequence[Answered]
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The pairs to learn from, and those that choose the checkpoint, as in an iteration."""
    pairs = training_pairs(settings, pool)
    validation = int(len(pairs) * settings["validation"])
    return pairs[validation:], pairs[:validation]


def training_pairs(settings: dict[str, Any], pool: Sequence[Answered]) -> list[PreferencePair]:
    """As the pair and filter stages make them: by shares, balanced by length, so many at most."""
    rng = random.Random(f"sweep {settings['mix']}")
    mix = PairMix.model_validate(MIXES[settings["mix"]]).model_dump()
    made = construct(pool, mix, settings["per_instruction"], rng, both_ways=settings["both_ways"])
    pairs = [pair for _, pair in made if not near_identical(pair)]
    kept = [pairs[index] for index in even_lengths(pairs, settings["pairs"], rng)]
    rng.shuffle(kept)
    return kept


async def measure(
    server: VLLM, folder: Path, sets: dict[str, list[LabeledPair]], settings: dict[str, Any]
) -> dict[str, list[list[Any]]]:
    """For each set, of each pair: its id, whether it is right, whether the shorter one is the better."""
    await take_weights(server, folder, "measured")
    judge = judge_in(folder, "measured", settings["read_tokens"], server)
    outcomes: dict[str, list[list[Any]]] = defaultdict(list)

    async def one(task: tuple[str, LabeledPair]) -> tuple[str, list[Any]]:
        name, pair = task
        better: Side = "a" if pair.label == "a" else "b"
        lengths = [len(pair.comparison.response(side)) for side in (better, other(better))]
        return name, [pair.item, await right(judge, settings["strategy"], pair), lengths[0] < lengths[1]]

    def store(found: list[tuple[str, list[Any]]]) -> None:
        for name, outcome in found:
            outcomes[name].append(outcome)

    tasks = [(name, pair) for name, pairs in sets.items() for pair in pairs]
    await in_portions(tasks, one, store, concurrency=32)
    return {name: sorted(rows) for name, rows in sorted(outcomes.items())}


def seed_judge(folder: Path, field_tokens: int | None, *servers: VLLM) -> Judge:
    """The seed model; without a server it makes prompts only."""
    return judge_in(folder, "seed", field_tokens, *servers)


def judge_in(folder: Path, version: str, field_tokens: int | None, *servers: VLLM) -> Judge:
    """The model in a folder, under the name that the engine knows its weights by."""
    return Judge.of_folder(
        folder,
        version,
        Backends(list(servers)),
        MAX_MODEL_LEN,
        field_tokens=field_tokens,
        reasoning_tokens=IterationSettings().reasoning_tokens,
    )


if __name__ == "__main__":
    main()
