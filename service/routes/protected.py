"""`/admin/protected`: items of benchmarks, never to be trained on. Anchors are protected anyway."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select

from judge.comparison import Instruction
from judge.errors import Fault, InvalidInput
from judge.gathering import protected, traces
from judge.store.audit import record
from judge.store.keys import Principal
from judge.store.tables import ProtectedRow
from service.door.auth import allow
from service.routes.anchors import Name
from service.schemas.gathering import ProtectedSet
from service.state import State, state

router = APIRouter(prefix="/admin/protected", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.get("")
def sets(caller: Admin, app: App) -> dict[str, list[ProtectedSet]]:
    """The sets of protected texts; an anchor set is there once something was gathered after it."""
    with app.sessions() as session:
        rows = session.execute(
            select(ProtectedRow.name, func.count()).group_by(ProtectedRow.name).order_by(ProtectedRow.name)
        ).all()
    return {"protected": [ProtectedSet(name=name, items=count) for name, count in rows]}


@router.put(
    "/{name}",
    openapi_extra={"requestBody": {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
async def replace(name: Name, request: Request, caller: Admin, app: App) -> ProtectedSet:
    """Protect the items of a benchmark, in place of the ones of that name: instructions, one a line."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault("body", f"not UTF-8: {error}")) from error
    parsed = traces.parse(text.split("\n"), "plain")
    if parsed.faults:
        raise InvalidInput(*(Fault(bad.place, bad.reason) for bad in parsed.faults[:50]))
    items = [one.instruction for one in parsed.found]
    return ProtectedSet(name=name, items=await asyncio.to_thread(_store, app, name, items, caller.name))


def _store(app: State, name: str, items: list[Instruction], actor: str) -> int:
    with app.sessions.begin() as session:
        count = protected.replace_protected(session, name, items)
        record(session, actor, "protect", {"set": name, "items": count})
    return count
