"""`/livez`, `/readyz`, `/metrics`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.state import State, state

router = APIRouter(tags=["operations"])
App = Annotated[State, Depends(state)]


@router.get("/livez")
async def alive() -> dict[str, str]:
    """This process answers."""
    return {"status": "alive"}


@router.get("/readyz")
async def ready(app: App) -> JSONResponse:
    """Whether a decision could be made now, and what is missing."""
    champion = app.champion
    body = {
        "status": "ready" if champion.ready else "not ready",
        "database": champion.database_ready,
        "backend": champion.backend_ready,
        "champion": champion.pointer.champion if champion.pointer else None,
    }
    return JSONResponse(body, 200 if champion.ready else 503)


@router.get("/metrics")
async def metrics(app: App) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(app.metrics.registry), media_type=CONTENT_TYPE_LATEST)
