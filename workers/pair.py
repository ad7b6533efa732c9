"""Pair: generate responses and construct preference pairs from them.

For each selected instruction the generator answers once; for a share of them it also writes a similar but
different instruction and answers that (the paper's rejected response). What it cannot write, the neighbor
strategy replaces. Texts are stored as they come, so a killed stage asks only for what is missing.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from judge.comparison import Instruction, fold
from judge.errors import Conflict
from judge.judging import Judge
from judge.llm import Backends, Completion, Sampling
from judge.pairs import Answered, construct, usable, whole_sentences
from judge.tables import InstructionRow, PairRow, ResponseRow, SelectionRow
from workers.batches import in_portions
from workers.stage import Stage

REWRITE = (
    "Here is a request that a user made:\n\n{}\n\n"
    "Write one other request on the same subject that asks for something clearly different. "
    "Write only the new request."
)
_REWRITE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Task:
    """A text to generate: the response to an instruction, or to a modification of it."""

    instruction_id: int
    instruction: Instruction
    kind: str


@dataclass(frozen=True, slots=True)
class Generated:
    """What came of a task; `prompt` is the modified instruction. None where it was not usable."""

    task: Task
    text: str
    prompt: str | None
    finished: bool


def run(stage: Stage) -> dict[str, Any]:
    """Generate what is missing, then write the pairs of both shares."""
    asyncio.run(generate(stage))
    return construct_pairs(stage)


async def generate(stage: Stage) -> None:
    """Ask the generator for every response that the database does not have yet."""
    backends = Backends.connect(stage.process.backend_urls, stage.process.backend_timeout_s)
    judge = Judge.load(stage.store, stage.judged_by, backends, stage.process.max_model_len)
    tasks, total = _missing(stage)
    generator = Generator(judge, stage)
    done = total - len(tasks)

    def store(results: list[Generated]) -> None:
        nonlocal done
        done += len(results)
        if results:
            _store(stage, results)
        stage.lease.progress(done, total, "responses")

    try:
        stage.lease.progress(done, total, "responses")
        await in_portions(tasks, generator.work, store, concurrency=stage.settings.concurrency)
    finally:
        await backends.aclose()


class Generator:
    """The model that writes the responses: the champion's backend, as a plain assistant."""

    def __init__(self, judge: Judge, stage: Stage) -> None:
        self.judge = judge
        self.settings = stage.settings

    async def work(self, task: Task) -> Generated:
        """One task; at most two generations."""
        if task.kind == "response":
            answer = await self._sample(task, task.instruction, self.settings.response_tokens)
            return Generated(task, whole_sentences(answer.text, answer.finished), None, answer.finished)
        request = Instruction.of(REWRITE.format(task.instruction.text))
        rewritten = await self._sample(task, request, _REWRITE_TOKENS)
        prompt = rewritten.text.strip().strip('"')
        if not _is_modified(prompt, task.instruction.text, rewritten.finished):
            return Generated(task, "", None, True)
        answer = await self._sample(task, Instruction.of(prompt), self.settings.response_tokens)
        return Generated(task, whole_sentences(answer.text, answer.finished), prompt, answer.finished)

    async def _sample(self, task: Task, instruction: Instruction, tokens: int) -> Completion:
        sampling = Sampling(
            tokens,
            self.settings.generation_temperature,
            0.9,
            seed=self.settings.seed * 1_000_003 + task.instruction_id,
        )
        answer = await self.judge.backends.pick().sample(self.judge.assembler.chat(instruction), sampling)
        if answer.weights != self.judge.version:
            raise Conflict(
                f"the champion was changed to {answer.weights} while {self.judge.version} was generating; "
                "start the iteration again"
            )
        return answer


def construct_pairs(stage: Stage) -> dict[str, Any]:
    """Write the pairs of the training and the held-out share, each from its own responses alone."""
    settings = stage.settings
    with stage.lease.transaction() as session:
        texts = {
            (row.instruction_id, row.kind): row.text
            for row in session.scalars(select(ResponseRow).where(ResponseRow.iteration_id == stage.iteration))
        }
        selected = session.execute(
            select(SelectionRow, InstructionRow)
            .join(InstructionRow, InstructionRow.id == SelectionRow.instruction_id)
            .where(SelectionRow.iteration_id == stage.iteration)
            .order_by(InstructionRow.id)
        ).all()
        session.execute(delete(PairRow).where(PairRow.iteration_id == stage.iteration))
        counts: dict[str, Any] = {"responses": sum(usable(text) for text in texts.values())}
        for held_out in (False, True):
            pool = [
                Answered(
                    key=row.id,
                    instruction=Instruction.from_json(row.messages),
                    response=texts[(row.id, "response")],
                    modified_response=texts.get((row.id, "modified")) or None,
                )
                for selection, row in selected
                if selection.held_out == held_out and usable(texts.get((row.id, "response"), ""))
            ]
            rng = random.Random(f"{settings.seed} pairs {held_out}")
            made = construct(pool, settings.mix.model_dump(), settings.pairs_per_instruction, rng)
            ordinals: Counter[int] = Counter()
            for key, pair in made:
                session.add(
                    PairRow(
                        iteration_id=stage.iteration,
                        instruction_id=key,
                        ordinal=ordinals[key],
                        held_out=held_out,
                        strategy=pair.strategy,
                        messages=pair.instruction.to_json(),
                        chosen=pair.chosen,
                        rejected=pair.rejected,
                    )
                )
                ordinals[key] += 1
            share = "held_out" if held_out else "training"
            counts[share] = len(made)
            counts[f"{share}_strategies"] = dict(Counter(pair.strategy for _, pair in made))
    return counts


def _missing(stage: Stage) -> tuple[list[Task], int]:
    """The tasks without a stored response, and how many tasks there are in all."""
    share = stage.settings.mix.modified / (sum(stage.settings.mix.model_dump().values()) or 1)
    rng = random.Random(f"{stage.settings.seed} modified")
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(InstructionRow)
            .join(SelectionRow, SelectionRow.instruction_id == InstructionRow.id)
            .where(SelectionRow.iteration_id == stage.iteration)
            .order_by(InstructionRow.id)
        )
        tasks = []
        for row in rows:
            instruction = Instruction.from_json(row.messages)
            tasks.append(Task(row.id, instruction, "response"))
            if rng.random() < share * stage.settings.pairs_per_instruction:
                tasks.append(Task(row.id, instruction, "modified"))
        stored = set(
            session.execute(
                select(ResponseRow.instruction_id, ResponseRow.kind).where(
                    ResponseRow.iteration_id == stage.iteration
                )
            )
        )
    return [task for task in tasks if (task.instruction_id, task.kind) not in stored], len(tasks)


def _store(stage: Stage, results: list[Generated]) -> None:
    rows = [
        {
            "iteration_id": stage.iteration,
            "instruction_id": result.task.instruction_id,
            "kind": result.task.kind,
            # Postgres cannot hold this code point, which a model may well write.
            "text": result.text.replace("\x00", ""),
            "prompt": result.prompt.replace("\x00", "") if result.prompt else None,
            "finished": result.finished,
            "model_version": stage.judged_by,
        }
        for result in results
    ]
    with stage.lease.transaction() as session:
        session.execute(insert(ResponseRow).values(rows).on_conflict_do_nothing())


def _is_modified(prompt: str, original: str, finished: bool) -> bool:
    """Whether the generator wrote a request of its own: whole, not empty, not the original."""
    return finished and 10 <= len(prompt) <= 600 and fold(prompt) != fold(original) and "\n\n" not in prompt
