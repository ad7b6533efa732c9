"""Which of two responses is better: by a check, by label probabilities, by written votes, or in a cascade."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

from judge.backend.answers import Usage
from judge.backend.vllm import OnText
from judge.comparison import Comparison
from judge.judging.judge import DEFAULT, SIDES, Judge, Options
from judge.judging.scoring import NOT_FINITE, Calibration
from judge.judging.voting import Decision, Mode, OrderResult, Vote, majority, pairs_needed, share_for_a, tally
from judge.prompts.openers import says_nothing
from judge.prompts.templates import pairwise_direct, pairwise_reasoning, pointwise
from judge.verdict import Verdict


async def decide(
    judge: Judge,
    comparison: Comparison,
    mode: Mode,
    options: Options = DEFAULT,
    on_text: OnText | None = None,
) -> Decision:
    """Judge a comparison in a mode, after the check that needs no model; `on_text`: see `reason`."""
    checked = check(judge, comparison, mode, options)
    if checked:
        return checked
    if mode == "direct":
        return await direct(judge, comparison, options)
    if mode == "reasoning":
        return await reason(judge, comparison, options, on_text)
    return await cascade(judge, comparison, options)


def check(judge: Judge, comparison: Comparison, mode: Mode, options: Options = DEFAULT) -> Decision | None:
    """The decision where a response says nothing (see `judge.prompts.openers`), else None."""
    empty = [says_nothing(comparison.response(side)) for side in SIDES]
    if not any(empty):
        return None
    even: Verdict = "tie" if options.allow_tie else "invalid"
    verdict = even if all(empty) else "b" if empty[0] else "a"
    probability = {"a": 1.0, "b": 0.0}.get(verdict, 0.5)
    which = "both responses hold" if all(empty) else f"response {'a' if empty[0] else 'b'} holds"
    return Decision(
        verdict=verdict,
        probability_a=probability,
        orders=tuple(OrderResult(first, verdict, probability) for first in SIDES),
        mode=mode,
        strategy=None,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(pairwise_direct(options.guide.form)),
        usage=Usage(),
        reason=f"{which} no answer",
        path="check",
    )


async def direct(judge: Judge, comparison: Comparison, options: Options = DEFAULT) -> Decision:
    """Decide from label probabilities, without generating; both orders, or two single reads."""
    strategy = options.strategy or judge.manifest.strategy
    calibration, allow_tie = judge.calibration(strategy), options.allow_tie
    odds = await judge.log_odds(comparison, strategy, options)
    verdict = calibration.verdict(odds.overall, allow_tie=allow_tie)
    orders = tuple(
        OrderResult(first, calibration.verdict(one, allow_tie=allow_tie), _probability(calibration, one))
        for first, one in zip(SIDES, odds.per_order, strict=True)
    )
    template = pairwise_direct if strategy == "pairwise" else pointwise
    probability = _probability(calibration, odds.overall)
    even = "both responses are exactly equally likely"
    return Decision(
        verdict=verdict,
        probability_a=probability,
        orders=orders,
        mode="direct",
        strategy=strategy,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template(options.guide.form)),
        usage=odds.usage,
        truncated=odds.truncated,
        reason=(NOT_FINITE if probability is None else even) if verdict == "invalid" else None,
        votes={},
    )


def _probability(calibration: Calibration, log_odds: float) -> float | None:
    return calibration.probability(log_odds) if math.isfinite(log_odds) else None


async def cascade(judge: Judge, comparison: Comparison, options: Options = DEFAULT) -> Decision:
    """Decide directly; where that is not sure, by reasoned votes that stop early.

    Sure is a calibrated probability of the verdict at or above the threshold: the request's, else the
    version's (`Manifest.cascade_threshold`). Votes without a majority leave the direct verdict; a version
    without probabilities is not asked for votes either.
    """
    first = replace(await direct(judge, comparison, options), mode="cascade")
    probability = first.probability_a
    if probability is None or max(probability, 1 - probability) >= judge.threshold(options):
        return first
    reasoned = await reason(judge, comparison, replace(options, stopping="confident"))
    decided = first if reasoned.verdict not in SIDES else reasoned
    undecided = f"no majority of votes; {first.reason or 'decided by the label probabilities'}"
    return replace(
        decided,
        mode="cascade",
        path="reasoning",
        strategy=first.strategy,
        prompt_hash=reasoned.prompt_hash,
        usage=first.usage + reasoned.usage,
        votes=reasoned.votes,
        rationale=reasoned.rationale,
        truncated=first.truncated or reasoned.truncated,
        reason=None if decided is reasoned else undecided,
        direct_probability_a=probability,
    )


async def reason(
    judge: Judge, comparison: Comparison, options: Options = DEFAULT, on_text: OnText | None = None
) -> Decision:
    """Decide by judgments with a rationale, `votes` in each order, or fewer (see `voting.enough`).

    The judge is never offered a tie, as in its training; a tie is what an even split of votes is. Votes are
    cast at once as far as they are needed whatever they say, so that none is asked for in vain.
    `on_text` is given the first judgment (A shown first) as it is written.
    """
    planned, allow_tie = options.votes * len(SIDES), options.allow_tie
    cast: list[Vote] = []
    usage = Usage()
    while wave := pairs_needed(cast, planned, options.stopping):
        begun = len(cast) // len(SIDES)
        results = await asyncio.gather(
            *(
                judge.vote(
                    comparison,
                    first,
                    judge.sampling(options, index),
                    options,
                    on_text if (index, first) == (0, "a") else None,
                )
                for index in range(begun, begun + wave)
                for first in SIDES
            )
        )
        usage = sum((took for _, took in results), usage)
        cast += [vote for vote, _ in results]
    verdict, reason = majority(cast, allow_tie=allow_tie)
    orders = []
    for first in SIDES:
        own = [vote for vote in cast if vote.first == first]
        orders.append(OrderResult(first, majority(own, allow_tie=allow_tie)[0], share_for_a(own)))
    return Decision(
        verdict=verdict,
        probability_a=share_for_a(cast),
        orders=tuple(orders),
        mode="reasoning",
        strategy=None,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(pairwise_reasoning(options.guide.form)),
        usage=usage,
        truncated=any(vote.truncated for vote in cast),
        reason=reason,
        rationale=_rationale(cast, verdict),
        votes=tally(cast),
        path="reasoning",
    )


def _rationale(cast: Sequence[Vote], verdict: Verdict) -> str:
    """What one of the votes says: one for the verdict, else the first that is valid, else the first."""
    for_it = [vote for vote in cast if vote.verdict == verdict != "invalid"]
    valid = [vote for vote in cast if vote.verdict != "invalid"]
    return [*for_it, *valid, *cast][0].text
