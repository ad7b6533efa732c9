"""slime's remote reward model: `--rm-type remote_rm --rm-url http://…/slime`.

Its client posts one sample at a time over up to 64 connections, waits 120 seconds, makes ten tries with up
to 31 seconds between, and takes the whole body for the reward.
"""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from judge.comparison import Instruction
from judge.judging.rewards import RewardItem
from judge.prompts.transcripts import clean, instruction_of
from service.dialects.calls import App, Caller, InUrl, number_of, reward_all

router = APIRouter(tags=["dialects"])
_DEADLINE_S = 110.0


class Sample(BaseModel):
    """A prompt (a text, under a chat template or not, or messages) and the response. `label` is not read."""

    prompt: str | list[dict[str, Any]]
    response: str
    label: Any = None


@router.post("/slime")
async def remote_rm(request: Sample, http: Request, caller: Caller, app: App, url: InUrl) -> float:
    """The reward, a bare number."""
    if isinstance(request.prompt, str):
        instruction = instruction_of(request.prompt, "prompt")
    else:
        instruction = Instruction.from_json(request.prompt)
    item = RewardItem(instruction, clean(request.response))
    made = await reward_all(
        http, app, caller, [item], url, "log_odds", patience_s=_DEADLINE_S, deadline_s=_DEADLINE_S
    )
    return number_of(made.rewards[0])
