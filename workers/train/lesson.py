"""One lesson: its place, its training arguments, and training it from wherever it had come to."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback

from workers.train.config import Row, TrainConfig, tokens
from workers.train.progress import Report
from workers.train.validation import STEP
from workers.train.weights import folded

DONE = "done.json"
_LAST_LOSSES = 10


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson of a run. `start` is the model it begins with; `before` and `total` count tokens."""

    name: str
    config: TrainConfig
    start: Path
    rows: list[Row]
    validation: list[Row]
    before: int
    total: int

    @property
    def folder(self) -> Path:
        """Where its checkpoints and its result are."""
        return self.config.folder / self.name

    @property
    def planned(self) -> int:
        """Tokens that it reads if it does not stop early."""
        return planned(self.config, self.name, self.rows)

    def callbacks(self) -> list[TrainerCallback]:
        """Progress, and early stopping where there are validation pairs."""
        found: list[TrainerCallback] = [
            Report(self.name, before=self.before, planned=self.planned, total=self.total)
        ]
        if self.validation:
            found.append(EarlyStoppingCallback(self.config.settings.patience))
        return found

    def arguments(self) -> dict[str, Any]:
        """The training arguments that all lessons share."""
        gpu, settings = torch.cuda.is_available(), self.config.settings
        every = settings.checkpoint_every
        measured: dict[str, Any] = {
            "eval_strategy": "steps",
            "eval_steps": every,
            "load_best_model_at_end": True,
            "metric_for_best_model": STEP,
            "greater_is_better": True,
            # How long nothing has got better must survive a kill too.
            "restore_callback_states_from_checkpoint": True,
        }
        return {
            "output_dir": str(self.folder / "checkpoints"),
            "use_cpu": not gpu,
            "bf16": self.config.dtype == "bfloat16",
            # Float16 wants its losses scaled, which is done on GPUs alone.
            "fp16": gpu and self.config.dtype == "float16",
            "gradient_checkpointing": gpu,
            "num_train_epochs": self.config.epochs(self.name),
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,
            "adam_beta2": 0.95,
            "weight_decay": 0.1,
            "max_grad_norm": 1.0,
            "logging_steps": 1,
            "save_steps": every,
            "save_total_limit": 1,
            "include_num_input_tokens_seen": "non_padding",
            "report_to": self.config.tracker,
            "project": "judgesmith",
            "run_name": f"{self.config.run} {self.name}",
            "disable_tqdm": True,
            "seed": settings.seed,
            "train_sampling_strategy": "group_by_length",
            **(measured if self.validation else {}),
        }


def planned(config: TrainConfig, name: str, rows: list[Row]) -> int:
    """Tokens that a lesson reads if it does not stop early."""
    return round(sum(map(tokens, rows)) * config.epochs(name))


def taught(lesson: Lesson, make_trainer: Callable[[], Any]) -> dict[str, Any]:
    """Train from the last checkpoint if there is one, then write the whole model to `merged`."""
    if (lesson.folder / DONE).exists():
        return dict(json.loads((lesson.folder / DONE).read_text()))
    trainer = make_trainer()
    began = time.monotonic()
    checkpoints = lesson.folder / "checkpoints"
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    seconds = time.monotonic() - began
    folded(lesson.start, trainer.model, lesson.config.settings).save_pretrained(lesson.folder / "merged")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-_LAST_LOSSES:]
    result = {
        "examples": len(lesson.rows),
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "loss": round(sum(losses) / max(len(losses), 1), 5),
    }
    if lesson.validation:
        step = trainer.state.best_global_step
        result |= {"accuracy": _accuracy(trainer.state.log_history, step), "best_step": step}
    written = lesson.folder / f"{DONE}.partial"
    written.write_text(json.dumps(result))
    written.rename(lesson.folder / DONE)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return result


def _accuracy(history: list[dict[str, Any]], step: int) -> float:
    """What was measured at a step."""
    looks = (one for one in history if one["step"] == step and "eval_accuracy" in one)
    return float(next(looks)["eval_accuracy"])


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; what a kill left half-written is removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    while found:
        try:
            json.loads((found[-1] / "trainer_state.json").read_text())
        except (OSError, ValueError):
            shutil.rmtree(found.pop())
        else:
            return str(found[-1])
    return None
