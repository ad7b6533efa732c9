"""The model in service, as the stack needs it: registering the seed, and labeling a started backend."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy.dialects.postgresql import insert

from judge.backend.vllm import VLLM
from judge.settings import Settings
from judge.store.database import Sessions
from judge.store.tables import ModelVersion
from judge.versions.pointer import move_champion, read_pointer
from judge.versions.version import VersionStore
from stack.errors import StackError
from stack.processes.spawn import CODE, die_with_parent, rotate


def champion(sessions: Sessions) -> str | None:
    """Id of the champion; None before a seed model is registered."""
    with sessions() as session:
        pointer = read_pointer(session)
    return pointer.champion if pointer else None


def champion_folder(sessions: Sessions, store: VersionStore) -> Path:
    """The champion's folder.

    Raises:
        StackError: there is no champion, or its folder was lost.
    """
    version = champion(sessions)
    if version is None:
        raise StackError("no model is registered yet: run `judgesmith seed`")
    if not (store.root / version).is_dir():
        raise StackError(
            f"the database says that {version} serves, and {store.root} has no such version: set "
            "JUDGESMITH_HOME to the folder that has it, or copy it there"
        )
    return store.path(version)


def register_seed(sessions: Sessions, store: VersionStore, version: str) -> str:
    """Enter a version of the store into the database, as champion if there is none; returns the champion."""
    manifest = store.manifest(version)
    row = {"id": version, "origin": manifest.origin, "manifest": manifest.model_dump()}
    with sessions.begin() as session:
        session.execute(insert(ModelVersion).values(row).on_conflict_do_nothing())
        pointer = read_pointer(session)
        if pointer is None:
            pointer = move_champion(session, version, 0, actor="seed", act="seed", details={})
        return pointer.champion


def convert_seed(settings: Settings, log: Path) -> str:
    """Convert the seed model in a process of its own, since that loads torch; returns the version's id.

    Raises:
        StackError: it failed; with the end of its log.
    """
    rotate(log)
    with log.open("ab") as stream:
        converted = subprocess.run(
            [sys.executable, "-m", "stack.processes.seed"],
            env=os.environ | {"JUDGESMITH_HOME": str(settings.home), "JUDGESMITH_MODEL": settings.model},
            cwd=CODE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
            text=True,
        )
    if converted.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
        raise StackError(
            f"the seed model {settings.model} could not be made a version; {log} ends with:\n{end}"
        )
    return converted.stdout.split()[-1]


def label_weights(url: str, version: str) -> None:
    """Name the weights of a backend that was just started with `version`.

    Only if nobody has yet: the gateway may have read other weights into it already.
    """

    async def label() -> None:
        server = VLLM(url)
        try:
            if await server.weights() == "default":
                await server.label_weights(version)
        finally:
            await server.aclose()

    asyncio.run(label())
