"""The schedule: an iteration at certain times (cron, in UTC), or with every so many new instructions.

There is one schedule, in one row. Whether an iteration is due is decided under a lock on that row, so that
several workers start one. A time that was missed, because nothing ran or another iteration did, is made up
once, however many there were.

Every test against a champion spends a part of the gate's alpha, so none is wasted: a time at which nothing
has come in since an iteration that promoted nothing passes without one, each iteration has a random seed of
its own, and after two in a row that promoted nothing the schedule stops until it is set again. While a
candidate waits for approval, it waits too.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from croniter import croniter
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from judge.errors import Fault, InvalidInput
from judge.store.audit import record
from judge.store.tables import InstructionRow, IterationRow, ScheduleRow
from judge.teaching import campaigns, iterations
from judge.teaching.profiles import Profile, iteration_settings
from judge.versions.pointer import read_pointer

logger = logging.getLogger(__name__)


def put(
    session: Session,
    profile: Profile,
    overrides: dict[str, Any],
    actor: str,
    *,
    cron: str | None = None,
    every: int | None = None,
) -> ScheduleRow:
    """Set the schedule in place of the one before; it counts from now.

    Raises:
        InvalidInput: not exactly one of `cron` and `every` is given, or `cron` is not a cron expression of
            five fields, or an override is wrong.
    """
    iteration_settings(profile, overrides)
    if (cron is None) == (every is None):
        raise InvalidInput(Fault("cron", "give either cron or every"))
    if cron is not None and (len(cron.split()) != 5 or not croniter.is_valid(cron)):
        raise InvalidInput(Fault("cron", "must be five fields: minute, hour, day, month, weekday"))
    values = {
        "id": 1,
        "cron": cron,
        "every": every,
        "profile": profile,
        "settings": overrides,
        "actor": actor,
        "served_until": func.now(),
        "last_instruction": _newest(session),
        "after_iteration": session.scalar(select(func.max(IterationRow.id))) or 0,
        "stopped": None,
    }
    session.execute(
        insert(ScheduleRow).values(values).on_conflict_do_update(index_elements=["id"], set_=values)
    )
    record(session, actor, "set schedule", {"cron": cron, "every": every, "profile": profile})
    return session.get_one(ScheduleRow, 1, populate_existing=True)


def get(session: Session) -> ScheduleRow | None:
    """The schedule, if there is one."""
    return session.get(ScheduleRow, 1)


def remove(session: Session, actor: str) -> None:
    """Turn it off; nothing happens if it is."""
    if session.scalar(delete(ScheduleRow).returning(ScheduleRow.id)) is not None:
        record(session, actor, "remove schedule", {})


def next_time(row: ScheduleRow) -> datetime | None:
    """When a cron schedule is due: a time that is past is to be made up.

    None for the other kind, and where it has stopped.
    """
    if row.cron is None or row.stopped:
        return None
    found: datetime = croniter(row.cron, row.served_until.astimezone(UTC)).get_next(datetime)
    return found


def new_instructions(session: Session, row: ScheduleRow) -> int:
    """Instructions that came since the schedule was set or last served."""
    count = select(func.count()).select_from(InstructionRow).where(InstructionRow.id > row.last_instruction)
    return session.scalar(count) or 0


def begin_due(session: Session, now: datetime | None = None) -> IterationRow | None:
    """Start an iteration if one is due, nothing is in progress, and it is not known to be in vain.

    `now`: default the database's time, since workers' clocks differ.

    Raises:
        InvalidInput: a setting of the schedule is not one of this release.
    """
    row = session.scalar(select(ScheduleRow).with_for_update(skip_locked=True))
    if row is None or row.stopped or iterations.active(session) or campaigns.running(session):
        return None
    past = members(session, row)
    if past and past[-1].status == "awaiting_approval":
        return None
    decided = [one for one in past if one.status not in ("failed", "cancelled")]
    if campaigns.in_vain([one.status for one in decided]):
        _stop(session, row, decided)
        return None
    now = now or session.scalars(select(func.now())).one()
    at = next_time(row)
    due = at <= now if at is not None else new_instructions(session, row) >= (row.every or 0)
    pointer = read_pointer(session)
    if not due or pointer is None:
        return None
    # Whoever counts new instructions never comes here without them.
    repeated = past and past[-1].status in campaigns.IN_VAIN and past[-1].judged_by == pointer.champion
    nothing_new = not new_instructions(session, row)
    row.served_until, row.last_instruction = now, _newest(session)
    if repeated and nothing_new:
        logger.info("no iteration: nothing has come in since %d, which promoted nothing", past[-1].id)
        return None
    profile: Profile = row.profile  # type: ignore[assignment]
    settings = iteration_settings(profile, row.settings)
    settings = settings.model_copy(update={"seed": settings.seed + len(past)})
    begun = iterations.start(session, profile, settings, f"schedule of {row.actor}")
    begun.scheduled = True
    session.flush()
    return begun


def members(session: Session, row: ScheduleRow) -> list[IterationRow]:
    """The iterations that the schedule has begun since it was set, oldest first."""
    begun = IterationRow.scheduled & (IterationRow.id > row.after_iteration)
    return list(session.scalars(select(IterationRow).where(begun).order_by(IterationRow.id)))


def _stop(session: Session, row: ScheduleRow, past: list[IterationRow]) -> None:
    last = " and ".join(str(one.id) for one in past[-campaigns.MAX_REFUSALS :])
    row.stopped = f"its iterations {last} promoted nothing; see why, then set the schedule again to resume"
    record(session, "schedule", "stop schedule", {"reason": row.stopped})
    logger.warning("the schedule has stopped: %s", row.stopped)


def _newest(session: Session) -> int:
    return session.scalar(select(func.max(InstructionRow.id))) or 0
