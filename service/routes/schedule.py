"""`/admin/schedule`: when iterations begin by themselves."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from judge.errors import NotFound
from judge.store.keys import Principal
from judge.store.tables import ScheduleRow
from judge.teaching import planning, schedule
from judge.versions.version import VersionStore
from service.door.auth import allow
from service.schemas.iterations import ScheduleAnswer, ScheduleRequest
from service.state import State, state

router = APIRouter(prefix="/admin/schedule", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.get("")
def show(caller: Admin, app: App) -> ScheduleAnswer:
    """The schedule, and how near it is."""
    with app.sessions() as session:
        row = schedule.get(session)
        if row is None:
            raise NotFound("there is no schedule")
        return _answer(session, row)


@router.put("")
def put(request: ScheduleRequest, caller: Admin, app: App) -> ScheduleAnswer:
    """Set the schedule, in place of the one before."""
    with app.sessions.begin() as session:
        planned = planning.plan(
            session,
            VersionStore(app.settings.models_dir),
            app.settings.max_model_len,
            request.profile,
            request.settings,
        )
        row = schedule.put(
            session,
            planned.profile,
            request.settings,
            caller.name,
            cron=request.cron,
            every=request.every,
        )
        return _answer(session, row)


@router.delete("", status_code=204)
def remove(caller: Admin, app: App) -> None:
    """Turn it off. An iteration in progress goes on."""
    with app.sessions.begin() as session:
        schedule.remove(session, caller.name)


def _answer(session: Session, row: ScheduleRow) -> ScheduleAnswer:
    return ScheduleAnswer(
        cron=row.cron,
        every=row.every,
        profile=row.profile,
        settings=row.settings,
        next_at=schedule.next_time(row),
        new_instructions=schedule.new_instructions(session, row),
        stopped=row.stopped,
    )
