"""`/admin/iterations/{id}/events`: progress as it happens, resumed without loss or repetition."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from judge.backend.engine import free_port
from judge.teaching import iterations
from judge.teaching.iterations import Lease
from service.requests.events import LAST
from stack.processes.spawn import CODE


def start(world) -> int:
    return world.http.post("/admin/iterations", json={"profile": "smoke"}).json()["id"]


def received(response: httpx.Response) -> Iterator[tuple[int, str, dict]]:
    """(id, name, data) of each event."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "data" in fields:
                yield int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])
            fields = {}


def stream(world, number: int, last: int | None = None):
    headers = {"Last-Event-ID": str(last)} if last is not None else {}
    return world.http.stream("GET", f"/admin/iterations/{number}/events", headers=headers, timeout=30)


def finish_stage(world, number: int, name: str) -> None:
    lease = Lease.take(world.sessions, number, name)
    lease.progress(1, 4, "half way")
    with lease.transaction() as session:
        lease.complete(session, {})


def test_stages_and_progress_come_as_they_happen_up_to_the_end(world):
    number = start(world)
    seen = []
    with stream(world, number) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = received(response)
        lease = Lease.take(world.sessions, number, "select")
        seen.append(next(events))
        lease.progress(0, 8, "reading")
        lease.progress(3, 8, "reading")
        while seen[-1][1] != "progress" or seen[-1][2]["done"] != 3:
            seen.append(next(events))
        with lease.transaction() as session:
            lease.complete(session, {})
        finish_stage(world, number, "pair")
        with world.sessions.begin() as session:
            iterations.cancel(session, number, "test")
        Lease.take(world.sessions, number, "judge").cancelled()
        seen += events

    assert seen[0] == (1, "stage", {"stage": "select", "status": "begun"})
    progress = [data for _, name, data in seen if name == "progress" and data["stage"] == "select"]
    assert (progress[-1]["done"], progress[-1]["total"], progress[-1]["note"]) == (3, 8, "reading")
    assert progress[-1]["eta_s"] is not None
    stages = [(number, data["stage"], data["status"]) for number, name, data in seen if name == "stage"]
    assert stages == [
        (1, "select", "begun"), (2, "select", "done"), (3, "pair", "begun"), (4, "pair", "done"),
        (5, "judge", "begun"), (6, "judge", "cancelled"),
    ]  # fmt: skip
    assert seen[-1] == (LAST, "end", {"status": "cancelled", "candidate": None, "gate": None, "error": None})


def test_a_stream_that_broke_off_is_resumed(world):
    number = start(world)
    for name in ("select", "pair"):
        finish_stage(world, number, name)
    with world.sessions.begin() as session:
        iterations.finish(session, number, "failed", error="no memory")

    with stream(world, number, 2) as response:
        seen = list(received(response))

    assert [(place, name) for place, name, _ in seen] == [(3, "stage"), (4, "stage"), (LAST, "end")]
    assert seen[-1][2]["error"] == "no memory"
    with stream(world, number, LAST) as response:
        assert response.status_code == 204
    with stream(world, number) as response:
        assert len(list(received(response))) == 5


def test_what_does_not_exist_is_not_found_and_a_strange_id_is_the_beginning(world):
    assert world.http.get("/admin/iterations/9/events").status_code == 404
    number = start(world)
    with world.sessions.begin() as session:
        iterations.finish(session, number, "failed")

    for strange in ("x", "-1", "9" * 5000):
        headers = {"Last-Event-ID": strange}
        assert "event: end" in world.http.get(f"/admin/iterations/{number}/events", headers=headers).text


@pytest.fixture
def process(world):
    """A second gateway, in a process of its own as in production."""
    port = free_port()
    settings = world.settings
    variables = {
        "HOME": str(settings.home), "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url,
        "BACKEND_URLS": json.dumps(settings.backend_urls), "AUTH": "off", "PORT": str(port),
    }  # fmt: skip
    environment = os.environ | {f"JUDGESMITH_{name}": value for name, value in variables.items()}
    child = subprocess.Popen([sys.executable, "-m", "service"], cwd=CODE, env=environment)
    yield child, f"http://127.0.0.1:{port}"
    child.kill()
    child.wait()


def test_a_gateway_that_is_asked_to_stop_does_not_wait_for_its_streams(world, process):
    number = start(world)
    child, url = process
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/livez")
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with httpx.stream("GET", f"{url}/admin/iterations/{number}/events", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"
        ended = threading.Thread(target=lambda: list(lines))
        ended.start()

        child.send_signal(signal.SIGTERM)

        assert child.wait(timeout=20) == 0 or child.returncode == -signal.SIGTERM
        ended.join(10)
        assert not ended.is_alive()
