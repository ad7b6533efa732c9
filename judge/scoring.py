"""From label log-probabilities to rewards, probabilities and calibrated verdicts. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from judge.verdict import Verdict

Strategy = Literal["pairwise", "pointwise"]
STRATEGIES: tuple[Strategy, ...] = ("pairwise", "pointwise")


@dataclass(frozen=True, slots=True)
class LabelRead:
    """Log-probabilities (nats) of a template's labels as the next token, in the template's order."""

    logprobs: tuple[float, ...]

    @property
    def margin(self) -> float:
        """Log-odds of the first label against the second."""
        return self.logprobs[0] - self.logprobs[1]

    @property
    def mass(self) -> float:
        """Share of probability on the labels; near 0 the model was about to write something else."""
        return min(1.0, sum(math.exp(value) for value in self.logprobs))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns a strategy's log-odds into a probability: one temperature, and a band called a tie.

