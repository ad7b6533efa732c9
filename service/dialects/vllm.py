"""vLLM's own scoring routes: `/score`, `/rerank` (also under /v1 and /v2), `/pooling`.

A query is the instruction, a document the response. As with vLLM, a score is between 0 and 1 unless the
activation is turned off; then it is a log-odds.
"""

import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, Field

from judge.errors import Fault, InvalidInput
from judge.judging.rewards import Form, RewardItem
from judge.prompts.transcripts import clean, instruction_of, split
from service.dialects.calls import App, Caller, InUrl, number_of, reward_all
from service.dialects.verl import Texts, usage_of
from service.schemas.rewards import MOST_ITEMS

router = APIRouter(tags=["dialects"])
_PATIENCE_S = 30.0


class Document(BaseModel):
    """A document of a reranking that is an object."""

    text: str


class Score(BaseModel):
    """One query for all documents, or one for each."""

    queries: Texts = Field(validation_alias=AliasChoices("queries", "text_1", "data_1"))
    documents: Texts = Field(validation_alias=AliasChoices("documents", "text_2", "data_2", "items"))
    model: str | None = None
    use_activation: bool | None = None


class Rerank(BaseModel):
    """Documents to order by a query; `top_n` 0 names all."""

    query: str
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=MOST_ITEMS)]
    top_n: int = Field(0, ge=0)
    model: str | None = None
    use_activation: bool | None = None


class Pooling(BaseModel):
    """Conversations as text, the response last."""

    input: Texts
    model: str | None = None
    use_activation: bool | None = None


@router.post("/score")
@router.post("/v1/score")
async def score(request: Score, http: Request, caller: Caller, app: App, url: InUrl) -> dict[str, Any]:
    """A score for each document."""
    queries = _listed(request.queries)
    documents = _listed(request.documents)
    if len(queries) == 1:
        queries *= len(documents)
    if len(queries) != len(documents):
        reason = f"must be 1 or {len(queries)}, as many as there are queries"
        raise InvalidInput(Fault("documents", reason))
    items = [_item(query, text, "queries") for query, text in zip(queries, documents, strict=True)]
    made = await reward_all(
        http, app, caller, items, url, _form(request.use_activation), patience_s=_PATIENCE_S
    )
    rows = [
        {"index": index, "object": "score", "score": number_of(one)} for index, one in enumerate(made.rewards)
    ]
    return _head("score", made.model_version) | {"data": rows, "usage": usage_of(made)}


@router.post("/rerank")
@router.post("/v1/rerank")
@router.post("/v2/rerank")
async def rerank(request: Rerank, http: Request, caller: Caller, app: App, url: InUrl) -> dict[str, Any]:
    """The documents from the best down."""
    texts = [one if isinstance(one, str) else one.text for one in request.documents]
    items = [_item(request.query, text, "query") for text in texts]
    made = await reward_all(
        http, app, caller, items, url, _form(request.use_activation), patience_s=_PATIENCE_S
    )
    numbers = [number_of(one) for one in made.rewards]
    order = sorted(range(len(texts)), key=lambda index: -numbers[index])
    rows = [
        {"index": index, "document": {"text": texts[index]}, "relevance_score": numbers[index]}
        for index in order
    ]
    usage = {name: count for name, count in usage_of(made).items() if name != "completion_tokens"}
    head = {"id": f"rerank-{uuid.uuid4().hex}", "model": made.model_version, "usage": usage}
    return head | {"results": rows[: request.top_n or None]}


@router.post("/pooling")
async def pooling(request: Pooling, http: Request, caller: Caller, app: App, url: InUrl) -> dict[str, Any]:
    """A reward for each conversation."""
    items = []
    for number, text in enumerate(_listed(request.input)):
        found = split(text, None, f"input.{number}", single_turn=url.single_turn)
        items.append(RewardItem(found.instruction, found.response))
    made = await reward_all(
        http, app, caller, items, url, _form(request.use_activation), patience_s=_PATIENCE_S
    )
    rows = [
        {"index": index, "object": "pooling", "data": [number_of(one)]}
        for index, one in enumerate(made.rewards)
    ]
    return _head("pool", made.model_version) | {"data": rows, "usage": usage_of(made)}


def _listed(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _item(query: str, document: str, field: str) -> RewardItem:
    return RewardItem(instruction_of(query, field), clean(document))


def _form(use_activation: bool | None) -> Form:
    return "log_odds" if use_activation is False else "probability"


def _head(prefix: str, version: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": version,
    }
