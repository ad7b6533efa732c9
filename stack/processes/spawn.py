"""What every process that we start has in common: where it runs, where it logs, whom it dies with."""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

# Where our packages lie: children of ours run there, so that `python -m` finds them wherever we were called.
CODE = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 20 * 2**20


def die_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `signum` when the thread that made the process ends."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


def rotate(log: Path) -> None:
    """Put a log that has grown large aside, in place of the one put aside before."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        os.replace(log, log.with_suffix(".log.1"))
