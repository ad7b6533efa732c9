"""`/judge/*`: synchronous decisions."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from judge.comparison import Instruction
from judge.guide import Scale
from judge.instructions import Gathered
from judge.judging import Judge, Options
from judge.keys import Principal
from judge.templates import pairwise_direct, pairwise_reasoning, pointwise, single_reasoning
from judge.voting import CriterionRating, Decision, Rating, Usage
from service.auth import allow
from service.guidance import Guidance, guidance, options
from service.problems import problem_of
from service.schemas import (
    CriterionAnswer,
    OrderAnswer,
    PairwiseAnswer,
    PairwiseRequest,
    SingleAnswer,
    SingleRequest,
    UsageAnswer,
)
from service.state import State, state

router = APIRouter(prefix="/judge", tags=["judge"])
Caller = Annotated[Principal, Depends(allow("judge"))]
App = Annotated[State, Depends(state)]


@router.post("/pairwise", response_model=PairwiseAnswer)
async def pairwise_route(request: PairwiseRequest, caller: Caller, app: App) -> Response | PairwiseAnswer:
    """Which of two responses serves the user better; both orders are judged, by one model version.

    With `stream`: server-sent events `rationale` (pieces of text), `restart` (the model was changed, what was
    sent is void), then `decision` with this answer, or `error` with a problem.
    """
    if request.stream:
        return StreamingResponse(_streamed(request, caller, app), media_type="text/event-stream")
    return await pairwise(request, caller, app)


@router.post("/single")
async def single_route(request: SingleRequest, caller: Caller, app: App) -> SingleAnswer:
    """Rate one response on a scale; in the reasoning mode with a critique."""
    return await single(request, caller, app)


async def pairwise(
    request: PairwiseRequest, caller: Principal, app: State, on_text: "_OnText | None" = None
) -> PairwiseAnswer:
    """Decide, record, answer."""
    comparison = request.to_comparison()
    guided = await guidance(request, app.classifier)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))

    async def work(judge: Judge) -> tuple[Decision, bool]:
        async def decide() -> Decision:
            if on_text:
                return await judge.reason(comparison, chosen, on_text.begin())
            return await judge.decide(comparison, request.mode, chosen)

        if not request.cache or on_text:
            return await decide(), False
        parts = _parts("pairwise", judge, caller, request.mode, chosen)
        return await app.decisions.judged((*parts, comparison), decide)

    with app.admission.enter():
        started = time.perf_counter()
        decision, cached = await app.champion.decide(request.version, work)
        if cached:
            decision = replace(decision, usage=Usage())
        elapsed = time.perf_counter() - started
        number = uuid.uuid4().hex
        row = _row(number, "pairwise", caller, decision, comparison.instruction, elapsed)
        row |= {
            "verdict": decision.verdict,
            "probability_a": decision.probability_a,
            "strategy": decision.strategy,
            "votes": dict(decision.votes),
        }
        await app.recorder.record(row, _captured(app, caller, comparison.instruction))
    _count(app, "pairwise", decision, decision.verdict, elapsed)
    return PairwiseAnswer(
        id=number,
        verdict=decision.verdict,
        reason=decision.reason,
        probability_a=decision.probability_a,
        rationale=decision.rationale,
        orders=[
            OrderAnswer(first=order.first, verdict=order.verdict, probability_a=order.probability_a)
            for order in decision.orders
        ],
        votes={str(verdict): count for verdict, count in decision.votes.items()},
        strategy=decision.strategy,
        path=decision.path,
        direct_probability_a=decision.direct_probability_a,
        **_tail(decision, guided, cached, elapsed),
    )


async def single(request: SingleRequest, caller: Principal, app: State) -> SingleAnswer:
    """Rate, record, answer."""
    instruction = request.to_instruction()
    guided = await guidance(request, app.classifier)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))
    scale = Scale(request.scale.low, request.scale.high)

    async def work(judge: Judge) -> tuple[Rating, bool]:
        async def rate() -> Rating:
            return await _rate(judge, request, instruction, scale, guided, chosen)

        if not request.cache:
            return await rate(), False
        parts = _parts("single", judge, caller, request.mode, chosen)
        asked = (request.per_criterion, request.suggestions, scale, instruction, request.response)
        return await app.ratings.judged((*parts, *asked), rate)

    with app.admission.enter():
        started = time.perf_counter()
        rating, cached = await app.champion.decide(request.version, work)
        if cached:
            rating = replace(rating, usage=Usage())
        elapsed = time.perf_counter() - started
        number = uuid.uuid4().hex
        outcome = "invalid" if rating.rating is None else "rated"
        row = _row(number, "single", caller, rating, instruction, elapsed)
        row |= {"verdict": outcome, "rating": rating.rating, "votes": {}}
        await app.recorder.record(row, _captured(app, caller, instruction))
    _count(app, "single", rating, outcome, elapsed)
    return SingleAnswer(
        id=number,
        rating=rating.rating,
        outcome="invalid" if rating.rating is None else "rated",
        reason=rating.reason,
        critique=rating.critique,
        criteria=[CriterionAnswer(**asdict(criterion)) for criterion in rating.criteria],
        suggestions=list(rating.suggestions),
        scale=request.scale,
        **_tail(rating, guided, cached, elapsed),
    )


async def _rate(
    judge: Judge,
    request: SingleRequest,
    instruction: Instruction,
    scale: Scale,
    guided: Guidance,
    chosen: Options,
) -> Rating:
    """The rating, by each criterion alone if asked, and improvements if asked."""
    ask = judge.rate if request.mode == "reasoning" else judge.rate_directly
    if request.per_criterion:
        ones = await asyncio.gather(
            *(
                ask(instruction, request.response, scale, replace(chosen, guide=guided.alone(criterion)))
                for criterion in guided.criteria
            )
        )
        weights = [(criterion.name, criterion.weight) for criterion in guided.criteria]
        rating = _combined(list(zip(weights, ones, strict=True)))
    else:
        rating = await ask(instruction, request.response, scale, chosen)
    if request.suggestions:
        lines, usage = await judge.suggest(instruction, request.response, chosen)
        rating = replace(rating, suggestions=lines, usage=rating.usage + usage)
    return rating


def _combined(rated: list[tuple[tuple[str, float], Rating]]) -> Rating:
    """The weighted mean of the criteria that have a valid rating."""
    criteria = tuple(
        CriterionRating(name, weight, one.rating, one.critique, one.reason) for (name, weight), one in rated
    )
    valid = [(item.weight, item.rating) for item in criteria if item.rating is not None]
    total = sum(weight for weight, _ in valid)
    return replace(
        rated[0][1],
        rating=round(sum(weight * rating for weight, rating in valid) / total, 3) if valid else None,
        usage=sum((one.usage for _, one in rated), Usage()),
        truncated=any(one.truncated for _, one in rated),
        reason=None if valid else rated[0][1].reason,
        critique="\n\n".join(f"{item.name}: {item.critique}" for item in criteria if item.critique) or None,
        criteria=criteria,
    )


class _OnText:
    """Pieces of a rationale on their way to the client; None stands for a new beginning."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._begun = False

    def begin(self) -> Any:
        """What a judge gives its text to; after the first time, what was sent before is void."""
        if self._begun:
            self.queue.put_nowait(None)
        self._begun = True
        return self.queue.put_nowait


async def _streamed(request: PairwiseRequest, caller: Principal, app: State) -> AsyncIterator[str]:
    pieces = _OnText()
    task = asyncio.create_task(pairwise(request, caller, app, pieces))
    try:
        while True:
            piece = asyncio.ensure_future(pieces.queue.get())
            await asyncio.wait({piece, task}, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                break
            yield _piece(piece.result())
        while not pieces.queue.empty():
            yield _piece(pieces.queue.get_nowait())
        try:
            yield f"event: decision\ndata: {(await task).model_dump_json()}\n\n"
        except Exception as error:
            yield _event("error", problem_of(error))
    finally:
        task.cancel()


def _piece(text: str | None) -> str:
    return _event("restart", {}) if text is None else _event("rationale", {"text": text})


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _parts(kind: str, judge: Judge, caller: Principal, mode: str, chosen: Options) -> tuple[object, ...]:
    """What decides a judgment beside its texts. The hashes stand for the words of the prompts."""
    form = chosen.guide.form
    templates = (pairwise_direct(form), pairwise_reasoning(form), pointwise(form), single_reasoning(form))
    hashes = tuple(judge.prompt_hash(template) for template in templates)
    return (caller.tenant, kind, judge.version, hashes, mode, replace(chosen, salt=None))


def _row(
    number: str,
    kind: str,
    caller: Principal,
    made: Decision | Rating,
    instruction: Instruction,
    elapsed: float,
) -> dict[str, Any]:
    return {
        "id": number,
        "kind": kind,
        "tenant": caller.tenant,
        "mode": made.mode,
        "strategy": None,
        "model_version": made.model_version,
        "prompt_hash": made.prompt_hash,
        "instruction_digest": instruction.digest,
        "reason": made.reason,
        "probability_a": None,
        "rating": None,
        "prompt_tokens": made.usage.prompt_tokens,
        "completion_tokens": made.usage.completion_tokens,
        "latency_ms": elapsed * 1000,
    }


def _captured(app: State, caller: Principal, instruction: Instruction) -> Gathered | None:
    return Gathered(instruction, "live", caller.tenant) if app.settings.capture else None


def _tail(made: Decision | Rating, guided: Guidance, cached: bool, elapsed: float) -> dict[str, Any]:
    return {
        "mode": made.mode,
        "model_version": made.model_version,
        "prompt_hash": made.prompt_hash,
        "usage": UsageAnswer(
            prompt_tokens=made.usage.prompt_tokens,
            completion_tokens=made.usage.completion_tokens,
            retries=made.usage.retries,
        ),
        "truncated": made.truncated,
        "language": guided.guide.language,
        "rubric": guided.source,
        "cached": cached,
        "latency_ms": round(elapsed * 1000, 3),
    }


def _count(app: State, kind: str, made: Decision | Rating, outcome: str, elapsed: float) -> None:
    app.metrics.decisions.labels(kind, made.mode, outcome).inc()
    app.metrics.seconds.labels(kind, made.mode).observe(elapsed)
    app.metrics.tokens.labels("prompt").inc(made.usage.prompt_tokens)
    app.metrics.tokens.labels("completion").inc(made.usage.completion_tokens)
    app.metrics.retries.inc(made.usage.retries)
