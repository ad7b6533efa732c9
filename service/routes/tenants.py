"""`/admin/tenants`: what each tenant has agreed to."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from sqlalchemy import select

from judge.gathering import tenants
from judge.store.keys import Principal
from judge.store.tables import TenantRow
from service.door.auth import allow
from service.schemas.gathering import Tenant, TenantTerms
from service.state import State, state

router = APIRouter(prefix="/admin/tenants", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
Name = Annotated[str, Path(min_length=1, max_length=200)]


@router.get("")
def listed(caller: Admin, app: App) -> dict[str, list[Tenant]]:
    """The tenants with terms of their own."""
    with app.sessions() as session:
        rows = session.scalars(select(TenantRow).order_by(TenantRow.name)).all()
    return {
        "tenants": [
            Tenant(
                name=row.name,
                capture=row.capture,
                daily_instructions=row.daily_instructions,
                retention_days=row.retention_days,
            )
            for row in rows
        ]
    }


@router.put("/{name}")
async def set_terms(name: Name, terms: TenantTerms, caller: Admin, app: App) -> Tenant:
    """Set a tenant's terms, in place of earlier ones; gateways follow within ten seconds."""
    await asyncio.to_thread(_store, app, name, terms, caller.name)
    return Tenant(name=name, **terms.model_dump())


def _store(app: State, name: str, terms: TenantTerms, actor: str) -> None:
    with app.sessions.begin() as session:
        tenants.set_policy(session, name, **terms.model_dump(), actor=actor)
