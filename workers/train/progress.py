"""What the training process tells the finetune stage, on standard output."""

import json
import os
import threading
import time
from typing import Any

from transformers import TrainerCallback

_CHANNEL = 1
_TOLD = ("loss", "eval_accuracy")


class Report(TrainerCallback):
    """Tells how many tokens of all lessons are done, how fast it goes, and the loss."""

    def __init__(self, lesson: str, *, before: int, planned: int, total: int) -> None:
        """Tokens: `before` this lesson, `planned` for it, and `total` of all lessons."""
        self.lesson = lesson
        self.before, self.planned, self.total = before, planned, total
        self.began, self.seen = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer; `state` is that of the checkpoint, if it goes on from one."""
        self.began, self.seen = time.monotonic(), state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer after each optimizer step."""
        if state.global_step >= state.max_steps and args.eval_strategy == "no":
            # The trained model itself is written next: a checkpoint of it first would be as much again.
            control.should_save = False
        new = state.num_input_tokens_seen - self.seen
        say(
            lesson=self.lesson,
            done=self.before + min(state.num_input_tokens_seen, self.planned),
            total=self.total,
            tokens_per_s=round(new / max(time.monotonic() - self.began, 1e-3)),
        )

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Called by the trainer with the latest figures."""
        told = {name.removeprefix("eval_"): logs[name] for name in _TOLD if name in logs}
        if told:
            say(lesson=self.lesson, step=state.global_step, **told)


def say(**fields: Any) -> None:
    """Write one line for the finetune stage."""
    os.write(_CHANNEL, (json.dumps(fields) + "\n").encode())


def keep_output_clean() -> None:
    """Leave standard output to `say`: whatever the libraries print goes to standard error."""
    global _CHANNEL
    _CHANNEL = os.dup(1)
    os.dup2(2, 1)


def end_with_parent() -> None:
    """End this process when the one that started it is gone, even by SIGKILL: its end of our input closes.

    Else the stage's next holder would train in the same folder at the same time.
    """

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
