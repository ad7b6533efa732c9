"""Seal: the measured candidate becomes a model version, named by its content.

Its manifest says what it was trained with, what was measured, which strategy serves the direct mode and
how each is calibrated; its model card (`judge.card`) says the same to people.
"""

import shutil

from sqlalchemy import select

from judge import card
from judge.scoring import STRATEGIES, Calibration, Strategy, fit_temperature
from judge.tables import EvaluationRow, IterationRow
from judge.versions import Manifest, Probe, StrategyCalibration
from workers.stage import Stage

FIT, HELD_OUT = "held_out_fit", "held_out"
CARD = "README.md"
_NEVER, _UNSURE = 0.5, 0.75


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
    fits = {name: _fit(measured[("candidate", FIT, name)]) for name in STRATEGIES}
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
        calibration={
            name: StrategyCalibration(temperature=fit.temperature, tie_band=fit.tie_band, pairs=fit.pairs)
            for name, fit in fits.items()
        },
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


def best_strategy(measured: dict[tuple[str, str, str], EvaluationRow], role: str) -> Strategy:
    """The direct strategy that is right more often on the share kept for fitting; pairwise if equal."""

    def score(strategy: Strategy) -> float:
        share = measured[(role, FIT, strategy)].metrics.get("consistent_accuracy")
        return float(share[0]) if share else 0.0

    return max(STRATEGIES, key=score)


def cascade_threshold(measured: dict[tuple[str, str, str], EvaluationRow], strategy: Strategy) -> float:
    """Where the candidate's cascade goes on to reasoning: nowhere unless that is right more often.

    Both are measured on held-out pairs. A small judge that always finds the first response better when it
    reasons would otherwise spend many votes to learn nothing.
    """
    reasoning = measured[("candidate", HELD_OUT, "reasoning")]
    direct = {item["item"]: item for item in measured[("candidate", HELD_OUT, strategy)].items}
    right = [(item["correct"], direct[item["item"]]["correct"]) for item in reasoning.items]
    gained = sum(reasoned - plain for reasoned, plain in right)
    return _UNSURE if gained > 0 else _NEVER


def _fit(row: EvaluationRow) -> Calibration:
    odds = [item["log_odds"] for item in row.items]
    return fit_temperature(odds, [True] * len(odds)) if odds else Calibration()
