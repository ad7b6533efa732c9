"""`judgesmith up` as a person runs it: a real queue, gateway and workers, and a scripted backend."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, select, text

from judge.backend.engine import free_port
from judge.store.tables import ApiKey
from judge.versions.pointer import move_champion
from judge.versions.version import VersionStore
from stack.processes.servers import new_home
from stack.processes.spawn import CODE
from tests.fixtures import sessions  # noqa: F401
from tests.scripted_vllm import scripted
from tests.stack.test_main import run
from tests.versions import register


class Terminal:
    """A running `judgesmith up` and what it has printed."""

    def __init__(self, variables: dict[str, str], *options: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stack.main", "up", *options],
            cwd=CODE,
            env={**clean, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self._reader.start()

    def wait_for(self, text: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.told:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.told}"
            assert self.process.poll() is None or not self._reader.is_alive() or text in self.told, self.told
            time.sleep(0.05)

    def ends(self, seconds: float = 60) -> int:
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    @property
    def told(self) -> str:
        return "".join(list(self.lines))


@pytest.fixture
def variables(sessions, postgres_url, tmp_path):  # noqa: F811
    """The settings of a stack with a registered model and a backend that serves it."""
    with new_home() as home:
        store = VersionStore(home.root / "models")
        version = register(sessions, store, tmp_path, 0)
        with sessions.begin() as session:
            move_champion(session, version, 0, actor="test", act="seed", details={})
        with scripted(store.path(version), label=version).serve() as backend:
            yield {
                "JUDGESMITH_HOME": str(home.root),
                "JUDGESMITH_DATABASE_URL": postgres_url,
                "JUDGESMITH_BACKEND_URLS": f'["{backend.url}"]',
                "JUDGESMITH_PORT": str(free_port()),
            }


def listener(port: str) -> int:
    found = [
        c.pid for c in psutil.net_connections("tcp") if c.laddr.port == int(port) and c.status == "LISTEN"
    ]
    return found[0]


def test_it_serves_mends_itself_and_stops_without_a_trace(variables):
    port = variables["JUDGESMITH_PORT"]
    terminal = Terminal(variables, "--no-teach")
    try:
        terminal.wait_for("Ctrl-C stops everything")
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        url = f"http://127.0.0.1:{port}"
        comparison = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
        assert httpx.post(f"{url}/judge/pairwise", json=comparison).status_code == 200
        assert f"curl {url}/judge/pairwise -H 'Content-Type" in terminal.told

        second = Terminal(variables, "--no-teach")
        assert second.ends() == 1
        assert f"already up in {variables['JUDGESMITH_HOME']} (pid {terminal.process.pid})" in second.told

        os.kill(listener(port), signal.SIGKILL)
        terminal.wait_for("gateway ended by SIGKILL; starting it again in 1 s")
        terminal.wait_for("gateway is up again")
        assert httpx.get(f"{url}/livez").status_code == 200
    finally:
        terminal.process.send_signal(signal.SIGTERM)

    assert terminal.ends() == 0, terminal.told
    assert terminal.told.endswith("stopped\n")
    assert not psutil.wait_procs(children, timeout=5)[1]
    home = Path(variables["JUDGESMITH_HOME"])
    assert not (home / "run" / "stack.json").exists()
    assert "Finished server process" in (home / "log" / "gateway.log").read_text()


def test_the_first_start_teaches_with_a_key_of_its_own_that_ends_with_it(variables, sessions):  # noqa: F811
    terminal = Terminal({**variables, "JUDGESMITH_AUTH": "keys"}, "--profile", "smoke")
    try:
        terminal.wait_for("instructions brought in")
        terminal.wait_for("select: ")
        unknown = httpx.get(f"http://127.0.0.1:{variables['JUDGESMITH_PORT']}/admin/models")
        assert unknown.status_code == 401
    finally:
        terminal.process.send_signal(signal.SIGTERM)

    assert terminal.ends() == 0, terminal.told
    with sessions() as session:
        assert [(key.name, bool(key.revoked_at)) for key in session.scalars(select(ApiKey))] == [
            ("first lesson", True)
        ]

    again = Terminal(variables)
    try:
        again.wait_for("and goes on: judgesmith watch")
    finally:
        again.process.send_signal(signal.SIGTERM)
    assert "Iteration 1 is running, at its stage " in again.told
    assert again.ends() == 0


def test_what_cannot_start_stops_what_has_started_and_says_why(variables):
    variables["JUDGESMITH_REDIS_URL"] = "redis://127.0.0.1:1/0"

    terminal = Terminal(variables, "--no-teach")

    assert terminal.ends() == 1
    assert "the queue of JUDGESMITH_REDIS_URL does not answer" in terminal.told
    assert "Traceback" not in terminal.told


BROKEN = {
    "CREATE TABLE alembic_version AS SELECT 'tomorrow' AS version_num": "of a release that this one does not",
    "CREATE TABLE iterations (id int)": 'relation "iterations" already exists',
}


@pytest.mark.parametrize(("statement", "reason"), BROKEN.items())
def test_a_schema_that_cannot_be_migrated_is_one_line(variables, sessions, statement, reason):  # noqa: F811
    server, name = sessions.kw["bind"], "broken"
    url = server.url.set(database=name)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            broken = create_engine(url)
            with broken.begin() as other:
                other.execute(text(statement))
            broken.dispose()
            variables["JUDGESMITH_DATABASE_URL"] = url.render_as_string(hide_password=False)

            terminal = Terminal(variables, "--no-teach")

            assert terminal.ends() == 1
            (line,) = [line for line in terminal.lines if line.startswith("judgesmith: ")]
            assert reason in line
            assert "Traceback" not in terminal.told
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_engines_for_candidates_and_pins_that_are_there_are_used_by_gateway_and_workers(variables):
    variables["JUDGESMITH_CANDIDATE_URLS"] = variables["JUDGESMITH_BACKEND_URLS"]
    variables["JUDGESMITH_PINNED_URLS"] = variables["JUDGESMITH_BACKEND_URLS"]

    terminal = Terminal(variables, "--no-teach", "--candidate-engine", "--pinned-engine")
    try:
        terminal.wait_for("Ctrl-C stops everything")
        told = [
            [process.environ().get(f"JUDGESMITH_{name}_URLS") for name in ("CANDIDATE", "PINNED")]
            for process in psutil.Process(terminal.process.pid).children()
            if {"service", "workers.main"} & set(process.cmdline())
        ]
    finally:
        terminal.process.send_signal(signal.SIGTERM)

    assert terminal.ends() == 0, terminal.told
    assert told == [[variables["JUDGESMITH_BACKEND_URLS"]] * 2] * 3


# In place of vLLM: found under its name, and answering as the scripted server does.
STAND_IN = """
import argparse
import signal
from pathlib import Path

from tests.scripted_vllm import scripted

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=Path)
parser.add_argument("--port", type=int)
options, _ = parser.parse_known_args()
with scripted(options.model).serve(options.port):
    signal.pause()
"""


@pytest.fixture
def stand_in(tmp_path):
    """A folder for PYTHONPATH."""
    launchers = tmp_path / "engine" / "vllm" / "entrypoints" / "launchers" / "api_server"
    launchers.mkdir(parents=True)
    (tmp_path / "engine" / "vllm" / "__init__.py").touch()
    (launchers / "entry.py").write_text(STAND_IN)
    return str(tmp_path / "engine")


def test_an_engine_for_pins_is_started_and_promotions_go_on_beside_a_pin(
    variables,
    sessions,  # noqa: F811
    stand_in,
    tmp_path,
):
    second = register(sessions, VersionStore(Path(variables["JUDGESMITH_HOME"]) / "models"), tmp_path, 1)
    gateway = f"http://127.0.0.1:{variables['JUDGESMITH_PORT']}"
    http = httpx.Client(base_url=gateway, timeout=60)

    terminal = Terminal({**variables, "PYTHONPATH": stand_in}, "--no-teach", "--pinned-engine")
    try:
        terminal.wait_for("Ctrl-C stops everything")
        pin = http.post("/reward/pins", json={"name": "run-7"}).json()
        promoted = run("promote", second, "--url", gateway)
        deadline = time.monotonic() + 30
        while not http.get("/reward/pins/run-7").json()["served"]:
            assert time.monotonic() < deadline, "the pinned version is not served"
            time.sleep(0.1)
        item = {"instruction": "Name a color.", "response": "Blue."}
        rewards = [http.post("/reward", json={"items": [item], **by}).json() for by in ({"pin": "run-7"}, {})]
        listed = run("pins", "--url", gateway).stdout
    finally:
        terminal.process.send_signal(signal.SIGTERM)

    assert terminal.ends() == 0, terminal.told
    assert "model server for pinned versions (vLLM)" in terminal.told
    assert promoted.stdout == f"champion {second}, previous {pin['version']}\n", promoted.stderr
    assert [one["model_version"] for one in rewards] == [pin["version"], second]
    assert pin["version"] in listed


def test_without_keys_it_listens_on_loopback_only(variables):
    terminal = Terminal({**variables, "JUDGESMITH_AUTH": "off"}, "--host", "0.0.0.0")

    assert terminal.ends() == 1
    assert "JUDGESMITH_AUTH=off would make everybody" in terminal.told
