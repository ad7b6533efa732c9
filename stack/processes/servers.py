"""The embedded servers without the rest of the stack, for as long as a block lasts: benchmarks and tests."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.home import Home
from stack.processes.child import Program
from stack.processes.supervisor import Supervisor


@contextmanager
def new_home() -> Iterator[Home]:
    """A home under the temporary folder, which the user that Postgres runs as can reach; thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="judgesmith-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    home = Home.at(folder)
    home.prepare()
    try:
        yield home
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(home: Home, *programs: Program, say: Callable[[str], None] = print) -> Iterator[Supervisor]:
    """Programs that serve, until the end of the block. What dies is started again by `Supervisor.tick` alone.

    Raises:
        StackError: the home is in use, or a program does not begin to serve.
    """
    with home.lock() as lock_fd:
        supervisor = Supervisor(home, lock_fd, say=say)
        try:
            supervisor.start(*programs)
            yield supervisor
        finally:
            supervisor.stop()
