"""Pair: generate responses and construct preference pairs from them.

Rejected responses to related requests are those to modified instructions or those of neighbors, by setting or
by what the generator is measured to be able to write. Responses that say nothing, refuse, repeat themselves,
are cut off or in the wrong language are left out, and so are pairs of nearly the same response and pairs that
no prompt of the judge's can hold: no later stage has to deal with one of those.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from judge.comparison import Instruction, PreferencePair
from judge.judging.judge import Judge
from judge.pairs.responses import near_identical
from judge.pairs.strategies import Answered, construct
from judge.store.tables import PairRow, ResponseRow
from judge.teaching import budget, planning
from judge.teaching.profiles import OF_LOGS, Related
from workers.drops import Dropping
from workers.responses import all_tasks, generate, probing_tasks, selected, why_not, written
from workers.stage import Stage
from workers.turns import training_turns

# Modified instructions by which a generator is measured: cheap, and enough to tell most of them from few.
PROBES = 16
# Pairs of a held-out instruction, at least. They cost no generation, and evenly drawn sets lose some.
_HELD_OUT_EACH = 4
# Next to nothing, but a strategy: serves the instructions that the drawn one cannot.
_STAND_IN = 1e-9


def run(stage: Stage) -> dict[str, Any]:
    """Generate what is missing, then write the pairs of both shares."""
    settings = stage.settings
    related: Related = settings.related
    measured: dict[str, Any] = {}
    if related == "auto":
        quality = asyncio.run(measure(stage))
        related = "modified" if quality["usable_share"] >= settings.usable_share else "neighbor"
        measured = {"generator": {**quality, "chosen": related}}
    mix = resolved(settings.mix.model_dump(), related, stand_in=bool(measured))
    scale = settings.pairs_per_instruction / (sum(mix.values()) - _of_logs(mix) or 1)
    shares = {kind: mix[kind] * scale for kind in ("modified", "hotter")}
    asyncio.run(generate(stage, all_tasks(stage, shares, logged=_of_logs(mix) > 0)))
    return {**construct_pairs(stage, mix), **measured}


async def measure(stage: Stage) -> dict[str, Any]:
    """Have the generator modify and answer a few instructions; the share of those that can be used."""
    tasks = {task.instruction_id: task for task in probing_tasks(stage, PROBES)}
    await generate(stage, list(tasks.values()))
    usable = sum(
        why_not(row, tasks[row.instruction_id].instruction, stage.settings.keep_cut_off) is None
        for row in written(stage)
        if row.kind == "modified" and row.instruction_id in tasks
    )
    return {"asked": len(tasks), "usable": usable, "usable_share": round(usable / len(tasks), 3)}


def resolved(mix: Mapping[str, float], related: Related, *, stand_in: bool = False) -> dict[str, float]:
    """The mix with the shares of `modified` and `neighbor` given to one of them; `mix` leaves it alone.

    With `stand_in`, neighbors take the place of modified instructions that are of no use.
    """
    if related not in ("modified", "neighbor"):
        return dict(mix)
    both = mix["modified"] + mix["neighbor"]
    other = {"neighbor": both * _STAND_IN} if stand_in else {}
    return {**mix, "modified": 0.0, "neighbor": 0.0, **other, related: both}


def _of_logs(mix: Mapping[str, float]) -> float:
    """The share of the strategies by which whole instructions make no pair."""
    return sum(mix[name] for name in OF_LOGS)


def construct_pairs(stage: Stage, mix: Mapping[str, float]) -> dict[str, Any]:
    """Write the pairs of the training and the held-out share, each from its own responses alone.

    Nothing is locked while they are made: of many it takes longer than a lease.
    """
    settings = stage.settings
    judge = planning.judge_of(stage.store, stage.judged_by, stage.process.max_model_len, settings)
    rows, found = written(stage), selected(stage)
    instructions = {row.id: Instruction.from_json(row.messages) for _, row in found}
    responses = Dropping(stage.iteration, "responses", len(rows))
    earlier = training_turns(found) if _of_logs(mix) else []
    asked = {(turn.instruction_id, turn.kind): turn.instruction for turn in earlier}
    # Nothing that the generator wrote is chosen where a better model's response is known.
    by_turns = {turn.instruction_id for turn in earlier}
    texts = _usable(rows, instructions, asked, settings.keep_cut_off, responses)
    rewritten = {row.instruction_id: Instruction.of(row.prompt) for row in rows if row.prompt}
    counts: dict[str, Any] = {"responses": responses.step.kept}
    pairs = Dropping(stage.iteration, "pairs", 0)
    shares: dict[bool, list[tuple[int, PreferencePair]]] = {}
    for held_out in (False, True):
        pool = [
            Answered(
                key=row.id,
                instruction=instructions[row.id],
                response=texts[row.id, "response"],
                modified_response=texts.get((row.id, "modified")),
                hotter_response=texts.get((row.id, "hotter")),
                modified=rewritten.get(row.id),
            )
            for selection, row in found
            if selection.held_out == held_out and row.id not in by_turns and (row.id, "response") in texts
        ]
        if not held_out:
            pool += [turn.answered(texts.get((turn.instruction_id, turn.kind))) for turn in earlier]
        rng = random.Random(f"{settings.seed} pairs {held_out}")
        each = max(settings.pairs_per_instruction, _HELD_OUT_EACH if held_out else 0)
        made = construct(pool, mix, each, rng, both_ways=settings.both_ways and not held_out)
        shares[held_out] = _fitting(judge, _distinct(made, pairs), pairs)
        name = "held_out" if held_out else "training"
        counts[name] = len(shares[held_out])
        counts[f"{name}_strategies"] = dict(Counter(pair.strategy for _, pair in shares[held_out]))
    with stage.lease.transaction() as session:
        session.execute(delete(PairRow).where(PairRow.iteration_id == stage.iteration))
        for held_out, made in shares.items():
            _write(session, stage.iteration, held_out, made)
        for step in (responses, pairs):
            step.write(session)
    return {**counts, "funnel": [responses.step.to_json(), pairs.step.to_json()]}


def _usable(
    rows: Sequence[ResponseRow],
    instructions: Mapping[int, Instruction],
    asked: Mapping[tuple[int, str], Instruction],
    keep_cut_off: bool,
    dropping: Dropping,
) -> dict[tuple[int, str], str]:
    """The texts by instruction and kind, without those that are of no use.

    `asked` holds what was asked where that is not the whole of the instruction.
    """
    texts = {}
    for row in sorted(rows, key=lambda row: (row.instruction_id, row.kind)):
        instruction = asked.get((row.instruction_id, row.kind), instructions[row.instruction_id])
        reason = why_not(row, instruction, keep_cut_off)
        if reason:
            dropping.drop(row.instruction_id, reason)
        else:
            texts[row.instruction_id, row.kind] = row.text
    return texts


def _distinct(
    made: Sequence[tuple[int, PreferencePair]], dropping: Dropping
) -> list[tuple[int, PreferencePair]]:
    """Each pair once, and only if its responses are not nearly the same text."""
    dropping.step.came_in += len(made)
    kept: dict[tuple[int, PreferencePair], tuple[int, PreferencePair]] = {}
    for key, pair in made:
        # Two strategies may have found the same response.
        same = key, replace(pair, strategy="", lender=None)
        if near_identical(pair):
            dropping.drop(key, "near_identical")
        elif same in kept:
            dropping.drop(key, "repeated")
        else:
            kept[same] = key, pair
    return list(kept.values())


def _fitting(
    judge: Judge, made: Sequence[tuple[int, PreferencePair]], dropping: Dropping
) -> list[tuple[int, PreferencePair]]:
    """Those that the judge can be asked about, as it is trained, judges and is measured."""
    kept = []
    for key, pair in made:
        if budget.fits(judge, pair.comparison("a"), reasoned=True):
            kept.append((key, pair))
        else:
            dropping.drop(key, "too_long")
    return kept


def _write(
    session: Session, iteration: int, held_out: bool, made: Sequence[tuple[int, PreferencePair]]
) -> None:
    ordinals: Counter[int] = Counter()
    for key, pair in made:
        session.add(
            PairRow(
                iteration_id=iteration,
                instruction_id=key,
                lender_id=pair.lender,
                ordinal=ordinals[key],
                held_out=held_out,
                strategy=pair.strategy,
                messages=pair.instruction.to_json(),
                chosen=pair.chosen,
                rejected=pair.rejected,
            )
        )
        ordinals[key] += 1
