"""How good one response is: from label probabilities or from critiques; and what would make it better."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from judge.comparison import Instruction
from judge.guide import TEN, Scale
from judge.judging import DEFAULT, Judge, Options
from judge.rubrics import Criterion
from judge.scoring import share_of_yes
from judge.templates import pointwise, single_reasoning, suggesting
from judge.verdict import parse_rating
from judge.voting import CriterionRating, Rating, Usage


async def rate_directly(
    judge: Judge, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
) -> Rating:
    """Rate a response: the scale's point at P(Yes) of the pointwise label probabilities."""
    found = await judge.read_responses(instruction, [response], options)
    share = share_of_yes(found.reads[0])
    return Rating(
        rating=round(scale.at(share), 3),
        mode="direct",
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(pointwise(options.guide.form)),
        usage=found.usage,
        truncated=found.truncated,
    )


async def rate(
    judge: Judge, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
) -> Rating:
    """Rate a response by critiques that end in a rating: the mean of the valid ones."""
    template = single_reasoning(options.guide.form, scale)
    prompt = judge.response_prompt(template, instruction, response, judge.reserve(options), options)
    judgments = await asyncio.gather(
        *(judge.write(prompt, template, judge.sampling(options, index)) for index in range(options.votes))
    )
    rated = [parse_rating(judgment.text, low=scale.low, high=scale.high) for judgment in judgments]
    ratings = [item.rating for item in rated if item.rating is not None]
    critique = next(
        (j.text for j, item in zip(judgments, rated, strict=True) if item.rating is not None), None
    )
    return Rating(
        rating=round(sum(ratings) / len(ratings), 3) if ratings else None,
        mode="reasoning",
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template),
        usage=sum((judgment.usage for judgment in judgments), Usage()),
        truncated=prompt.truncated,
        reason=None if ratings else rated[0].reason,
        critique=critique,
        votes=options.votes,
    )


async def suggest(
    judge: Judge, instruction: Instruction, response: str, options: Options = DEFAULT
) -> tuple[tuple[str, ...], Usage]:
    """Up to three improvements that the judge names, and what they took."""
    template = suggesting(options.guide.form)
    prompt = judge.response_prompt(template, instruction, response, judge.longest(options), options)
    sampling = replace(judge.sampling(replace(options, votes=1), 0), max_tokens=judge.longest(options))
    completion = await judge.backends.pick().sample(prompt.token_ids, sampling)
    judge.same(completion.weights)
    lines = (line.strip().lstrip("-*•0123456789.) ") for line in completion.text.splitlines())
    return tuple(line for line in lines if line)[:3], completion.usage


def combined(criteria: Sequence[Criterion], ratings: Sequence[Rating]) -> Rating:
    """Ratings by one criterion each, as one: the weighted mean of the valid ones."""
    rated = tuple(
        CriterionRating(criterion.name, criterion.weight, one.rating, one.critique, one.reason)
        for criterion, one in zip(criteria, ratings, strict=True)
    )
    valid = [(item.weight, item.rating) for item in rated if item.rating is not None]
    total = sum(weight for weight, _ in valid)
    return replace(
        ratings[0],
        rating=round(sum(weight * rating for weight, rating in valid) / total, 3) if valid else None,
        usage=sum((one.usage for one in ratings), Usage()),
        truncated=any(one.truncated for one in ratings),
        reason=None if valid else ratings[0].reason,
        critique="\n\n".join(f"{item.name}: {item.critique}" for item in rated if item.critique) or None,
        criteria=rated,
    )
