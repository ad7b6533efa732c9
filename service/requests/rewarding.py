"""Rewards, from a caller's items to the recorded answer: what `/reward` and all the dialects go through."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from judge.backend.answers import Usage
from judge.batches import replays
from judge.evaluation.reward_health import sums_of
from judge.judging.judge import DEFAULT, Judge, Options
from judge.judging.rewards import (
    LOG_ODDS,
    Reward,
    RewardItem,
    Wish,
    relative_to_group,
    require_calibration,
    reward,
    template_of,
)
from judge.store.keys import Principal
from judge.store.tables import DecisionRow
from service.door.problems import Overloaded
from service.state import State


@dataclass(frozen=True, slots=True)
class Call:
    """Items to reward in one way by one version.

    `patience_s`: how long to stand before a full queue; `deadline_s`: when the caller has given up.
    """

    items: Sequence[RewardItem]
    wish: Wish = LOG_ODDS
    options: Options = DEFAULT
    version: str | None = None
    pin: str | None = None
    patience_s: float = 0.0
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rewarded:
    """The rewards of a call, as they are recorded."""

    id: str
    rewards: list[Reward]
    model_version: str
    prompt_hash: str
    usage: Usage
    latency_ms: float


Keep = Callable[[Rewarded], str]


async def rewarded(app: State, caller: Principal, call: Call) -> Rewarded:
    """Reward, record, count.

    Raises:
        Overloaded, OverShare: there is no room, or the answer would come after the deadline.
        NotServed, PinLapsed, NotFound, Conflict: the version that is named does not serve.
    """
    made = await _made(app, caller, call)
    # Its instructions are not gathered: a trainer asks about the same ones again and again.
    await app.recorder.record(_row(caller, call, made), None)
    _count(app, made, call)
    return made


async def rewarded_once(
    app: State, caller: Principal, call: Call, key: str, body: bytes, answer: Keep
) -> tuple[str, bool]:
    """The same under an `Idempotency-Key`: the answer (as `answer` makes it), and whether it was replayed.

    Equal keys answer alike and are recorded once, whichever gateways they reach, and however often.

    Raises:
        InvalidInput: the key was used with another body.
    """
    digest = hashlib.sha256(body).hexdigest()
    found = await asyncio.to_thread(_find, app, caller.tenant, key, digest)
    if found is not None:
        return found, True
    made = await _made(app, caller, call)
    text = answer(made)
    row = _row(caller, call, made)
    earlier = await asyncio.to_thread(_keep, app, caller.tenant, key, digest, text, row)
    if earlier is not None:
        return earlier, True
    _count(app, made, call)
    return text, False


async def _made(app: State, caller: Principal, call: Call) -> Rewarded:
    began = time.perf_counter()

    async def work(judge: Judge) -> Rewarded:
        require_calibration(judge, call.wish)
        works = [_work(judge, item, call) for item in call.items]
        found = await app.rewards.run(caller.tenant, works, call.patience_s)
        if call.wish.against == "group":
            found = relative_to_group(judge, call.items, found, call.wish)
        usage = sum((one.usage for one in found), Usage())
        guide = replace(call.options.guide, reference=call.items[0].reference if call.items else None)
        template = template_of(judge, call.wish, guide)
        return Rewarded(
            uuid.uuid4().hex, found, judge.version, judge.prompt_hash(template), usage,
            (time.perf_counter() - began) * 1000,
        )  # fmt: skip

    try:
        async with asyncio.timeout(call.deadline_s):
            return await app.pinned.decide(caller.tenant, call.version, call.pin, work)
    except TimeoutError as error:
        app.metrics.shed.inc()
        raise Overloaded("the rewards would come after you have given up; send fewer at a time") from error


def _work(judge: Judge, item: RewardItem, call: Call) -> Any:
    return lambda: reward(judge, item, call.wish, call.options)


def _row(caller: Principal, call: Call, made: Rewarded) -> dict[str, Any]:
    """One row a call; its votes are the sums that the report of reward health adds up."""
    digests = sorted({item.instruction.digest for item in call.items})
    return {
        "id": made.id,
        "kind": "reward",
        "tenant": caller.tenant,
        "mode": "direct",
        "strategy": f"{call.wish.form}/{call.wish.against}" if call.wish.against else call.wish.form,
        "model_version": made.model_version,
        "prompt_hash": made.prompt_hash,
        "instruction_digest": digests[0]
        if len(digests) == 1
        else hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        "verdict": "rewarded" if any(one.reward is not None for one in made.rewards) else "invalid",
        "reason": next((one.reason for one in made.rewards if one.reward is None), None),
        "probability_a": None,
        "rating": None,
        "votes": sums_of(_with_lengths(call, made)),
        "prompt_tokens": made.usage.prompt_tokens,
        "completion_tokens": made.usage.completion_tokens,
        "latency_ms": made.latency_ms,
    }


def _with_lengths(call: Call, made: Rewarded) -> list[tuple[Reward, int]]:
    return [(one, len(item.response)) for one, item in zip(made.rewards, call.items, strict=True)]


def _find(app: State, tenant: str, key: str, digest: str) -> str | None:
    with app.sessions() as session:
        return replays.find(session, tenant, key, digest)


def _keep(app: State, tenant: str, key: str, digest: str, text: str, row: dict[str, Any]) -> str | None:
    with app.sessions.begin() as session:
        earlier = replays.keep(session, tenant, key, digest, text)
        if earlier is None:
            session.execute(insert(DecisionRow).values(row))
        return earlier


def _count(app: State, made: Rewarded, call: Call) -> None:
    metrics, version = app.metrics, made.model_version
    metrics.decisions.labels("reward", "direct", "rewarded").inc()
    metrics.seconds.labels("reward", "direct").observe(made.latency_ms / 1000)
    metrics.tokens.labels("prompt").inc(made.usage.prompt_tokens)
    metrics.tokens.labels("completion").inc(made.usage.completion_tokens)
    metrics.retries.inc(made.usage.retries)
    for one in made.rewards:
        outcome = "empty" if one.empty else "invalid" if one.reward is None else "rewarded"
        metrics.rewards.labels(version, outcome).inc()
        if one.share is not None and not one.empty:
            metrics.reward_share.labels(version).observe(one.share)
    correlation = app.totals.add(version, sums_of(_with_lengths(call, made))).length_correlation
    if correlation:
        metrics.reward_length.labels(version).set(correlation[0])
