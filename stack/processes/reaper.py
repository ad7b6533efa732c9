"""Ends what is left of a stack whose supervisor was killed; `Reaper` runs it as a process.

The kernel tells the children when their supervisor dies, but neither their own children nor those that take
their time. This process learns of it by the end of its standard input, gives all of them a while, and kills
what remains. It also holds the home's lock until then, so that the next `up` begins with an empty house.
"""

import signal
import subprocess
import sys
import time
from contextlib import suppress

from stack.processes.family import Family
from stack.processes.spawn import CODE


class Reaper:
    """The supervisor's end of it. Nothing here fails if the process is gone: it is a safety net."""

    def __init__(self, lock_fd: int, grace_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stack.processes.reaper", str(grace_s)],
            cwd=CODE,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock_fd],
            start_new_session=True,
            text=True,
        )

    def watch(self, family: Family) -> None:
        """End this family if we die."""
        self._tell(f"+ {family.leader} {family.mark}")

    def forget(self, family: Family) -> None:
        """It has ended; its number may be another's from now on."""
        self._tell(f"- {family.leader} {family.mark}")

    def close(self) -> None:
        """Let it end what is left, and go."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


def main() -> None:
    """Keep the books until the supervisor is gone, then end what has not ended by itself."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    families: set[Family] = set()
    for line in sys.stdin:
        sign, leader, mark = line.rstrip("\n").split(" ", 2)
        (families.add if sign == "+" else families.discard)(Family(int(leader), mark))
    deadline = time.monotonic() + float(sys.argv[1])
    while any(family.members() for family in families) and time.monotonic() < deadline:
        time.sleep(0.2)
    for family in families:
        family.kill()


if __name__ == "__main__":
    main()
