"""The order of the examples: batches of similar length, drawn anew in each epoch.

Transformers draws the order from the global random state, which a run that goes on in the middle of an epoch
does not have at that point: some examples would come twice and others not at all.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import Sampler


class Repeatable:
    """Mixed into a trainer: the seed and the epoch's number alone decide the order."""

    def _get_train_sampler(self: Any, *args: Any, **options: Any) -> Any:
        grouped = super()._get_train_sampler(*args, **options)  # type: ignore[misc]
        # The epoch counts in fractions; what is missing to a whole one may be lost in rounding.
        return EpochOrder(grouped, self.args.seed, lambda: int((self.state.epoch or 0) + 1e-6))


class EpochOrder(Sampler[int]):
    """A sampler whose generator is seeded when an epoch begins."""

    def __init__(self, grouped: Any, seed: int, epoch: Callable[[], int]) -> None:
        self._grouped = grouped
        self._seed = seed
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self._grouped.generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch())
        return iter(self._grouped)

    def __len__(self) -> int:
        return len(self._grouped)
