"""`/admin/models`: which versions there are, their cards, promote one by hand, roll back."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse
from sqlalchemy import select

from judge.errors import Conflict, NotFound
from judge.store.keys import Principal
from judge.store.tables import IterationRow, ModelVersion
from judge.teaching.iterations import ON_TRIAL
from judge.versions import card
from judge.versions.pointer import Pointer, read_pointer
from judge.versions.version import Manifest
from service.door.auth import allow
from service.schemas.models import ModelsAnswer, PointerAnswer, VersionAnswer
from service.state import State, state

router = APIRouter(prefix="/admin/models", tags=["admin"])
# The candidate is known and nobody has promoted or refused it.
OPEN = ("awaiting_approval", *ON_TRIAL)
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
Force = Annotated[bool, Query(description="even if running trainers have pinned the champion")]


@router.get("")
def models(caller: Admin, app: App) -> ModelsAnswer:
    """The versions, newest first, and the aliases."""
    with app.sessions() as session:
        pointer = read_pointer(session)
        rows = session.scalars(select(ModelVersion).order_by(ModelVersion.created_at.desc())).all()
        waiting = session.scalar(
            select(IterationRow.candidate)
            .where(IterationRow.status.in_(OPEN))
            .order_by(IterationRow.id.desc())
            .limit(1)
        )
    return ModelsAnswer(
        champion=pointer.champion if pointer else None,
        previous=pointer.previous if pointer else None,
        candidate=waiting,
        versions=[
            VersionAnswer(
                id=row.id,
                origin=row.origin,
                created_at=row.created_at,
                strategy=row.manifest["strategy"],
                metrics=row.manifest["metrics"],
            )
            for row in rows
        ],
    )


@router.get("/{version}/card", response_class=PlainTextResponse)
def model_card(version: str, caller: Admin, app: App) -> PlainTextResponse:
    """The model card (Markdown): lineage, data, settings, metrics, weaknesses, the gate's answer."""
    with app.sessions() as session:
        row = session.get(ModelVersion, version)
        if row is None:
            raise NotFound(f"model version {version!r} is not known")
        iteration = session.get(IterationRow, row.iteration_id) if row.iteration_id else None
        text = card.render(
            Manifest.model_validate(row.manifest), version=row.id, gate=iteration.gate if iteration else None
        )
    return PlainTextResponse(text, media_type="text/markdown")


@router.post("/rollback")
async def roll_back(caller: Admin, app: App, force: Force = False) -> PointerAnswer:
    """Make the previous version the champion again."""
    pointer = await asyncio.to_thread(_pointer, app)
    if pointer is None or pointer.previous is None:
        raise Conflict("there is no previous version to go back to")
    return await put_into_service(app, pointer.previous, caller, "roll back", force=force)


@router.post("/{version}/promote")
async def promote(version: str, caller: Admin, app: App, force: Force = False) -> PointerAnswer:
    """Put a version into service; returns when it serves. The gate is not asked: a person is."""
    if not await asyncio.to_thread(_registered, app, version):
        raise NotFound(f"model version {version!r} is not known")
    return await put_into_service(app, version, caller, "promote", force=force)


async def put_into_service(
    app: State, version: str, caller: Principal, act: str, *, force: bool = False
) -> PointerAnswer:
    """Swap, and note it at the iteration that made the version."""
    # Shielded: a caller that hangs up must not leave a backend between two versions.
    swap = asyncio.ensure_future(app.swapper.promote(version, actor=caller.name, act=act, force=force))
    pointer = await asyncio.shield(swap)
    await asyncio.to_thread(_approved, app, version)
    await app.champion.refresh()
    return PointerAnswer(champion=pointer.champion, previous=pointer.previous)


def _approved(app: State, version: str) -> None:
    with app.sessions.begin() as session:
        rows = session.scalars(
            select(IterationRow).where(IterationRow.candidate == version, IterationRow.status.in_(OPEN))
        )
        for row in rows:
            row.status = "promoted"


def _pointer(app: State) -> Pointer | None:
    with app.sessions() as session:
        return read_pointer(session)


def _registered(app: State, version: str) -> bool:
    with app.sessions() as session:
        return session.get(ModelVersion, version) is not None
