"""How a version judges labeled pairs, and what of it is stored under the iteration."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from judge.evaluation.anchors import LabeledPair
from judge.evaluation.statistics import Outcome, calibration_error, summarize
from judge.judging.deciding import reason
from judge.judging.judge import Judge
from judge.judging.scoring import Strategy
from judge.store.database import outlasting
from judge.store.tables import EvaluationRow
from judge.verdict import Verdict
from workers.batches import in_portions
from workers.counting import Counting, judged
from workers.seal import FIT, Key
from workers.stage import Stage


async def measure(
    stage: Stage, judge: Judge, pairs: Sequence[LabeledPair], how: str, counting: Counting
) -> list[Outcome]:
    """Judge each pair (the preferred response is A) in both orders, by the judge's own calibration."""
    outcomes: list[Outcome] = []

    async def work(pair: LabeledPair) -> Outcome:
        if how == "reasoning":
            decision = await reason(judge, pair.comparison)
            verdicts = [order.verdict for order in decision.orders]
            outcome = _outcome(pair, verdicts, verdicts, None, decision.truncated)
            return replace(outcome, rationale=decision.rationale)
        odds = await judge.log_odds(pair.comparison, _direct(how))
        calibration = judge.calibration(_direct(how))
        verdicts, sides = (
            [calibration.verdict(value, allow_tie=ties) for value in odds.per_order] for ties in (True, False)
        )
        return _outcome(pair, verdicts, sides, odds.overall, odds.truncated)

    def store(results: list[Outcome]) -> None:
        outcomes.extend(results)
        counting.add(len(results) * judged(how, stage.settings.reasoning_tokens))

    await in_portions(pairs, work, store, concurrency=stage.settings.concurrency)
    return sorted(outcomes, key=lambda outcome: outcome.item)


def fitted_on(stage: Stage) -> dict[Key, EvaluationRow]:
    """What was measured on the share kept for fitting."""
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(EvaluationRow).where(
                EvaluationRow.iteration_id == stage.iteration, EvaluationRow.dataset == FIT
            )
        ).all()
    return {(row.role, row.dataset, row.strategy): row for row in rows}


def _direct(how: str) -> Strategy:
    return "pairwise" if how == "pairwise" else "pointwise"


def _outcome(
    pair: LabeledPair,
    verdicts: Sequence[Verdict],
    sides: Sequence[Verdict],
    log_odds: float | None,
    truncated: bool,
) -> Outcome:
    first, last = verdicts
    chosen, rejected = pair.comparison.response_a, pair.comparison.response_b
    return Outcome(
        item=pair.item,
        cluster=pair.comparison.instruction.digest[:16],
        # Pairs with a known winner: a tie leaves it open, which the probe of ties looks at. What is right or
        # wrong is the side (docs/decisions/0016).
        correct=sides[0] == sides[1] == "a",
        verdicts=(first, last),
        sides=(sides[0], sides[1]),
        shorter_right=len(chosen) < len(rejected),
        log_odds=log_odds,
        length=math.log(max(len(chosen), 1) / max(len(rejected), 1)),
        truncated=truncated,
    )


def store_outcomes(stage: Stage, judge: Judge, dataset: str, how: str, outcomes: list[Outcome]) -> None:
    metrics = summarize(outcomes)
    if outcomes and outcomes[0].log_odds is not None:
        metrics |= calibration_error(outcomes, judge.calibration(_direct(how)))
    store_figures(stage, judge.version, dataset, how, metrics, [outcome.to_json() for outcome in outcomes])


def store_figures(
    stage: Stage, role: str, dataset: str, how: str, metrics: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    values = {
        "iteration_id": stage.iteration,
        "role": role,
        "dataset": dataset,
        "strategy": how,
        "metrics": metrics,
        "items": items,
    }

    def act() -> None:
        with stage.lease.transaction() as session:
            session.execute(insert(EvaluationRow).values(values).on_conflict_do_nothing())

    outlasting(act)


def stored_already(stage: Stage) -> set[tuple[str, str, str]]:
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(EvaluationRow.role, EvaluationRow.dataset, EvaluationRow.strategy).where(
                EvaluationRow.iteration_id == stage.iteration
            )
        )
        return {(role, dataset, strategy) for role, dataset, strategy in rows}
