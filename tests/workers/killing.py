"""Stages with what they stand on killed under them, for the tests of that."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial

import httpx
import psutil
from sqlalchemy import select, text
from sqlalchemy.orm import aliased

from judge.backend.engine import free_port
from judge.store.tables import (
    DropRow,
    EvaluationRow,
    ExampleRow,
    JudgmentRow,
    PairRow,
    ResponseRow,
    SelectionRow,
    StageRow,
)
from judge.teaching import iterations
from stack.home import Home
from stack.processes.postgres import Postgres
from stack.processes.servers import running
from stack.processes.spawn import CODE
from tests.workers.test_cancel import trainers
from workers.stage import run_stage

SETTINGS = {"judged_pairs": 8, "pointwise_epochs": 20, "checkpoint_every": 5}
# Stages that write in one transaction: their middle is a lock on the table that they write.
WRITES = {"select": SelectionRow, "filter": ExampleRow}


class Database:
    """A Postgres that can be killed with all its processes, and started again on the same data."""

    def __init__(self, home: Home, server: Postgres) -> None:
        self._home, self.server = home, server
        self._running = ExitStack()

    def start(self) -> None:
        supervisor = self._running.enter_context(running(self._home, self.server.program()))
        _, self._pid = supervisor.states["postgres"]

    def kill(self) -> None:
        leader = psutil.Process(self._pid)
        for process in [leader, *leader.children(recursive=True)]:
            process.kill()
        self.stop()

    def stop(self) -> None:
        self._running.close()


class Backend:
    """A scripted backend in a process of its own, always at the same port."""

    def __init__(self, loop) -> None:
        self._loop, self.port = loop, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, label: str) -> None:
        folder = self._loop.store.path(self._loop.version)
        command = [sys.executable, "-m", "tests.workers.backend_process", str(self.port), str(folder), label]
        self.process = subprocess.Popen(command, cwd=CODE)
        until(self.answers)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def until(holds: Callable[[], object], patience_s: float = 200) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.03)


def stage_row(loop, number: int, stage: str) -> StageRow:
    with loop.sessions() as session:
        return session.get(StageRow, (number, stage))


def half_done(loop, number: int, stage: str) -> bool:
    row = stage_row(loop, number, stage)
    return row is not None and (0 < row.done < row.total or row.note == "swapping")


def waits(loop) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'postgres'"
    with loop.sessions() as session:
        return bool(session.scalar(text(query)))


def in_the_middle(loop, number: int, stage: str, act: Callable[[], None]) -> None:
    """Do `act` while the stage, which somebody has started or will, is in the middle of its work."""
    if stage not in WRITES:
        until(partial(half_done, loop, number, stage))
        act()
        return
    with closing(loop.sessions()) as session:
        # It reads, and cannot write.
        session.execute(text(f"LOCK TABLE {WRITES[stage].__tablename__} IN EXCLUSIVE MODE"))
        until(partial(waits, loop))
        act()
        session.invalidate()


def go_on(loop, number: int, stage: str) -> None:
    """What sweep and queue do once the lease has run out: ask for the stage until it is done."""
    for _ in range(iterations.MAX_ATTEMPTS):
        if stage_row(loop, number, stage).status == "done":
            return
        with loop.sessions.begin() as session:
            session.execute(
                text("UPDATE stages SET lease_until = now() - interval '1 s' WHERE status = 'running'")
            )
            session.execute(text("UPDATE stages SET enqueued_at = NULL"))
            assert iterations.claim_due(session) == [(number, stage)]
        run_stage(number, stage)
    row = stage_row(loop, number, stage)
    assert row.status == "done", (stage, row.error)


def made(loop, number: int) -> dict[str, Counter]:
    """All rows of an iteration by what identifies them, whatever their ids; a double one counts twice."""
    pair = aliased(PairRow)
    of_pair = (pair.instruction_id, pair.ordinal, pair.held_out)
    queries = {
        "selections": select(SelectionRow.instruction_id, SelectionRow.held_out).where(
            SelectionRow.iteration_id == number
        ),
        "drops": select(DropRow.step, DropRow.instruction_id, DropRow.reason).where(
            DropRow.iteration_id == number
        ),
        "responses": select(ResponseRow.instruction_id, ResponseRow.kind, ResponseRow.text).where(
            ResponseRow.iteration_id == number
        ),
        "pairs": select(*of_pair, pair.strategy, pair.chosen, pair.rejected).where(
            pair.iteration_id == number
        ),
        "judgments": select(
            *of_pair, JudgmentRow.chosen_first, JudgmentRow.sample, JudgmentRow.verdict, JudgmentRow.text
        )
        .join(pair, pair.id == JudgmentRow.pair_id)
        .where(pair.iteration_id == number),
        "examples": select(*of_pair, ExampleRow.kind, ExampleRow.chosen_first, ExampleRow.judgment)
        .join(pair, pair.id == ExampleRow.pair_id)
        .where(pair.iteration_id == number),
        "evaluations": select(EvaluationRow.role, EvaluationRow.dataset, EvaluationRow.strategy).where(
            EvaluationRow.iteration_id == number
        ),
    }
    with loop.sessions() as session:
        return {name: Counter(map(tuple, session.execute(query))) for name, query in queries.items()}


def lesson(row) -> dict[str, str]:
    return {name: row.counts["finetune"][name] for name in ("dataset", "weights")}


def start_worker(number: int, stage: str) -> "subprocess.Popen[bytes]":
    code = (
        "from workers.batches import in_portions; in_portions.__kwdefaults__['every_s'] = 0; "
        f"from workers.stage import run_stage; run_stage({number}, {stage!r})"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=CODE, env=dict(os.environ))


def kill_training(folder: str) -> None:
    for pid in trainers(folder):
        os.kill(pid, signal.SIGKILL)
