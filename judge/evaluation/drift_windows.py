"""The windows of drift: recorded decisions, counted when their time is over, and compared with the first.

A window is over when it is some hours long and holds decisions about enough instructions. Each instruction
counts once in it, with its first decision: what is said about one instruction is not independent. A worker
closes windows (`workers.gather`); reading them costs nothing that grows with the traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Float, and_, case, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.evaluation.drift import BINS, Change, Counts, compare
from judge.store.tables import DecisionRow, DriftWindowRow, ModelVersion

# What a stream of decisions is: a version, a kind and a mode.
Key = tuple[str, str, str]
_KINDS = (
    ("pairwise", "direct"),
    ("pairwise", "reasoning"),
    ("pairwise", "cascade"),
    ("single", "direct"),
    ("single", "reasoning"),
)
# Decisions are committed a little after the time they carry.
_SETTLED = timedelta(seconds=30)
_LOCK = 6020214
# Windows of a stream that are read: the newest ones.
_SHOWN = 50
_KEY = (DriftWindowRow.model_version, DriftWindowRow.kind, DriftWindowRow.mode)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream with its windows: the first, the newest ones in the order of time, and how the last differs.

    `since`: the beginning of the first of the last windows that all had an alarm; None if the last has none.
    """

    key: Key
    first: DriftWindowRow
    windows: tuple[DriftWindowRow, ...]
    changes: tuple[Change, ...]
    since: datetime | None

    @property
    def alarms(self) -> list[Change]:
        """The changes that are alarms."""
        return [change for change in self.changes if change.alarm]

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        version, kind, mode = self.key
        return {
            "version": version,
            "kind": kind,
            "mode": mode,
            "windows": [_shown(row) for row in self.windows],
            "first": _shown(self.first),
            "changes": [change.to_json() for change in self.changes],
            "since": self.since.isoformat() if self.since else None,
        }


def close(session: Session, decisions: int, hours: float) -> int:
    """Count and store the windows that are over; returns how many. Another caller at work leaves it to them.

    Args:
        decisions: instructions that a window needs.
        hours: how long it is at least.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
        return 0
    now = session.scalar(select(func.now()))
    assert now is not None
    closed = 0
    for version in session.scalars(select(ModelVersion.id).order_by(ModelVersion.id)).all():
        for kind, mode in _KINDS:
            while _close_next(session, (version, kind, mode), decisions, timedelta(hours=hours), now):
                closed += 1
    return closed


def streams(session: Session) -> list[Stream]:
    """Every stream that has a window, with what its last one shows."""
    rows: dict[Key, list[DriftWindowRow]] = {}
    last = func.max(DriftWindowRow.ordinal).over(partition_by=_KEY)
    ranked = select(*_KEY, DriftWindowRow.ordinal, last.label("last")).subquery()
    matches = [column == ranked.c[column.key] for column in (*_KEY, DriftWindowRow.ordinal)]
    query = select(DriftWindowRow).join(ranked, and_(*matches)).order_by(*_KEY, DriftWindowRow.ordinal)
    shown = (ranked.c.ordinal == 1) | (ranked.c.ordinal > ranked.c.last - _SHOWN)
    for row in session.scalars(query.where(shown)):
        rows.setdefault((row.model_version, row.kind, row.mode), []).append(row)
    return [_stream(key, found) for key, found in rows.items()]


def _stream(key: Key, rows: list[DriftWindowRow]) -> Stream:
    first = rows[0]
    counts = Counts.from_json(first.counts)
    since: datetime | None = None
    changes: list[Change] = []
    for row in rows[1:]:
        changes = compare(counts, Counts.from_json(row.counts), look=row.ordinal - 1)
        if not any(change.alarm for change in changes):
            since = None
        elif since is None:
            since = row.started_at
    return Stream(key, first, tuple(rows), tuple(changes), since)


def _close_next(session: Session, key: Key, decisions: int, long: timedelta, now: datetime) -> bool:
    """Store the next window of a stream if it is over."""
    last = session.scalar(
        select(DriftWindowRow)
        .where(*(column == value for column, value in zip(_KEY, key, strict=True)))
        .order_by(DriftWindowRow.ordinal.desc())
        .limit(1)
    )
    mine = _of(key)
    if last is not None:
        mine = (*mine, DecisionRow.at > last.ended_at)
    begun = session.scalar(select(func.min(DecisionRow.at)).where(*mine))
    if begun is None or begun + long > now - _SETTLED:
        return False
    first = func.min(DecisionRow.at)
    enough = session.scalar(
        select(first)
        .where(*mine)
        .group_by(DecisionRow.instruction_digest)
        .order_by(first)
        .offset(decisions - 1)
        .limit(1)
    )
    if enough is None:
        return False
    end = max(enough, begun + long)
    if end > now - _SETTLED:
        return False
    values = {
        **dict(zip(("model_version", "kind", "mode"), key, strict=True)),
        "ordinal": last.ordinal + 1 if last else 1,
        "started_at": begun,
        "ended_at": end,
        "counts": _count(session, (*mine, DecisionRow.at <= end)).to_json(),
    }
    session.execute(insert(DriftWindowRow).values(values).on_conflict_do_nothing())
    return True


def _of(key: Key) -> tuple[Any, ...]:
    version, kind, mode = key
    return DecisionRow.model_version == version, DecisionRow.kind == kind, DecisionRow.mode == mode


def _count(session: Session, chosen: Sequence[Any]) -> Counts:
    """Each instruction's first decision, counted in the database."""
    sure = func.greatest(DecisionRow.probability_a, 1 - DecisionRow.probability_a)
    turn = func.row_number().over(
        partition_by=DecisionRow.instruction_digest, order_by=(DecisionRow.at, DecisionRow.id)
    )
    every = (
        select(
            DecisionRow.verdict,
            DecisionRow.flipped,
            _bin(sure, 0.5).label("sure"),
            _bin(DecisionRow.level, 0.0).label("level"),
            turn.label("turn"),
        )
        .where(*chosen)
        .subquery()
    )
    parts = (every.c.verdict, every.c.flipped, every.c.sure, every.c.level)
    verdicts: dict[str, int] = {}
    flips = ordered = 0
    confidence, levels = [0] * BINS, [0] * BINS
    counted = select(*parts, func.count().label("times")).where(every.c.turn == 1).group_by(*parts)
    for row in session.execute(counted):
        verdicts[row.verdict] = verdicts.get(row.verdict, 0) + row.times
        flips += row.times if row.flipped else 0
        ordered += row.times if row.flipped is not None else 0
        if row.sure is not None:
            confidence[row.sure] += row.times
        if row.level is not None:
            levels[row.level] += row.times
    return Counts(verdicts, flips, ordered, confidence, levels)


def _bin(value: Any, low: float) -> Any:
    """The bin from 0; the upper end of the range belongs to the last one. Null stays null."""
    number = func.width_bucket(cast(value, Float), low, 1.0, BINS) - 1
    return case((value.is_not(None), func.least(func.greatest(number, 0), BINS - 1)))


def _shown(row: DriftWindowRow) -> dict[str, Any]:
    counts = Counts.from_json(row.counts)
    return {
        "ordinal": row.ordinal,
        "started_at": row.started_at.isoformat(),
        "ended_at": row.ended_at.isoformat(),
        "decisions": counts.decisions,
        "figures": {name: round(value, 4) for name, value in counts.figures().items()},
    }
