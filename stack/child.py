"""One supervised process: in a session of its own, with a log, and never outliving its supervisor.

Start children from the main thread only: the kernel's parent-death signal is tied to the thread that
made the child. When one ends, whatever is left of its session is killed too, so a restart never meets
the old engine core or a half-dead training run. What a killed supervisor leaves behind is found by a mark
in its environment (`end_leftovers`).
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "JUDGESMITH_STACK"
_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 20 * 2**20


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute. `user` is a uid and gid to change to, which takes root."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    user: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep up.

    Args:
        name: what people call it; also its log's name.
        launch: says what to execute, anew for each start.
        ready: whether it serves; asked until it does.
        on_ready: called each time it begins to serve.
        healthy: asked every few seconds while it serves; None where a living process is enough.
        stop_signal: what makes it stop in good order.
        grace_s: how long that may take.
        start_timeout_s: how long it may take to serve.
    """

    name: str
    launch: Callable[[], Launch]
    ready: Callable[[], bool] = lambda: True
    on_ready: Callable[[], None] = lambda: None
    healthy: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 30.0
    start_timeout_s: float = 120.0


class Child:
    """A program's process, if it has one now."""

    def __init__(self, program: Program, log_dir: Path) -> None:
        self.program = program
        self.log = log_dir / f"{program.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of its process; None before the first start and after `kill`."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Execute the program; its output is appended to the log."""
        launch = self.program.launch()
        rotate(self.log)
        uid, gid = launch.user or (None, None)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                env=dict(launch.env),
                cwd=launch.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor alone
                preexec_fn=die_with_parent(self.program.stop_signal),
                user=uid,
                group=gid,
                extra_groups=None if launch.user is None else [],
            )

    def ended(self) -> str | None:
        """How it ended (`with code 1`, `by SIGKILL`); None while it runs or before it was started."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        return f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"

    def ask_to_stop(self) -> None:
        """Send the stop signal; to the process alone, which stops its own children as it sees fit."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(self.program.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within the time."""
        with suppress(subprocess.TimeoutExpired):
            if self._process:
                self._process.wait(max(seconds, 0.0))
            return True
        return False

    def kill(self) -> None:
        """End it and all that is left of its session, now."""
        if self._process is None:
            return
        for process in _session(self._process.pid):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None  # its pid may be another's from now on

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 20_000))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


def die_with_parent(signum: int) -> Callable[[], None]:
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


def end_leftovers(home: Path, grace_s: float = 15.0) -> int:
    """End what a killed supervisor of this home left behind; returns how many processes that were.

    Each was told to stop when the supervisor died, so it is given a while first.
    """
    found = _marked(home)
    deadline = time.monotonic() + grace_s
    while (left := _marked(home)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    return len(found)


def _marked(home: Path) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                marked.append(process)
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in marked if process.pid not in ours]


def _session(leader: int) -> list[psutil.Process]:
    """Every process of a session, the leader included."""
    members = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                members.append(psutil.Process(pid))
    return members
