"""The model that writes the loop's responses and classifies its instructions: the champion, or another one.

Another model is a setting of the process (`JUDGESMITH_GENERATOR_URLS`, `_MODEL`), as in Self-Taught
Evaluators, where Mixtral wrote and Llama judged (arXiv 2408.02666).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from judge.backend.patience import patiently
from judge.backend.vllm import Backends, Completion, Sampling
from judge.comparison import Instruction
from judge.errors import Conflict
from judge.judging.judge import Judge
from judge.settings import Settings
from judge.versions.version import VersionStore


class Generator(Protocol):
    """A model that answers instructions. `name` is kept with what it wrote: a version's id, or its own."""

    name: str

    async def answer(self, instruction: Instruction, sampling: Sampling) -> Completion:
        """Answer as a plain assistant. A server that was killed is waited for."""


class Champion:
    """The champion's backend under its chat template; text of users never becomes a control token."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.name = judge.version

    async def answer(self, instruction: Instruction, sampling: Sampling) -> Completion:
        """Answer as a plain assistant.

        Raises:
            Conflict: the backend serves another version by now.
            BackendError: it does not answer, and did not come back.
        """
        return await patiently(
            lambda: self._answer(instruction, sampling), self._judge.backends.servers, self.name
        )

    async def _answer(self, instruction: Instruction, sampling: Sampling) -> Completion:
        prompt = self._judge.assembler.chat(instruction)
        answer = await self._judge.backends.pick().sample(prompt, sampling)
        if answer.weights != self.name:
            raise Conflict(
                f"the champion was changed to {answer.weights} while {self.name} was generating; "
                "start the iteration again"
            )
        return answer


class Foreign:
    """A model of its own on other servers, over their chat route."""

    def __init__(self, model: str, servers: Backends) -> None:
        self.name = model
        self._servers = servers

    async def answer(self, instruction: Instruction, sampling: Sampling) -> Completion:
        """Answer as a plain assistant."""
        messages = instruction.to_json()
        return await patiently(
            lambda: self._servers.pick().chat(self.name, messages, sampling), self._servers.servers
        )


def generator_name(process: Settings, champion: str) -> str:
    """The name of the generator that `connected` gives."""
    return (process.generator_urls and process.generator_model) or champion


@asynccontextmanager
async def connected(process: Settings, store: VersionStore, champion: str) -> AsyncIterator[Generator]:
    """The generator that the settings name, for the length of the block."""
    urls = process.generator_urls or process.backend_urls
    servers = Backends.connect(urls, process.backend_timeout_s)
    try:
        if process.generator_urls and process.generator_model:
            yield Foreign(process.generator_model, servers)
        else:
            yield Champion(Judge.load(store, champion, servers, process.max_model_len))
    finally:
        await servers.aclose()
