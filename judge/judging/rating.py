"""How good one response is: from label probabilities or from critiques; and what would make it better."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

from judge.backend.answers import Usage
from judge.backend.vllm import OnText
from judge.comparison import Instruction
from judge.judging.judge import DEFAULT, Judge, Options, Reads
from judge.judging.scoring import NOT_FINITE, expected_rating, share_of_yes
from judge.judging.voting import CriterionRating, Mode, Rating
from judge.prompts.guide import TEN, Scale
from judge.prompts.openers import NO_ANSWER, says_nothing
from judge.prompts.rubrics import Criterion
from judge.prompts.templates import Template, pointwise, single_direct, single_reasoning, suggesting
from judge.verdict import parse_rating


def check(
    judge: Judge, response: str, mode: Mode, scale: Scale = TEN, options: Options = DEFAULT
) -> Rating | None:
    """The lowest rating for a response that says nothing (see `judge.prompts.openers`), else None."""
    if not says_nothing(response):
        return None
    return Rating(
        rating=float(scale.low),
        mode=mode,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(pointwise(options.guide.form)),
        usage=Usage(),
        reason=NO_ANSWER,
        path="check",
    )


async def rate_directly(
    judge: Judge, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
) -> Rating:
    """Rate a response: the scale's point at P(Yes) of the pointwise label probabilities."""
    found = await judge.read_responses(instruction, [response], options)
    value = scale.at(share_of_yes(found.reads[0]))
    return _read(judge, pointwise(options.guide.form), found, value)


async def rate_on_scale(
    judge: Judge, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
) -> Rating:
    """Rate a response: the mean of the scale's points under their probabilities as the judge's answer."""
    found = await judge.read_scale(instruction, response, scale, options)
    value = expected_rating(found.reads[0], scale)
    return _read(judge, single_direct(options.guide.form, scale), found, value)


def _read(judge: Judge, template: Template, found: Reads, value: float) -> Rating:
    finite = math.isfinite(value)
    return Rating(
        rating=round(value, 3) if finite else None,
        mode="direct",
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template),
        usage=found.usage,
        truncated=found.truncated,
        reason=None if finite else NOT_FINITE,
    )


async def rate(
    judge: Judge,
    instruction: Instruction,
    response: str,
    scale: Scale = TEN,
    options: Options = DEFAULT,
    on_text: OnText | None = None,
) -> Rating:
    """Rate a response by critiques that end in a rating: the mean of the valid ones.

    The critique of the answer is the first that is valid, else the first. `on_text` is given the first as it
    is written.
    """
    template = single_reasoning(options.guide.form, scale)
    prompt = judge.response_prompt(template, instruction, response, judge.reserve(options), options)
    judgments = await asyncio.gather(
        *(
            judge.write(prompt, template, judge.sampling(options, index), on_text if index == 0 else None)
            for index in range(options.votes)
        )
    )
    rated = [parse_rating(judgment.text, low=scale.low, high=scale.high) for judgment in judgments]
    valid = [
        (judgment.text, item.rating)
        for judgment, item in zip(judgments, rated, strict=True)
        if item.rating is not None
    ]
    return Rating(
        rating=round(sum(rating for _, rating in valid) / len(valid), 3) if valid else None,
        mode="reasoning",
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template),
        usage=sum((judgment.usage for judgment in judgments), Usage()),
        truncated=prompt.truncated,
        reason=None if valid else rated[0].reason,
        critique=valid[0][0] if valid else judgments[0].text,
        votes=options.votes,
        path="reasoning",
    )


async def with_suggestions(
    judge: Judge, instruction: Instruction, response: str, rating: Rating, options: Options = DEFAULT
) -> Rating:
    """A rating with up to three improvements that the judge names, and what they took."""
    template = suggesting(options.guide.form)
    prompt = judge.response_prompt(template, instruction, response, judge.longest(options), options)
    sampling = replace(judge.sampling(replace(options, votes=1), 0), max_tokens=judge.longest(options))
    completion = await judge.backends.pick().sample(prompt.token_ids, sampling)
    judge.same(completion.weights)
    lines = (line.strip().lstrip("-*•0123456789.) ") for line in completion.text.splitlines())
    return replace(
        rating,
        suggestions=tuple(line for line in lines if line)[:3],
        usage=rating.usage + completion.usage,
        truncated=rating.truncated or prompt.truncated,
    )


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
