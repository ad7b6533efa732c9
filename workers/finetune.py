"""Finetune: the examples as token ids (`workers.tokens`), then `workers.train` as a subprocess on them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from judge.backend.processor import dtype_for, on_gpu, openmp
from judge.backend.vllm import Backends
from judge.errors import Conflict, JudgesmithError
from judge.judging.judge import Judge
from judge.prompts.templates import pairwise_reasoning, pointwise
from workers.stage import Stage
from workers.tokens import LESSONS, write_datasets

_TELL_S = 1.0


class TrainingFailed(JudgesmithError):
    """The training process ended with an error."""

    slug = "training-failed"


def run(stage: Stage) -> dict[str, Any]:
    """Write the datasets, train unless these very datasets were trained on already, and keep the results."""
    require_tracker(stage.process.tracker)
    stage.folder.mkdir(parents=True, exist_ok=True)
    digest, sizes = write_datasets(stage)
    trained = stage.folder / f"trained-{digest}.json"
    if not trained.exists():
        if _begun_on(stage) != digest:
            for lesson in LESSONS:
                shutil.rmtree(stage.folder / lesson, ignore_errors=True)
        _put(stage.folder / "dataset.txt", digest)
        _put(trained, json.dumps(train(stage)))
    weights = hashlib.sha256()
    for path in sorted((stage.folder / "candidate").glob("*.safetensors")):
        with path.open("rb") as stream:
            weights.update(hashlib.file_digest(stream, "sha256").digest())
    return {
        "dataset": digest,
        **sizes,
        "lessons": json.loads(trained.read_text()),
        "weights": weights.hexdigest()[:16],
    }


def require_tracker(name: str) -> None:
    """Raises `Conflict` where the tracker of `JUDGESMITH_TRACKER` is not installed."""
    if name != "none" and find_spec(name) is None:
        raise Conflict(
            f"JUDGESMITH_TRACKER is {name}, which is not installed: pip install 'judgesmith[{name}]'"
        )


def train(stage: Stage) -> dict[str, Any]:
    """Run the training process; publish its progress; end it when the iteration is cancelled or lost."""
    config = stage.folder / "train.json"
    config.write_text(json.dumps(_config(stage)))
    with (stage.folder / "train.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.train", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            # Never written to: that it closes tells the process that we are gone.
            stdin=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
            text=True,
        )
    try:
        return _follow(stage, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment() -> dict[str, str]:
    given = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # What makes cuBLAS repeatable, and the name under which trackers file the runs, unless set otherwise.
    usual = {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "WANDB_PROJECT": "judgesmith",
        "MLFLOW_EXPERIMENT_NAME": "judgesmith",
        **({} if on_gpu() else openmp()),
    }
    return {**usual, **os.environ, **given}


def _follow(stage: Stage, process: "subprocess.Popen[str]") -> dict[str, Any]:
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_read, args=(process, lines), daemon=True).start()
    state: dict[str, Any] = {}
    told = 0.0
    while True:
        try:
            line = lines.get(timeout=_TELL_S)
        except Empty:
            line = "{}"
        if line is None:
            break
        state |= json.loads(line)
        if state.get("finished"):
            return dict(state["results"])
        if time.monotonic() - told >= _TELL_S:
            told = time.monotonic()
            stage.lease.progress(state.get("done", 0), state.get("total", 0), note(state))
    code = process.wait()
    tail = (stage.folder / "train.log").read_text(errors="replace").strip().splitlines()[-3:]
    raise TrainingFailed(f"training ended with code {code}: {' | '.join(tail)}")


def note(state: dict[str, Any]) -> str:
    """`pointwise: loss 0.412, accuracy 0.610, 343 tokens/s`; `done` and `total` are tokens."""
    if "lesson" not in state:
        return "loading the model"
    figures = [f"{name} {state[name]:.3f}" for name in ("loss", "accuracy") if name in state]
    figures += [f"{state['tokens_per_s']} tokens/s"] if "tokens_per_s" in state else []
    return f"{state['lesson']}: {', '.join(figures)}"


def _read(process: "subprocess.Popen[str]", lines: "SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _config(stage: Stage) -> dict[str, Any]:
    judge = Judge.load(stage.store, stage.seed_version, Backends([]), stage.process.max_model_len)
    labels = {
        f"label_{text.lower()}": judge.assembler.encoder.label(text)
        for template in (pairwise_reasoning(), pointwise())
        for text in template.labels
    }
    return {
        "seed_model": str(stage.store.path(stage.seed_version)),
        "folder": str(stage.folder),
        **labels,
        "settings": stage.settings.model_dump(),
        "dtype": dtype_for(stage.process.dtype),
        "tracker": stage.process.tracker,
        "run": f"iteration {stage.iteration}",
    }


def _begun_on(stage: Stage) -> str:
    path = stage.folder / "dataset.txt"
    return path.read_text() if path.exists() else ""


def _put(path: Path, text: str) -> None:
    """Write a file in one go: a kill leaves the old one or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.rename(path)
