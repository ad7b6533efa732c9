"""Rankings, live or as a line of a batch: of responses to one instruction, or of systems over many."""

import hashlib
from typing import Any

from judge.judging.judge import Judge, Options
from judge.judging.meetings import Item, require_comparable
from judge.judging.ranker import Ranking, rank_responses, rank_systems, require_affordable
from judge.judging.ranking import rank_order
from judge.store.keys import Principal
from service.requests.answering import answered
from service.requests.guidance import guidance, options
from service.schemas.ranking import (
    RankAnswer,
    RankedResponse,
    RankedSystem,
    RankRequest,
    RankSystemsAnswer,
    RankSystemsRequest,
    Tally,
)
from service.state import State

# Some minutes for a small judge on CPUs.
MAX_READS = 4000


async def rank(request: RankRequest, caller: Principal, app: State) -> RankAnswer:
    """Order responses from the best down, by one model version; record, answer."""
    instruction = request.to_instruction()
    guided = await guidance(request, app.classifier)
    chosen = options(request, guided.guide, app.cache.salt(caller.tenant))

    async def work(judge: Judge) -> Ranking:
        texts, seed = request.responses, request.seed
        return await rank_responses(judge, instruction, texts, request.method, seed, chosen)

    done = await answered(
        app, caller, "rank", request.version, work,
        digest=instruction.digest, columns=_columns, capture=instruction, pin=request.pin,
    )  # fmt: skip
    made = done.made
    places = [
        RankedResponse(index=int(name), rank=place, **_score(made, name)) for name, place in _places(made)
    ]
    ranked = [place.index for place in places]
    unranked = [RankedResponse(index=int(name), reason=why) for name, why in made.invalid.items()]
    return RankAnswer(
        id=done.id,
        ranking=places + unranked,
        best=ranked[0] if ranked else None,
        top_k=ranked[: request.top_k],
        method=made.method,
        **guided.named(),
        **done.tail(),
    )


async def systems(request: RankSystemsRequest, caller: Principal, app: State) -> RankSystemsAnswer:
    """Order systems by what they answered to many instructions; record, answer.

    The instructions are not captured for teaching: who compares systems on them wants to go on doing so.
    """
    items = request.to_items()
    require_comparable(items)
    require_affordable(items, request.method, request.seed, MAX_READS)
    chosen = Options(salt=app.cache.salt(caller.tenant))

    async def work(judge: Judge) -> Ranking:
        return await rank_systems(judge, items, request.method, request.seed, chosen)

    done = await answered(
        app, caller, "rank_systems", request.version, work,
        digest=_digest(items), columns=_columns, capture=None,
    )  # fmt: skip
    made = done.made
    places = [_system(made, items, name, place) for name, place in _places(made)]
    unranked = [
        RankedSystem(system=name, reason=why, items=_answered(items, name))
        for name, why in made.invalid.items()
    ]
    return RankSystemsAnswer(
        id=done.id,
        ranking=places + unranked,
        best=places[0].system if places else None,
        method=made.method,
        **done.tail(),
    )


def _places(ranking: Ranking) -> list[tuple[str, int]]:
    """Names and ranks from the best down."""
    names = list(ranking.scores)
    order = rank_order([score.value for score in ranking.scores.values()])
    return [(names[index], place) for index, place in order]


def _score(ranking: Ranking, name: str) -> dict[str, Any]:
    score = ranking.scores[name]
    return {"score": score.value, "low": score.low, "high": score.high}


def _system(ranking: Ranking, items: list[Item], name: str, place: int) -> RankedSystem:
    against = {rival: Tally(**counts) for rival, counts in sorted(ranking.record(name).items())}
    return RankedSystem(
        system=name,
        rank=place,
        **_score(ranking, name),
        items=_answered(items, name),
        wins=sum(tally.wins for tally in against.values()),
        losses=sum(tally.losses for tally in against.values()),
        ties=sum(tally.ties for tally in against.values()),
        against=against,
    )


def _answered(items: list[Item], name: str) -> int:
    return sum(name in item.responses for item in items)


def _digest(items: list[Item]) -> str:
    """One digest of all instructions, in any order."""
    digests = sorted(item.instruction.digest for item in items)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _columns(made: Ranking) -> dict[str, Any]:
    """The votes of a ranking's row are the ranks, by index or system."""
    strategy = "pointwise" if made.method == "pointwise" else "pairwise"
    return {
        "verdict": "ranked" if made.scores else "invalid",
        "reason": next(iter(made.invalid.values()), None),
        "strategy": strategy,
        "votes": dict(_places(made)),
    }
