"""`/judge/rank`: the order of responses to one instruction, or of systems over many."""

from typing import Annotated

from fastapi import APIRouter, Depends

from judge.store.keys import Principal
from service.door.auth import allow
from service.requests import ranking
from service.schemas.ranking import RankAnswer, RankRequest, RankSystemsAnswer, RankSystemsRequest
from service.state import State, state

router = APIRouter(prefix="/judge/rank", tags=["judge"])
Caller = Annotated[Principal, Depends(allow("judge"))]


@router.post("")
async def rank(request: RankRequest, caller: Caller, app: Annotated[State, Depends(state)]) -> RankAnswer:
    """Order responses from the best down, by one model version; `top_k` 1 is best-of-n.

    `pointwise` reads each response once and orders by reward. `tournament` compares pairs in both orders (all
    pairs of up to 8 responses, beyond that 4 comparisons a response in a seeded schedule that connects all)
    and fits Bradley-Terry strengths. Equal texts are judged once and share a rank.
    """
    return await ranking.rank(request, caller, app)


@router.post("/systems")
async def systems(
    request: RankSystemsRequest, caller: Caller, app: Annotated[State, Depends(state)]
) -> RankSystemsAnswer:
    """Order systems by what they answered to many instructions, with intervals over the instructions.

    The instructions are not captured for teaching: who compares systems on them wants to go on doing so.
    """
    return await ranking.systems(request, caller, app)
