"""A process and everything that it has started, found again even after it is gone.

Two traces, since neither is certain: the session, which a training run or another engine leaves; and a mark
in the environment, which an engine core or a worker loses by renaming itself. (An engine core lives on, with
all its memory, when its API server is killed.)
"""

import os
from contextlib import suppress
from dataclasses import dataclass

import psutil

MARK = "JUDGESMITH_STACK"


@dataclass(frozen=True, slots=True)
class Family:
    """`leader` leads a session. Every process begun with the mark belongs too, and all of its session."""

    leader: int
    mark: str

    def members(self) -> list[psutil.Process]:
        """Those that still run."""
        sessions = {process: _session(process) for process in psutil.process_iter()}
        ours = {self.leader} | {sid for process, sid in sessions.items() if sid and self._marks(process)}
        return [process for process, sid in sessions.items() if sid in ours]

    def kill(self) -> None:
        """End them all, now."""
        for process in self.members():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _marks(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return bool(process.environ().get(MARK) == self.mark)
        return False


def _session(process: psutil.Process) -> int | None:
    """A process's session; None where it has ended, or may not be looked at."""
    with suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return os.getsid(process.pid)
    return None
