"""Keeps programs up: starts them in order, restarts what dies, stops them in reverse order."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from stack.errors import StackError
from stack.home import Home
from stack.processes.child import Child, Program
from stack.processes.reaper import Reaper

HEALTH_MISSES = 6
# vLLM hears no signal while it loads.
_STARTING_GRACE_S = 10.0
_POLL_S = 0.2


class Backoff:
    """Pauses between restarts: 1 s, doubled each time up to 60 s; from the start again after 60 s up."""

    LONGEST_S = 60.0

    def __init__(self) -> None:
        self._next = 1.0

    def pause(self, up_for_s: float) -> float:
        """Seconds to wait before the next start of what was up for so long."""
        if up_for_s >= self.LONGEST_S:
            self._next = 1.0
        pause, self._next = self._next, min(self._next * 2, self.LONGEST_S)
        return pause


@dataclass(slots=True)
class _Watched:
    """A child and what the supervisor knows about it. `since` is when the phase began."""

    child: Child
    phase: Literal["starting", "up", "down"] = "starting"
    since: float = field(default_factory=time.monotonic)
    backoff: Backoff = field(default_factory=Backoff)
    pause_s: float = 0.0
    misses: int = 0
    checked: float = 0.0

    def enter(self, phase: Literal["starting", "up", "down"]) -> None:
        self.phase, self.since = phase, time.monotonic()
        self.misses, self.checked = 0, self.since

    @property
    def grace_s(self) -> float:
        """How long it may take to stop: what does not serve yet has nothing to finish."""
        grace = self.child.program.grace_s
        return grace if self.phase == "up" else min(grace, _STARTING_GRACE_S)

    @property
    def for_s(self) -> float:
        """Seconds in the present phase."""
        return time.monotonic() - self.since


class Supervisor:
    """The programs in the order of their start. Everything happens in the caller's thread."""

    def __init__(
        self, home: Home, lock_fd: int, say: Callable[[str], None], *, orphan_grace_s: float = 20.0
    ) -> None:
        """The home's lock is held until every child is gone, come what may.

        Args:
            home: where the logs go.
            lock_fd: its lock.
            say: prints a line.
            orphan_grace_s: how long children may live on if this process is killed.
        """
        self._home = home
        self._reaper = Reaper(lock_fd, orphan_grace_s)
        self._say = say
        self._groups: list[list[_Watched]] = []
        self.impatient = False

    @property
    def states(self) -> dict[str, tuple[str, int | None]]:
        """Phase (`starting`, `up`, `down`) and process id of each program."""
        children = [watched for group in self._groups for watched in group]
        return {watched.child.program.name: (watched.phase, watched.child.pid) for watched in children}

    def start(self, *programs: Program) -> None:
        """Start programs together and wait until all of them serve.

        Raises:
            StackError: one ended or took too long; its log's end is in the text.
        """
        group = [_Watched(Child(program, self._home, self._reaper)) for program in programs]
        self._groups.append(group)
        for watched in group:
            watched.child.start()
            watched.enter("starting")
        while any(watched.phase != "up" for watched in group):
            for watched in group:
                self._await(watched)
            self._look_after(self._groups[:-1])
            time.sleep(_POLL_S)

    def _await(self, watched: _Watched) -> None:
        why = self._progress(watched)
        if why:
            child = watched.child
            raise StackError(f"{child.program.name} {why}; {child.log} ends with:\n{child.tail()}")

    def tick(self) -> None:
        """Look after every child once: call it a few times a second."""
        self._look_after(self._groups)

    def _look_after(self, groups: list[list[_Watched]]) -> None:
        for watched in (watched for group in groups for watched in group):
            if watched.phase == "down":
                if watched.for_s >= watched.pause_s:
                    self._restart(watched)
                continue
            why = self._progress(watched)
            if why:
                self._lost(watched, why)

    def _progress(self, watched: _Watched) -> str | None:
        """Move a started child to `up` when it serves; returns what is wrong with it, if anything."""
        child, program = watched.child, watched.child.program
        ended = child.ended()
        if ended:
            return f"ended {ended}"
        if watched.phase == "up":
            return self._unhealthy(watched)
        if program.ready():
            program.on_ready()
            if watched.pause_s:
                self._say(f"{program.name} is up again after {watched.for_s:.0f} s")
            watched.enter("up")
        elif watched.for_s > program.start_timeout_s:
            return f"did not begin to serve within {program.start_timeout_s:.0f} s"
        return None

    def _unhealthy(self, watched: _Watched) -> str | None:
        program = watched.child.program
        if program.healthy is None or time.monotonic() - watched.checked < program.health_every_s:
            return None
        watched.misses = 0 if program.healthy() else watched.misses + 1
        watched.checked = time.monotonic()
        if watched.misses < HEALTH_MISSES:
            return None
        return f"failed {HEALTH_MISSES} health checks in a row"

    def _lost(self, watched: _Watched, why: str) -> None:
        watched.child.kill()
        watched.pause_s = watched.backoff.pause(watched.for_s)
        watched.enter("down")
        name, log = watched.child.program.name, watched.child.log
        self._say(f"{name} {why}; starting it again in {watched.pause_s:.0f} s (see {log})")

    def _restart(self, watched: _Watched) -> None:
        try:
            watched.child.start()
        except Exception as error:  # a launch may need the database, which may be down too
            watched.pause_s = watched.backoff.pause(0)
            watched.enter("down")
            name = watched.child.program.name
            self._say(f"{name} cannot be started now ({_line(error)}); again in {watched.pause_s:.0f} s")
        else:
            watched.enter("starting")

    def stop(self) -> None:
        """Stop the groups in reverse order: the stop signal, the grace, then the session is killed."""
        for group in reversed(self._groups):
            children = [watched.child for watched in group]
            for child in children:
                child.ask_to_stop()
            deadline = time.monotonic() + max(watched.grace_s for watched in group)
            while not all(child.wait(0) for child in children):
                if time.monotonic() > deadline or self.impatient:
                    self._say(f"{', '.join(child.program.name for child in children)}: killed")
                    break
                time.sleep(_POLL_S)
            for child in children:
                child.kill()
        self._groups.clear()
        self._reaper.close()


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
