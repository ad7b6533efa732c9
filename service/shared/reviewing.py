"""Which live comparisons people are asked about (`judge.review.items`); written in the background, redacted.

A tenant's texts are kept only if it has agreed to their capture. Nobody waits for this: what comes while too
much is waiting is dropped and counted, and so is what the database refuses.
"""

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from judge import languages
from judge.comparison import Comparison
from judge.gathering.redaction import redact, redact_instruction
from judge.judging.voting import Decision
from judge.review import items
from judge.review.items import Judged, Offer, Signals
from judge.settings import Settings
from judge.store.database import Sessions
from service.metrics import Metrics
from service.shared.capture import Capture

logger = logging.getLogger(__name__)
_WAITING = 1000
_LARGEST_BATCH = 50


@dataclass(frozen=True, slots=True)
class _Chosen:
    decision_id: str
    tenant: str
    comparison: Comparison
    judged: Judged
    probability: float | None
    signals: Signals


class Reviewing:
    """Chooses decisions, and one background task that puts them into the queue."""

    def __init__(self, settings: Settings, sessions: Sessions, consent: Capture, metrics: Metrics) -> None:
        self._settings = settings
        self._sessions = sessions
        self._consent = consent
        self._count = metrics.review_items
        self._waiting: asyncio.Queue[_Chosen] = asyncio.Queue(_WAITING)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_all())

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        await self._waiting.join()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def offer(self, decision_id: str, tenant: str, comparison: Comparison, decision: Decision) -> None:
        """Choose a decision, or not; returns at once."""
        settings = self._settings
        found = items.drawn(decision_id, decision, settings.review_rate, settings.review_disagreeing)
        if found is None:
            return
        judged = Judged(decision.model_version, decision.verdict, decision.probability_a)
        try:
            self._waiting.put_nowait(_Chosen(decision_id, tenant, comparison, judged, *found))
        except asyncio.QueueFull:
            self._count.labels("dropped").inc()

    async def _write_all(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _LARGEST_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await asyncio.to_thread(self._write, batch)
            except SQLAlchemyError as error:
                self._count.labels("dropped").inc(len(batch))
                logger.warning("%d comparisons were not kept for review: %s", len(batch), error)
            for _ in batch:
                self._waiting.task_done()

    def _write(self, batch: list[_Chosen]) -> None:
        agreed = [one for one in batch if self._consent.agreed(one.tenant)]
        stored = 0
        with self._sessions.begin() as session:
            for one in agreed:
                stored += items.add(session, one.tenant, [self._offer(one)], self._settings.reviewers)
        self._count.labels("stored").inc(stored)
        self._count.labels("left out").inc(len(batch) - stored)

    def _offer(self, one: _Chosen) -> Offer:
        return Offer(
            self._redacted(one.comparison),
            items.LIVE,
            probability=one.probability,
            place=items.chance("review place", one.decision_id),
            decision_id=one.decision_id,
            signals=one.signals,
            judged=(one.judged,),
        )

    def _redacted(self, comparison: Comparison) -> Comparison:
        if not self._settings.redact:
            return comparison
        language = languages.detect(comparison.instruction.text)
        return Comparison(
            redact_instruction(comparison.instruction, language),
            redact(comparison.response_a, language),
            redact(comparison.response_b, language),
        )
