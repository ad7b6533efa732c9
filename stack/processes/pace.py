"""How fast this machine reads, writes and teaches, by a few seconds of work on the engine that serves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count, cycle, islice

from judge.backend.answers import Usage
from judge.backend.processor import Dtype
from judge.backend.vllm import Backends, Sampling
from judge.comparison import Instruction
from judge.judging.judge import Judge, Options
from judge.prompts.templates import pointwise
from judge.teaching.effort import Pace

_AT_ONCE, _TOKENS = 24, 16
# The best one counts: in the first the engine is new to it, and the workers may still be loading.
_ROUNDS = 2
# Tokens trained on a second for each that is read a second: there and back, in other kernels, the upper half
# of the layers only (docs/decisions/0019).
_TRAINED: dict[Dtype, float] = {"bfloat16": 0.36, "float16": 0.36, "float32": 0.46}


async def measure(judge: Judge, instructions: Sequence[Instruction], dtype: Dtype, loading_s: float) -> Pace:
    """The pace of a judge's engine, with nothing else going on.

    Raises:
        BackendError: it does not answer.
    """
    backend: Backends = judge.backends
    labels = [judge.assembler.encoder.label(label) for label in pointwise().labels]
    numbers = count()

    def salt() -> str:
        """Of nobody else's: nothing is found in the prefix cache."""
        return f"pace {next(numbers)}"

    some = list(islice(cycle(instructions), _AT_ONCE))

    async def read(one: Instruction) -> Usage:
        # The next instruction's text in the place of a response: any text of that length.
        prompt = judge.response_prompt(pointwise(), one, some[some.index(one) - 1].text, 1, Options(cut=True))
        return (await backend.pick().read_labels(prompt.token_ids, labels, salt=salt())).usage

    async def write(one: Instruction) -> Usage:
        ids = judge.assembler.chat(one)
        return (await backend.pick().sample(ids, Sampling(_TOKENS, 0.0, salt=salt()))).usage

    reads, writes = [], []
    for _ in range(_ROUNDS):
        reads.append(await _rate(read, some, lambda usage: usage.prompt_tokens))
        writes.append(await _rate(write, some, lambda usage: usage.completion_tokens))
    return Pace(max(reads), max(writes), _TRAINED[dtype] * max(reads), loading_s)


async def _rate(
    work: Callable[[Instruction], Awaitable[Usage]],
    items: Sequence[Instruction],
    tokens: Callable[[Usage], int],
) -> float:
    """Tokens a second of all at once."""
    began = time.monotonic()
    usages = await asyncio.gather(*(work(item) for item in items))
    return sum(map(tokens, usages)) / (time.monotonic() - began)
