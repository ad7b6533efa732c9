"""Pairwise and single judgments, live or as a line of a batch: guided, decided, recorded, answered."""

import asyncio
from dataclasses import asdict, replace
from typing import Any

from judge.backend.answers import Usage
from judge.backend.vllm import OnText
from judge.comparison import Instruction
from judge.judging.deciding import decide
from judge.judging.judge import Judge, Options
from judge.judging.rating import check, combined, rate, rate_directly, rate_on_scale, with_suggestions
from judge.judging.voting import Decision, Rating
from judge.prompts.guide import Scale
from judge.prompts.templates import (
    pairwise_direct,
    pairwise_reasoning,
    pointwise,
    single_direct,
    single_reasoning,
    suggesting,
)
from judge.review.items import flipped
from judge.store.keys import Principal
from service.requests.answering import answered
from service.requests.guidance import Guidance, guidance, options
from service.requests.streaming import Pieces
from service.schemas.judging import (
    CriterionAnswer,
    OrderAnswer,
    PairwiseAnswer,
    PairwiseRequest,
    SingleAnswer,
    SingleRequest,
)
from service.state import State


async def pairwise(
    request: PairwiseRequest, caller: Principal, app: State, pieces: Pieces | None = None
) -> PairwiseAnswer:
    """Decide, record, answer; with `pieces`, tell the rationale on the way."""
    comparison = request.to_comparison()
    guided = await guidance(request, app.classifier)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))

    async def work(judge: Judge) -> Decision:
        if pieces:
            return await decide(judge, comparison, request.mode, chosen, pieces.begin())
        if not request.cache:
            return await decide(judge, comparison, request.mode, chosen)
        parts = _parts("pairwise", judge, caller, request.mode, chosen)
        decision, found = await app.decisions.judged(
            (*parts, comparison), lambda: decide(judge, comparison, request.mode, chosen)
        )
        return replace(decision, usage=Usage(), cached=True) if found else decision

    done = await answered(
        app, caller, "pairwise", request.version, work,
        digest=comparison.instruction.digest, columns=_decision_columns, capture=comparison.instruction,
        pin=request.pin,
        twin=None if pieces else lambda judge: decide(judge, comparison, request.mode, chosen),
    )  # fmt: skip
    decision = done.made
    # People judge by general criteria, and answer what was asked of the champion.
    named = request.version is not None or request.pin is not None
    if not named and request.reference is None and not guided.named()["rubric"]:
        app.reviewing.offer(done.id, caller.tenant, comparison, decision)
    return PairwiseAnswer(
        id=done.id,
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
        cached=decision.cached,
        **guided.named(),
        **done.tail(),
    )


async def single(
    request: SingleRequest, caller: Principal, app: State, pieces: Pieces | None = None
) -> SingleAnswer:
    """Rate, record, answer; with `pieces`, tell the critique on the way."""
    instruction = request.to_instruction()
    guided = await guidance(request, app.classifier)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))
    scale = Scale(request.scale.low, request.scale.high)

    async def work(judge: Judge) -> Rating:
        if pieces:
            return await _rate(judge, request, instruction, scale, guided, chosen, pieces.begin())
        if not request.cache:
            return await _rate(judge, request, instruction, scale, guided, chosen)
        parts = _parts("single", judge, caller, request.mode, chosen)
        asked = (
            request.rating_from, request.per_criterion, request.suggestions,
            scale, instruction, request.response,
        )  # fmt: skip
        rating, found = await app.ratings.judged(
            (*parts, *asked), lambda: _rate(judge, request, instruction, scale, guided, chosen)
        )
        return replace(rating, usage=Usage(), cached=True) if found else rating

    done = await answered(
        app, caller, "single", request.version, work,
        digest=instruction.digest, columns=lambda made: _rating_columns(made, scale), capture=instruction,
        pin=request.pin,
    )  # fmt: skip
    rating = done.made
    return SingleAnswer(
        id=done.id,
        rating=rating.rating,
        outcome="invalid" if rating.rating is None else "rated",
        reason=rating.reason,
        critique=rating.critique,
        criteria=[CriterionAnswer(**asdict(criterion)) for criterion in rating.criteria],
        suggestions=list(rating.suggestions),
        scale=request.scale,
        path=rating.path,
        cached=rating.cached,
        **guided.named(),
        **done.tail(),
    )


def _decision_columns(decision: Decision) -> dict[str, Any]:
    names = ("verdict", "reason", "probability_a", "strategy")
    row = {name: getattr(decision, name) for name in names}
    return row | {"votes": dict(decision.votes), "flipped": flipped(decision)}


def _rating_columns(rating: Rating, scale: Scale) -> dict[str, Any]:
    value = rating.rating
    return {
        "verdict": "invalid" if value is None else "rated",
        "reason": rating.reason,
        "rating": value,
        "level": None if value is None else (value - scale.low) / (scale.high - scale.low),
        "votes": {},
    }


async def _rate(
    judge: Judge,
    request: SingleRequest,
    instruction: Instruction,
    scale: Scale,
    guided: Guidance,
    chosen: Options,
    on_text: OnText | None = None,
) -> Rating:
    """The rating, by each criterion alone if asked, and improvements if asked; a check comes before."""
    checked = check(judge, request.response, request.mode, scale, chosen)
    if checked:
        return checked

    async def ask(options: Options) -> Rating:
        if request.mode == "reasoning":
            return await rate(judge, instruction, request.response, scale, options, on_text)
        direct = rate_on_scale if request.rating_from == "scale" else rate_directly
        return await direct(judge, instruction, request.response, scale, options)

    if request.per_criterion:
        guides = (guided.alone(one) for one in guided.criteria)
        ones = await asyncio.gather(*(ask(replace(chosen, guide=guide)) for guide in guides))
        rating = combined(guided.criteria, ones)
    else:
        rating = await ask(chosen)
    if request.suggestions:
        return await with_suggestions(judge, instruction, request.response, rating, chosen)
    return rating


def _parts(kind: str, judge: Judge, caller: Principal, mode: str, chosen: Options) -> tuple[object, ...]:
    """What decides a judgment beside its texts. The hashes stand for the words of the prompts."""
    form = chosen.guide.form
    templates = (
        pairwise_direct, pairwise_reasoning, pointwise, single_direct, single_reasoning, suggesting,
    )  # fmt: skip
    hashes = tuple(judge.prompt_hash(template(form)) for template in templates)
    return (caller.tenant, kind, judge.version, hashes, mode, replace(chosen, salt=None))
