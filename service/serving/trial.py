"""The serving side of a trial (`judge.gate.trials`): who answers, who judges beside, what is recorded.

A share of the comparisons is routed by the hash of their ids. As a shadow the candidate judges them after
the champion has answered; as a canary it answers, and the champion judges beside it. Whatever is beside runs
in the background, a few at a time, and is dropped when there are too many. If the candidate's engine is away
or serves other weights (it was restarted) the trial pauses until they are loaded again; the champion answers.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from judge.backend.vllm import Backends
from judge.errors import BackendError, Conflict, JudgesmithError, Unavailable
from judge.gate import trials
from judge.gate.trials import Seen, Trial
from judge.judging.judge import Judge
from judge.judging.voting import Decision
from judge.store.database import Sessions
from judge.versions.swap import Swapper
from judge.versions.version import VersionStore
from service.metrics import Metrics
from service.serving.champion import Champion

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
Twin = Callable[[Judge], Awaitable[Decision]]
_POLL_S = 1.0
_AT_ONCE = 8
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class _Judged:
    decision: Decision
    ms: float


@dataclass(frozen=True, slots=True)
class _Tried:
    """A trial whose candidate is loaded."""

    trial: Trial
    judge: Judge


class LiveTrial:
    """Follows the trial that goes on, if any, and takes part in it."""

    def __init__(
        self,
        champion: Champion,
        sessions: Sessions,
        store: VersionStore,
        candidates: Backends,
        swapper: Swapper,
        max_model_len: int,
        metrics: Metrics,
    ) -> None:
        self._champion = champion
        self._sessions = sessions
        self._store = store
        self._candidates = candidates
        self._swapper = swapper
        self._max_model_len = max_model_len
        self._metrics = metrics
        self._tried: _Tried | None = None
        self._following: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to follow."""
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following; give what is in progress a few seconds to be recorded."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._beside:
            _, late = await asyncio.wait(self._beside, timeout=_STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def decide(self, number: str, work: Callable[[Judge], Awaitable[Answer]], twin: Twin) -> Answer:
        """The champion's answer by `work`, or for a canary the candidate's; what `Champion.decide` raises.

        Args:
            number: the decision's id.
            work: makes the answer; it may come from the cache. Its answer is a `Decision`.
            twin: makes it anew.
        """
        tried = self._tried
        if tried is None or not tried.trial.routed(number):
            return await self._champion.decide(None, work)
        if tried.trial.mode == "canary":
            return cast(Answer, await self._canary(tried, number, twin))
        begun = time.perf_counter()
        answer = await self._champion.decide(None, work)
        decision = cast(Decision, answer)
        # Time from the cache says nothing about time.
        if not decision.cached:
            seen = _with_champion(Seen(number, "champion"), _Judged(decision, _since(begun)))
            if not self._in_background(self._shadow(tried, seen, twin)):
                self._metrics.tried.labels("dropped").inc()
        return answer

    async def _canary(self, tried: _Tried, number: str, twin: Twin) -> Decision:
        try:
            mine = await _timed(twin(tried.judge))
        except Unavailable as error:
            begun = time.perf_counter()
            decision = await self._champion.decide(None, twin)
            if await self._serves(tried):
                seen = Seen(number, "champion", failure=str(error)[:500])
                self._record_later(tried, _with_champion(seen, _Judged(decision, _since(begun))))
            return decision
        seen = _with_candidate(Seen(number, "candidate"), mine)
        if not self._in_background(self._champion_beside(tried, seen, twin)):
            self._record_later(tried, seen)
        return mine.decision

    async def _shadow(self, tried: _Tried, seen: Seen, twin: Twin) -> None:
        try:
            seen = _with_candidate(seen, await _timed(twin(tried.judge)))
        except Unavailable as error:
            if not await self._serves(tried):
                return
            seen = replace(seen, failure=str(error)[:500])
        await self._record(tried, seen)

    async def _champion_beside(self, tried: _Tried, seen: Seen, twin: Twin) -> None:
        try:
            seen = _with_champion(seen, await _timed(self._champion.decide(None, twin)))
        except JudgesmithError as error:
            logger.info("the champion did not judge beside the canary: %s", error)
        await self._record(tried, seen)

    def _in_background(self, work: Coroutine[Any, Any, None], *, bounded: bool = True) -> bool:
        if bounded and len(self._beside) >= _AT_ONCE:
            work.close()
            return False
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._done)
        return True

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._beside.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("a comparison of the trial was lost", exc_info=task.exception())

    def _record_later(self, tried: _Tried, seen: Seen) -> None:
        # Not bounded: what the candidate has answered must count, and there are no more than are admitted.
        self._in_background(self._record(tried, seen), bounded=False)

    async def _record(self, tried: _Tried, seen: Seen) -> None:
        outcome = await asyncio.to_thread(self._write, tried.trial, seen)
        self._metrics.tried.labels("recorded").inc()
        if outcome and self._tried and self._tried.trial.iteration == tried.trial.iteration:
            self._tried = None
            logger.info("the trial of iteration %d is over: %s", tried.trial.iteration, outcome)

    def _write(self, trial: Trial, seen: Seen) -> str | None:
        with self._sessions.begin() as session:
            return trials.record(session, trial, seen)

    async def _serves(self, tried: _Tried) -> bool:
        """Whether the candidate's engines have its weights; if not, the trial pauses."""
        try:
            weights = {await server.weights() for server in self._candidates.servers}
        except BackendError:
            weights = set()
        if weights == {tried.trial.version}:
            return True
        self._tried = None
        return False

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except (SQLAlchemyError, JudgesmithError) as error:
                self._tried = None
                logger.warning("the trial pauses: %s", error)
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        trial = await asyncio.to_thread(self._current)
        if trial is None or (not trial.passed and not self._candidates.servers):
            self._tried = None
        elif trial.passed:
            self._tried = None
            await self._promote(trial)
        else:
            await self._swapper.prepare(trial.version, self._candidates.servers)
            if self._tried is None or self._tried.trial != trial:
                judge = await asyncio.to_thread(
                    Judge.load, self._store, trial.version, self._candidates, self._max_model_len
                )
                self._tried = _Tried(trial, judge)

    def _current(self) -> Trial | None:
        with self._sessions.begin() as session:
            return trials.current(session)

    async def _promote(self, trial: Trial) -> None:
        """After a canary without an alarm. Any gateway may do it; the swap's lock lets one."""
        actor = f"iteration {trial.iteration}"
        try:
            # Shielded: a gateway that stops must not leave a backend between two versions.
            await asyncio.shield(self._swapper.promote(trial.version, actor=actor, details={"by": "canary"}))
        except Conflict as error:
            logger.info("the canary is not promoted yet: %s", error)
            return
        except JudgesmithError as error:
            await asyncio.to_thread(self._refuse, trial, str(error))
            return
        await asyncio.to_thread(self._promoted, trial)
        await self._champion.refresh()

    def _refuse(self, trial: Trial, reason: str) -> None:
        with self._sessions.begin() as session:
            trials.refuse(session, trial.iteration, reason)

    def _promoted(self, trial: Trial) -> None:
        with self._sessions.begin() as session:
            trials.promoted(session, trial.iteration)


async def _timed(deciding: Awaitable[Decision]) -> _Judged:
    begun = time.perf_counter()
    decision = await deciding
    return _Judged(decision, _since(begun))


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _with_champion(seen: Seen, judged: _Judged) -> Seen:
    decision = judged.decision
    return replace(
        seen,
        champion_verdict=decision.verdict,
        champion_probability_a=decision.probability_a,
        champion_ms=judged.ms,
    )


def _with_candidate(seen: Seen, judged: _Judged) -> Seen:
    decision = judged.decision
    return replace(
        seen,
        candidate_verdict=decision.verdict,
        candidate_probability_a=decision.probability_a,
        candidate_ms=judged.ms,
    )
