"""Seal: the measured candidate becomes a model version, named by its content.

Its manifest says what it was trained with, what was measured, which strategy serves the direct mode and
how each is calibrated; its model card (`judge.versions.card`) says the same to people.
"""

import shutil
from collections.abc import Mapping

from sqlalchemy import select

from judge.judging.scoring import STRATEGIES, Calibration, Strategy, fit_temperature
from judge.store.tables import EvaluationRow, IterationRow
from judge.versions import card
from judge.versions.version import Manifest, Probe, StrategyCalibration
from workers.stage import Stage

FIT, HELD_OUT = "held_out_fit", "held_out"
CARD = "README.md"
_NEVER, _UNSURE = 0.5, 0.75
# Role, set, strategy.
Key = tuple[str, str, str]


def seal(stage: Stage, probe: Probe) -> Manifest:
    """Name the candidate by its content and move it into the version store."""
    with stage.lease.transaction() as session:
        rows = list(
            session.scalars(select(EvaluationRow).where(EvaluationRow.iteration_id == stage.iteration))
        )
        iteration = session.get(IterationRow, stage.iteration)
        assert iteration is not None
        training = {"profile": stage.profile, "settings": iteration.settings, **iteration.counts["finetune"]}
    measured = {(row.role, row.dataset, row.strategy): row for row in rows}
    strategy = best_strategy(measured, "candidate")
    metrics = {
        dataset: {
            how: row.metrics
            for (role, name, how), row in measured.items()
            if (role, name) == ("candidate", dataset)
        }
        for dataset in sorted({row.dataset for row in rows})
    }
    folder = stage.folder / "candidate"
    copy = stage.folder / "sealing"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    fields = Manifest(
        origin=f"iteration {stage.iteration}",
        parent=stage.seed_version,
        judged_by=stage.judged_by,
        strategy=strategy,
        calibration=calibrations(measured),
        cascade_threshold=cascade_threshold(measured, strategy),
        field_tokens=stage.settings.field_tokens,
        probe=probe,
        metrics=metrics,
        training=training,
        files={},
        tensors="",
    )
    (copy / CARD).write_text(card.render(fields), encoding="utf-8")
    return stage.store.add(copy, **fields.model_dump(exclude={"files", "tensors"}))


def best_strategy(measured: Mapping[Key, EvaluationRow], role: str) -> Strategy:
    """The direct strategy that is right more often on the share kept for fitting; pairwise if equal."""

    def score(strategy: Strategy) -> float:
        row = measured.get((role, FIT, strategy))
        share = row.metrics.get("consistent_accuracy") if row else None
        return float(share[0]) if share else 0.0

    return max(STRATEGIES, key=score)


def cascade_threshold(measured: Mapping[Key, EvaluationRow], strategy: Strategy) -> float:
    """Where the candidate's cascade goes on to reasoning: nowhere unless that is right more often.

    Both are measured on held-out pairs. A small judge that always finds the first response better when it
    reasons would otherwise spend many votes to learn nothing.
    """
    reasoning = measured[("candidate", HELD_OUT, "reasoning")]
    direct = {item["item"]: item for item in measured[("candidate", HELD_OUT, strategy)].items}
    right = [(item["correct"], direct[item["item"]]["correct"]) for item in reasoning.items]
    gained = sum(reasoned - plain for reasoned, plain in right)
    return _UNSURE if gained > 0 else _NEVER


def calibrations(measured: Mapping[Key, EvaluationRow]) -> dict[str, StrategyCalibration]:
    """What the candidate's strategies are served with, fitted on the share that is kept for it.

    The same is in force when the gate's pairs, the attacks and the anchors are measured.
    """
    found: dict[str, StrategyCalibration] = {}
    for name in STRATEGIES:
        row = measured.get(("candidate", FIT, name))
        odds = [item["log_odds"] for item in row.items] if row else []
        fit = fit_temperature(odds, [True] * len(odds)) if odds else Calibration()
        found[name] = StrategyCalibration(temperature=fit.temperature, tie_band=fit.tie_band, pairs=fit.pairs)
    return found
