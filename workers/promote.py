"""Promote: the gate's answer, and what follows a yes: the swap, a person's approval, or a trial."""

import asyncio
from typing import Any

from sqlalchemy import func, select

from judge.backend.patience import back
from judge.backend.vllm import Backends
from judge.errors import Conflict, Pinned
from judge.evaluation.statistics import Outcome, Tally
from judge.gate import gate, trials
from judge.gate.gate import Effects, Evidence, GateResult, GateSettings, Paired, Tallies
from judge.gate.triggers import Effect
from judge.store.tables import EvaluationRow, IterationRow
from judge.teaching import iterations
from judge.versions.pointer import read_pointer
from judge.versions.swap import Swapper
from workers.attack import ATTACKS, PHRASES
from workers.seal import HELD_OUT, best_strategy
from workers.stage import Stage


def run(stage: Stage) -> dict[str, Any]:
    """Decide, and swap if the gate says so. Repeating it swaps nothing twice.

    Raises:
        Conflict: the champion is another than the candidate was compared with, or a trial was asked for and
            there is no engine for it.
    """
    result = decide(stage)
    with stage.lease.transaction() as session:
        row = iterations.get(session, stage.iteration)
        row.gate = result.to_json()
        candidate, already = row.candidate, read_pointer(session)
    assert candidate is not None
    assert already is not None
    if result.decision == "promote" and already.champion not in (stage.judged_by, candidate):
        raise Conflict(
            f"the champion was changed to {already.champion} during the iteration; {candidate} was compared "
            f"with {stage.judged_by}, so it is not promoted"
        )
    status = {"refuse": "refused", "no_decision": "no_decision", "promote": "promoted"}[result.decision]
    if status == "promoted" and already.champion != candidate:
        status = {"approve": "awaiting_approval", "automatic": "promoted"}.get(
            stage.settings.promote, stage.settings.promote
        )
    if status in iterations.ON_TRIAL:
        stage.lease.progress(0, 1, f"loading the candidate for its {status}")
        asyncio.run(prepare(stage, candidate))
        with stage.lease.transaction() as session:
            trials.begin(session, stage.iteration, status, candidate, already.champion)
    if status == "promoted" and already.champion != candidate:
        stage.lease.progress(0, 1, "swapping")
        try:
            asyncio.run(swap(stage, candidate))
        except Pinned as held:
            # Trainers are at work with the champion. Nothing is lost: a person approves when they are done.
            return {
                "decision": result.decision,
                "reasons": [*result.reasons, str(held)],
                "status": "awaiting_approval",
            }
    return {"decision": result.decision, "reasons": list(result.reasons), "status": status}


def decide(stage: Stage) -> GateResult:
    """The gate on the stored outcomes: the candidate's strategy against the champion's better one."""
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(EvaluationRow).where(EvaluationRow.iteration_id == stage.iteration)
        ).all()
        filtered = iterations.get(session, stage.iteration).counts.get("filter", {})
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
    guards: dict[str, Paired] = {}
    for dataset in sorted({row.dataset for row in rows if row.dataset.startswith("anchor:")}):
        pair = outcomes(dataset)
        guards[dataset] = pair
        guards[f"{dataset} where the shorter is right"] = gate.where_shorter_is_right(pair)
    rules = GateSettings(
        settings.gate_alpha, settings.gate_delta, settings.gate_guard_alpha, settings.gate_min_items
    )
    evidence = Evidence(
        seed=_outcomes(measured[("seed", HELD_OUT, best_strategy(measured, "seed"))])
        if stage.seed_version != stage.judged_by
        else (),
        reasoned=(
            _outcomes(measured[("champion", HELD_OUT, "reasoning")]),
            _outcomes(measured[("candidate", HELD_OUT, "reasoning")]),
        ),
        accepted=(filtered.get("accepted", 0), filtered.get("ordered_prompts", 0)),
        attacks=_attacks(measured[("champion", ATTACKS, theirs)], measured[("candidate", ATTACKS, mine)]),
        triggers=_phrases(measured[("champion", PHRASES, theirs)], measured[("candidate", PHRASES, mine)]),
    )
    return gate.decide(main, guards, rules, (tested or 0) + 1, evidence)


async def swap(stage: Stage, candidate: str) -> None:
    """Put the candidate into service (`judge.versions.swap`)."""
    backends = Backends.connect(stage.process.backend_urls, stage.process.backend_timeout_s)
    pinned = Backends.connect(stage.process.pinned_urls, stage.process.backend_timeout_s)
    swapper = Swapper(stage.lease.sessions, stage.store, backends, stage.redis, pinned.servers)
    try:
        await _wait(stage, backends)
        await swapper.promote(candidate, actor=f"iteration {stage.iteration}", details={"by": "gate"})
    finally:
        await backends.aclose()
        await pinned.aclose()


async def prepare(stage: Stage, candidate: str) -> None:
    """Load the candidate into the engines that are there for it."""
    urls = stage.process.candidate_urls
    if not urls:
        raise Conflict(
            f"{stage.settings.promote} needs an engine for the candidate: set JUDGESMITH_CANDIDATE_URLS; the "
            f"gate let {candidate} through, so it may be promoted by hand"
        )
    backends = Backends.connect(urls, stage.process.backend_timeout_s)
    swapper = Swapper(stage.lease.sessions, stage.store, backends, stage.redis)
    try:
        await _wait(stage, backends)
        await swapper.prepare(candidate, backends.servers)
    finally:
        await backends.aclose()


async def _wait(stage: Stage, backends: Backends) -> None:
    """For backends that are away; after that the swap itself says what is wrong."""
    await back(backends.servers, tell=lambda: stage.lease.progress(0, 1, "waiting for the backend"))


def _outcomes(row: EvaluationRow) -> list[Outcome]:
    return [Outcome.from_json(item) for item in row.items]


def _attacks(champion: EvaluationRow, candidate: EvaluationRow) -> Tallies:
    return Tally.from_json(champion.metrics), Tally.from_json(candidate.metrics)


def _phrases(champion: EvaluationRow, candidate: EvaluationRow) -> dict[str, Effects]:
    theirs, mine = champion.metrics["phrases"], candidate.metrics["phrases"]
    return {phrase: (Effect.from_json(theirs[phrase]), Effect.from_json(mine[phrase])) for phrase in mine}
