"""Which of two responses is better: by a check, by label probabilities, by written votes, or in a cascade."""

import asyncio
from dataclasses import replace

from judge.comparison import Comparison
from judge.judging import DEFAULT, SIDES, Judge, OnText, Options
from judge.openers import says_nothing
from judge.templates import pairwise_direct, pairwise_reasoning, pointwise
from judge.verdict import Verdict
from judge.voting import Decision, Mode, OrderResult, Usage, Vote, enough, majority, share_for_a, tally

# Complete pairs of orders that are sampled at once while voting may still stop early.
_WAVE = 2


async def decide(judge: Judge, comparison: Comparison, mode: Mode, options: Options = DEFAULT) -> Decision:
    """Judge a comparison in a mode, after the check that needs no model."""
    checked = check(judge, comparison, mode, options)
    if checked:
        return checked
    if mode == "direct":
        return await direct(judge, comparison, options)
    if mode == "reasoning":
        return await reason(judge, comparison, options)
    return await cascade(judge, comparison, options)


def check(judge: Judge, comparison: Comparison, mode: Mode, options: Options = DEFAULT) -> Decision | None:
    """The decision where a response says nothing (see `judge.openers`), else None."""
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
        OrderResult(first, calibration.verdict(one, allow_tie=allow_tie), calibration.probability(one))
        for first, one in zip(SIDES, odds.per_order, strict=True)
    )
    template = pairwise_direct if strategy == "pairwise" else pointwise
    return Decision(
        verdict=verdict,
        probability_a=calibration.probability(odds.overall),
        orders=orders,
        mode="direct",
        strategy=strategy,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template(options.guide.form)),
        usage=odds.usage,
        truncated=odds.truncated,
        reason="both responses are exactly equally likely" if verdict == "invalid" else None,
        votes={},
    )


async def cascade(judge: Judge, comparison: Comparison, options: Options = DEFAULT) -> Decision:
    """Decide directly; where that is not sure, by reasoned votes that stop early.

    Sure is a calibrated probability of the verdict at or above the threshold: the request's, else the
    version's (`Manifest.cascade_threshold`). Votes without a majority leave the direct verdict.
    """
    first = replace(await direct(judge, comparison, options), mode="cascade")
    probability = first.probability_a if first.probability_a is not None else 0.5
    if max(probability, 1 - probability) >= judge.threshold(options):
        return first
    reasoned = await reason(judge, comparison, replace(options, stopping="confident"))
    usage = first.usage + reasoned.usage
    if reasoned.verdict not in SIDES:
        return replace(first, usage=usage, votes=reasoned.votes, truncated=reasoned.truncated)
    return replace(
        reasoned,
        mode="cascade",
        strategy=first.strategy,
        usage=usage,
        direct_probability_a=first.probability_a,
    )


async def reason(
    judge: Judge, comparison: Comparison, options: Options = DEFAULT, on_text: OnText | None = None
) -> Decision:
    """Decide by judgments with a rationale, `votes` in each order, or fewer (see `voting.enough`).

    The judge is never offered a tie, as in its training; a tie is what an even split of votes is.
    `on_text` is given the first judgment (A shown first) as it is written.
    """
    planned, allow_tie = options.votes * len(SIDES), options.allow_tie
    cast: list[Vote] = []
    usage = Usage()
    while not enough(cast, planned, options.stopping):
        begun = len(cast) // len(SIDES)
        wave = options.votes if options.stopping == "fixed" else min(_WAVE, options.votes - begun)
        results = await asyncio.gather(
            *(
                judge.vote(
                    comparison,
                    first,
                    judge.sampling(options, begun + index),
                    options,
                    on_text if (begun + index, first) == (0, "a") else None,
                )
                for index in range(wave)
                for first in SIDES
            )
        )
        usage = sum((took for _, took in results), usage)
        # A wave may hold more pairs than were needed: those beyond the stop are not counted.
        for index in range(0, len(results), len(SIDES)):
            if cast and enough(cast, planned, options.stopping):
                break
            cast += [vote for vote, _ in results[index : index + len(SIDES)]]
    verdict, reason = majority(cast, allow_tie=allow_tie)
    orders = []
    for first in SIDES:
        own = [vote for vote in cast if vote.first == first]
        orders.append(OrderResult(first, majority(own, allow_tie=allow_tie)[0], share_for_a(own)))
    rationale = next((vote.text for vote in cast if vote.verdict == verdict), None)
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
        rationale=rationale,
        votes=tally(cast),
        path="reasoning",
    )
