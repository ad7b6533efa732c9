"""Rankings by a judge: what it reads of responses, or decides about pairs of them, into scores.

Like a decision, a ranking comes from one model version: a read by other weights raises `VersionChanged`, and
whoever asked begins again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Literal, TypeVar

from judge.backend.answers import Usage
from judge.comparison import Comparison, Instruction
from judge.errors import Fault, InvalidInput, PromptTooLong
from judge.judging.deciding import decide
from judge.judging.judge import DEFAULT, Judge, Options, Reads
from judge.judging.meetings import Item, Meeting, implied, met, schedule_pairings, systems, to_judge
from judge.judging.ranking import (
    Match,
    Reward,
    Score,
    bradley_terry,
    mean_rewards,
)
from judge.judging.rewards import FARTHEST
from judge.judging.scoring import NOT_FINITE
from judge.judging.voting import Decision, Mode
from judge.prompts.openers import says_nothing
from judge.prompts.templates import pairwise_direct, pointwise

Method = Literal["pointwise", "tournament"]
Question = TypeVar("Question")
Answer = TypeVar("Answer")
# Questions to the backend at once: enough to fill its batches, few enough to leave room for other callers.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores of players by name, and the meetings that they rest on (pointwise: that follow from them).

    `invalid`: players without a score, and why there is none.
    """

    scores: Mapping[str, Score]
    invalid: Mapping[str, str]
    meetings: Sequence[Meeting]
    method: Method
    model_version: str
    prompt_hash: str
    usage: Usage
    truncated: bool
    mode: Mode = "direct"

    def record(self, player: str) -> dict[str, Counter[str]]:
        """Wins, losses and ties of a player against each other one that it met."""
        against: dict[str, Counter[str]] = {}
        for meeting in self.meetings:
            if player not in (meeting.one, meeting.two):
                continue
            first = player == meeting.one
            outcome = {"a": "wins", "b": "losses"} if first else {"a": "losses", "b": "wins"}
            rival = meeting.two if first else meeting.one
            against.setdefault(rival, Counter())[outcome.get(meeting.verdict, "ties")] += 1
        return against


def reads(items: Sequence[Item], method: Method, seed: int) -> int:
    """How many prompts a ranking has the backend read."""
    if method == "pointwise":
        return sum(len(set(item.responses.values())) for item in items)
    return 2 * len(to_judge(schedule_pairings(items, seed)))


async def rank_responses(
    judge: Judge,
    instruction: Instruction,
    responses: Sequence[str],
    method: Method,
    seed: int,
    options: Options = DEFAULT,
) -> Ranking:
    """Rank responses to one instruction; they are named "0", "1", … Equal texts are judged once.

    The ranking depends on the texts, not on their order. Intervals (tournament only) are over the meetings:
    how well these agree with each other, not how well the judge agrees with people.

    Raises:
        PromptTooLong: names the response.
    """
    first: dict[str, str] = {}
    for index, text in enumerate(responses):
        first.setdefault(text, str(index))
    item = Item(instruction, {index: text for text, index in first.items()})
    found = await _rank(judge, [item], method, seed, options, over="meetings")
    same = {str(index): first[text] for index, text in enumerate(responses)}
    return replace(
        found,
        scores={index: found.scores[one] for index, one in same.items() if one in found.scores},
        invalid={index: found.invalid[one] for index, one in same.items() if one in found.invalid},
    )


async def rank_systems(
    judge: Judge, items: Sequence[Item], method: Method, seed: int, options: Options = DEFAULT
) -> Ranking:
    """Rank systems by their responses to many instructions; intervals are over instructions.

    A response whose reward or comparison cannot be had counts for nothing.

    Raises:
        InvalidInput: the systems fall into groups that share no instruction.
        PromptTooLong: names the item and the system.
    """
    return await _rank(judge, items, method, seed, options, over="items")


def require_affordable(items: Sequence[Item], method: Method, seed: int, limit: int) -> None:
    """Raise `InvalidInput` about `items` where the ranking takes more than `limit` reads."""
    needed = reads(items, method, seed)
    if needed > limit:
        cheaper = "send fewer items" + (", or use the method pointwise" if method == "tournament" else "")
        reason = f"this ranking takes {needed} reads by the judge and {limit} are allowed; {cheaper}"
        raise InvalidInput(Fault("items", reason))


async def _rank(
    judge: Judge,
    items: Sequence[Item],
    method: Method,
    seed: int,
    options: Options,
    *,
    over: Literal["items", "meetings"],
) -> Ranking:
    """`over`: what the intervals of a tournament are drawn from."""
    names, clusters = systems(items), [item.instruction.digest for item in items]
    if method == "pointwise":
        rewards, usage, truncated = await _rewards(judge, items, options)
        meetings = implied(judge, rewards)
        ranked = [name for name in names if any(name in own for own in rewards)]
        fit = partial(mean_rewards, _given(rewards, ranked, clusters), ranked, seed=seed)
    else:
        meetings, usage, truncated = await _meetings(judge, items, seed, options)
        met = {name for meeting in meetings for name in (meeting.one, meeting.two)}
        ranked = [name for name in names if name in met or len(names) == 1]
        drawn = [clusters[m.item] if over == "items" else f"{n:03}" for n, m in enumerate(meetings)]
        fit = partial(bradley_terry, _matches(meetings, ranked, drawn), ranked, seed=seed)
    scores = await asyncio.to_thread(fit) if ranked else []
    template = (pointwise if method == "pointwise" else pairwise_direct)(options.guide.form)
    return Ranking(
        scores=dict(zip(ranked, scores, strict=True)),
        # Nothing else is left out: what the backend refuses, or does not fit, is raised.
        invalid={name: NOT_FINITE for name in names if name not in ranked},
        meetings=meetings,
        method=method,
        model_version=judge.version,
        prompt_hash=judge.prompt_hash(template),
        usage=usage,
        truncated=truncated,
    )


def _given(
    rewards: Sequence[Mapping[str, float]], names: Sequence[str], clusters: Sequence[str]
) -> list[Reward]:
    return [
        Reward(names.index(name), cluster, reward)
        for cluster, own in zip(clusters, rewards, strict=True)
        for name, reward in own.items()
    ]


def _matches(meetings: Sequence[Meeting], names: Sequence[str], clusters: Sequence[str]) -> list[Match]:
    return [
        Match(names.index(meeting.one), names.index(meeting.two), cluster, meeting.probability)
        for meeting, cluster in zip(meetings, clusters, strict=True)
    ]


async def _rewards(
    judge: Judge, items: Sequence[Item], options: Options
) -> tuple[list[dict[str, float]], Usage, bool]:
    """For each item the reward of each player that has one (log-odds of Yes); equal texts are read once.

    A response that says nothing is not read: it is worse than the worst of the others, and at most -10.
    """
    texts = [
        (number, text)
        for number, item in enumerate(items)
        for text in set(item.responses.values())
        if not says_nothing(text)
    ]

    async def read(question: tuple[int, str]) -> Reads:
        item, text = items[question[0]], question[1]
        with _named(item, response=text):
            return await judge.read_responses(item.instruction, [text], options)

    answers = await _in_turn(read, texts)
    margins = {key: answer.reads[0].margin for key, answer in zip(texts, answers, strict=True)}
    usage = sum((answer.usage for answer in answers), Usage())
    rewards = [
        _rewards_of(item, {text: margins.get((number, text)) for text in item.responses.values()})
        for number, item in enumerate(items)
    ]
    return rewards, usage, any(answer.truncated for answer in answers)


def _rewards_of(item: Item, margins: Mapping[str, float | None]) -> dict[str, float]:
    """Rewards by name, without those that are not finite; `margins` are None for what says nothing."""
    finite = {text: margin for text, margin in margins.items() if margin is not None and isfinite(margin)}
    nothing = min(-FARTHEST, min(finite.values(), default=0.0) - 1)
    of = finite | {text: nothing for text, margin in margins.items() if margin is None}
    return {name: of[text] for name, text in item.responses.items() if text in of}


async def _meetings(
    judge: Judge, items: Sequence[Item], seed: int, options: Options
) -> tuple[list[Meeting], Usage, bool]:
    """Every scheduled meeting with an outcome, judged in both orders; equal texts tie unjudged."""
    pairings = schedule_pairings(items, seed)
    asked = list(to_judge(pairings).items())

    async def ask(question: tuple[Comparison, int]) -> Decision:
        comparison, number = question
        texts = {"response_a": comparison.response_a, "response_b": comparison.response_b}
        with _named(items[number], **texts):
            return await decide(judge, comparison, "direct", replace(options, strategy="pairwise"))

    decisions = await _in_turn(ask, asked)
    found = {comparison: decision for (comparison, _), decision in zip(asked, decisions, strict=True)}
    usage = sum((decision.usage for decision in decisions), Usage())
    meetings = [met(pairing, found.get(pairing.comparison)) for pairing in pairings]
    had = [meeting for meeting in meetings if meeting.verdict != "invalid"]
    return had, usage, any(decision.truncated for decision in decisions)


async def _in_turn(
    ask: Callable[[Question], Awaitable[Answer]], questions: Sequence[Question]
) -> list[Answer]:
    """Answers to all questions, so many at once; after a failure no further ones are asked."""
    answers: list[Answer] = []
    for start in range(0, len(questions), _AT_ONCE):
        answers += await asyncio.gather(*(ask(one) for one in questions[start : start + _AT_ONCE]))
    return answers


@contextmanager
def _named(item: Item, **texts: str) -> Iterator[None]:
    """Let a `PromptTooLong` about a field of a prompt name the field of the request."""
    try:
        yield
    except PromptTooLong as error:
        paths = {field: item.path(text) for field, text in texts.items()}
        paths["instruction"] = item.field.removesuffix("responses") + "instruction"
        faults = [Fault(paths.get(fault.field, fault.field), fault.reason) for fault in error.faults]
        raise PromptTooLong(*faults) from error
