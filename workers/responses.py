"""Responses: what the generator writes for an iteration, stored as it comes.

For each selected instruction it answers once; for a share of them it also writes a similar but different
instruction and answers that (the paper's rejected response), and for a share it answers again, sampled
hotter. Where the pairs want logged responses it writes one in the place of each of them, and nothing else for
the instructions that have them. A killed stage asks only for what is missing.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from judge.backend.vllm import Completion, Sampling
from judge.comparison import Instruction
from judge.pairs.generator import Generator, connected
from judge.pairs.responses import flaw, rewrite_flaw
from judge.pairs.strategies import whole_sentences
from judge.store.tables import InstructionRow, ResponseRow, SelectionRow
from judge.teaching.profiles import IterationSettings
from workers.batches import in_portions
from workers.rewriting import another_request
from workers.stage import Stage
from workers.turns import Turn, training_turns

_REWRITE_TOKENS = 64
# A small generator's first modification is of use in half of the cases, one of three in most.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """A text to generate: the response to an instruction, a hotter one, or one to a modification of it.

    The kind of one to an earlier turn is that turn's (`workers.turns`), and so is `instruction`.
    """

    instruction_id: int
    instruction: Instruction
    kind: str

    @classmethod
    def of(cls, turn: Turn) -> "Task":
        """To write in the place of a logged response."""
        return cls(turn.instruction_id, turn.instruction, turn.kind)


@dataclass(frozen=True, slots=True)
class Generated:
    """What came of a task. `prompt` is the modified instruction; if it is of no use, the text is empty.

    `finished` is False where the text was cut off, or the modified instruction if there is no text.
    """

    task: Task
    text: str
    prompt: str | None
    finished: bool
    model: str


class Writer:
    """A generator at work for one iteration."""

    def __init__(self, generator: Generator, settings: IterationSettings) -> None:
        self._generator = generator
        self._settings = settings

    async def work(self, task: Task) -> Generated:
        """One task: a generation, or one after those of a modified instruction."""
        if task.kind == "modified":
            return await self._modified(task)
        return await self._respond(task, task.instruction, None)

    async def _modified(self, task: Task) -> Generated:
        """The response to the first modified instruction that is of use; without a text if none is."""
        request = another_request(task.instruction.text)
        tokens = max(_REWRITE_TOKENS, self._settings.response_tokens // 4)
        for attempt in range(ATTEMPTS):
            rewritten = await self._sample(task, request, tokens, attempt)
            prompt = rewritten.text.strip().strip('"').strip()
            if rewrite_flaw(task.instruction.text, prompt, rewritten.finished) is None:
                return await self._respond(task, Instruction.of(prompt), prompt)
        return Generated(task, "", prompt, rewritten.finished, self._generator.name)

    async def _respond(self, task: Task, asked: Instruction, prompt: str | None) -> Generated:
        answer = await self._sample(task, asked, self._settings.response_tokens)
        text = whole_sentences(answer.text, answer.finished)
        return Generated(task, text, prompt, answer.finished, self._generator.name)

    async def _sample(
        self, task: Task, instruction: Instruction, tokens: int, attempt: int = 0
    ) -> Completion:
        seed = (self._settings.seed + attempt) * 1_000_003 + task.instruction_id
        sampling = Sampling(tokens, self._settings.generation_temperature, 0.9, seed=seed)
        if task.kind == "hotter":
            sampling = Sampling(tokens, self._settings.hotter_temperature, 1.0, seed=seed)
        return await self._generator.answer(instruction, sampling)


def all_tasks(stage: Stage, shares: Mapping[str, float], *, logged: bool) -> list[Task]:
    """A response to each selected instruction, and a text of each other kind for its share of them.

    With `logged`, for one of the training share that has logged responses: a text in the place of each.
    """
    draws = {kind: random.Random(f"{stage.settings.seed} {kind}") for kind in shares}
    found = selected(stage)
    tasks = [Task.of(turn) for turn in training_turns(found)] if logged else []
    by_turns = {task.instruction_id for task in tasks}
    for _, row in found:
        if row.id in by_turns:
            continue
        instruction = Instruction.from_json(row.messages)
        tasks.append(Task(row.id, instruction, "response"))
        for kind, share in shares.items():
            if draws[kind].random() < share:
                tasks.append(Task(row.id, instruction, kind))
    return tasks


def probing_tasks(stage: Stage, count: int) -> list[Task]:
    """Modifications of some of the selected instructions, by which the generator is measured."""
    found = selected(stage)
    rng = random.Random(f"{stage.settings.seed} probes")
    drawn = [found[index][1] for index in sorted(rng.sample(range(len(found)), min(count, len(found))))]
    return [Task(row.id, Instruction.from_json(row.messages), "modified") for row in drawn]


async def generate(stage: Stage, tasks: Sequence[Task]) -> None:
    """Ask the generator for every response that the database does not have yet."""
    stored = {(row.instruction_id, row.kind) for row in written(stage)}
    missing = [task for task in tasks if (task.instruction_id, task.kind) not in stored]
    total, done = len(tasks), len(tasks) - len(missing)

    def store(results: list[Generated]) -> None:
        nonlocal done
        done += len(results)
        if results:
            _store(stage, results)
        stage.lease.progress(done, total, "responses")

    stage.lease.progress(done, total, "responses")
    async with connected(stage.process, stage.store, stage.judged_by) as generator:
        writer = Writer(generator, stage.settings)
        await in_portions(missing, writer.work, store, concurrency=stage.settings.concurrency)


def written(stage: Stage) -> list[ResponseRow]:
    """What is stored so far, in order."""
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(ResponseRow)
            .where(ResponseRow.iteration_id == stage.iteration)
            .order_by(ResponseRow.instruction_id, ResponseRow.kind)
        )
        return list(rows)


def why_not(row: ResponseRow, instruction: Instruction, keep_cut_off: bool) -> str | None:
    """Why a stored response is of no use, or None."""
    asked = instruction
    if row.kind == "modified":
        prompt = row.prompt or ""
        if reason := rewrite_flaw(instruction.text, prompt, row.finished or bool(row.text)):
            return reason
        asked = Instruction.of(prompt)
    reason = flaw(asked, row.text, row.finished)
    return None if reason == "cut_off" and keep_cut_off else reason


def selected(stage: Stage) -> Sequence[tuple[SelectionRow, InstructionRow]]:
    """What the iteration has selected, in order."""
    with stage.lease.transaction() as session:
        found = session.execute(
            select(SelectionRow, InstructionRow)
            .join(InstructionRow, InstructionRow.id == SelectionRow.instruction_id)
            .where(SelectionRow.iteration_id == stage.iteration)
            .order_by(InstructionRow.id)
        )
        return [(selection, row) for selection, row in found]


def _store(stage: Stage, results: list[Generated]) -> None:
    rows = [
        {
            "iteration_id": stage.iteration,
            "instruction_id": result.task.instruction_id,
            "kind": result.task.kind,
            # Postgres cannot hold this code point, which a model may well write.
            "text": result.text.replace("\x00", ""),
            "prompt": None if result.prompt is None else result.prompt.replace("\x00", ""),
            "finished": result.finished,
            "model_version": result.model,
        }
        for result in results
    ]
    with stage.lease.transaction() as session:
        session.execute(insert(ResponseRow).values(rows).on_conflict_do_nothing())
