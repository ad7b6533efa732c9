"""What a model's answers are made of, whoever asks: probabilities of labels, and what an answer took."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelRead:
    """Log-probabilities (nats) of a template's labels as the next token, in the template's order."""

    logprobs: tuple[float, ...]

    @property
    def margin(self) -> float:
        """Log-odds of the first label against the second."""
        return self.logprobs[0] - self.logprobs[1]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a decision took: tokens, and second attempts at something that failed or was left unfinished."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0

    def __add__(self, more: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + more.prompt_tokens,
            self.completion_tokens + more.completion_tokens,
            self.retries + more.retries,
        )
