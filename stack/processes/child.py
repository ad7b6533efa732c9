"""One supervised process: in a session of its own, with a log, and never outliving its supervisor.

Start children from the main thread only: the kernel's parent-death signal is tied to the thread that
made the child. When one ends, whatever it has started and left is ended too: an engine core, a training run.
"""

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stack.home import Home
from stack.processes.family import MARK, Family
from stack.processes.reaper import Reaper
from stack.processes.spawn import die_with_parent, rotate


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
        healthy: whether it still serves; None where a living process is enough.
        health_every_s: how often that is asked.
        stop_signal: what makes it stop in good order.
        grace_s: how long that may take.
        start_timeout_s: how long it may take to serve.
    """

    name: str
    launch: Callable[[], Launch]
    ready: Callable[[], bool] = lambda: True
    on_ready: Callable[[], None] = lambda: None
    healthy: Callable[[], bool] | None = None
    health_every_s: float = 5.0
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 30.0
    start_timeout_s: float = 120.0


class Child:
    """A program's process, if it has one now."""

    def __init__(self, program: Program, home: Home, reaper: Reaper) -> None:
        self.program = program
        self.log = home.log_dir / f"{program.name}.log"
        self._mark = f"{home.root}::{program.name}"
        self._reaper = reaper
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
        self._reaper.watch(Family(self._process.pid, self._mark))

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
        family = Family(self._process.pid, self._mark)
        self._process.kill()
        family.kill()
        self._process.wait()
        self._reaper.forget(family)
        self._process = None

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 20_000))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
