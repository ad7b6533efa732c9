"""Options and arguments that several commands share."""

import enum
from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[str | None, typer.Option("--url", help="Gateway. Default: the one running here.")]
JsonLines = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="One JSON object a line.")]


class Size(enum.StrEnum):
    """The presets of an iteration, as a choice on the command line."""

    smoke = "smoke"
    small = "small"
    full = "full"
    paper = "paper"
