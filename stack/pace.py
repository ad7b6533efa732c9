"""How fast this machine reads, writes and teaches, by a few seconds of work on the engine that serves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice

from judge.comparison import Instruction
from judge.effort import Pace
from judge.judging import Judge
from judge.llm import Backends, Sampling
from judge.processor import Dtype
from judge.templates import pointwise
from judge.voting import Usage

_READS, _TEXTS, _TOKENS = 32, 32, 16
# Tokens trained on a second for each that is read a second: the other way round, in other kernels, the upper
# half of the layers only (docs/measurements.md).
_TRAINED: dict[Dtype, float] = {"bfloat16": 0.27, "float16": 0.27, "float32": 0.33}


async def measure(judge: Judge, instructions: Sequence[Instruction], dtype: Dtype, loading_s: float) -> Pace:
    """The pace of a judge's engine, with nothing else going on.

    Raises:
        BackendError: it does not answer.
    """
    backend: Backends = judge.backends
    labels = [judge.assembler.encoder.label(label) for label in pointwise().labels]
    some = list(islice(cycle(instructions), _READS))

    async def read(one: Instruction) -> Usage:
        # The next instruction's text in the place of a response: any text of that length.
        prompt = judge.response_prompt(pointwise(), one, some[some.index(one) - 1].text, 1)
        return (await backend.pick().read_labels(prompt.token_ids, labels, salt="pace")).usage

    async def write(one: Instruction) -> Usage:
        ids = judge.assembler.chat(one)
        return (await backend.pick().sample(ids, Sampling(_TOKENS, 0.0, salt="pace"))).usage

    await read(some[0])  # the first request of an engine takes longer
    reads = await _timed(read, some)
    writes = await _timed(write, some[:_TEXTS])
    read_pace = sum(usage.prompt_tokens for usage in reads[1]) / reads[0]
    written = sum(usage.completion_tokens for usage in writes[1]) / writes[0]
    return Pace(read_pace, written, _TRAINED[dtype] * read_pace, loading_s)


async def _timed(
    work: Callable[[Instruction], Awaitable[Usage]], items: Sequence[Instruction]
) -> tuple[float, list[Usage]]:
    began = time.monotonic()
    usages = await asyncio.gather(*(work(item) for item in items))
    return time.monotonic() - began, usages
