"""`/judge/*`: synchronous decisions."""

import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from judge.comparison import Instruction
from judge.instructions import Gathered
from judge.judging import Judge
from judge.keys import Principal
from judge.voting import Decision, Rating
from service.auth import allow
from service.schemas import (
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


@router.post("/pairwise")
async def pairwise(
    request: PairwiseRequest, caller: Caller, app: Annotated[State, Depends(state)]
) -> PairwiseAnswer:
    """Which of two responses serves the user better; both orders are judged, by one model version."""
    comparison = request.to_comparison()

    async def work(judge: Judge) -> Decision:
        if request.mode == "direct":
            return await judge.direct(comparison, allow_tie=request.allow_tie)
        return await judge.reason(
            comparison, votes=request.votes, allow_tie=request.allow_tie, seed=request.seed
        )

    with app.admission.enter():
        started = time.perf_counter()
        decision = await app.champion.decide(request.version, work)
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
        **_tail(decision, elapsed),
    )


@router.post("/single")
async def single(
    request: SingleRequest, caller: Caller, app: Annotated[State, Depends(state)]
) -> SingleAnswer:
    """Rate one response from 1 to 10; in the reasoning mode with a critique."""
    instruction = request.to_instruction()

    async def work(judge: Judge) -> Rating:
        if request.mode == "direct":
            return await judge.rate_directly(instruction, request.response)
        return await judge.rate(instruction, request.response, votes=request.votes, seed=request.seed)

    with app.admission.enter():
        started = time.perf_counter()
        rating = await app.champion.decide(request.version, work)
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
        **_tail(rating, elapsed),
    )


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


def _tail(made: Decision | Rating, elapsed: float) -> dict[str, Any]:
    return {
        "mode": made.mode,
        "model_version": made.model_version,
        "prompt_hash": made.prompt_hash,
        "usage": UsageAnswer(
            prompt_tokens=made.usage.prompt_tokens, completion_tokens=made.usage.completion_tokens
        ),
        "truncated": made.truncated,
        "latency_ms": round(elapsed * 1000, 3),
    }


def _count(app: State, kind: str, made: Decision | Rating, outcome: str, elapsed: float) -> None:
    app.metrics.decisions.labels(kind, made.mode, outcome).inc()
    app.metrics.seconds.labels(kind, made.mode).observe(elapsed)
    app.metrics.tokens.labels("prompt").inc(made.usage.prompt_tokens)
    app.metrics.tokens.labels("completion").inc(made.usage.completion_tokens)
