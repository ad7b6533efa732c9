"""One arm: a copy of the iteration that made the pairs, spoiled, trained, measured, and put to the gate."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url, select, text
from sqlalchemy.dialects.postgresql import insert

from benchmarks import own_loop
from benchmarks.spoiling import ARMS, taught
from judge.store.database import Sessions
from judge.store.tables import EvaluationRow
from judge.teaching import iterations
from judge.teaching.iterations import STAGES
from stack.home import Home
from workers.attack import PHRASES

BEFORE = STAGES[: STAGES.index("finetune")]
AFTER = STAGES[len(BEFORE) :]


@dataclass(frozen=True, slots=True)
class School:
    """Where the arms are taught: the home, its database with the pairs in it, and its engine."""

    home: Home
    database: str
    iteration: int
    version: str

    def folder(self, arm: str) -> Path:
        """What an arm makes."""
        return self.home.root / "arms" / arm


def teach(school: School, arm: str) -> dict[str, Any]:
    """An arm from its spoiled pairs to the gate's answer, on a database and in a home of its own.

    What was trained on the same rows before is not trained again (`workers.finetune`).
    """
    began = time.monotonic()
    folder = school.folder(arm)
    lend(school, folder)
    url = copied(school.database, f"arm_{arm}")
    own_loop.use(home=str(folder), database_url=url)
    number = school.iteration
    with own_loop.connected(url) as sessions:
        with sessions.begin() as session:
            pairs = len(taught(session, number))
            spoiled = ARMS[arm](session, number)
        recall(sessions, number, school.home.root / "champion.json")
        with own_loop.told(sessions, number, arm):
            for stage in AFTER:
                own_loop.run(sessions, number, stage)
        remember(sessions, number, school.home.root / "champion.json")
        with sessions() as session:
            row = iterations.get(session, number)
    result = {
        "arm": arm,
        "status": row.status,
        "pairs": pairs,
        "spoiled": spoiled,
        "gate": row.gate,
        "candidate": row.candidate,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1))
    # Checkpoints and the weights before they were sealed.
    shutil.rmtree(folder / "work")
    return result


def lend(school: School, folder: Path) -> None:
    """The champion's files in an arm's home; linked, not copied."""
    lent = folder / "models" / school.version
    if not lent.exists():
        shutil.copytree(school.home.root / "models" / school.version, lent, copy_function=os.link)


def copied(url: str, name: str) -> str:
    """The URL of a copy of a database, in place of an earlier one. The original must be left alone."""
    original = make_url(url)
    engine = create_engine(
        original.set(database="template1"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{original.database}"'))
    return original.set(database=name).render_as_string(hide_password=False)


def remember(sessions: Sessions, number: int, file: Path) -> None:
    """Keep what was measured on the champion. It is the same in every arm, but for the phrases."""
    columns = (EvaluationRow.dataset, EvaluationRow.strategy, EvaluationRow.metrics, EvaluationRow.items)
    query = select(*columns).where(
        EvaluationRow.iteration_id == number,
        EvaluationRow.role == "champion",
        EvaluationRow.dataset != PHRASES,
    )
    with sessions() as session:
        file.write_text(json.dumps([dict(row._mapping) for row in session.execute(query)]))


def recall(sessions: Sessions, number: int, file: Path) -> None:
    """Enter what an earlier arm has measured, so that the evaluate stage does not ask for it again."""
    if not file.exists():
        return
    rows = [{"iteration_id": number, "role": "champion", **row} for row in json.loads(file.read_text())]
    with sessions.begin() as session:
        session.execute(insert(EvaluationRow).values(rows))


def result_of(home: Home, arm: str) -> dict[str, Any] | None:
    """What came of an arm, if it is done."""
    path = home.root / "arms" / arm / "result.json"
    return dict(json.loads(path.read_text())) if path.exists() else None
