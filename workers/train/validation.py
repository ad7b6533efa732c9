"""Pairwise accuracy on validation pairs: which checkpoint of a lesson is kept, and whether it stops early.

A pair is two prompts of which the first has to get the higher log-odds: for the pointwise read the chosen
and the rejected response; for a verdict the chosen response shown first and shown last, read right after the
reasoning prompt as if nothing was reasoned. Writing the reasoning out for every check would take longer than
the training does.

Of a few dozen pairs the best of several looks is luck, and an early checkpoint has not learned the later
pairs. So the latest one is kept that is not behind the best by more than a standard error.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from workers.train.config import Row

# The step of a look that is not behind, 0 otherwise: the trainer keeps the checkpoint with the highest one.
STEP = "eval_step"
_AT_ONCE = 16


class Validated:
    """Mixed into a trainer: it evaluates by the share of validation pairs that it gets right."""

    pairs: Sequence[Row] = ()
    direction: torch.Tensor

    def measure_on(self, pairs: Sequence[Row], direction: torch.Tensor) -> None:
        """Set the pairs (`{"higher", "lower"}`) and the difference of the two labels' output rows."""
        self.pairs, self.direction = pairs, direction.detach().clone()

    def evaluate(self: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Called by the trainer in place of its own evaluation."""
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            right = share_right(_decoder(self.model), self.direction, self.pairs)
        earlier = [entry["eval_accuracy"] for entry in self.state.log_history if "eval_accuracy" in entry]
        level = not behind(right, [*earlier, right], len(self.pairs))
        metrics: dict[str, float] = {"eval_accuracy": right, STEP: self.state.global_step * level}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def behind(accuracy: float, looks: Sequence[float], pairs: int) -> bool:
    """Whether it is less than the best of the looks by more than that one's standard error."""
    best = max(looks)
    # As if two more pairs had been right and two wrong (Agresti and Coull): else there is no error at 1.0.
    share = (best * pairs + 2) / (pairs + 4)
    return accuracy < best - math.sqrt(share * (1 - share) / pairs)


def share_right(decoder: Any, direction: torch.Tensor, pairs: Sequence[Row]) -> float:
    """Of the pairs, the share whose `higher` prompt has higher log-odds than its `lower` one."""
    prompts = [row[name] for row in pairs for name in ("higher", "lower")]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    margins = [0.0] * len(prompts)
    for begin in range(0, len(order), _AT_ONCE):
        batch = order[begin : begin + _AT_ONCE]
        for index, margin in zip(
            batch, _margins(decoder, direction, [prompts[i] for i in batch]), strict=True
        ):
            margins[index] = margin
    right = sum(margins[2 * i] > margins[2 * i + 1] for i in range(len(pairs)))
    return right / len(pairs)


def _margins(decoder: Any, direction: torch.Tensor, prompts: list[list[int]]) -> list[float]:
    # From hidden states in float32: the logits in bfloat16 tie often.
    device = next(decoder.parameters()).device
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    mask = (torch.arange(longest, device=device)[None] < lengths[:, None]).long()
    hidden = decoder(input_ids=ids, attention_mask=mask).last_hidden_state
    last = hidden[torch.arange(len(prompts), device=device), lengths - 1].float()
    return (last * direction.to(device).float()).sum(-1).tolist()  # type: ignore[no-any-return]


def _decoder(model: Any) -> Any:
    """The layers below the head, with the adapters that are in them."""
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    return whole.base_model
