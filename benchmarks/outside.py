"""What two checkouts show to the outside, beside each other: routes, metrics, tables, commands' help.

    python -m benchmarks.outside --before CHECKOUT

CHECKOUT is an earlier commit's tree (`git worktree add`); it runs with this environment's packages. Prints
what differs and ends with 1 if anything does: for changes that must not be seen from outside.
"""

import argparse
import difflib
import json
import os
import subprocess
import sys
from pathlib import Path

from stack.processes.spawn import CODE

# Runs in either tree, so it asks where the rows are.
_SHOW = """
import importlib.util, json, os
os.environ["COLUMNS"] = "100"
from prometheus_client import CollectorRegistry
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
import typer.main
from service.main import create_app
from service.metrics import Metrics
rows = "judge.store.tables" if importlib.util.find_spec("judge.store") else "judge.tables"
tables = importlib.import_module(rows).Base.metadata.sorted_tables
ddl = []
for table in tables:
    ddl.append(str(CreateTable(table).compile(dialect=postgresql.dialect())))
    made = (str(CreateIndex(index).compile(dialect=postgresql.dialect())) for index in table.indexes)
    ddl += sorted(made)
from stack.main import app
def helps(command, path):
    from click import Context
    import contextlib, io
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        context = Context(command, info_name=path)
        print(command.get_help(context))
    found = [f"{path}: {shown.getvalue()}"]
    for name, one in sorted(getattr(command, "commands", {}).items()):
        found += helps(one, f"{path} {name}")
    return found
metrics = sorted(f"{m.name} {m.type} {m.documentation}" for m in Metrics().registry.collect())
print(json.dumps({
    "openapi.json": json.dumps(create_app().openapi(), indent=1),
    "metrics": "\\n".join(metrics),
    "tables": "\\n".join(ddl),
    "commands": "\\n".join(helps(typer.main.get_command(app), "judgesmith")),
}))
"""


def main() -> int:
    """One line a part, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    options = parser.parse_args()
    before, now = (shown(tree) for tree in (options.before, CODE))
    differs = False
    for part, text in before.items():
        lines = list(difflib.unified_diff(text.split("\n"), now[part].split("\n"), "before", "now", n=0))
        differs = differs or bool(lines)
        print(f"{part}: {len(text.encode())} bytes, {'different' if lines else 'equal'}")
        print("\n".join(lines[:40]))
    return int(differs)


def shown(tree: Path) -> dict[str, str]:
    """What one tree shows."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")}
    run = subprocess.run(
        [sys.executable, "-c", _SHOW], cwd=tree, env=variables, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(run.stderr[-2000:])
    parts: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
