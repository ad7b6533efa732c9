"""`/admin/drift`: whether what the versions answer has changed since they began to serve."""

from typing import Annotated

from fastapi import APIRouter, Depends

from judge.evaluation import drift_windows
from judge.store.keys import Principal
from service.door.auth import allow
from service.schemas.reviews import DriftAnswer
from service.state import State, state

router = APIRouter(prefix="/admin/drift", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


@router.get("")
def drift(caller: Admin, app: App, version: str | None = None) -> DriftAnswer:
    """The streams of decisions with their newest windows, and the alarms: all, or of one version."""
    with app.sessions() as session:
        found = [
            stream for stream in drift_windows.streams(session) if version is None or stream.key[0] == version
        ]
    alarms = [
        {
            **dict(zip(("version", "kind", "mode"), stream.key, strict=True)),
            "since": stream.since.isoformat() if stream.since else None,
            **change.to_json(),
        }
        for stream in found
        for change in stream.alarms
    ]
    return DriftAnswer(alarms=alarms, streams=[stream.to_json() for stream in found])
