"""`/judge/*`: synchronous decisions."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from judge.store.keys import Principal
from service.door.auth import allow
from service.requests.judging import pairwise, single
from service.requests.streaming import Pieces, streamed
from service.schemas.judging import PairwiseAnswer, PairwiseRequest, SingleAnswer, SingleRequest
from service.state import State, state

router = APIRouter(prefix="/judge", tags=["judge"])
Caller = Annotated[Principal, Depends(allow("judge"))]
App = Annotated[State, Depends(state)]


@router.post("/pairwise", response_model=PairwiseAnswer)
async def pairwise_route(request: PairwiseRequest, caller: Caller, app: App) -> Response:
    """Which of two responses serves the user better; both orders are judged, by one model version.

    With `stream`: server-sent events `rationale` (pieces of text), `restart` (it begins anew, what was sent
    is void), then `decision` with this answer, or `error` with a problem.
    """
    if request.stream:
        return _events(lambda pieces: pairwise(request, caller, app, pieces))
    return _json(await pairwise(request, caller, app))


@router.post("/single", response_model=SingleAnswer)
async def single_route(request: SingleRequest, caller: Caller, app: App) -> Response:
    """Rate one response on a scale; in the reasoning mode with a critique.

    With `stream`: the events of `/judge/pairwise`; `rationale` is the critique, `decision` this answer.
    """
    if request.stream:
        return _events(lambda pieces: single(request, caller, app, pieces))
    return _json(await single(request, caller, app))


def _events(answer: Callable[[Pieces], Awaitable[BaseModel]]) -> Response:
    return StreamingResponse(streamed(answer), media_type="text/event-stream")


def _json(answer: BaseModel) -> Response:
    # A response of our own: FastAPI would check the model a second time before writing it.
    return Response(answer.model_dump_json(), media_type="application/json")
