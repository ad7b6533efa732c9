"""Cancelling in the middle of each stage, and killing the training, leaves nothing half-done."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy import select, text

from judge import iterations
from judge.pointer import read_pointer
from judge.tables import ExampleRow, ModelVersion, StageRow
from stack.spawn import CODE

LONG = {"pointwise_epochs": 40, "checkpoint_every": 5}


def cancel(loop, number: int) -> None:
    with loop.sessions.begin() as session:
        iterations.cancel(session, number, "test")


def once(act: Callable[[], None], after: int = 1) -> Callable[[], None]:
    """A function that does `act` at its `after`-th call and nothing at any other."""
    calls = iter(range(1, 1_000_000))
    lock = threading.Lock()

    def called() -> None:
        with lock:
            number = next(calls)
        if number == after:
            act()

    return called


def when_training(loop, number: int, act: Callable[[], None]) -> threading.Thread:
    """Do `act` once the stage says that a lesson is being trained."""

    def watch() -> None:
        deadline = time.monotonic() + 500
        while time.monotonic() < deadline:
            with loop.sessions() as session:
                row = session.get(StageRow, (number, "finetune"))
                if row is not None and row.done:
                    act()
                    return
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def interrupt(loop, number: int, stage: str) -> None:
    """Run a stage and cancel it while it works."""
    stop = once(lambda: cancel(loop, number), after=3)
    thread = None
    if stage in ("select", "filter"):
        cancel(loop, number)  # one transaction each: there is no middle
    elif stage in ("pair", "judge"):
        usual = loop.serving.script.text
        loop.serving.script.text = lambda prompt: (stop(), usual(prompt))[1]
        loop.serving.script.delay_s = 0.01
    elif stage == "finetune":
        thread = when_training(loop, number, lambda: cancel(loop, number))
    elif stage == "evaluate":
        margin = loop.evaluation.script.margin
        loop.evaluation.script.margin = lambda prompt, weights: (stop(), margin(prompt, weights))[1]
    loop.run(number, stage)
    if thread is not None:
        thread.join()


def trainers(folder: str) -> list[int]:
    return [process.pid for process in psutil.process_iter() if _names(process, folder)]


def _names(process: psutil.Process, folder: str) -> bool:
    try:
        return any(folder in part for part in process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("stage", iterations.STAGES[:-1])
def test_a_cancelled_stage_leaves_nothing_half_done(loop, tmp_path, stage):
    number = loop.start(**LONG if stage == "finetune" else {})
    before = iterations.STAGES[: iterations.STAGES.index(stage)]
    if before:
        assert loop.run(number, *before).status == "running"

    interrupt(loop, number, stage)

    row = loop.row(number)
    assert (row.status, row.error, row.candidate) == ("cancelled", None, None)
    assert not (tmp_path / "work" / f"iteration-{number}").exists()
    assert [folder.name for folder in loop.store.root.iterdir()] == [loop.version]
    assert loop.rows(select(ModelVersion.id)) == [loop.version]
    assert loop.serving.script.label == loop.version
    assert trainers(str(tmp_path / "work")) == []
    with loop.sessions() as session:
        assert read_pointer(session).champion == loop.version
        last = iterations.stages(session, number)[-1]
        assert iterations.claim_due(session) == []
    assert last.name == stage
    assert last.status == "cancelled" or (last.status == "done" and stage == "judge")
    loop.serving.script.delay_s = 0
    assert loop.run(loop.start(), "select").status == "running"


def test_a_cancellation_before_the_swap_swaps_nothing(loop):
    number = loop.start()
    loop.run(number, *iterations.STAGES[:-1])
    cancel(loop, number)

    row = loop.run(number, "promote")

    assert row.status == "cancelled"
    assert loop.serving.script.label == loop.version
    with loop.sessions() as session:
        assert read_pointer(session).champion == loop.version


def test_a_cancellation_during_the_swap_comes_too_late_and_says_so(loop):
    number = loop.start()
    loop.run(number, *iterations.STAGES[:-1])
    loop.serving.script.reload_s = 1.0
    thread = threading.Thread(target=lambda: (_until_swapping(loop, number), cancel(loop, number)))
    thread.start()

    row = loop.run(number, "promote")

    thread.join()
    assert row.status == "promoted"
    assert loop.serving.script.label == row.candidate
    with loop.sessions() as session:
        assert read_pointer(session).champion == row.candidate


def _until_swapping(loop, number: int) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        with loop.sessions() as session:
            row = session.get(StageRow, (number, "promote"))
            if row is not None and row.note == "swapping":
                return
        time.sleep(0.02)


def test_a_worker_killed_while_it_trains_is_followed_by_one_that_makes_the_same_candidate(loop, tmp_path):
    number = loop.start(**LONG)
    loop.run(number, "select", "pair", "judge", "filter")
    code = f"from workers.stage import run_stage; run_stage({number}, 'finetune')"
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=CODE, env=dict(os.environ))
    when_training(loop, number, lambda: worker.send_signal(signal.SIGKILL)).join()
    assert worker.wait(60) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while trainers(str(tmp_path / "work")):
        assert time.monotonic() < deadline, "the training goes on without its worker"
        time.sleep(0.1)
    begun = tmp_path / "work" / f"iteration-{number}"
    assert not (begun / "candidate").exists()
    with loop.sessions.begin() as session:
        session.execute(
            text("UPDATE stages SET lease_until = now() - interval '1 second' WHERE status = 'running'")
        )

    resumed = loop.run(number, "finetune").counts["finetune"]

    assert [path.name for path in begun.iterdir() if "candidate" in path.name] == ["candidate"]
    assert len(list(begun.glob("trained-*.json"))) == 1
    with loop.sessions.begin() as session:
        iterations.finish(session, number, "failed")
    again = loop.start(**LONG)
    whole = loop.run(again, "select", "pair", "judge", "filter", "finetune").counts["finetune"]
    assert len(loop.rows(select(ExampleRow.id).where(ExampleRow.iteration_id == again))) == 12
    assert (whole["dataset"], whole["weights"]) == (resumed["dataset"], resumed["weights"])
