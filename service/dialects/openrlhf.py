"""OpenRLHF's remote reward model: `--remote_rm_url http://…/get_reward`.

Its client (0.11) posts one sample at a time, waits 180 seconds, makes five tries a second apart whatever the
answer was, and drops the sample's reward after that. So this waits for room rather than refusing at once.
With several URLs all but one are sent nothing, and are answered at once.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from judge.errors import Fault, InvalidInput
from judge.judging.rewards import RewardItem
from judge.prompts.transcripts import split
from service.dialects.calls import App, Caller, InUrl, number_of, reward_all, share_of
from service.schemas.rewards import MOST_ITEMS

router = APIRouter(tags=["dialects"])
_DEADLINE_S = 170.0


class GetReward(BaseModel):
    """Whole texts, special tokens spelled out; `prompts` are what they begin with. `labels` are not read."""

    query: list[str] = Field(max_length=MOST_ITEMS)
    prompts: list[str] | None = None
    labels: list[Any] | None = None


@router.post("/get_reward")
async def get_reward(
    request: GetReward, http: Request, caller: Caller, app: App, url: InUrl
) -> dict[str, Any]:
    """A reward for each text. `scores` are between 0 and 1, for dynamic filtering."""
    if not request.query:
        return _answer([], [], [])
    prompts: Sequence[str | None] = request.prompts or [None] * len(request.query)
    if len(prompts) != len(request.query):
        raise InvalidInput(Fault("prompts", f"must be {len(request.query)}, as many as `query`"))
    items = []
    for number, (text, prompt) in enumerate(zip(request.query, prompts, strict=True)):
        found = split(text, prompt, f"query.{number}", single_turn=url.single_turn)
        items.append(RewardItem(found.instruction, found.response))
    made = await reward_all(
        http, app, caller, items, url, "log_odds", patience_s=_DEADLINE_S, deadline_s=_DEADLINE_S
    )
    numbers, shares = [number_of(one) for one in made.rewards], [share_of(one) for one in made.rewards]
    return _answer(numbers, shares, [float(one.truncated) for one in made.rewards])


def _answer(rewards: list[float], scores: list[float], truncated: list[float]) -> dict[str, Any]:
    # The same names every time: the client averages what it finds under each over a whole step.
    logs = {"judge_score": scores, "judge_truncated": truncated}
    return {"rewards": rewards, "scores": scores, "extra_logs": logs}
