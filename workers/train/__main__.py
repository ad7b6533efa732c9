"""All lessons of a run, then the candidate's folder."""

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from judge.backend.processor import keep_niceness
from workers.train import pointwise, preferences, reasoned
from workers.train.config import LESSONS, TrainConfig
from workers.train.lesson import Lesson, planned, taught
from workers.train.progress import end_with_parent, keep_output_clean, say
from workers.train.weights import write_candidate

_TRAINERS: dict[str, Callable[[Lesson], Any]] = {
    "reasoned": reasoned.trainer,
    "preferences": preferences.trainer,
    "pointwise": pointwise.trainer,
}
_VALIDATION = {"reasoned": "verdicts", "preferences": "verdicts", "pointwise": "reads"}


def main(config: TrainConfig) -> None:
    """Teach the lessons that have rows, each from the model of the one before."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    # That also fills every new tensor, to show who reads what nobody has written: time for nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # A worker that was given up for dead may have left a training running here: wait for its end.
    lock = (config.folder / "train.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    rows = {name: config.rows(name) for name in LESSONS}
    sizes = {name: planned(config, name, rows[name]) for name in LESSONS}
    current, before = config.seed_model, 0
    results: dict[str, Any] = {}
    for name in LESSONS:
        if not rows[name]:
            continue
        # Each lesson is seeded for itself: a run that goes on after a kill repeats no earlier one.
        set_seed(config.settings.seed)
        validation = config.rows(_VALIDATION[name])
        lesson = Lesson(name, config, current, rows[name], validation, before, sum(sizes.values()))
        results[name] = taught(lesson, lambda lesson=lesson: _TRAINERS[lesson.name](lesson))  # type: ignore[misc]
        current, before = lesson.folder / "merged", before + sizes[name]
    write_candidate(current, config.seed_model, config.folder / "candidate")
    say(finished=True, results=results)


if __name__ == "__main__":
    keep_niceness()
    keep_output_clean()
    end_with_parent()
    main(TrainConfig.read(Path(sys.argv[1])))
