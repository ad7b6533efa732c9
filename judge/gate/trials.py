"""Trials: a candidate that the gate let through meets live traffic before it serves.

As a `shadow` it judges a share of the live comparisons beside the champion, whose verdict is answered; then
a person decides. As a `canary` it answers that share itself; then it is promoted. In both, an alarm refuses
it at once. A trial goes on while its iteration has the mode as its status; every change is one transaction
with an audit entry, so any number of gateways may work on one trial.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.draw import is_drawn
from judge.errors import NotFound
from judge.evaluation.statistics import Tally, wilson
from judge.store.audit import record as audit
from judge.store.tables import IterationRow, TrialDecisionRow, TrialRow
from judge.teaching import iterations
from judge.teaching.iterations import ON_TRIAL
from judge.teaching.profiles import IterationSettings
from judge.versions.pointer import read_pointer

# Medians of fewer are chance, and so are verdicts that were turned.
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that goes on. `passed`: only the promotion is left."""

    iteration: int
    mode: str
    version: str
    champion: str
    settings: IterationSettings
    passed: bool

    def routed(self, decision_id: str) -> bool:
        """Whether this decision is one of the share; the same in every gateway."""
        return is_drawn(f"{self.iteration} {decision_id}", self.settings.trial_share)


@dataclass(frozen=True, slots=True)
class Seen:
    """One comparison of a trial; what a judge did not give is None. `failure`: why the candidate did not."""

    decision_id: str
    answered_by: str
    champion_verdict: str | None = None
    candidate_verdict: str | None = None
    champion_probability_a: float | None = None
    candidate_probability_a: float | None = None
    champion_ms: float | None = None
    candidate_ms: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a trial has shown so far.

    `verdicts`: how often the champion said the one and the candidate the other. `flips`: turned from one
    response to the other, of the comparisons in which both had decided. `invalid`, `ties`: the candidate's.
    `moved`: mean absolute change of P(A is better).
    """

    decisions: int
    verdicts: dict[str, dict[str, int]]
    flips: Tally
    invalid: Tally
    ties: Tally
    moved: float | None
    champion_ms: float | None
    candidate_ms: float | None
    timed: int

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        tallies = {name: getattr(self, name).to_json() for name in ("flips", "invalid", "ties")}
        return {**asdict(self), **tallies}


def begin(session: Session, iteration: int, mode: str, version: str, champion: str) -> None:
    """Write down the trial; it goes on once the iteration has the mode as its status. Again: nothing."""
    values = {"iteration_id": iteration, "mode": mode, "version": version, "champion": champion}
    made = session.execute(
        insert(TrialRow).values(values).on_conflict_do_nothing().returning(TrialRow.iteration_id)
    ).scalar_one_or_none()
    if made is not None:
        audit(session, f"iteration {iteration}", f"begin {mode}", {"version": version, "champion": champion})


def current(session: Session) -> Trial | None:
    """The trial that goes on. One whose champion was changed meanwhile is ended first."""
    found = session.execute(
        select(TrialRow, IterationRow)
        .join(IterationRow, IterationRow.id == TrialRow.iteration_id)
        .where(IterationRow.status.in_(ON_TRIAL))
    ).first()
    if found is None:
        return None
    row, iteration = found
    pointer = read_pointer(session)
    if pointer is None or pointer.champion != row.champion:
        _overtaken(session, row.iteration_id, pointer.champion if pointer else "nobody")
        return None
    settings = IterationSettings.model_validate(iteration.settings)
    passed = row.outcome == "passed"
    return Trial(row.iteration_id, row.mode, row.version, row.champion, settings, passed)


def record(session: Session, trial: Trial, seen: Seen) -> str | None:
    """Keep what was seen; end the trial on an alarm or when there is enough. Returns the outcome, if any."""
    row = _open(session, trial.iteration)
    if row is None or row.outcome:
        return row.outcome if row else "stopped"
    values = {"iteration_id": trial.iteration, **asdict(seen)}
    session.execute(insert(TrialDecisionRow).values(values).on_conflict_do_nothing())
    found = report(session, trial.iteration)
    reason = alarm(found, trial.settings)
    if reason:
        _end(session, row, "refused", reason, "refused")
    elif found.decisions >= trial.settings.trial_decisions:
        status = "awaiting_approval" if row.mode == "shadow" else row.mode
        _end(session, row, "passed", f"{found.decisions} comparisons without an alarm", status)
    return row.outcome


def refuse(session: Session, iteration: int, reason: str) -> None:
    """End a trial against the candidate; nothing if it is over."""
    row = _open(session, iteration)
    if row is not None:
        _end(session, row, "refused", reason, "refused")


def promoted(session: Session, iteration: int) -> None:
    """Note that the candidate serves now; nothing if it is noted."""
    row = _open(session, iteration)
    if row is not None:
        _end(session, row, row.outcome or "stopped", row.reason or "promoted meanwhile", "promoted")


def report(session: Session, iteration: int) -> Report:
    """What a trial has shown.

    Raises:
        NotFound: the iteration had none.
    """
    if session.get(TrialRow, iteration) is None:
        raise NotFound(f"iteration {iteration} had no trial")
    row = TrialDecisionRow
    mine = row.iteration_id == iteration
    counts = session.execute(
        select(row.champion_verdict, row.candidate_verdict, func.count())
        .where(mine)
        .group_by(row.champion_verdict, row.candidate_verdict)
    ).all()
    moved, champion_ms, candidate_ms, timed = session.execute(
        select(
            func.avg(func.abs(row.champion_probability_a - row.candidate_probability_a)),
            func.percentile_cont(0.5).within_group(row.champion_ms),
            func.percentile_cont(0.5).within_group(row.candidate_ms),
            func.count(),
        ).where(mine, row.champion_ms.is_not(None), row.candidate_ms.is_not(None))
    ).one()
    verdicts: dict[str, dict[str, int]] = {}
    for champion, candidate, count in counts:
        verdicts.setdefault(champion or "none", {})[candidate or "none"] = count

    def of(verdict: str) -> int:
        return sum(count for _, candidate, count in counts if (candidate or "none") == verdict)

    decisions = sum(count for *_, count in counts)
    both = [(one != other, count) for one, other, count in counts if {one, other} <= {"a", "b"}]
    return Report(
        decisions=decisions,
        verdicts=verdicts,
        flips=Tally(sum(count for flipped, count in both if flipped), sum(count for _, count in both)),
        invalid=Tally(of("invalid") + of("none"), decisions),
        ties=Tally(of("tie"), decisions),
        moved=moved,
        champion_ms=champion_ms,
        candidate_ms=candidate_ms,
        timed=timed,
    )


def alarm(found: Report, settings: IterationSettings) -> str | None:
    """Why the trial must stop, or None. A rate speaks once its Wilson bound (95%) is beyond the limit.

    It is asked after every comparison, so turned verdicts, of which a good candidate has many, speak only
    when there are some.
    """
    limits = (
        ("turned verdicts", found.flips, settings.trial_flip_rate, _FEWEST),
        ("comparisons without a verdict", found.invalid, settings.trial_invalid_rate, 1),
        ("ties", found.ties, settings.trial_tie_rate, 1),
    )
    for name, tally, limit, fewest in limits:
        if tally.trials >= fewest and wilson(tally.successes, tally.trials)[0] > limit:
            return f"{name}: {tally.successes} of {tally.trials}, at most {limit:g} are tolerated"
    if found.timed >= _FEWEST and found.champion_ms and found.candidate_ms:
        ratio = found.candidate_ms / found.champion_ms
        if ratio > settings.trial_latency_ratio:
            return (
                f"slower: {found.candidate_ms:.0f} ms in the median where the champion takes "
                f"{found.champion_ms:.0f} ms, at most {settings.trial_latency_ratio:g} times are tolerated"
            )
    return None


def _overtaken(session: Session, iteration: int, champion: str) -> None:
    row = _open(session, iteration)
    if row is None:
        return
    if champion == row.version:
        promoted(session, iteration)
    else:
        _end(session, row, "stopped", f"the champion was changed to {champion} during the trial", "refused")


def _open(session: Session, iteration: int) -> TrialRow | None:
    """The trial, locked, if it goes on; its lock comes before that of its iteration everywhere."""
    row = session.get(TrialRow, iteration, with_for_update=True, populate_existing=True)
    status = session.scalar(select(IterationRow.status).where(IterationRow.id == iteration))
    return row if row is not None and status in ON_TRIAL else None


def _end(session: Session, row: TrialRow, outcome: str, reason: str, status: str) -> None:
    row.outcome, row.reason, row.finished_at = outcome, reason, func.now()
    iteration = iterations.get(session, row.iteration_id)
    iteration.status = status
    details = {"version": row.version, "outcome": outcome, "reason": reason, "status": status}
    audit(session, f"iteration {row.iteration_id}", f"end {row.mode}", details)
    session.flush()
