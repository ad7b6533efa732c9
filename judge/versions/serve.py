"""A vLLM server for a version, as a container starts it: `python -m judge.versions.serve --version ID`."""

import argparse
import os
from pathlib import Path

from judge.backend.engine import command, environment
from judge.settings import Settings
from judge.store.database import connect, sessions
from judge.versions.pointer import read_pointer


def main() -> None:
    """Replace this process by a vLLM server for a model version (container entry point)."""
    settings = Settings()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--version", help="model version; default: the champion")
    parser.add_argument("--model", type=Path, help="a folder with a model that is no version: a generator")
    parser.add_argument("--name", default="judge", help="the name that the chat route knows the model by")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    line = command(
        arguments.model or settings.models_dir / (arguments.version or _champion(settings)),
        host=arguments.host,
        port=arguments.port,
        max_model_len=settings.max_model_len,
        name=arguments.name,
        dtype=settings.dtype,
    )
    os.execve(line[0], line, environment())


def _champion(settings: Settings) -> str:
    with sessions(connect(settings.database_url))() as session:
        pointer = read_pointer(session)
    if pointer is None:
        raise SystemExit("no champion yet: run `judgesmith migrate` and `judgesmith seed` first")
    return pointer.champion


if __name__ == "__main__":
    main()
