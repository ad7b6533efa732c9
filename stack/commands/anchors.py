"""`judgesmith anchors`: labeled pairs that models are measured on, and never trained on."""

from typing import Annotated
from urllib.parse import quote

import typer

from stack.terminal.caller import console, gateway
from stack.terminal.options import JsonLines, Url

app = typer.Typer(help="Labeled pairs that models are measured on.", no_args_is_help=True)


@app.command("add")
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


@app.command("list")
def list_anchors(url: Url = None) -> None:
    """The sets and their sizes."""
    from stack.terminal.show import anchors

    console().print(anchors(gateway(url).get("/admin/anchors")))
