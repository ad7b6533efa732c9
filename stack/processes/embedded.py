"""The parts of Judgesmith on one machine: started in order, announced, supervised, stopped."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence

from redis.exceptions import RedisError
from sqlalchemy import select

from judge.backend.engine import free_port
from judge.backend.processor import dtype_for, reason
from judge.backend.vllm import Backends
from judge.comparison import Instruction
from judge.judging.judge import Judge
from judge.settings import Settings
from judge.store import queue
from judge.store.keys import create_key, revoke_key
from judge.store.tables import InstructionRow, IterationRow
from judge.teaching import iterations
from judge.teaching.effort import Pace
from judge.teaching.profiles import Profile
from judge.versions.version import VersionStore
from stack.errors import StackError
from stack.home import Addresses, Home
from stack.processes import pace, preflight
from stack.processes.backend import PREFERRED_PORT, Backend, ExtraEngine
from stack.processes.champion import champion, champion_folder, convert_seed, register_seed
from stack.processes.child import Launch, Program
from stack.processes.database import migrate, open_database
from stack.processes.lesson import EXAMPLE, Lesson
from stack.processes.postgres import prepare_postgres
from stack.processes.seed import PACKAGED
from stack.processes.spawn import CODE
from stack.processes.supervisor import Supervisor
from stack.processes.valkey import prepare_valkey
from stack.terminal.gateway import Gateway
from stack.terminal.narrator import Narrator
from stack.terminal.watch import unfinished

_TICK_S = 0.5
_READY_S = 120.0
# What starting an engine takes, where this one was started by somebody else.
_LOADING_S = 60.0


class Stack:
    """The parts of Judgesmith on this machine. `settings` is completed while they start."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        lock_fd: int,
        narrator: Narrator,
        extra: Sequence[ExtraEngine] = (),
    ) -> None:
        self.settings = settings
        self._extra = extra
        self.home = home
        self.narrator = narrator
        self.supervisor = Supervisor(home, lock_fd, narrator.say)
        self.store = VersionStore(settings.models_dir)
        self._lesson: Lesson | None = None
        self._loading_s = _LOADING_S

    def start(self) -> None:
        """Start all of it, in the order in which each needs the one before."""
        self._start_database()
        self._start_queue()
        self.sessions = open_database(self.settings.database_url)
        self._prepare_model()
        self._start_backend()
        for extra in self._extra:
            self._start_extra_engine(extra)
        with self.narrator.step("gateway"):
            self._start_gateway()
        with self.narrator.step("workers"):
            self.supervisor.start(self._worker(queue.STAGES), self._worker(queue.GATHER))
        self.home.write_addresses(
            Addresses(
                os.getpid(),
                self.settings.gateway_url,
                self.settings.database_url,
                self.settings.redis_url,
                self.settings.backend_urls,
            )
        )

    def _start_database(self) -> None:
        if "database_url" not in self.settings.model_fields_set:
            with self.narrator.step("database (Postgres)"):
                server = prepare_postgres(self.home)
                self.supervisor.start(server.program())
            self.settings = self.settings.model_copy(update={"database_url": server.url})
        with self.narrator.step("database schema"):
            migrate(self.settings.database_url)

    def _start_queue(self) -> None:
        if "redis_url" not in self.settings.model_fields_set:
            with self.narrator.step("queue (Valkey)"):
                server = prepare_valkey(self.home)
                self.supervisor.start(server.program())
            self.settings = self.settings.model_copy(update={"redis_url": server.url})
            return
        try:
            queue.connect(self.settings.redis_url).ping()
        except RedisError as error:
            raise StackError(f"the queue of JUDGESMITH_REDIS_URL does not answer: {error}") from error

    def _prepare_model(self) -> None:
        if champion(self.sessions) is None:
            hint = "converting it, about 30 s" if self.settings.model == PACKAGED else "reading it"
            with self.narrator.step(f"seed model ({self.settings.model})", hint):
                version = convert_seed(self.settings, self.home.log_dir / "seed.log")
                register_seed(self.sessions, self.store, version)

    def _start_backend(self) -> None:
        if "backend_urls" in self.settings.model_fields_set:
            return
        port = PREFERRED_PORT if _is_free(PREFERRED_PORT) else free_port()
        backend = self._backend(port)
        dtype, began = self.settings.dtype, time.monotonic()
        self.narrator.say(f"  numbers: {dtype_for(dtype)}, {reason(dtype)}")
        with self.narrator.step("model server (vLLM)", "loading, about 40 s"):
            self.supervisor.start(backend.program())
        self._loading_s = time.monotonic() - began
        self.settings = self.settings.model_copy(update={"backend_urls": [backend.url]})

    def _start_extra_engine(self, extra: ExtraEngine) -> None:
        """Start one where none is named; it has the champion's weights until others are read into it."""
        if getattr(self.settings, extra.setting):
            return
        preflight.require_packages("vllm")
        preflight.require_memory_for_engine(champion_folder(self.sessions, self.store), extra)
        backend = self._backend(free_port(), f"vllm-{extra.name}")
        with self.narrator.step(f"model server for {extra.versions} (vLLM)", "loading, about 40 s"):
            self.supervisor.start(backend.program())
        self.settings = self.settings.model_copy(update={extra.setting: [backend.url]})

    def _backend(self, port: int, name: str = "vllm") -> Backend:
        settings = self.settings
        return Backend(self.sessions, self.store, port, settings.max_model_len, settings.dtype, name)

    def _start_gateway(self) -> None:
        # A gateway that is up is not ready while its backend is away: that is no reason to restart it.
        client = Gateway(self.settings.gateway_url)
        command = [sys.executable, "-m", "service"]
        program = Program("gateway", lambda: self._launch(command), ready=client.alive, grace_s=65)
        self.supervisor.start(program)
        deadline = time.monotonic() + _READY_S
        while not client.ready():
            if time.monotonic() > deadline:
                raise StackError(
                    f"the gateway is up but not ready: {client.url}/readyz says why, and the logs in "
                    f"{self.home.log_dir}"
                )
            self.supervisor.tick()
            time.sleep(_TICK_S)

    def _worker(self, name: str) -> Program:
        # Teaching gives way to answering: they share this machine.
        command = [sys.executable, "-m", "workers.main", "--queue", name, "--nice", "10"]
        return Program(f"worker-{name}", lambda: self._launch(command))

    def _launch(self, command: list[str]) -> Launch:
        return Launch(command, {**os.environ, **variables(self.settings)}, CODE)

    def announce(self) -> None:
        """How to use it, where things are, how to stop."""
        url, say = self.settings.gateway_url, self.narrator.say
        header = "" if self.settings.auth == "off" else ' -H "Authorization: Bearer $JUDGESMITH_KEY"'
        headers = f"{header} -H 'Content-Type: application/json'"
        say(f"\nJudgesmith is up at {url} with model {champion(self.sessions)}. Try it:\n")
        say(f"curl {url}/judge/pairwise{headers} -d '{json.dumps(EXAMPLE)}'\n")
        if header:
            say("A key: judgesmith keys create --name me --scope judge --scope admin")
        say(f"Data: {self.home.root}   logs: {self.home.log_dir}   interactive API: {url}/docs")
        say("Ctrl-C stops everything.\n")
        with self.sessions() as session:
            active = iterations.active(session)
        if active is not None:
            say(unfinished(active))

    def teach_once(self, profile: Profile) -> None:
        """Begin the first lesson, in a thread, if this database has seen nothing yet."""
        with self.sessions() as session:
            seen = session.scalar(select(InstructionRow.id).limit(1)) or session.scalar(
                select(IterationRow.id).limit(1)
            )
        if not seen:
            key = None if self.settings.auth == "off" else self._lesson_key()
            gateway = Gateway(self.settings.gateway_url, key)
            examples = CODE / "examples" / "instructions.jsonl"
            self._lesson = Lesson(
                gateway, self.narrator, examples, profile, self._pace, lambda: self._revoke(key)
            )
            self._lesson.start()

    def _pace(self, instructions: Sequence[Instruction]) -> Pace:
        folder, settings = champion_folder(self.sessions, self.store), self.settings

        async def measured() -> Pace:
            backends = Backends.connect(settings.backend_urls, settings.backend_timeout_s)
            try:
                judge = Judge.load(self.store, folder.name, backends, settings.max_model_len)
                return await pace.measure(judge, instructions, dtype_for(settings.dtype), self._loading_s)
            finally:
                await backends.aclose()

        return asyncio.run(measured())

    def _lesson_key(self) -> str:
        with self.sessions.begin() as session:
            return create_key(session, "first lesson", ["admin"], "default", "judgesmith up")

    def _revoke(self, key: str | None) -> None:
        if key:
            with self.sessions.begin() as session:
                revoke_key(session, key.split("_")[1], "judgesmith up")

    def supervise(self) -> None:
        """Look after the children, for ever."""
        while True:
            self.supervisor.tick()
            time.sleep(_TICK_S)

    def stop(self) -> None:
        """Stop everything, in reverse order."""
        self.home.forget_addresses()
        if self._lesson:
            self._lesson.leave()
        self.supervisor.stop()


def variables(settings: Settings) -> dict[str, str]:
    """The settings that children must share, as environment variables."""
    values = {
        "HOME": settings.home,
        "HOST": settings.host,
        "PORT": settings.port,
        "AUTH": settings.auth,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "BACKEND_URLS": json.dumps(settings.backend_urls),
        "CANDIDATE_URLS": json.dumps(settings.candidate_urls),
        "PINNED_URLS": json.dumps(settings.pinned_urls),
        "GATEWAY_URL": settings.gateway_url,
    }
    return {f"JUDGESMITH_{name}": str(value) for name, value in values.items()}


def _is_free(port: int) -> bool:
    try:
        preflight.require_port("127.0.0.1", port)
    except StackError:
        return False
    return True
