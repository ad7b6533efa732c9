"""Evaluate: candidate, champion and seed on the same labeled pairs, on a vLLM engine of their own.

The candidate never touches the engine that serves. Sets: the held-out constructed pairs, in two shares
split by instruction (`held_out_fit` fits temperatures and tie bands and picks the strategy of the direct
mode, `held_out` decides at the gate), and every anchor set. Candidate and champion are attacked as well
(`workers.attack`). All but `held_out_fit` is judged as it will be or is served: the candidate with what was
just fitted, champion and seed as their manifests say (docs/decisions/0014). Then the candidate is sealed as a
model version, with a manifest that says which strategy serves and how it is calibrated.
"""

import asyncio
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from judge.backend.vllm import VLLM, Backends
from judge.comparison import Comparison, Instruction
from judge.draw import is_drawn
from judge.evaluation import anchors
from judge.evaluation.anchors import LabeledPair
from judge.evaluation.statistics import Outcome, calibration_error, summarize
from judge.judging.deciding import reason
from judge.judging.judge import Judge
from judge.judging.scoring import STRATEGIES, Strategy
from judge.pairs.balance import even_lengths
from judge.prompts.templates import pairwise_direct
from judge.store.database import outlasting
from judge.store.tables import EvaluationRow, IterationRow, ModelVersion, PairRow
from judge.teaching import budget
from judge.teaching.funnel import Step
from judge.teaching.planning import judge_of
from judge.verdict import Verdict
from judge.versions.version import Probe, StrategyCalibration, read_manifest
from workers.attack import ATTACKS, PHRASES, attack_reads, measure_attacks, measure_phrases
from workers.batches import in_portions
from workers.counting import Counting, judged
from workers.engine import evaluation_engine, take_weights
from workers.seal import FIT, HELD_OUT, Key, best_strategy, calibrations, seal
from workers.stage import Stage

_FIT_SHARE = 0.35
_ATTACKED = ("candidate", "champion")
Sets = dict[str, list[LabeledPair]]


def run(stage: Stage) -> dict[str, Any]:
    """Measure all versions, seal the candidate, register it."""
    sets, anchored = load_sets(stage)
    start = stage.store.path(stage.judged_by)
    counting = Counting(stage, _all_reads(stage, sets))
    with evaluation_engine(stage.process, stage.lease.sessions, start, counting.begin) as url:
        probe = asyncio.run(measure_all(stage, sets, url, counting))
    manifest = seal(stage, probe)
    with stage.lease.transaction() as session:
        values = {
            "id": manifest.id,
            "origin": manifest.origin,
            "iteration_id": stage.iteration,
            "manifest": manifest.model_dump(),
        }
        session.execute(insert(ModelVersion).values(values).on_conflict_do_nothing())
        row = session.get(IterationRow, stage.iteration)
        assert row is not None
        row.candidate = manifest.id
    return {
        "candidate": manifest.id,
        "strategy": manifest.strategy,
        "pairs": {name: len(pairs) for name, pairs in sets.items()},
        "funnel": [anchored.to_json()] if anchored.came_in else [],
    }


def load_sets(stage: Stage) -> tuple[Sets, Step]:
    """The labeled pairs to measure on; the same ones each time for the same data.

    Anchors that no prompt can hold are dropped, and counted.
    """
    settings = stage.settings
    with stage.lease.transaction() as session:
        rows = list(
            session.scalars(
                select(PairRow)
                .where(PairRow.iteration_id == stage.iteration, PairRow.held_out)
                .order_by(PairRow.instruction_id, PairRow.ordinal)
            )
        )
        anchored = anchors.load_anchors(session)
    sets: Sets = {}
    for name, share in ((FIT, _FIT_SHARE), (HELD_OUT, 1 - _FIT_SHARE)):
        own = [row for row in rows if is_drawn(f"fit {row.instruction_id}", _FIT_SHARE) == (name == FIT)]
        rng = random.Random(f"{settings.seed} {name}")
        # As many whose better response is the longer one as the shorter one: length alone is worth nothing.
        even = even_lengths([row.to_pair() for row in own], round(share * settings.evaluated_pairs), rng)
        sets[name] = [LabeledPair(own[i].item, own[i].to_pair().comparison("a"), "a") for i in even]
    judge = judge_of(stage.store, stage.judged_by, stage.process.max_model_len, settings)
    step = Step("anchors")
    for name, pairs in anchored.items():
        decided = [_preferred_first(pair) for pair in pairs if pair.label != "tie"]
        drawn = _sample(decided, settings.evaluated_anchors, f"{settings.seed} {name}")
        kept = [pair for pair in drawn if budget.fits(judge, pair.comparison, reasoned=False)]
        step.came_in += len(drawn)
        step.drop("too_long", len(drawn) - len(kept))
        sets[f"anchor:{name}"] = kept
    return sets, step


async def measure_all(stage: Stage, sets: Sets, url: str, counting: Counting) -> Probe:
    """Every version on every set; what is stored already is not repeated. Returns the candidate's probe."""
    server = VLLM(url, timeout_s=stage.process.backend_timeout_s)
    stored = _stored(stage)
    planned = 0.0
    probe: Probe | None = None

    async def take(judge: Judge, steps: Iterable[tuple[str, str]]) -> None:
        nonlocal planned
        for dataset, how in steps:
            pairs = _pairs(stage, sets, dataset, how)
            if (judge.version, dataset, how) not in stored:
                counting.begin(f"{judge.version} on {dataset}, {how}")
                outcomes = await measure(stage, judge, pairs, how, counting)
                _store(stage, judge, dataset, how, outcomes)
            planned += len(pairs) * judged(how, stage.settings.reasoning_tokens)
            counting.reach(planned)

    try:
        for role, folder in _roles(stage).items():
            await take_weights(server, folder, role)
            judge = _judge(stage, folder, role, Backends([server]), {})
            if role == "candidate":
                probe = await make_probe(judge, server)
            await take(judge, _fitting(sets))
            judge = _judge(stage, folder, role, Backends([server]), _served(stage, role, folder))
            await take(judge, _deciding(stage, sets, role))
            if role in _ATTACKED:
                counting.begin(f"attacks on the {role}")
                await attack(stage, sets, judge, role, _best(stage, role), stored, counting)
                planned += attack_reads(stage.settings)
                counting.reach(planned)
        counting.begin("sealing the candidate")
    finally:
        await server.aclose()
    assert probe is not None
    return probe


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


async def attack(
    stage: Stage,
    sets: Sets,
    judge: Judge,
    role: str,
    how: Strategy,
    stored: set[tuple[str, str, str]],
    counting: Counting,
) -> None:
    """Make the attacks on a judge, by the strategy that serves; what is stored already is not repeated."""
    if (role, ATTACKS, how) not in stored:
        _insert(stage, role, ATTACKS, how, *await measure_attacks(stage, judge, how, counting))
    if (role, PHRASES, how) not in stored:
        measured = await measure_phrases(stage, judge, how, sets[HELD_OUT], counting)
        _insert(stage, role, PHRASES, how, *measured)


async def make_probe(judge: Judge, server: VLLM) -> Probe:
    """A fixed question and this version's answer, for the check after a swap."""
    comparison = Comparison(Instruction.of("Name a color."), "Blue.", "The number seven.")
    prompt = judge.assembler.comparison(pairwise_direct(), comparison, 1)
    labels = [judge.assembler.encoder.label(label) for label in pairwise_direct().labels]
    answer = await server.read_labels(prompt.token_ids, labels)
    return Probe(token_ids=prompt.token_ids, labels=labels, logprobs=list(answer.read.logprobs))


def _roles(stage: Stage) -> dict[str, Path]:
    """The versions that are measured."""
    roles = {"candidate": stage.folder / "candidate", "champion": stage.store.path(stage.judged_by)}
    if stage.seed_version != stage.judged_by:
        roles["seed"] = stage.store.path(stage.seed_version)
    return roles


def _all_reads(stage: Stage, sets: Sets) -> float:
    """What the stage costs, in label reads."""
    return len(_roles(stage)) * _looks(stage, sets) + len(_ATTACKED) * attack_reads(stage.settings)


def _fitting(sets: Sets) -> list[tuple[str, str]]:
    """What is measured before anything is fitted: the log-odds that calibrations are fitted on."""
    return [(FIT, strategy) for strategy in STRATEGIES if sets[FIT]]


def _deciding(stage: Stage, sets: Sets, role: str) -> list[tuple[str, str]]:
    """What is measured how as it is served: held-out pairs by every mode, anchors by the better direct one.

    That is the one that the gate looks at.
    """
    held_out = [(HELD_OUT, strategy) for strategy in STRATEGIES if sets[HELD_OUT]]
    best = _best(stage, role)
    return [*held_out, (HELD_OUT, "reasoning"), *((dataset, best) for dataset in _anchored(sets))]


def _anchored(sets: Sets) -> list[str]:
    return [dataset for dataset in sets if dataset not in (FIT, HELD_OUT) and sets[dataset]]


def _looks(stage: Stage, sets: Sets) -> float:
    """What measuring one version costs, in label reads."""
    direct = len(STRATEGIES) * (len(sets[FIT]) + len(sets[HELD_OUT]))
    direct += sum(len(sets[dataset]) for dataset in _anchored(sets))
    reasoned = len(_pairs(stage, sets, HELD_OUT, "reasoning"))
    tokens = stage.settings.reasoning_tokens
    return direct * judged("direct", tokens) + reasoned * judged("reasoning", tokens)


def _best(stage: Stage, role: str) -> Strategy:
    """The direct strategy that is right more often on the share kept for fitting."""
    return best_strategy(_fitted_on(stage), role)


def _served(stage: Stage, role: str, folder: Path) -> dict[str, StrategyCalibration]:
    """How a version's log-odds become verdicts in service."""
    return calibrations(_fitted_on(stage)) if role == "candidate" else read_manifest(folder).calibration


def _fitted_on(stage: Stage) -> dict[Key, EvaluationRow]:
    """What was measured on the share kept for fitting."""
    with stage.lease.transaction() as session:
        rows = session.scalars(
            select(EvaluationRow).where(
                EvaluationRow.iteration_id == stage.iteration, EvaluationRow.dataset == FIT
            )
        ).all()
    return {(row.role, row.dataset, row.strategy): row for row in rows}


def _pairs(stage: Stage, sets: Sets, dataset: str, how: str) -> list[LabeledPair]:
    pairs = sets[dataset]
    return pairs[: stage.settings.evaluated_reasoning] if how == "reasoning" else pairs


def _judge(
    stage: Stage, folder: Path, role: str, backends: Backends, calibration: dict[str, StrategyCalibration]
) -> Judge:
    return Judge.of_folder(
        folder,
        role,
        backends,
        stage.process.max_model_len,
        calibration=calibration,
        reasoning_tokens=stage.settings.reasoning_tokens,
        field_tokens=stage.settings.field_tokens,
    )


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


def _store(stage: Stage, judge: Judge, dataset: str, how: str, outcomes: list[Outcome]) -> None:
    metrics = summarize(outcomes)
    if outcomes and outcomes[0].log_odds is not None:
        metrics |= calibration_error(outcomes, judge.calibration(_direct(how)))
    _insert(stage, judge.version, dataset, how, metrics, [outcome.to_json() for outcome in outcomes])


def _insert(
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


def _stored(stage: Stage) -> set[tuple[str, str, str]]:
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(EvaluationRow.role, EvaluationRow.dataset, EvaluationRow.strategy).where(
                EvaluationRow.iteration_id == stage.iteration
            )
        )
        return {(role, dataset, strategy) for role, dataset, strategy in rows}


def _preferred_first(pair: LabeledPair) -> LabeledPair:
    if pair.label == "a":
        return pair
    comparison = pair.comparison
    swapped = Comparison(comparison.instruction, comparison.response_b, comparison.response_a)
    return replace(pair, comparison=swapped, label="a")


def _sample(items: Sequence[Any], limit: int, seed: str) -> list[Any]:
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]
