"""Promote: the gate's answer, and the swap if it is yes."""

import asyncio
from typing import Any

from sqlalchemy import func, select

from judge import gate, iterations
from judge.gate import GateResult, GateSettings, Paired
from judge.llm import Backends
from judge.pointer import read_pointer
from judge.statistics import Outcome
from judge.swap import Swapper
from judge.tables import EvaluationRow, IterationRow
from workers.seal import HELD_OUT, best_strategy
from workers.stage import Stage


def run(stage: Stage) -> dict[str, Any]:
    """Decide, and swap if the gate says so. Repeating it swaps nothing twice."""
    result = decide(stage)
    with stage.lease.transaction() as session:
        row = iterations.get(session, stage.iteration)
        row.gate = result.to_json()
        candidate, already = row.candidate, read_pointer(session)
    assert candidate is not None
    assert already is not None
    status = {"refuse": "refused", "no_decision": "no_decision", "promote": "promoted"}[result.decision]
    if status == "promoted" and stage.settings.promote == "approve":
        status = "awaiting_approval"
    if status == "promoted" and already.champion != candidate:
        stage.lease.progress(0, 1, "swapping")
        asyncio.run(swap(stage, candidate))
    return {"decision": result.decision, "reasons": list(result.reasons), "status": status}


def decide(stage: Stage) -> GateResult:
    """The gate on the stored outcomes: the candidate's strategy against the champion's better one."""
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(EvaluationRow).where(EvaluationRow.iteration_id == stage.iteration)
        ).all()
        # Every earlier test against this champion has spent a part of alpha.
        tested = session.scalar(
            select(func.count())
            .select_from(IterationRow)
            .where(
                IterationRow.judged_by == stage.judged_by,
                IterationRow.gate.is_not(None),
                IterationRow.id != stage.iteration,
            )
        )
    measured = {(row.role, row.dataset, row.strategy): row for row in rows}
    mine, theirs = best_strategy(measured, "candidate"), best_strategy(measured, "champion")

    def outcomes(dataset: str) -> Paired:
        return (
            _outcomes(measured[("champion", dataset, theirs)]),
            _outcomes(measured[("candidate", dataset, mine)]),
        )

    main = outcomes(HELD_OUT)
    guards = {"held-out pairs where the shorter is right": _shorter(main)}
    for dataset in sorted({row.dataset for row in rows if row.dataset.startswith("anchor:")}):
        pair = outcomes(dataset)
        guards[dataset] = pair
        guards[f"{dataset} where the shorter is right"] = _shorter(pair)
    rules = GateSettings(
        settings.gate_alpha, settings.gate_delta, settings.gate_guard_alpha, settings.gate_min_items
    )
    return gate.decide(main, guards, rules, round_number=(tested or 0) + 1)


async def swap(stage: Stage, candidate: str) -> None:
    """Put the candidate into service (`judge.swap`)."""
    backends = Backends.connect(stage.process.backend_urls, stage.process.backend_timeout_s)
    swapper = Swapper(stage.lease.sessions, stage.store, backends, stage.redis)
    try:
        await swapper.promote(candidate, actor=f"iteration {stage.iteration}", details={"by": "gate"})
    finally:
        await backends.aclose()


def _outcomes(row: EvaluationRow) -> list[Outcome]:
    return [Outcome.from_json(item) for item in row.items]


def _shorter(pair: Paired) -> Paired:
    return tuple([outcome for outcome in side if outcome.shorter_right] for side in pair)  # type: ignore[return-value]
