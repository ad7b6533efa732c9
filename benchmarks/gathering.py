"""What it takes to let an instruction into the pool, in an empty one and in a large one.

    python -m benchmarks.gathering [--instructions 1000] [--pool 20000]

Starts a Postgres of its own in a temporary folder. The pool is filled beforehand with instructions that were
never compared with each other; then as many are let in as `--instructions` says, by the code of the gateway
and the workers. Instructions are halves of the packaged ones, joined.
"""

import argparse
import resource
import time
from dataclasses import dataclass, replace

from sqlalchemy import Engine, event, text

from benchmarks.pool import natural
from judge.comparison import Instruction
from judge.gathering import fingerprints, instructions, intake
from judge.gathering.instructions import Gathered
from judge.gathering.intake import Rules
from judge.store import database
from stack.processes.postgres import prepare_postgres
from stack.processes.servers import new_home, running

_FILL = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """What letting some instructions in has taken; times in milliseconds for each, sizes in MB."""

    pool: int
    instructions: int
    stored: int
    near_duplicates: int
    statements: float
    all_ms: float
    computing_ms: float
    bands_mb: float
    memory_mb: float

    def line(self) -> str:
        """A row of the table."""
        return (
            f"| {self.pool} | {self.instructions} | {self.stored} | {self.near_duplicates} "
            f"| {self.statements:.2f} | {self.all_ms:.1f} | {self.computing_ms:.1f} "
            f"| {self.bands_mb:.1f} | {self.memory_mb:.0f} |"
        )


HEAD = (
    "| pool | let in | stored | near-duplicates | statements each | ms each | of them computing "
    "| bands' index, MB | process at most, MB |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure in an empty pool and in a filled one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instructions", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=20_000)
    arguments = parser.parse_args()
    with new_home() as home:
        server = prepare_postgres(home)
        with running(home, server.program()):
            database.migrate(server.url)
            engine = database.connect(server.url)
            print(HEAD, flush=True)
            for pool in (0, arguments.pool):
                print(measure(engine, pool, arguments.instructions).line(), flush=True)
            engine.dispose()


def measure(engine: Engine, pool: int, count: int) -> Cost:
    """Empty the pool, fill it to a number, then let instructions in that are not in it."""
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE instructions, quarantine RESTART IDENTITY CASCADE"))
    texts = natural(pool + count)
    fill(engine, texts[:pool])
    items = [Gathered(Instruction.of(one), "benchmark", "local") for one in texts[pool:]]
    intake.prepare(items[0], Rules())  # loads the languages
    began = time.perf_counter()
    for item in items:
        intake.prepare(item, Rules())
    computing = time.perf_counter() - began
    statements = 0

    def asked(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(engine, "before_cursor_execute", asked)
    began = time.perf_counter()
    outcome = intake.admit(database.sessions(engine), items, Rules())
    took = time.perf_counter() - began
    event.remove(engine, "before_cursor_execute", asked)
    return Cost(
        pool=pool,
        instructions=count,
        stored=outcome.stored,
        near_duplicates=outcome.near_duplicates,
        statements=statements / count,
        all_ms=1000 * took / count,
        computing_ms=1000 * computing / count,
        bands_mb=_index_bytes(engine) / 2**20,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def fill(engine: Engine, texts: list[str]) -> None:
    """Put instructions into the pool without looking at them."""
    sessions = database.sessions(engine)
    for start in range(0, len(texts), _FILL):
        with sessions.begin() as session:
            items = [Gathered(Instruction.of(one), "fill", "local") for one in texts[start : start + _FILL]]
            printed = [replace(item, print=fingerprints.take(item.instruction)) for item in items]
            instructions.store(session, printed)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE instructions"))


def _index_bytes(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_relation_size('ix_instructions_bands')")) or 0)


if __name__ == "__main__":
    main()
