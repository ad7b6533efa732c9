"""Tells the person at the terminal what is happening: a spinner with a clock, or plain lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Narrator:
    """Lines for `judgesmith up`. Never fails: the terminal may be gone (SIGHUP, a closed pipe)."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, line: str = "") -> None:
        """Print a line as it is."""
        with suppress(OSError):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str, hint: str = "") -> Iterator[None]:
        """Show that something is in progress; one line says how long it took.

        `hint` tells what to expect of a long one; in a log it is a line of its own.
        """
        start = time.monotonic()
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn(f"{what} {hint}".rstrip(), markup=False),
                TimeElapsedColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as progress:
                progress.add_task(what, total=None)
                yield
        else:
            if hint:
                self.say(f"  {what}: {hint}")
            yield
        self.say(f"  {what:<34} {time.monotonic() - start:6.1f} s")
