"""`/reward/pins`: holding a version for the time of a run; `/admin/pins`: who holds what."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from judge.errors import NotServed
from judge.store.keys import Principal
from judge.versions import pins
from judge.versions.pins import Pin
from judge.versions.pointer import read_pointer
from service.door.auth import allow
from service.schemas.rewards import PinAnswer, PinRequest
from service.state import State, state

router = APIRouter(tags=["reward"])
Caller = Annotated[Principal, Depends(allow("reward"))]
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.post("/reward/pins", status_code=201)
async def pin(request: PinRequest, response: Response, caller: Caller, app: App) -> PinAnswer:
    """Hold the champion, or another served version, under a name; the same name again renews it (200).

    While a pin lasts, no swap takes its version away without an engine of its own, unless an admin insists.
    """
    made, new = await asyncio.to_thread(_make, app, caller, request)
    app.pinned.forget(caller.tenant, made.name)
    response.status_code = 201 if new else 200
    return _shown(app, made)


@router.get("/reward/pins/{name}")
def one(name: str, caller: Caller, app: App) -> PinAnswer:
    """A pin of this tenant."""
    with app.sessions() as session:
        return _shown(app, pins.get(session, caller.tenant, name))


@router.delete("/reward/pins/{name}", status_code=204)
async def release(name: str, caller: Caller, app: App) -> None:
    """The run is over: swaps need not wait for it."""
    await asyncio.to_thread(_release, app, caller.tenant, name, caller.name)


@router.get("/admin/pins")
def every(caller: Admin, app: App) -> dict[str, list[PinAnswer]]:
    """All pins, those first that run out last."""
    with app.sessions() as session:
        return {"pins": [_shown(app, pin) for pin in pins.every(session)]}


@router.delete("/admin/pins/{tenant}/{name}", status_code=204)
async def release_any(tenant: str, name: str, caller: Admin, app: App) -> None:
    """Release a pin of any tenant; its run gets no more rewards once its version is swapped away."""
    await asyncio.to_thread(_release, app, tenant, name, caller.name)


def _make(app: State, caller: Principal, request: PinRequest) -> tuple[Pin, bool]:
    with app.sessions.begin() as session:
        pointer = read_pointer(session)
        aliases = {"champion": pointer.champion, "previous": pointer.previous} if pointer else {}
        version = aliases.get(request.version, request.version) if request.version else None
        made, new = pins.make(session, caller.tenant, request.name, version, request.ttl_s, caller.name)
        if new and pointer and made.version != pointer.champion and not app.settings.pinned_urls:
            raise NotServed(
                f"version {made.version} is not in service, {pointer.champion} is; there is no engine for "
                "other versions (JUDGESMITH_PINNED_URLS)"
            )
        return made, new


def _release(app: State, tenant: str, name: str, actor: str) -> None:
    with app.sessions.begin() as session:
        pins.release(session, tenant, name, actor)
    app.pinned.forget(tenant, name)


def _shown(app: State, pin: Pin) -> PinAnswer:
    return PinAnswer(
        name=pin.name,
        version=pin.version,
        served=app.pinned.serves(pin.version),
        ttl_s=pin.ttl_s,
        created_at=pin.created_at,
        expires_at=pin.expires_at,
        tenant=pin.tenant,
        created_by=pin.created_by,
    )
