"""Finetune: the examples as token ids, then `workers.train` as a subprocess on them.

The prompts come from the assembler that serves, so what is trained is what is served, token for token.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from sqlalchemy import select

from judge.comparison import PreferencePair
from judge.errors import Conflict, JudgesmithError
from judge.judging import Judge
from judge.llm import Backends
from judge.tables import ExampleRow, PairRow
from judge.templates import pairwise_reasoning, pointwise
from workers.stage import Stage

MINIMUM_PAIRS = 8


class TrainingFailed(JudgesmithError):
    """The training process ended with an error."""

    slug = "training-failed"


def run(stage: Stage) -> dict[str, Any]:
    """Write the datasets, train unless this very dataset was trained already, and keep the results."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    digest, sizes = write_datasets(stage)
    result_path = stage.folder / f"trained-{digest}.json"
    if not result_path.exists():
        for lesson in ("reasoned", "pointwise"):
            if (stage.folder / "dataset.txt").exists() and (
                stage.folder / "dataset.txt"
            ).read_text() != digest:
                shutil.rmtree(stage.folder / lesson, ignore_errors=True)
        (stage.folder / "dataset.txt").write_text(digest)
        result_path.write_text(json.dumps(train(stage)))
    results = json.loads(result_path.read_text())
    return {"dataset": digest, **sizes, "lessons": results}


def write_datasets(stage: Stage) -> tuple[str, dict[str, int]]:
    """Write `reasoned.jsonl` and `pointwise.jsonl`; returns their common SHA-256 and their sizes in rows."""
    judge = Judge.load(
        stage.store,
        stage.seed_version,
        Backends([]),
        stage.process.max_model_len,
        reasoning_tokens=stage.settings.reasoning_tokens,
        field_tokens=stage.settings.field_tokens,
    )
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(ExampleRow, PairRow)
            .join(PairRow, PairRow.id == ExampleRow.pair_id)
            .where(ExampleRow.iteration_id == stage.iteration)
            .order_by(ExampleRow.pair_id, ExampleRow.kind, ExampleRow.chosen_first)
        ).all()
    reasoned = [
        reasoned_example(judge, pair.to_pair(), example.chosen_first, example.judgment or "")
        for example, pair in rows
        if example.kind == "reasoned"
    ]
    pointwise = [
        pointwise_example(judge, pair.to_pair()) for example, pair in rows if example.kind == "pointwise"
    ]
    if len(pointwise) < MINIMUM_PAIRS:
        raise Conflict(f"{len(pointwise)} training pairs were left, at least {MINIMUM_PAIRS} are needed")
    digest = hashlib.sha256()
    for name, examples in (("reasoned", reasoned), ("pointwise", pointwise)):
        digest.update(_write(stage.folder / f"{name}.jsonl", examples))
    return digest.hexdigest()[:16], {"reasoned": len(reasoned), "pointwise": len(pointwise)}


def reasoned_example(
    judge: Judge, pair: PreferencePair, chosen_first: bool, judgment: str
) -> dict[str, list[int]]:
    """A judgment as token ids: the served prompt, then the judge's text and the end of turn, in the mask."""
    prompt = judge.comparison_prompt(
        pairwise_reasoning(), pair.comparison("a"), "a" if chosen_first else "b", 0
    )
    encoder = judge.assembler.encoder
    completion = encoder.untrusted(judgment) + encoder.end_of_turn()
    return {
        "input_ids": prompt.token_ids + completion,
        "completion_mask": [0] * len(prompt.token_ids) + [1] * len(completion),
    }


def pointwise_example(judge: Judge, pair: PreferencePair) -> dict[str, list[int]]:
    """The two prompts whose label log-odds the loss compares; both end where the label would follow."""
    ids = {}
    for name, response in (("chosen_ids", pair.chosen), ("rejected_ids", pair.rejected)):
        prompt = judge.assembler.response(pointwise(), pair.instruction, response, 1, judge.field_tokens)
        ids[name] = prompt.token_ids
    return ids


def train(stage: Stage) -> dict[str, Any]:
    """Run the training process; publish its progress; end it when the iteration is cancelled or lost."""
    config = stage.folder / "train.json"
    config.write_text(json.dumps(_config(stage)))
    with (stage.folder / "train.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.train", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            text=True,
        )
    try:
        return _follow(stage, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _follow(stage: Stage, process: "subprocess.Popen[str]") -> dict[str, Any]:
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_read, args=(process, lines), daemon=True).start()
    note, done, total = "loading the model", 0, 0
    while True:
        try:
            line = lines.get(timeout=2)
        except Empty:
            stage.lease.progress(done, total, note)
            continue
        if line is None:
            break
        event = json.loads(line)
        if event.get("finished"):
            return dict(event["results"])
        if "done" in event:
            note, done, total = f"training: {event['lesson']}", event["done"], event["total"]
        elif "loss" in event:
            stage.lease.progress(done, total, f"{note}, loss {event['loss']:.3f}")
    code = process.wait()
    tail = (stage.folder / "train.log").read_text(errors="replace").strip().splitlines()[-3:]
    raise TrainingFailed(f"training ended with code {code}: {' | '.join(tail)}")


def _read(process: "subprocess.Popen[str]", lines: "SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _config(stage: Stage) -> dict[str, Any]:
    encoder = Judge.load(
        stage.store, stage.seed_version, Backends([]), stage.process.max_model_len
    ).assembler.encoder
    yes, no = (encoder.label(label) for label in pointwise().labels)
    settings = stage.settings.model_dump()
    shared = (
        "lora_rank", "lora_layers", "sft_learning_rate", "sft_epochs", "pointwise_learning_rate",
        "pointwise_epochs", "batch_pairs", "seed",
    )  # fmt: skip
    return {
        "seed_model": str(stage.store.path(stage.seed_version)),
        "output": str(stage.folder),
        "reasoned": str(stage.folder / "reasoned.jsonl"),
        "pointwise": str(stage.folder / "pointwise.jsonl"),
        "yes": yes,
        "no": no,
        **{name: settings[name] for name in shared},
    }


def _write(path: Path, examples: Iterable[dict[str, list[int]]]) -> bytes:
    data = "".join(json.dumps(example) + "\n" for example in examples).encode()
    path.write_bytes(data)
    return data
