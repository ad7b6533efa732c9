"""`judgesmith ingest | forget | protect`: what the pool of instructions holds, and what it must not."""

import enum
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from judge.errors import Fault, InvalidInput
from stack.terminal.caller import console, gateway, read_lines, read_text
from stack.terminal.options import JsonLines, Url

app = typer.Typer()


class Form(enum.StrEnum):
    """The forms of a file of instructions, as a choice on the command line."""

    auto = "auto"
    plain = "plain"
    openai = "openai"
    otel = "otel"


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

    from stack.terminal.ingest import parse, send

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
