"""`/admin/quarantine`: instructions kept apart; read the reasons, then release or delete them."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import func, select

from judge.gathering import quarantine
from judge.store.keys import Principal
from judge.store.tables import QuarantineRow
from service.door.auth import allow
from service.schemas.gathering import Count, QuarantineAnswer, Quarantined, QuarantineRequest
from service.state import State, state

router = APIRouter(prefix="/admin/quarantine", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
Kind = Literal["contaminated", "flood", "planted"]


@router.get("")
def listed(
    caller: Admin,
    app: App,
    kind: Kind | None = None,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> QuarantineAnswer:
    """The oldest ones with an id above `after`, with their reasons."""
    with app.sessions() as session:
        rows = quarantine.page(session, kind=kind, after=after, limit=limit)
        counts = session.execute(
            select(QuarantineRow.kind, func.count()).group_by(QuarantineRow.kind).order_by(QuarantineRow.kind)
        ).all()
        found = dict(counts)
    return QuarantineAnswer(
        counts=found,
        quarantined=[Quarantined.model_validate(row) for row in rows],
    )


@router.post("/release")
async def release(request: QuarantineRequest, caller: Admin, app: App) -> Count:
    """Put them into the pool, for good."""
    return await asyncio.to_thread(_do, app, quarantine.release, request, caller.name)


@router.post("/delete")
async def discard(request: QuarantineRequest, caller: Admin, app: App) -> Count:
    """Delete them. One that comes in again is looked at again."""
    return await asyncio.to_thread(_do, app, quarantine.discard, request, caller.name)


def _do(app: State, act: Any, request: QuarantineRequest, actor: str) -> Count:
    chosen = QuarantineRow.id.in_(request.ids) if request.ids else QuarantineRow.kind == request.kind
    with app.sessions.begin() as session:
        return Count(count=act(session, chosen, actor))
