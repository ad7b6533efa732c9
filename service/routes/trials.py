"""`/admin/iterations/{id}`: what its candidate did on live traffic; a person's yes or no."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends

from judge.errors import Conflict
from judge.gate import trials
from judge.store.audit import record
from judge.store.keys import Principal
from judge.store.tables import IterationRow, TrialRow
from judge.teaching import iterations
from judge.versions.pointer import read_pointer
from service.door.auth import allow
from service.routes.models import put_into_service
from service.schemas.models import PointerAnswer, RejectRequest, TrialAnswer
from service.state import State, state

router = APIRouter(prefix="/admin/iterations", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.get("/{number}/shadow")
def shadow(number: int, caller: Admin, app: App) -> TrialAnswer:
    """The report of a shadow or a canary: verdicts of both, flips, ties, times, and how it ended."""
    with app.sessions() as session:
        found = trials.report(session, number)
        row, iteration = session.get_one(TrialRow, number), iterations.get(session, number)
        return TrialAnswer(
            iteration=number,
            mode=row.mode,
            status=iteration.status,
            candidate=row.version,
            champion=row.champion,
            wanted=iteration.settings["trial_decisions"],
            outcome=row.outcome,
            reason=row.reason,
            started_at=row.started_at,
            finished_at=row.finished_at,
            **found.to_json(),
        )


@router.post("/{number}/approve")
async def approve(number: int, caller: Admin, app: App) -> PointerAnswer:
    """Put a candidate that waits for approval into service; returns when it serves."""
    version = await asyncio.to_thread(_waiting, app, number)
    return await put_into_service(app, version, caller, "approve")


@router.post("/{number}/reject")
def reject(number: int, request: RejectRequest, caller: Admin, app: App) -> dict[str, str]:
    """Refuse a candidate that waits for approval."""
    with app.sessions.begin() as session:
        row = _awaiting(iterations.get(session, number))
        row.status = "refused"
        details = {"iteration": number, "version": row.candidate, "reason": request.reason}
        record(session, caller.name, "reject", details)
        return {"status": row.status}


def _waiting(app: State, number: int) -> str:
    with app.sessions() as session:
        row, pointer = _awaiting(iterations.get(session, number)), read_pointer(session)
    if pointer is None or pointer.champion != row.judged_by:
        raise Conflict(
            f"the gate compared {row.candidate} with {row.judged_by}, which serves no more; promote it "
            "by its id if it is to serve nevertheless"
        )
    assert row.candidate is not None
    return row.candidate


def _awaiting(row: IterationRow) -> IterationRow:
    if row.status != "awaiting_approval":
        raise Conflict(f"iteration {row.id} is {row.status}; its candidate waits for no approval")
    return row
