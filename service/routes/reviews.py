"""`/admin/reviews`: pairs for people to judge, and what came of it: estimates, files, anchors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from judge.comparison import Comparison
from judge.errors import Fault, InvalidInput
from judge.evaluation import anchors
from judge.judging.deciding import decide
from judge.judging.judge import Judge
from judge.judging.voting import Decision
from judge.prompts.guide import PLAIN
from judge.review import figures, files, items
from judge.review.figures import Seen
from judge.review.items import Judged, Offer, Signals
from judge.store.audit import record
from judge.store.keys import Principal
from service.door.auth import allow
from service.requests.guidance import options
from service.routes.anchors import AnchorSet
from service.schemas.judging import PairwiseRequest
from service.schemas.reviews import (
    AccuracyAnswer,
    AddedAnswer,
    AgreementAnswer,
    AnchorsRequest,
    Items,
    JudgeAnswer,
    JudgeRequest,
)
from service.state import State, state

router = APIRouter(prefix="/admin/reviews", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
Tenant = Annotated[str | None, Query(description="whose reviews; default: those of the key's tenant")]
Source = Annotated[str, Query(min_length=1, max_length=200, description="where the pairs are from")]
_JSONL = {"application/jsonl": {"schema": {"type": "string", "description": "one pair a line"}}}
_AT_ONCE = 8


@router.post("/items", openapi_extra={"requestBody": {"required": True, "content": _JSONL}})
async def add(
    request: Request,
    caller: Admin,
    app: App,
    source: Source = "given",
    share: Annotated[float, Query(ge=0, le=1, description="of the pairs for the random sample")] = 1.0,
    reviewer: Annotated[
        str | None, Query(max_length=200, description="take the file's labels as this reviewer's answers")
    ] = None,
    tenant: Tenant = None,
) -> AddedAnswer:
    """Bring in pairs for people to judge, or reviews from elsewhere. One bad line and nothing is stored."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault("body", f"not UTF-8: {error}")) from error
    offers = files.parse(text.split("\n"), source, share, reviewer)
    return await asyncio.to_thread(_store, app, tenant or caller.tenant, offers, caller.name)


def _store(app: State, tenant: str, offers: list[Offer], actor: str) -> AddedAnswer:
    with app.sessions.begin() as session:
        added = items.add(session, tenant, offers, app.settings.reviewers)
        record(session, actor, "add review items", {"tenant": tenant, "added": added})
    return AddedAnswer(added=added, left_out=len(offers) - added)


@router.post("/judge")
async def judge(request: JudgeRequest, caller: Admin, app: App) -> JudgeAnswer:
    """Have a version in service judge items that it has said nothing about. Nothing of it is live traffic."""
    whose = request.tenant or caller.tenant
    version = await app.champion.decide(request.version, _version)
    found = await asyncio.to_thread(_unjudged, app, whose, version, request.limit)
    places = asyncio.Semaphore(_AT_ONCE)
    salt = app.cache.salt(whose)

    async def one(item: str, comparison: Comparison) -> tuple[str, Decision]:
        async with places:
            with app.admission.enter():
                return item, await app.champion.decide(version, _deciding(comparison, salt))

    made = await asyncio.gather(*(one(*item) for item in found))
    await asyncio.to_thread(_note, app, made)
    return JudgeAnswer(version=version, judged=len(made), more=len(found) == request.limit)


async def _version(judge: Judge) -> str:
    return judge.version


def _deciding(comparison: Comparison, salt: str) -> Callable[[Judge], Awaitable[Decision]]:
    """As `/judge/pairwise` decides where nothing else is asked for."""
    asked = PairwiseRequest.model_validate(
        {
            "messages": comparison.instruction.to_json(),
            "response_a": comparison.response_a,
            "response_b": comparison.response_b,
        }
    )
    chosen = options(asked, PLAIN, salt)
    return lambda judge: decide(judge, comparison, asked.mode, chosen)


def _unjudged(app: State, tenant: str, version: str, limit: int) -> list[tuple[str, Comparison]]:
    with app.sessions() as session:
        return items.unjudged(session, tenant, version, limit)


def _note(app: State, made: list[tuple[str, Decision]]) -> None:
    with app.sessions.begin() as session:
        for item, decision in made:
            judged = Judged(decision.model_version, decision.verdict, decision.probability_a)
            items.note(session, item, judged, Signals.of(decision))


@router.get("/agreement")
def agreement(
    caller: Admin, app: App, source: str | None = None, items: Items = "random", tenant: Tenant = None
) -> AgreementAnswer:
    """As `GET /review/agreement`, of any tenant."""
    seen = _seen(app, tenant or caller.tenant, source, sample=items == "random")
    return AgreementAnswer.model_validate(figures.agreement(seen))


@router.get("/accuracy")
def accuracy(
    caller: Admin, app: App, version: str, source: str | None = None, tenant: Tenant = None
) -> AccuracyAnswer:
    """How often a version says what people say: from few labels, and its verdicts on the random sample."""
    seen = _seen(app, tenant or caller.tenant, source, sample=True)
    return AccuracyAnswer.model_validate(figures.accuracy(seen, version))


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "one pair a line", "content": _JSONL}},
)
def export(
    caller: Admin,
    app: App,
    source: str | None = None,
    undecided: Annotated[bool, Query(description="also pairs without a majority")] = False,
    tenant: Tenant = None,
) -> StreamingResponse:
    """The pairs that people have labeled, with every answer and verdict."""
    seen = _seen(app, tenant or caller.tenant, source, sample=False)
    lines: Iterator[str] = files.lines(seen, undecided=undecided)
    return StreamingResponse(lines, media_type="application/jsonl")


@router.post("/anchors")
async def make_anchors(request: AnchorsRequest, caller: Admin, app: App) -> AnchorSet:
    """Make the labels an anchor set, in place of the one of that name: the gate guards it from then on."""
    return await asyncio.to_thread(_anchor, app, request.tenant or caller.tenant, request, caller.name)


def _anchor(app: State, tenant: str, request: AnchorsRequest, actor: str) -> AnchorSet:
    with app.sessions.begin() as session:
        pairs = figures.as_anchors(figures.seen(session, tenant, source=request.source), request.reviewers)
        if not pairs:
            raise InvalidInput(
                Fault("reviewers", f"no pair has a label of {request.reviewers} reviewers yet")
            )
        anchors.replace_anchors(session, request.name, pairs)
        details = {"set": request.name, "pairs": len(pairs), "tenant": tenant}
        record(session, actor, "make anchors of reviews", details)
    return AnchorSet(name=request.name, pairs=len(pairs))


def _seen(app: State, tenant: str, source: str | None, *, sample: bool) -> list[Seen]:
    with app.sessions() as session:
        return figures.seen(session, tenant, source=source, sample=sample)
