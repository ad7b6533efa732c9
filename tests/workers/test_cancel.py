"""Cancelling in the middle of each stage leaves nothing half-done."""

import threading
import time
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy import select

from judge.store.tables import ModelVersion, StageRow
from judge.teaching import iterations
from judge.versions.pointer import read_pointer

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
