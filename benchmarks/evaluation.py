"""Model versions over many sets of pairs, in direct and in reasoning mode: one table, one report.

    python -m benchmarks.evaluation FOLDER --home HOME --versions SEED TAUGHT [--out evaluation.html]

FOLDER holds sets of labeled pairs, `pairs_*.jsonl`, and HOME/models the versions: `judgesmith status` names
them. A vLLM of its own is started, or give one that serves nobody with --engine. Every answer is kept beside
the report (`evaluation.answers.jsonl`), so the same command goes on where it was stopped, and prints the same
table when all is there. --limit and --limit-reasoning draw so many items of each set, always the same ones.
"""

import argparse
import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM, Backends
from judge.errors import InvalidInput
from judge.evaluation.benchmarks.catalog import benchmark, load_items
from judge.evaluation.benchmarks.items import Answered, Item, Judged, to_lines
from judge.evaluation.evaluating import How, answer
from judge.evaluation.report import Run, build, page, table
from judge.evaluation.runs import EvaluationSettings, sampled
from judge.judging.judge import Judge
from judge.versions.version import VersionStore
from workers.batches import in_portions
from workers.engine import take_weights

MODES = ("direct", "reasoning")


@dataclass(frozen=True)
class Task:
    """One set of items, and how it is asked."""

    name: str
    items: list[Item]
    settings: EvaluationSettings

    @property
    def how(self) -> How:
        """As a judge takes it."""
        return self.settings.how(allow_tie=benchmark("pairs").allows_tie(self.items))


class Answers:
    """What was answered so far, in a file that is only ever appended to.

    A line has the digest of its item, so that an item that was changed under its id is asked about anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, str], Judged] = {}
        text = path.read_text("utf-8") if path.exists() else ""
        # Cut off by a kill: the next line must not be written behind what is left of this one.
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.split("\n"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            self._known[row["key"], row["digest"]] = Judged.from_json(row["judged"])

    def of(self, key: str, item: Item) -> Judged | None:
        """The answer, if there is one."""
        return self._known.get((key, digest_of(item)))

    def add(self, key: str, answered: Sequence[Answered]) -> None:
        """Keep answers."""
        with self._path.open("a", encoding="utf-8") as file:
            if self._torn:
                file.write("\n")
                self._torn = False
            for one in answered:
                digest, judged = digest_of(one.item), one.judged
                self._known[key, digest] = judged
                row = {"key": key, "digest": digest, "judged": judged.to_json()}
                file.write(json.dumps(row) + "\n")


def digest_of(*items: Item) -> str:
    """A name for the contents of items."""
    return hashlib.sha256(to_lines(items)).hexdigest()[:16]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--versions", nargs="+", required=True, help="ids, the one to compare with first")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--strategy", choices=["pairwise", "pointwise"], help="default: the version's own")
    parser.add_argument("--limit", type=int, help="items of each set in direct mode")
    parser.add_argument("--limit-reasoning", type=int, help="items of each set in reasoning mode")
    parser.add_argument("--tokens", type=int, default=256, help="longest rationale")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", help="URL of a vLLM that serves nobody")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--out", type=Path, default=Path("evaluation.html"))
    options = parser.parse_args()
    try:
        report = measure(options)
    except InvalidInput as error:
        raise SystemExit("\n".join(f"{fault.field}: {fault.reason}" for fault in error.faults)) from error
    options.out.write_text(page(report), "utf-8")
    options.out.with_suffix(".json").write_text(json.dumps(report, ensure_ascii=False, indent=1), "utf-8")
    print(table(report))
    print(f"\n{options.out}, {options.out.with_suffix('.json')}: figures {report['digest']}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Ask for what is missing, then report all of it."""
    store = VersionStore(options.home / "models")
    answers = Answers(options.out.with_suffix(".answers.jsonl"))
    plan = list(tasks(options))
    missing = {
        version: [
            (task, left)
            for task in plan
            if (left := [item for item in task.items if answers.of(key(version, task), item) is None])
        ]
        for version in options.versions
    }
    if any(missing.values()):
        with engine(options, store.path(options.versions[0])) as url:
            for version, left in missing.items():
                asyncio.run(ask(options, store, version, url, left, answers))
    return build(
        Run(
            version,
            store.manifest(version).origin,
            "pairs",
            task.name,
            task.settings.manner,
            digest_of(*task.items),
            options.seed,
            partial(answered, answers, version, task),
        )
        for task in plan
        for version in options.versions
    )


def answered(answers: Answers, version: str, task: Task) -> list[Answered]:
    """What a version has answered of a task."""
    pairs = [(item, answers.of(key(version, task), item)) for item in task.items]
    return [Answered(item, judged) for item, judged in pairs if judged is not None]


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Every set in every mode."""
    limits = {"direct": options.limit, "reasoning": options.limit_reasoning}
    files = sorted(options.folder.glob("pairs_*.jsonl"))
    if not files:
        raise SystemExit(f"{options.folder} has no pairs_*.jsonl")
    for mode in options.modes:
        for file in files:
            settings = EvaluationSettings(
                mode=mode,
                strategy=options.strategy if mode == "direct" else None,
                seed=options.seed,
                limit=limits[mode],
                rationale_tokens=options.tokens,
                concurrency=options.concurrency,
            )
            yield Task(file.stem, sampled(load_items("pairs", str(file)), settings), settings)


def key(version: str, task: Task) -> str:
    """What an answer depends on beside its item; the limit is not part of it."""
    kept = task.settings.model_copy(update={"limit": None})
    return f"{version} {task.name} {kept.digest}"


@contextmanager
def engine(options: argparse.Namespace, model: Path) -> Iterator[str]:
    """The given engine, or one of our own."""
    if options.engine:
        yield options.engine
        return
    with tempfile.TemporaryDirectory() as logs:
        own = Engine.start(
            model, Path(logs) / "vllm.log", port=free_port(), max_model_len=options.max_model_len
        )
        try:
            for _ in own.wait_ready():
                pass
            yield own.url
        finally:
            own.stop()


async def ask(
    options: argparse.Namespace,
    store: VersionStore,
    version: str,
    url: str,
    left: Sequence[tuple[Task, list[Item]]],
    answers: Answers,
) -> None:
    """One version's answers to the items that have none."""
    server = VLLM(url, timeout_s=600)
    try:
        await take_weights(server, store.path(version), version)
        judge = Judge.load(store, version, Backends([server]), options.max_model_len)
        for task, items in left:
            name = key(version, task)

            async def work(item: Item, task: Task = task) -> Answered:
                return Answered(item, await answer(judge, item, task.how))

            def keep(done: list[Answered], name: str = name) -> None:
                answers.add(name, done)

            await in_portions(items, work, keep, concurrency=options.concurrency)
            print(f"{version} on {task.name}, {task.settings.manner}: {len(items)} answers", flush=True)
    finally:
        await server.aclose()


if __name__ == "__main__":
    main()
