"""What the dialects share: options in the URL, patience, and rewards that cannot be null."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from judge.errors import Fault, InvalidInput
from judge.judging.judge import Options
from judge.judging.rewards import Form, Reward, RewardItem, Wish
from judge.prompts.guide import Guide
from judge.prompts.rubrics import preset_rubric
from judge.store.keys import Principal
from service.door.auth import allow
from service.door.hangup import unless_gone
from service.requests.rewarding import Call, Rewarded, rewarded
from service.schemas.base import PinName
from service.state import State, state

Caller = Annotated[Principal, Depends(allow("reward"))]
App = Annotated[State, Depends(state)]


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """What may be said in the URL of any dialect: their clients know nothing but a URL.

    `single_turn`: instructions have one turn, so what follows the first assistant's header is the response.
    """

    form: Form | None = None
    preset: str | None = None
    version: str | None = None
    pin: str | None = None
    empty: float | None = None
    single_turn: bool = False


async def url_options(
    form: Annotated[Form | None, Query(description="of the reward; the default is the dialect's")] = None,
    preset: Annotated[str | None, Query(description="judge by a ready rubric")] = None,
    version: Annotated[str | None, Query(description="a version or alias to insist on")] = None,
    pin: Annotated[PinName | None, Query(description="the pin that names the version")] = None,
    judgesmith_pin: Annotated[PinName | None, Header(description="the same as a header")] = None,
    empty: Annotated[
        float | None, Query(ge=-1000, le=1000, description="reward of a response that holds no answer")
    ] = None,
    single_turn: Annotated[
        bool, Query(description="everything after the first assistant's header is the response")
    ] = False,
) -> UrlOptions:
    """The options as a dependency."""
    return UrlOptions(form, preset, version, pin or judgesmith_pin, empty, single_turn)


InUrl = Annotated[UrlOptions, Depends(url_options)]


async def reward_all(
    http: Request,
    app: State,
    caller: Principal,
    items: Sequence[RewardItem],
    url: UrlOptions,
    form: Form,
    *,
    patience_s: float,
    deadline_s: float | None = None,
) -> Rewarded:
    """Rewards of which none is missing: these protocols have no word for that.

    `form` is what the dialect gives where the URL does not say. They wait before a full queue, since their
    clients give up after a few short pauses, and end before their clients' time is over, or when they have
    hung up.

    Raises:
        InvalidInput: a response could not be rewarded; names it.
    """
    options = Options(guide_of(url), cut=True, salt=app.cache.salt(caller.tenant))
    wish = Wish(url.form or form, empty=url.empty)
    call = Call(items, wish, options, url.version, url.pin, patience_s, deadline_s)
    made = await unless_gone(http, rewarded(app, caller, call))
    for number, one in enumerate(made.rewards):
        if one.reward is None:
            raise InvalidInput(Fault(f"items.{number}", one.reason or "no reward could be had"))
    return made


def guide_of(url: UrlOptions) -> Guide:
    """What the URL says to judge by.

    Raises:
        InvalidInput: there is no preset of that name.
    """
    rubric = preset_rubric(url.preset, "en") if url.preset else None
    return Guide("en", "\n".join(rubric.lines())) if rubric else Guide()


def number_of(one: Reward) -> float:
    """The reward of one that is not missing."""
    assert one.reward is not None
    return one.reward


def share_of(one: Reward) -> float:
    """The same between 0 and 1."""
    assert one.share is not None
    return one.share
