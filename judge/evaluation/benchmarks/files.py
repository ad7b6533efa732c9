"""Rows out of released files: JSONL, JSON, Parquet, a folder of them, or a data set on a hub.

Every row knows its place (`file.jsonl line 12`), and a value that is missing or wrong is told with it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from judge.comparison import flaw
from judge.errors import Fault, InvalidInput

Thing = TypeVar("Thing")
Value = TypeVar("Value")
_MOST_FAULTS = 50
_ENDINGS = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One record. `file` is its file's path within the source, with `/` between folders."""

    place: str
    file: str
    values: dict[str, Any]

    def wrong(self, field: str, reason: str) -> InvalidInput:
        """The error to raise about a field of this row."""
        return InvalidInput(Fault(f"{self.place}: {field}", reason))

    def text(self, field: str) -> str:
        """A text that is not empty."""
        if reason := flaw(self.values.get(field)):
            raise self.wrong(field, reason)
        return str(self.values[field])

    def response(self, field: str) -> str:
        """A text that may be empty: systems do answer with nothing."""
        value = self.values.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, "must be a text")
        if value.strip() and (reason := flaw(value)):
            raise self.wrong(field, reason)
        return value

    def texts(self, field: str, least: int = 1) -> tuple[str, ...]:
        """A list of at least so many texts."""
        value = self.values.get(field)
        if not isinstance(value, list) or len(value) < least or not all(isinstance(t, str) for t in value):
            raise self.wrong(field, f"must be a list of at least {least} texts")
        return tuple(value)

    def one_of(self, field: str, meanings: Mapping[Any, Value]) -> Value:
        """The meaning of a value of which there are few."""
        value = self.values.get(field)
        known = isinstance(value, str | int) and value in meanings
        if not known:
            raise self.wrong(field, f"must be one of {', '.join(map(repr, meanings))}")
        return meanings[value]

    def name(self, field: str, otherwise: str) -> str:
        """A text or number as a text; `otherwise` where there is none."""
        value = self.values.get(field)
        return str(value) if isinstance(value, str | int) and str(value).strip() else otherwise


def each(things: Iterable[Thing], read: Callable[[Thing], Value]) -> list[Value]:
    """Read every row, or pair of rows; raises `InvalidInput` with the faults of all (the first 50)."""
    found, faults = [], list[Fault]()
    for thing in things:
        try:
            found.append(read(thing))
        except InvalidInput as error:
            faults += error.faults
    if faults:
        raise InvalidInput(*faults[:_MOST_FAULTS])
    return found


def read_rows(source: str, patterns: Sequence[str] = ("**/*",)) -> list[Row]:
    """The rows of a file, of the files in a folder that match a pattern, or of a hub's data set `owner/name`.

    Raises:
        InvalidInput: nothing is there, a file cannot be read, or a line is not an object.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return list(_rows(path, path.name))
    folder = path if path.is_dir() else _download(source, patterns)
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.suffix in _ENDINGS}
    if not files:
        raise InvalidInput(
            Fault(source, f"has no {', '.join(_ENDINGS)} file that matches {', '.join(patterns)}")
        )
    return [row for file in sorted(files) for row in _rows(file, file.relative_to(folder).as_posix())]


def _rows(path: Path, name: str) -> Iterator[Row]:
    try:
        if path.suffix == ".parquet":
            yield from _numbered(name, "row", _parquet(path))
        elif path.suffix == ".json":
            yield from _numbered(name, "item", _list(name, path.read_text("utf-8")))
        else:
            # Only line feeds end a line: other separators may stand inside a text.
            yield from _lines(name, path.read_text("utf-8").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Fault(name, f"cannot be read: {error}")) from error


def _numbered(name: str, word: str, values: Iterable[Any]) -> Iterator[Row]:
    for number, value in enumerate(values, 1):
        place = f"{name} {word} {number}"
        if not isinstance(value, dict):
            raise InvalidInput(Fault(place, "must be a JSON object"))
        yield Row(place, name, value)


def _lines(name: str, lines: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(Fault(place, f"not JSON: {error}")) from error
        if not isinstance(value, dict):
            raise InvalidInput(Fault(place, "must be a JSON object"))
        yield Row(place, name, value)


def _list(name: str, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(Fault(name, f"not JSON: {error}")) from error
    if not isinstance(value, list):
        raise InvalidInput(Fault(name, "must be a list of objects"))
    return value


def _parquet(path: Path) -> list[Any]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        reason = "pyarrow is not installed: pip install 'judgesmith[train]', or give JSONL"
        raise InvalidInput(Fault(path.name, reason)) from error
    try:
        return list(pyarrow.parquet.read_table(path).to_pylist())
    except pyarrow.lib.ArrowException as error:
        raise InvalidInput(Fault(path.name, f"cannot be read: {error}")) from error


def _download(source: str, patterns: Sequence[str]) -> Path:
    """A hub's data set as a folder of its files; no code of it runs."""
    owner, _, name = source.partition("/")
    if not owner or not name or "/" in name or source.startswith((".", "~")):
        raise InvalidInput(
            Fault(source, "is neither a file, nor a folder, nor a hub's data set (owner/name)")
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, repo_type="dataset", allow_patterns=list(_globs(patterns))))
    # Which library's errors come through differs between releases of the hub's client.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidInput(
            Fault(source, f"is no file here, and could not be had from the hub: {reason}")
        ) from error


def _globs(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        # The hub matches with fnmatch, where `*` crosses folders.
        plain = pattern.replace("**/", "*")
        yield from (f"{plain}{ending}" for ending in _ENDINGS) if plain.endswith("*") else (plain,)
