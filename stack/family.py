"""A process and everything that it has started, found again even after it is gone.

Two traces, since neither is certain: the session, which a training run leaves; and a mark in the environment,
which an engine core or a worker loses by renaming itself.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

import psutil

MARK = "JUDGESMITH_STACK"


@dataclass(frozen=True, slots=True)
class Family:
    """`leader` leads the session; every process begun with the mark, or by one that had it, belongs too."""

    leader: int
    mark: str

    def members(self) -> list[psutil.Process]:
        """Those that still run."""
        return [process for process in psutil.process_iter() if self._has(process)]

    def kill(self) -> None:
        """End them all, now."""
        for process in self.members():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _has(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if os.getsid(process.pid) == self.leader:
                return True
            return process.environ().get(MARK) == self.mark
        return False
