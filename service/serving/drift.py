"""Drift as Prometheus gauges, read now and then from the closed windows (`judge.evaluation.drift`)."""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from judge.evaluation import drift_windows
from judge.evaluation.drift import Counts
from judge.evaluation.drift_windows import Stream
from judge.store.database import Sessions
from service.metrics import Metrics

logger = logging.getLogger(__name__)
_EVERY_S = 15.0


class DriftGauges:
    """One background task that keeps the gauges."""

    def __init__(self, sessions: Sessions, metrics: Metrics) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                self._show(await asyncio.to_thread(self._read))
            except SQLAlchemyError as error:
                logger.warning("the windows of drift could not be read: %s", error.__class__.__name__)
            await asyncio.sleep(_EVERY_S)

    def _read(self) -> list[Stream]:
        with self._sessions() as session:
            return drift_windows.streams(session)

    def _show(self, streams: list[Stream]) -> None:
        figure, alarm = self._metrics.drift_figure, self._metrics.drift_alarm
        figure.clear()
        alarm.clear()
        for stream in streams:
            for name, value in Counts.from_json(stream.windows[-1].counts).figures().items():
                figure.labels(*stream.key, name).set(value)
            for change in stream.changes:
                alarm.labels(*stream.key, change.figure).set(change.alarm)
