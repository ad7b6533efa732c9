"""Select: which instructions an iteration works with, and which of them are held out.

Too long ones, near-duplicates and whatever is close to an anchor or to what people judge are left out. The
rest is classified by the generator, if the iteration wants that, each instruction once; then it is drawn
evenly, newest first, within the quotas. What was left out, and why, is the top of the funnel.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from judge.comparison import Instruction
from judge.draw import is_drawn
from judge.errors import Conflict, InvalidInput
from judge.gathering import fingerprints, instructions, protected
from judge.gathering.fingerprints import Print
from judge.gathering.protected import Close
from judge.judging.judge import Judge
from judge.pairs import classifier
from judge.pairs.classification import Classification
from judge.pairs.generator import Generator, connected, generator_name
from judge.pairs.selection import Candidate, draw, target_complexity
from judge.store.tables import InstructionRow, ModelVersion, SelectionRow
from judge.teaching import budget, planning
from workers.batches import in_portions
from workers.drops import Dropping
from workers.scan import scan
from workers.stage import Stage

MINIMUM = 16
# How many times as many as wanted are looked at, so that filters and quotas have something to choose from.
_PLENTY = 3
# Tokens of the words that ask for a similar request, and of that (`workers.responses`).
_ASKING = 192
# Instructions that are compared with the protected texts in one statement.
_AT_ONCE = 200


def run(stage: Stage) -> dict[str, Any]:
    """Write the iteration's selections; the same instructions give the same selections."""
    judge = planning.judge_of(stage.store, stage.judged_by, stage.process.max_model_len, stage.settings)
    try:
        budget.check(judge, stage.settings)
    except InvalidInput as error:  # begun by the schedule or a campaign, under another setting of the process
        raise Conflict(str(error)) from error
    scan(stage.lease.sessions, at_once=True)
    with stage.lease.transaction() as session:
        plenty = stage.settings.instructions * _PLENTY
        known = instructions.known(session, plenty, stage.settings.languages)
        dropping = Dropping(stage.iteration, "instructions", len(known))
        rows = _answerable(stage, judge, known, dropping)
        rows = sift(session, rows, stage.settings.max_instruction_chars, dropping)
    classes = asyncio.run(classify(stage, rows)) if stage.settings.classify else {}
    if stage.settings.classify:
        dropping.drop_all([row.id for row in rows if row.id not in classes], "not_classified")
        rows = [row for row in rows if row.id in classes]
    with stage.lease.transaction() as session:
        chosen = set(_draw(stage, session, rows, classes, dropping))
        if len(chosen) < MINIMUM:
            raise Conflict(
                f"{len(chosen)} usable instructions, at least {MINIMUM} are needed: bring in more with "
                f"`judgesmith ingest FILE.jsonl`{_reasons(dropping)}"
            )
        rows = [row for row in rows if row.id in chosen]
        held_out = _write(stage, session, rows, classes)
        dropping.write(session)
    counts: dict[str, Any] = {"known": len(known), "selected": len(rows), "held_out": held_out}
    if classes:
        counts["categories"] = dict(Counter(classes[row.id].category for row in rows).most_common())
    return {**counts, "funnel": [dropping.step.to_json()]}


def sift(
    session: Session, rows: list[InstructionRow], limit: int, dropping: Dropping
) -> list[InstructionRow]:
    """Leave out what is too long, nearly the same as an earlier one, or close to a protected text.

    As in gathering (`judge.gathering.intake`), which has seen neither what a person released since, nor the
    anchors and benchmarks that came later.
    """
    steps: tuple[tuple[str, Callable[[list[InstructionRow]], set[int]]], ...] = (
        ("too_long", lambda kept: _too_long(kept, limit)),
        ("near_duplicate", lambda kept: fingerprints.repeated([_print(row) for row in kept])),
        ("close_to_anchor", lambda kept: _protected(session, kept)),
    )
    for reason, found in steps:
        rows = _without(rows, found(rows), reason, dropping)
    return rows


async def classify(stage: Stage, rows: Sequence[InstructionRow]) -> dict[int, Classification]:
    """The classes by instruction id: those remembered, and for the others one question each."""
    name = generator_name(stage.process, stage.judged_by)
    with stage.lease.transaction() as session:
        found = classifier.remembered(session, name, [row.id for row in rows])
    missing = [row for row in rows if row.id not in found]
    done = len(rows) - len(missing)

    def store(results: list[tuple[int, Classification | None]]) -> None:
        nonlocal done
        done += len(results)
        new = {key: one for key, one in results if one is not None}
        with stage.lease.transaction() as session:
            classifier.remember(session, name, new)
        found.update(new)
        stage.lease.progress(done, len(rows), "classified instructions")

    async with connected(stage.process, stage.store, stage.judged_by) as generator:

        async def work(row: InstructionRow) -> tuple[int, Classification | None]:
            return row.id, await _ask(generator, row)

        await in_portions(missing, work, store, concurrency=stage.settings.concurrency)
    return found


async def _ask(generator: Generator, row: InstructionRow) -> Classification | None:
    return await classifier.classify(generator, Instruction.from_json(row.messages))


def generation(session: Session, version: str) -> int:
    """How many champions came before this one in its line, back to the seed model."""
    count = 0
    row = session.get(ModelVersion, version)
    while row is not None and row.manifest.get("judged_by"):
        count += 1
        row = session.get(ModelVersion, row.manifest["judged_by"])
    return count


def is_held_out(digest: str, share: float) -> bool:
    """Decided by the instruction alone, so that it never changes sides between iterations."""
    return is_drawn(f"held-out {digest}", share)


def _draw(
    stage: Stage,
    session: Session,
    rows: Sequence[InstructionRow],
    classes: dict[int, Classification],
    dropping: Dropping,
) -> list[int]:
    settings = stage.settings
    target = target_complexity(generation(session, stage.judged_by)) if settings.curriculum else None
    candidates = [Candidate(row.id, row.language or "", len(_text(row)), classes.get(row.id)) for row in rows]
    chosen, dropped = draw(candidates, settings.instructions, settings.quotas.to_quotas(), target)
    for key, reason in dropped.items():
        dropping.drop(key, reason)
    return chosen


def _write(
    stage: Stage, session: Session, rows: Sequence[InstructionRow], classes: dict[int, Classification]
) -> int:
    """Store the selections in place of earlier ones; returns how many are held out."""
    session.execute(delete(SelectionRow).where(SelectionRow.iteration_id == stage.iteration))
    held_out = 0
    for row in rows:
        one = classes.get(row.id)
        aside = is_held_out(row.digest, stage.settings.held_out_share)
        held_out += aside
        session.add(
            SelectionRow(
                iteration_id=stage.iteration,
                instruction_id=row.id,
                held_out=aside,
                category=one and one.category,
                complexity=one and one.complexity,
                length=one and one.length,
            )
        )
    return held_out


def _without(
    rows: list[InstructionRow], indexes: set[int], reason: str, dropping: Dropping
) -> list[InstructionRow]:
    dropping.drop_all([rows[index].id for index in sorted(indexes)], reason)
    return [row for index, row in enumerate(rows) if index not in indexes]


def _reasons(dropping: Dropping) -> str:
    dropped = dropping.step.to_json()["dropped"]
    return f" (left out: {', '.join(f'{reason} {n}' for reason, n in dropped.items())})" if dropped else ""


def _too_long(rows: Sequence[InstructionRow], limit: int) -> set[int]:
    return {
        index for index, row in enumerate(rows) if sum(len(turn["content"]) for turn in row.messages) > limit
    }


def _answerable(
    stage: Stage, judge: Judge, rows: list[InstructionRow], dropping: Dropping
) -> list[InstructionRow]:
    """Without those that leave the generator no room to answer, or to ask for something similar."""
    most = stage.process.max_model_len - stage.settings.response_tokens - _ASKING

    def overflows(row: InstructionRow) -> bool:
        # No tokenizer makes more tokens than bytes; most rows are told by that.
        size = sum(len(turn["content"].encode()) for turn in row.messages)
        return size > most and len(judge.assembler.chat(Instruction.from_json(row.messages))) > most

    return _without(rows, {index for index, row in enumerate(rows) if overflows(row)}, "too_long", dropping)


def _print(row: InstructionRow) -> Print:
    if row.signature is None or row.bands is None:
        return fingerprints.take(Instruction.from_json(row.messages))
    return Print(row.signature, tuple(row.bands))


def _protected(session: Session, rows: Sequence[InstructionRow]) -> set[int]:
    protected.protect_anchors(session)
    close: list[Close | None] = []
    for start in range(0, len(rows), _AT_ONCE):
        part = [Instruction.from_json(row.messages) for row in rows[start : start + _AT_ONCE]]
        close += protected.closest(session, part)
    return {index for index, one in enumerate(close) if one}


def _text(row: InstructionRow) -> str:
    return str(row.messages[-1]["content"])
