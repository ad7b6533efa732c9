"""Rewards: a number for one response out of label probabilities, for those who train on it.

A reward is the log-odds of Yes (does the response do what was asked, and well), or the probability of Yes,
or the expected rating on a scale. Compared with another response it is the log-odds or the probability that
this one is better: than a given one, or than the mean of its group (`relative_to_group`).
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scipy.special import expit

from judge.backend.answers import Usage
from judge.comparison import Comparison, Instruction
from judge.errors import BackendRefused, Fault, InvalidInput, PromptTooLong
from judge.judging.judge import DEFAULT, Judge, Options
from judge.judging.scoring import NOT_FINITE, Strategy, expected_rating
from judge.prompts.guide import FIVE, Guide, Scale
from judge.prompts.openers import NO_ANSWER, says_nothing
from judge.prompts.rubrics import Criterion
from judge.prompts.templates import Template, pairwise_direct, pointwise, single_direct

Form = Literal["log_odds", "probability", "rating"]
Against = Literal["reference", "group"]
# Log-odds (nats) of a response that holds no answer; further out than this nothing is told apart.
FARTHEST = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What kind of reward is asked for.

    `calibrated`: divide log-odds by the version's temperature, so that differences of rewards are log-odds of
    a preference. `empty`: the reward of a response that holds no answer; default: the worst of the form.
    With `criteria` the reward is the weighted mean of those by each one alone (with its own guide).
    """

    form: Form = "log_odds"
    against: Against | None = None
    calibrated: bool = False
    scale: Scale = FIVE
    empty: float | None = None
    criteria: tuple[tuple[Criterion, Guide], ...] = ()

    @property
    def floor(self) -> float:
        """The reward of a response that holds no answer."""
        worst = {"log_odds": -FARTHEST, "probability": 0.0, "rating": float(self.scale.low)}
        return worst[self.form] if self.empty is None else self.empty


LOG_ODDS = Wish()


@dataclass(frozen=True, slots=True)
class RewardItem:
    """A response to reward. `rival` is the response that it is compared with, `reference` a good answer."""

    instruction: Instruction
    response: str
    reference: str | None = None
    rival: str | None = None
    group: Hashable | None = None


@dataclass(frozen=True, slots=True)
class CriterionReward:
    """The reward by one criterion alone; `log_odds` is what it was made of, where it was not a rating."""

    name: str
    weight: float
    reward: float
    log_odds: float | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward, or the reason why there is none.

    `share` is the reward between the worst (0) and the best (1), whatever its form; `log_odds` what it was
    made of, where it was not a rating.
    """

    reward: float | None
    share: float | None = None
    log_odds: float | None = None
    reason: str | None = None
    truncated: bool = False
    usage: Usage = field(default_factory=Usage)
    criteria: tuple[CriterionReward, ...] = ()
    empty: bool = False


def template_of(judge: Judge, wish: Wish, guide: Guide) -> Template:
    """The prompt that a wish leads to; for criteria one by one, the general form of theirs."""
    form = wish.criteria[0][1].form if wish.criteria else guide.form
    if wish.form == "rating":
        return single_direct(form, wish.scale)
    if wish.against == "reference" and judge.manifest.strategy == "pairwise":
        return pairwise_direct(form)
    return pointwise(form)


async def reward(judge: Judge, item: RewardItem, wish: Wish = LOG_ODDS, options: Options = DEFAULT) -> Reward:
    """Reward one response; what is wrong with it alone becomes the reason of a reward that is None.

    Against the group, the reward of its own; `relative_to_group` is to follow.

    Raises:
        InvalidInput: the version has no fitted calibration, and one is asked for.
        Unavailable, VersionChanged: as in `judge.judging.judge`.
    """
    require_calibration(judge, wish)
    if says_nothing(item.response):
        return Reward(wish.floor, 0.0, reason=NO_ANSWER, empty=True)
    options = replace(options, guide=replace(options.guide, reference=item.reference))
    try:
        if not wish.criteria:
            return await _one(judge, item, wish, options)
        guides = (replace(guide, reference=item.reference) for _, guide in wish.criteria)
        ones = await asyncio.gather(
            *(_one(judge, item, wish, replace(options, guide=guide)) for guide in guides)
        )
        return _combined(wish, ones)
    except PromptTooLong as error:
        return Reward(None, reason=str(error))
    except BackendRefused as error:
        return Reward(None, reason=f"the model's server does not accept it: {error}")


def require_calibration(judge: Judge, wish: Wish) -> None:
    """Raise `InvalidInput` where a calibrated reward is asked of a version that was never calibrated."""
    strategy = _strategy(judge, wish)
    if wish.calibrated and not judge.calibration(strategy).fitted:
        raise InvalidInput(
            Fault("calibrated", f"version {judge.version} has no calibration of {strategy} reads")
        )


def relative_to_group(
    judge: Judge, items: Sequence[RewardItem], rewards: Sequence[Reward], wish: Wish
) -> list[Reward]:
    """Each reward against the mean log-odds of the other members of its group.

    A group are the items of equal `group`, or of equal instruction where they name none. Members without a
    reward, or without an answer, count for nothing; where no other is left, there is no reward. With criteria
    each one's reward is against the others' by the same criterion, and the reward the weighted mean of these.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        if rewards[index].log_odds is not None:
            groups[_group(item)].append(index)
    return [
        _relative(judge, one, [rewards[other] for other in groups[_group(item)] if other != index], wish)
        for index, (item, one) in enumerate(zip(items, rewards, strict=True))
    ]


def _group(item: RewardItem) -> Hashable:
    return ("digest", item.instruction.digest) if item.group is None else ("named", item.group)


def _relative(judge: Judge, one: Reward, others: Sequence[Reward], wish: Wish) -> Reward:
    if one.log_odds is None:
        return one
    known = [other.log_odds for other in others]
    if not known:
        reason = "the group has no other response with a reward to compare with"
        return replace(one, reward=None, share=None, log_odds=None, reason=reason)
    if not wish.criteria:
        return _of_odds(judge, replace(one, log_odds=_against(one.log_odds, known)), wish)
    parts = []
    for place, own in enumerate(one.criteria):
        theirs = [other.criteria[place].log_odds for other in others]
        odds = _against(own.log_odds, theirs)
        parts.append(_of_odds(judge, Reward(None, log_odds=odds), wish))
    return replace(_combined(wish, parts), truncated=one.truncated, usage=one.usage)


def _against(own: float | None, theirs: Sequence[float | None]) -> float:
    known = [odds for odds in theirs if odds is not None]
    assert own is not None
    assert known
    return _bounded(own - sum(known) / len(known))


async def _one(judge: Judge, item: RewardItem, wish: Wish, options: Options) -> Reward:
    if wish.form == "rating":
        found = await judge.read_scale(item.instruction, item.response, wish.scale, options)
        rating = expected_rating(found.reads[0], wish.scale)
        if not math.isfinite(rating):
            return _not_finite(found.usage)
        share = (rating - wish.scale.low) / (wish.scale.high - wish.scale.low)
        return Reward(rating, share, truncated=found.truncated, usage=found.usage)
    if item.rival is not None:
        comparison = Comparison(item.instruction, item.response, item.rival)
        odds = await judge.log_odds(comparison, judge.manifest.strategy, options)
        read = Reward(None, log_odds=_bounded(odds.overall), truncated=odds.truncated, usage=odds.usage)
    else:
        found = await judge.read_responses(item.instruction, [item.response], options)
        margin = _bounded(found.reads[0].margin)
        read = Reward(None, log_odds=margin, truncated=found.truncated, usage=found.usage)
    return _of_odds(judge, read, wish)


def _of_odds(judge: Judge, read: Reward, wish: Wish) -> Reward:
    """The reward that log-odds come to; a group's are not final, and stay as they are."""
    odds = read.log_odds
    if odds is None or not math.isfinite(odds):
        return _not_finite(read.usage)
    if wish.calibrated:
        odds /= judge.calibration(_strategy(judge, wish)).temperature
    share = float(expit(odds))
    return replace(read, reward=odds if wish.form == "log_odds" else share, share=share)


def _bounded(odds: float) -> float:
    # A label without any probability has a log-probability of -9999 with vLLM.
    return max(-FARTHEST, min(FARTHEST, odds)) if math.isfinite(odds) else odds


def _strategy(judge: Judge, wish: Wish) -> Strategy:
    return judge.manifest.strategy if wish.against == "reference" else "pointwise"


def _not_finite(usage: Usage) -> Reward:
    return Reward(None, reason=NOT_FINITE, usage=usage)


def _combined(wish: Wish, ones: Sequence[Reward]) -> Reward:
    """The weighted mean of the rewards by each criterion; one that is missing leaves none."""
    usage = sum((one.usage for one in ones), Usage())
    missing = next((one for one in ones if one.reward is None), None)
    if missing:
        return replace(missing, usage=usage)
    weights = [criterion.weight for criterion, _ in wish.criteria]

    def mean(values: Sequence[float | None]) -> float | None:
        pairs = [(w, v) for w, v in zip(weights, values, strict=True) if v is not None]
        return sum(w * v for w, v in pairs) / sum(weights) if len(pairs) == len(weights) else None

    return Reward(
        mean([one.reward for one in ones]),
        mean([one.share for one in ones]),
        mean([one.log_odds for one in ones]),
        truncated=any(one.truncated for one in ones),
        usage=usage,
        criteria=tuple(
            CriterionReward(criterion.name, criterion.weight, one.reward, one.log_odds)
            for (criterion, _), one in zip(wish.criteria, ones, strict=True)
            if one.reward is not None
        ),
    )
