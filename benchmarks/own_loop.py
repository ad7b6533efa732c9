"""A loop of a benchmark's own: Postgres, Valkey, a model as champion, an engine, instructions, stages."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

from judge.backend.engine import Engine, free_port
from judge.comparison import Instruction
from judge.gathering.instructions import Gathered, store
from judge.store import database
from judge.store.database import Sessions
from judge.store.tables import StageRow
from judge.teaching import iterations
from judge.versions.version import VersionStore
from stack.home import Home
from stack.processes.champion import register_seed
from stack.processes.postgres import prepare_postgres
from stack.processes.servers import running
from stack.processes.valkey import prepare_valkey
from stack.terminal.watch import figures
from workers.stage import run_stage

EXAMPLES = Path(__file__).parents[1] / "examples" / "instructions.jsonl"
_POLL_S, _TELL_S = 2.0, 20.0
tell = partial(print, file=sys.stderr, flush=True)


class StageFailed(SystemExit):
    """A stage did not come to its end, and why; the benchmark's end as well, unless it can go on."""


@contextmanager
def servers(home: Home) -> Iterator[tuple[str, str]]:
    """The URLs of a migrated Postgres and of a Valkey in a home."""
    postgres, valkey = prepare_postgres(home), prepare_valkey(home)
    with running(home, postgres.program(), valkey.program(), say=tell):
        database.migrate(postgres.url)
        yield postgres.url, valkey.url


@contextmanager
def connected(url: str) -> Iterator[Sessions]:
    """Sessions of a database; at the end nobody of us is connected to it."""
    engine = database.connect(url)
    try:
        yield database.sessions(engine)
    finally:
        engine.dispose()


def sealed(sessions: Sessions, models: VersionStore, model: Path) -> str:
    """A copy of the model as the champion of a new database."""
    models.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models.root.parent) as folder:
        draft = Path(folder) / "draft"
        shutil.copytree(model, draft, ignore=shutil.ignore_patterns("manifest.json", "README.md"))
        return register_seed(sessions, models, models.add(draft, origin="benchmark").id)


@contextmanager
def started(model: Path, log: Path) -> Iterator[str]:
    """The URL of a vLLM, for the length of the block."""
    engine = Engine.start(model, log, port=free_port(), max_model_len=4096)
    try:
        for _ in engine.wait_ready():
            pass
        yield engine.url
    finally:
        engine.stop()


def bring_in(sessions: Sessions, file: Path, count: int | None = None) -> None:
    """The instructions of a JSONL file (`messages`, perhaps `language`), or the first so many."""
    lines = [json.loads(line) for line in file.read_text("utf-8").split("\n")[:count] if line.strip()]
    items = [
        Gathered(Instruction.from_json(line["messages"]), "benchmark", "local", line.get("language"))
        for line in lines
    ]
    with sessions.begin() as session:
        store(session, items)


def use(**settings: str) -> None:
    """Set what the stages read from the environment: `home="/x"` is `JUDGESMITH_HOME`."""
    os.environ.update({f"JUDGESMITH_{name.upper()}": value for name, value in settings.items()})


def run(sessions: Sessions, number: int, stage: str) -> None:
    """Run a stage of an iteration to its end; one that is done is not repeated.

    Where a run before this one was killed, its lease has to run out first (`judge.teaching.iterations`).

    Raises:
        StageFailed: it failed.
    """
    while True:
        run_stage(number, stage)
        with sessions() as session:
            row = session.get(StageRow, (number, stage))
            error = iterations.get(session, number).error
        if row is not None and row.status == "done":
            return
        if row is None or row.status != "running":
            raise StageFailed(f"the stage {stage} failed: {(row and row.error) or error}")
        time.sleep(_POLL_S)


@contextmanager
def told(sessions: Sessions, number: int, what: str) -> Iterator[None]:
    """Say on standard error how far the running stage is, and what is left of it, until the block ends."""
    over = Event()

    def go_on() -> None:
        while not over.wait(_TELL_S):
            tell(f"{what}: {progress(sessions, number)}")

    thread = Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def progress(sessions: Sessions, number: int) -> str:
    """`finetune: 1200/74000, 3:10 left, pointwise: loss 0.612, 343 tokens/s`."""
    with sessions() as session:
        stage = iterations.stages(session, number)[-1]
    eta = iterations.eta_seconds(stage, datetime.now(UTC))
    shown = figures({"done": stage.done, "total": stage.total, "eta_s": eta})
    return f"{stage.name}: {', '.join(filter(None, (shown, stage.note))) or 'begun'}"
