"""One model version answers the items of a benchmark, as it would answer when it serves."""

import math
import time
from dataclasses import dataclass, replace
from typing import Literal

from judge.backend.answers import Usage
from judge.errors import BackendRefused, InvalidInput
from judge.evaluation.benchmarks.items import Item, Judged
from judge.judging.deciding import decide
from judge.judging.judge import Judge, Options
from judge.judging.rating import rate
from judge.judging.scoring import NOT_FINITE, Strategy

Mode = Literal["direct", "reasoning"]


@dataclass(frozen=True, slots=True)
class How:
    """How a version is asked. `votes` are judgments per order; one vote is greedy, more are seeded."""

    mode: Mode = "direct"
    strategy: Strategy | None = None
    votes: int = 1
    seed: int = 0
    allow_tie: bool = False
    rationale_tokens: int | None = None

    @property
    def options(self) -> Options:
        """As the judge takes it; the middle of texts that are too long is left out."""
        return Options(
            strategy=self.strategy,
            votes=self.votes,
            seed=self.seed,
            allow_tie=self.allow_tie,
            rationale_tokens=self.rationale_tokens,
            cut=True,
        )


async def answer(judge: Judge, item: Item, how: How) -> Judged:
    """What this version says about an item. What it cannot take is an invalid answer with the reason.

    Raises:
        BackendError: the backend is away, or serves other weights; ask again later.
    """
    began = time.perf_counter()
    try:
        judged = await (_compare(judge, item, how) if item.task == "compare" else _rate(judge, item, how))
    except (InvalidInput, BackendRefused) as error:
        judged = Judged(item.id, reason=str(error))
    return replace(judged, seconds=round(time.perf_counter() - began, 4))


async def _compare(judge: Judge, item: Item, how: How) -> Judged:
    decision = await decide(judge, item.comparison, how.mode, how.options)
    first, last = decision.orders
    return Judged(
        item.id,
        verdicts=(first.verdict, last.verdict),
        verdict=decision.verdict,
        probability_a=decision.probability_a,
        prompt_tokens=decision.usage.prompt_tokens,
        completion_tokens=decision.usage.completion_tokens,
        truncated=decision.truncated,
        reason=decision.reason,
        rationale=decision.rationale,
    )


async def _rate(judge: Judge, item: Item, how: How) -> Judged:
    """Each response alone: rewards in direct mode, ratings from 1 to 10 by reasoning."""
    if how.mode == "direct":
        found = await judge.read_responses(item.instruction, item.responses, how.options)
        margins = [read.margin if math.isfinite(read.margin) else None for read in found.reads]
        return Judged(
            item.id,
            scores=tuple(margins),
            prompt_tokens=found.usage.prompt_tokens,
            completion_tokens=found.usage.completion_tokens,
            truncated=found.truncated,
            reason=NOT_FINITE if None in margins else None,
        )
    ratings = [
        await rate(judge, item.instruction, response, options=how.options) for response in item.responses
    ]
    usage = sum((one.usage for one in ratings), Usage())
    return Judged(
        item.id,
        scores=tuple(one.rating for one in ratings),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        truncated=any(one.truncated for one in ratings),
        reason=next((one.reason for one in ratings if one.reason), None),
    )
