"""Attack a served judge and print how often it gave way.

    python -m benchmarks.attacks --url http://127.0.0.1:8080 --pairs pairs.jsonl --json attacks.json

Lines of the file: {"id", "instruction" or "messages", "response_a", "response_b", "label": a | b | tie}.
Without a file, the 24 pairs that come with Judgesmith. The key is read from JUDGESMITH_KEY, or from
the variable that --key-env names. Ctrl-C prints what was measured so far. docs/attacks.md explains the table.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.attacks.measure import Gateway, Measured, Stopped, measure
from benchmarks.attacks.pairs import draw, read
from benchmarks.attacks.report import NOTE, report, summary, table, to_json
from judge.errors import InvalidInput
from judge.evaluation.attack_suite import BUILT_IN
from judge.evaluation.attacks import ATTACKS

_WIDTH = 150  # of the table at least, since a narrower terminal would cut its columns


def main() -> int:
    """Measure, print, write; 0 when all was measured, 1 when it could not be, 130 after Ctrl-C."""
    arguments = _arguments()
    try:
        targets = draw(read(arguments.pairs), arguments.limit, arguments.seed)
    except InvalidInput as error:
        print(*(f"{fault.field}: {fault.reason}" for fault in error.faults), sep="\n", file=sys.stderr)
        return 1
    measured = Measured(targets, ATTACKS, arguments.mode)
    progress = Progress(len(targets) * (1 + len(ATTACKS)))
    code = 0
    try:
        asyncio.run(_ask(arguments, measured, progress))
    except KeyboardInterrupt:
        progress.say("interrupted; what follows is what was measured so far")
        code = 130
    except Stopped as stopped:
        progress.say(f"stopped: {stopped}")
        code = 1
    if measured.seen:
        _show(arguments, measured, complete=code == 0)
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway (default: %(default)s)")
    parser.add_argument("--pairs", type=Path, default=BUILT_IN, help="JSONL of labeled pairs")
    parser.add_argument("--key-env", default="JUDGESMITH_KEY", help="variable that holds the API key")
    parser.add_argument("--mode", choices=("direct", "reasoning"), default="direct")
    parser.add_argument("--limit", type=_count, default=60, help="pairs at most (default: %(default)s)")
    parser.add_argument("--concurrency", type=_count, default=16, help="requests at a time")
    parser.add_argument("--seed", type=int, default=0, help="draws the pairs and their sides")
    parser.add_argument("--json", type=Path, help="write everything there as well")
    return parser.parse_args()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


async def _ask(arguments: argparse.Namespace, measured: Measured, progress: "Progress") -> None:
    gateway = Gateway(arguments.url, os.environ.get(arguments.key_env), arguments.mode)
    try:
        await measure(gateway, measured, arguments.concurrency, progress.step)
    finally:
        await gateway.aclose()


def _show(arguments: argparse.Namespace, measured: Measured, *, complete: bool) -> None:
    found = report(measured)
    console = Console(highlight=False, width=max(_WIDTH, Console().width))
    console.print(table(found))
    console.print()
    console.print(summary(measured, found), markup=False, soft_wrap=True)
    console.print(NOTE, markup=False, style="dim")
    if arguments.json:
        value = to_json(measured, found, seed=arguments.seed, complete=complete)
        arguments.json.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


class Progress:
    """How far it is, on standard error: one line that is redrawn, or a line each tenth in a log."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()
        self._live = sys.stderr.isatty()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        tenths = 10 * self._done // self._total
        if not self._live and tenths == 10 * (self._done - 1) // self._total:
            return
        took = time.monotonic() - self._began
        left = took / self._done * (self._total - self._done)
        line = f"{self._done} of {self._total}, {_clock(took)} so far, about {_clock(left)} left"
        over = self._done == self._total
        print(
            f"\r{line} " if self._live else line, end="" if self._live and not over else "\n", file=sys.stderr
        )
        sys.stderr.flush()

    def say(self, text: str) -> None:
        """A line of its own."""
        print(("\n" if self._live else "") + text, file=sys.stderr)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


if __name__ == "__main__":
    sys.exit(main())
