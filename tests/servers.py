"""Real servers for tests, in homes that are thrown away."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.child import Program
from stack.home import Home
from stack.supervisor import Supervisor


@contextmanager
def new_home() -> Iterator[Home]:
    """A home under the temporary folder: pytest's own is closed to the user that Postgres runs as."""
    folder = Path(tempfile.mkdtemp(prefix="judgesmith-test-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    home = Home.at(folder)
    home.prepare()
    try:
        yield home
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(home: Home, *programs: Program) -> Iterator[Supervisor]:
    """Programs that serve, until the end of the block."""
    with home.lock() as lock_fd:
        supervisor = Supervisor(home, lock_fd, say=print)
        try:
            supervisor.start(*programs)
            yield supervisor
        finally:
            supervisor.stop()
