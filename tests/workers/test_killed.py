"""kill -9 in the middle of every stage: of its worker, of the training, of the backends, of Postgres.

One iteration for each of them, disturbed in all of its stages and compared with one that nobody disturbed.
What is killed are real processes; only the backends are scripted.
"""

import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select, text

from judge.backend.patience import back
from judge.backend.vllm import VLLM
from judge.store.tables import (
    ModelVersion,
)
from judge.teaching.iterations import MAX_EPOCHS, STAGES, Lease
from judge.versions.pointer import read_pointer
from stack.processes.postgres import prepare_postgres
from stack.processes.servers import new_home
from tests.workers.killing import (
    SETTINGS,
    Backend,
    Database,
    go_on,
    in_the_middle,
    kill_training,
    lesson,
    made,
    stage_row,
    start_worker,
    until,
)
from tests.workers.test_cancel import trainers
from workers.batches import in_portions
from workers.stage import run_stage

# Whole iterations, with real trainings that are killed and go on: minutes each where the machine is busy.
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Database]:
    with new_home() as home:
        server = Database(home, prepare_postgres(home))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def postgres_url(postgres: Database) -> str:
    """One of our own: other tests go on with theirs."""
    from judge.store.database import migrate

    migrate(postgres.server.url)
    return postgres.server.url


@pytest.fixture
def backends(loop, monkeypatch) -> Iterator[dict[str, Backend]]:
    """The serving and the evaluation backend, in processes."""
    made = {name: Backend(loop) for name in ("BACKEND_URLS", "EVALUATION_URL")}
    monkeypatch.setenv("JUDGESMITH_BACKEND_URLS", f'["{made["BACKEND_URLS"].url}"]')
    monkeypatch.setenv("JUDGESMITH_EVALUATION_URL", made["EVALUATION_URL"].url)
    for backend in made.values():
        backend.start(loop.version)
    yield made
    for backend in made.values():
        backend.kill()


@pytest.fixture(autouse=True)
def small_portions(monkeypatch) -> None:
    """Results are stored as they come, so that a kill finds some stored and others not."""
    assert in_portions.__kwdefaults__ is not None
    monkeypatch.setitem(in_portions.__kwdefaults__, "every_s", 0)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch) -> None:
    """On a busy machine the threads of a tiny training wait for each other most of the time."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def remembered() -> dict[str, object]:
    """What the undisturbed iteration made, once it has run."""
    return {}


@pytest.fixture
def undisturbed(loop, remembered):
    """Rows, dataset digest and weights of an iteration that nobody disturbed."""
    if not remembered:
        number = loop.start(**SETTINGS, promote="approve")
        row = loop.run(number)
        assert row.status == "awaiting_approval", row.error
        remembered.update(rows=made(loop, number), **lesson(row))
    return remembered


def compare(loop, number: int, undisturbed) -> None:
    """The same rows and the same training, one version, one promotion."""
    row = loop.row(number)
    assert (row.status, row.error) == ("promoted", None)
    rows = made(loop, number)
    for name, expected in undisturbed["rows"].items():
        assert rows[name] == expected, name
    assert lesson(row) == {name: undisturbed[name] for name in ("dataset", "weights")}
    origin = f"iteration {number}"
    assert loop.rows(select(ModelVersion.id).where(ModelVersion.origin == origin)) == [row.candidate]
    folders = [loop.store.manifest(folder.name) for folder in loop.store.root.iterdir()]
    assert [manifest.id for manifest in folders if manifest.origin == origin] == [row.candidate]
    with loop.sessions() as session:
        assert read_pointer(session).champion == row.candidate
        promotions = text("SELECT count(*) FROM audit WHERE act = 'promote' AND actor = :actor")
        assert session.scalar(promotions, {"actor": origin}) == 1


def test_a_worker_killed_in_every_stage_leaves_no_trace(loop, tmp_path, undisturbed):
    number = loop.start(**SETTINGS)
    loop.serving.script.delay_s = loop.evaluation.script.delay_s = 0.05
    loop.serving.script.reload_s = 0.5
    for stage in STAGES:
        worker = start_worker(number, stage)
        in_the_middle(loop, number, stage, worker.kill)
        assert worker.wait(60) == -signal.SIGKILL, stage
        until(lambda: not trainers(str(tmp_path / "work")))
        assert stage_row(loop, number, stage).status == "running"

        go_on(loop, number, stage)

        row = stage_row(loop, number, stage)
        assert (row.epoch, row.attempts) == (2, 1), stage
    compare(loop, number, undisturbed)


def test_postgres_killed_in_every_stage_loses_and_doubles_nothing(loop, postgres, undisturbed):
    number = loop.start(**SETTINGS)
    loop.serving.script.delay_s = loop.evaluation.script.delay_s = 0.05
    loop.serving.script.reload_s = 0.5
    for stage in STAGES:
        worker = threading.Thread(target=run_stage, args=(number, stage), daemon=True)
        worker.start()
        in_the_middle(loop, number, stage, postgres.kill)
        postgres.start()
        worker.join()
        if stage in ("pair", "judge", "finetune"):
            # Back within the minute: the stage has waited, and its worker has lost nothing.
            row = stage_row(loop, number, stage)
            assert (row.status, row.epoch) == ("done", 1), (stage, row.error)

        go_on(loop, number, stage)
    compare(loop, number, undisturbed)


def test_backends_and_training_killed_in_every_stage_that_uses_them_change_nothing(
    loop, tmp_path, undisturbed, backends
):
    number = loop.start(**SETTINGS)
    serving, evaluation = backends["BACKEND_URLS"], backends["EVALUATION_URL"]
    for stage in STAGES:
        worker = threading.Thread(target=run_stage, args=(number, stage), daemon=True)
        worker.start()
        if stage in ("pair", "judge", "promote"):
            in_the_middle(loop, number, stage, serving.kill)
            serving.start("default")
            # Its supervisor or a gateway names the weights a moment after they can be asked.
            time.sleep(0.5)
            httpx.post(f"{serving.url}/update_weight_version", json={"new_version": loop.version})
        elif stage == "evaluate":
            in_the_middle(loop, number, stage, evaluation.kill)
            evaluation.start("default")
        elif stage == "finetune":
            in_the_middle(loop, number, stage, lambda: kill_training(str(tmp_path / "work")))
        worker.join()
        if stage in ("pair", "judge"):
            row = stage_row(loop, number, stage)
            assert (row.status, row.epoch) == ("done", 1), (stage, row.error)

        go_on(loop, number, stage)
    compare(loop, number, undisturbed)
    assert httpx.get(f"{serving.url}/weight_info").json()["weight_version"] == loop.row(number).candidate


def test_a_stage_whose_workers_are_all_killed_ends_the_iteration(loop):
    number = loop.start()
    for _ in range(MAX_EPOCHS):
        assert Lease.take(loop.sessions, number, "select") is not None
        with loop.sessions.begin() as session:
            session.execute(text("UPDATE stages SET lease_until = now() - interval '1 second'"))

    assert Lease.take(loop.sessions, number, "select") is None

    row = loop.row(number)
    assert row.status == "failed"
    assert "killed again and again" in row.error


async def test_a_backend_with_another_version_is_not_waited_for(loop):
    loop.serving.script.label = "another"
    server = VLLM(loop.serving.url)

    assert not await back([server], loop.version)

    await server.aclose()
