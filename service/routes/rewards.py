"""`/reward`: rewards for many responses at once; `/admin/rewards/health`: whether they are any good."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from judge.batches import replays
from judge.evaluation.reward_health import BINS, Health
from judge.judging import records
from judge.judging.rewards import Reward, Wish
from judge.store.keys import Principal
from service.door.auth import allow
from service.door.hangup import unless_gone
from service.requests.guidance import Guidance, criteria, options
from service.requests.rewarding import Call, Rewarded, rewarded, rewarded_once
from service.schemas.base import PinName, UsageAnswer
from service.schemas.rewards import (
    Bin,
    CriterionRewardAnswer,
    HealthAnswer,
    HealthReport,
    RewardAnswer,
    RewardEntry,
    RewardRequest,
)
from service.state import State, state

router = APIRouter(tags=["reward"])
Caller = Annotated[Principal, Depends(allow("reward"))]
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]
# The end of a time that the report compares with the rest of it.
_RECENT = 0.25


@router.post("/reward", response_model=RewardAnswer)
async def reward(
    request: RewardRequest,
    http: Request,
    caller: Caller,
    app: App,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    judgesmith_pin: Annotated[PinName | None, Header(description="the same as `pin`")] = None,
    judgesmith_version: Annotated[str | None, Header(description="the same as `version`")] = None,
) -> Response:
    """Reward up to 10,000 responses; all by one version.

    With an `Idempotency-Key` the same request is answered again as it was the first time, for 24 hours
    (`Idempotency-Replayed: true`), and is finished here even if its caller goes away. Where a pin or the
    request names the version, a key belongs to that version: under another one it is a new key.
    """
    call, guided = await _call(request, caller, app)
    call = replace(call, version=call.version or judgesmith_version, pin=call.pin or judgesmith_pin)

    def written(made: Rewarded) -> str:
        return _answer(request, guided, made).model_dump_json()

    if idempotency_key is None:
        made = await unless_gone(http, rewarded(app, caller, call))
        return Response(written(made), media_type="application/json")
    # First of all, since a pin's name may have held another version when the key was first used.
    call = replace(call, version=await app.pinned.resolve(caller.tenant, call.version, call.pin))
    key, asked = replays.key_of(idempotency_key, call.version), await http.body()
    (text, replayed), joined = await app.reward_flights.join(
        (caller.tenant, key, asked),
        lambda: rewarded_once(app, caller, call, key, asked, written),
    )
    headers = {"Idempotency-Replayed": "true"} if replayed or joined else {}
    return Response(text, media_type="application/json", headers=headers)


async def _call(request: RewardRequest, caller: Principal, app: State) -> tuple[Call, Guidance]:
    guided = await criteria(request, "", app.classifier)
    alone = tuple((one, guided.alone(one)) for one in guided.criteria) if request.per_criterion else ()
    wish = Wish(request.form, request.against, request.calibrated, request.points, request.empty, alone)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))
    items = [item.to_item() for item in request.items]
    return Call(items, wish, chosen, request.version, request.pin), guided


def _answer(request: RewardRequest, guided: Guidance, made: Rewarded) -> RewardAnswer:
    usage = made.usage
    return RewardAnswer(
        id=made.id,
        rewards=[_entry(one) for one in made.rewards],
        form=request.form,
        model_version=made.model_version,
        prompt_hash=made.prompt_hash,
        rubric=guided.source,
        usage=UsageAnswer(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            retries=usage.retries,
        ),
        latency_ms=round(made.latency_ms, 3),
    )


def _entry(one: Reward) -> RewardEntry:
    return RewardEntry(
        reward=one.reward,
        outcome="empty" if one.empty else "invalid" if one.reward is None else "rewarded",
        share=one.share,
        reason=one.reason,
        truncated=one.truncated,
        criteria=[
            CriterionRewardAnswer(name=part.name, weight=part.weight, reward=part.reward)
            for part in one.criteria
        ]
        or None,
    )


@router.get("/admin/rewards/health")
def health(
    caller: Admin,
    app: App,
    hours: Annotated[float, Query(gt=0, le=24 * 90, description="how far back to look")] = 24,
    version: Annotated[str | None, Query(description="default: all")] = None,
) -> HealthReport:
    """Distribution, saturation, correlation with length, and shift of the rewards, by version and form."""
    with app.sessions() as session:
        whole = records.sums(session, hours, version)
        recent = records.sums(session, hours * _RECENT, version)
    found = [
        _health(name, form, Health(sums, recent.get((name, form), {})))
        for (name, form), sums in sorted(whole.items())
    ]
    return HealthReport(hours=hours, versions=found)


def _health(version: str, form: str, found: Health) -> HealthAnswer:
    length = found.length_correlation
    return HealthAnswer(
        version=version,
        form=form,
        rewards=found.count("n"),
        empty=found.count("empty"),
        invalid=found.count("invalid"),
        mean=found.mean,
        standard_deviation=found.deviation,
        saturated_low=found.saturated("low"),
        saturated_high=found.saturated("high"),
        length_correlation=list(length) if length else None,
        shift=found.shift,
        histogram=[
            Bin(low=index / BINS, high=(index + 1) / BINS, count=count)
            for index, count in enumerate(found.histogram)
        ],
        warnings=found.warnings(),
    )
