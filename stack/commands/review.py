"""`judgesmith review`: pairs for people to judge, and what came of it; and `judgesmith drift`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.terminal.caller import console, gateway
from stack.terminal.options import Url

app = typer.Typer(help="Pairs that people judge, in a browser at GATEWAY/review.", no_args_is_help=True)
Tenant = Annotated[str | None, typer.Option(help="Whose reviews. Default: those of the key's tenant.")]
Source = Annotated[str | None, typer.Option(help="Only pairs from there: a file's name, or live.")]


@app.command("add")
def add_items(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help='Lines {"instruction": "…", "response_a": "…", "response_b": "…"}, or what `export` wrote.',
        ),
    ],
    source: Annotated[str | None, typer.Option(help="A name for where they are from.")] = None,
    share: Annotated[float, typer.Option(help="Share of them for the random sample.")] = 1.0,
    reviewer: Annotated[
        str | None, typer.Option(help="Take the file's labels as this reviewer's answers.")
    ] = None,
    tenant: Tenant = None,
    url: Url = None,
) -> None:
    """Bring in pairs for people to judge. What an iteration has worked with is left out."""
    query = _given(source=source or file.stem, share=share, reviewer=reviewer, tenant=tenant)
    done = gateway(url).post_file("/admin/reviews/items", file, **query)
    print(f"{done['added']} pairs added, {done['left_out']} left out")


@app.command("judge")
def judge_items(tenant: Tenant = None, url: Url = None) -> None:
    """Have the champion judge every pair that it has said nothing about."""
    client, count, more = gateway(url), 0, True
    while more:
        done = client.post("/admin/reviews/judge", {"limit": 50, **_given(tenant=tenant)})
        count, more = count + done["judged"], done["more"]
    print(f"{done['version']} has judged {count} pairs")


@app.command("figures")
def show_figures(
    version: Annotated[str | None, typer.Option(help="Also how often this version is right.")] = None,
    source: Source = None,
    tenant: Tenant = None,
    url: Url = None,
) -> None:
    """How far people agree with each other and with each version, on the random sample."""
    from stack.terminal.show import accuracy, agreement

    client = gateway(url)
    query = _given(source=source, tenant=tenant)
    print(*agreement(client.get("/admin/reviews/agreement", **query)), sep="\n")
    if version:
        print(*accuracy(client.get("/admin/reviews/accuracy", version=version, **query)), sep="\n")


@app.command("export")
def export_reviews(
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="File. Default: standard output.")] = None,
    undecided: Annotated[bool, typer.Option("--undecided", help="Also pairs without a majority.")] = False,
    source: Source = None,
    tenant: Tenant = None,
    url: Url = None,
) -> None:
    """Write the pairs that people have labeled, with every answer, one JSON object a line."""
    query = _given(undecided=undecided, source=source, tenant=tenant)
    client = gateway(url)
    if out:
        client.save("/admin/reviews/export", out, **query)
    else:
        client.copy("/admin/reviews/export", sys.stdout.buffer, **query)


@app.command("anchors")
def make_anchors(
    name: Annotated[str, typer.Argument(help="Name of the set: lower-case letters, digits, - and _.")],
    reviewers: Annotated[int, typer.Option(help="How many must have judged a pair.")] = 2,
    source: Source = None,
    tenant: Tenant = None,
    url: Url = None,
) -> None:
    """Make the labels an anchor set, which the gate guards from then on, in place of the one of that name."""
    body = {"name": name, "reviewers": reviewers, **_given(source=source, tenant=tenant)}
    done = gateway(url).post("/admin/reviews/anchors", body)
    print(f"{done['name']}: {done['pairs']} pairs")


def drift(
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None, url: Url = None
) -> None:
    """Whether what the versions answer has changed since they began to serve."""
    from stack.terminal.show import drift as shown

    console().print(shown(gateway(url).get("/admin/drift", **_given(version=version))))


def _given(**query: Any) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
