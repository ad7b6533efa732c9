"""What to train, as the finetune stage wrote it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judge.backend.processor import Dtype
from judge.teaching.profiles import IterationSettings

Row = dict[str, list[int]]
LESSONS = ("reasoned", "preferences", "pointwise")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. `folder` holds the datasets (`LESSON.jsonl`, token ids) and takes what is made.

    `label_a` to `label_no` are the token ids of the judge's labels; `dtype` is what products are computed in,
    beside weights in float32; `run` names the run for a tracker.
    """

    seed_model: Path
    folder: Path
    label_a: int
    label_b: int
    label_yes: int
    label_no: int
    settings: IterationSettings
    dtype: Dtype
    tracker: str
    run: str

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Parse the JSON file of the finetune stage."""
        fields: dict[str, Any] = json.loads(path.read_text())
        for name in ("seed_model", "folder"):
            fields[name] = Path(fields[name])
        fields["settings"] = IterationSettings.model_validate(fields["settings"])
        return cls(**fields)

    def rows(self, name: str) -> list[Row]:
        """The rows of one dataset, without those of a lesson that is turned off."""
        return list(read_rows(self.folder / f"{name}.jsonl")) if self.epochs(name) else []

    def epochs(self, lesson: str) -> float:
        """How often a lesson goes through its rows; 0: not at all. Validation pairs are always read."""
        settings = self.settings
        by_lesson = {
            "reasoned": settings.sft_epochs,
            "preferences": settings.dpo_epochs,
            "pointwise": settings.pointwise_epochs,
        }
        return by_lesson.get(lesson, 1)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file."""
    with path.open() as stream:
        for line in stream:
            yield json.loads(line)


def tokens(row: Row) -> int:
    """How many tokens a row has a model read: the prompt of a preference stands before both answers."""
    sizes = {name: len(ids) for name, ids in row.items()}
    sizes.pop("completion_mask", None)
    return sum(sizes.values()) + sizes.get("prompt_ids", 0)
