"""Evaluate: candidate, champion and seed on the same labeled pairs, on a vLLM engine of their own.

The candidate never touches the engine that serves. Sets: the held-out constructed pairs, in two shares
split by instruction (`held_out_fit` fits temperatures and tie bands and picks the strategy of the direct
mode, `held_out` decides at the gate), and every anchor set. Candidate and champion are attacked as well
(`workers.attack`). All but `held_out_fit` is judged as it will be or is served: the candidate with what was
just fitted, champion and seed as their manifests say (docs/decisions/0014). Then the candidate is sealed as a
model version, with a manifest that says which strategy serves and how it is calibrated.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from judge.backend.vllm import VLLM, Backends
from judge.comparison import Comparison, Instruction
from judge.judging.judge import Judge
from judge.judging.scoring import STRATEGIES, Strategy
from judge.prompts.templates import pairwise_direct
from judge.store.tables import IterationRow, ModelVersion
from judge.versions.version import Probe, StrategyCalibration, read_manifest
from workers.attack import ATTACKS, PHRASES, attack_reads, measure_attacks, measure_phrases
from workers.counting import Counting, judged
from workers.engine import evaluation_engine, take_weights
from workers.outcomes import fitted_on, measure, store_figures, store_outcomes, stored_already
from workers.seal import FIT, HELD_OUT, best_strategy, calibrations, seal
from workers.sets import Sets, anchored_in, load_sets, pairs_for
from workers.stage import Stage

_ATTACKED = ("candidate", "champion")


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


async def measure_all(stage: Stage, sets: Sets, url: str, counting: Counting) -> Probe:
    """Every version on every set; what is stored already is not repeated. Returns the candidate's probe."""
    server = VLLM(url, timeout_s=stage.process.backend_timeout_s)
    stored = stored_already(stage)
    planned = 0.0
    probe: Probe | None = None

    async def take(judge: Judge, steps: Iterable[tuple[str, str]]) -> None:
        nonlocal planned
        for dataset, how in steps:
            pairs = pairs_for(stage, sets, dataset, how)
            if (judge.version, dataset, how) not in stored:
                counting.begin(f"{judge.version} on {dataset}, {how}")
                outcomes = await measure(stage, judge, pairs, how, counting)
                store_outcomes(stage, judge, dataset, how, outcomes)
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
        store_figures(stage, role, ATTACKS, how, *await measure_attacks(stage, judge, how, counting))
    if (role, PHRASES, how) not in stored:
        measured = await measure_phrases(stage, judge, how, sets[HELD_OUT], counting)
        store_figures(stage, role, PHRASES, how, *measured)


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
    return [*held_out, (HELD_OUT, "reasoning"), *((dataset, best) for dataset in anchored_in(sets))]


def _looks(stage: Stage, sets: Sets) -> float:
    """What measuring one version costs, in label reads."""
    direct = len(STRATEGIES) * (len(sets[FIT]) + len(sets[HELD_OUT]))
    direct += sum(len(sets[dataset]) for dataset in anchored_in(sets))
    reasoned = len(pairs_for(stage, sets, HELD_OUT, "reasoning"))
    tokens = stage.settings.reasoning_tokens
    return direct * judged("direct", tokens) + reasoned * judged("reasoning", tokens)


def _best(stage: Stage, role: str) -> Strategy:
    """The direct strategy that is right more often on the share kept for fitting."""
    return best_strategy(fitted_on(stage), role)


def _served(stage: Stage, role: str, folder: Path) -> dict[str, StrategyCalibration]:
    """How a version's log-odds become verdicts in service."""
    return calibrations(fitted_on(stage)) if role == "candidate" else read_manifest(folder).calibration


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
