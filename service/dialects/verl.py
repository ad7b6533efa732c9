"""verl's discriminative reward models: `/classify` (vLLM rollouts) and `/v1/embeddings` (SGLang rollouts).

Its client posts one text, under the reward model's chat template and without the token that begins it, waits
as long as it takes, and makes 16 tries with up to 30 seconds between; but a 4xx ends the training. So what
passes is a 503 here, also where other callers get a 429.
"""

import base64
import struct
import time
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from judge.judging.rewards import Form, RewardItem
from judge.prompts.transcripts import split
from service.dialects.calls import App, Caller, InUrl, UrlOptions, number_of, reward_all
from service.door.problems import Overloaded, OverShare
from service.requests.rewarding import Rewarded
from service.schemas.rewards import MOST_ITEMS

router = APIRouter(tags=["dialects"])
_PATIENCE_S = 30.0
Texts = str | Annotated[list[str], Field(min_length=1, max_length=MOST_ITEMS)]


class Classify(BaseModel):
    """Conversations as text, the response last. Without an activation the number is a log-odds."""

    input: Texts
    model: str | None = None
    use_activation: bool | None = None
    activation: bool | None = Field(None, description="how older clients say `use_activation`")


class Embeddings(BaseModel):
    """Conversations as text, the response last."""

    input: Texts
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"


@router.post("/classify")
async def classify(request: Classify, http: Request, caller: Caller, app: App, url: InUrl) -> dict[str, Any]:
    """vLLM's shape; `probs` has one number, the reward."""
    said = request.use_activation if request.use_activation is not None else request.activation
    made = await _rewarded(
        request.input, http, caller, app, url, "log_odds" if said is False else "probability"
    )
    rows = [
        {"index": index, "label": "LABEL_0", "probs": [number_of(one)], "num_classes": 1}
        for index, one in enumerate(made.rewards)
    ]
    return _listed("classify", made, rows)


@router.post("/v1/embeddings")
async def embeddings(
    request: Embeddings, http: Request, caller: Caller, app: App, url: InUrl
) -> dict[str, Any]:
    """OpenAI's shape; the embedding has one number, the reward."""
    made = await _rewarded(request.input, http, caller, app, url, "log_odds")
    rows = []
    for index, one in enumerate(made.rewards):
        value: Any = [number_of(one)]
        if request.encoding_format == "base64":
            value = base64.b64encode(struct.pack("<f", value[0])).decode()
        rows.append({"index": index, "object": "embedding", "embedding": value})
    return _listed("embd", made, rows)


async def _rewarded(
    texts: Texts, http: Request, caller: Caller, app: App, url: UrlOptions, form: Form
) -> Rewarded:
    items = []
    for number, text in enumerate([texts] if isinstance(texts, str) else texts):
        found = split(text, None, f"input.{number}", single_turn=url.single_turn)
        items.append(RewardItem(found.instruction, found.response))
    try:
        return await reward_all(http, app, caller, items, url, form, patience_s=_PATIENCE_S)
    except OverShare as error:
        raise Overloaded(str(error), error.retry_after_s) from error


def _listed(prefix: str, made: Rewarded, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": made.model_version,
        "data": rows,
        "usage": usage_of(made),
    }


def usage_of(made: Rewarded) -> dict[str, int]:
    """Tokens in OpenAI's words."""
    prompt, completion = made.usage.prompt_tokens, made.usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
