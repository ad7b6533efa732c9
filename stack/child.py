"""One supervised process: in a session of its own, with a log, and never outliving its supervisor.

Start children from the main thread only: the kernel's parent-death signal is tied to the thread that
made the child. Each carries a mark in its environment, which its own children inherit. So when one ends,
whatever it has left is ended too (an engine core, a training run), and what a killed supervisor leaves
behind is found again (`end_leftovers`).
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.home import Home
from stack.spawn import die_with_parent, rotate

MARK = "JUDGESMITH_STACK"


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

    def __init__(self, program: Program, home: Home) -> None:
        self.program = program
        self.log = home.log_dir / f"{program.name}.log"
        self._mark = f"{_prefix(home)}{program.name}::"
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
                env={**launch.env, MARK: self._mark},
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
        """End it and all that it has started and left, now."""
        if self._process is None:
            return
        self._process.kill()
        for process in _belonging(self._process.pid, self._mark):
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


def end_leftovers(home: Home, grace_s: float = 15.0) -> int:
    """End what a killed supervisor of this home left behind; returns how many processes that were.

    Each was told to stop when the supervisor died, so it is given a while first.
    """
    found = _marked(_prefix(home))
    deadline = time.monotonic() + grace_s
    while (left := _marked(_prefix(home))) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    return len(found)


def _prefix(home: Home) -> str:
    return f"{home.root}::"


def _marked(prefix: str) -> list[psutil.Process]:
    """Every living process whose mark begins so, where we may see it."""
    marked = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mark = process.environ().get(MARK, "")
            if mark.startswith(prefix) and process.status() != psutil.STATUS_ZOMBIE:
                marked.append(process)
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in marked if process.pid not in ours]


def _belonging(leader: int, mark: str) -> list[psutil.Process]:
    """Every process of a session, and every one with the mark: some leave the session, some lose the mark."""
    members = _marked(mark)
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                members.append(psutil.Process(pid))
    return members
