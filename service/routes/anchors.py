"""`/admin/anchors`: labeled pairs that candidates are measured on and never trained on."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel
from sqlalchemy import func, select

from judge.errors import Fault, InvalidInput
from judge.evaluation import anchors
from judge.store.audit import record
from judge.store.keys import Principal
from judge.store.tables import AnchorRow
from service.door.auth import allow
from service.state import State, state

router = APIRouter(prefix="/admin/anchors", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
Name = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]


class AnchorSet(BaseModel):
    """An anchor set and how many pairs it holds."""

    name: str
    pairs: int


@router.get("")
def sets(caller: Admin, app: App) -> dict[str, list[AnchorSet]]:
    """The anchor sets."""
    with app.sessions() as session:
        rows = session.execute(
            select(AnchorRow.anchor_set, func.count())
            .group_by(AnchorRow.anchor_set)
            .order_by(AnchorRow.anchor_set)
        ).all()
    return {"anchors": [AnchorSet(name=name, pairs=count) for name, count in rows]}


@router.put(
    "/{name}",
    openapi_extra={"requestBody": {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
async def replace(name: Name, request: Request, caller: Admin, app: App) -> AnchorSet:
    """Store a set in place of the one of that name. One bad line and nothing is stored."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault("body", f"not UTF-8: {error}")) from error
    pairs = anchors.parse_anchors(text.split("\n"))  # other separators of lines may stand inside a text
    await asyncio.to_thread(_store, app, name, pairs, caller.name)
    return AnchorSet(name=name, pairs=len({pair.item for pair in pairs}))


def _store(app: State, name: str, pairs: list[anchors.LabeledPair], actor: str) -> None:
    with app.sessions.begin() as session:
        anchors.replace_anchors(session, name, pairs)
        record(session, actor, "replace anchors", {"set": name, "pairs": len(pairs)})
