"""The command line as a person runs it, against small real HTTP servers and a real database."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from judge.store.keys import check_key
from stack.processes.spawn import CODE
from tests.fixtures import sessions  # noqa: F401
from tests.serving import serve

Answer = Callable[[bytes], Response]
METHODS = ["GET", "POST", "PUT", "DELETE"]


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")}
    command = [sys.executable, "-m", "stack.main", *arguments]
    return subprocess.run(
        command,
        cwd=CODE,
        env={**clean, "COLUMNS": "140", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def gateway(answer: Callable[[Request, bytes], Response]):
    async def handle(request: Request) -> Response:
        return answer(request, await request.body())

    with serve(Starlette(routes=[Route("/{path:path}", handle, methods=METHODS)]), lifespan="off") as url:
        yield url


def test_help_comes_at_once():
    begun = time.monotonic()
    shown = run("--help")
    taken = time.monotonic() - begun

    assert shown.returncode == 0
    for command in (
        "up", "ingest", "iterate", "status", "judge", "keys", "anchors", "promote", "rollback",
        "card", "shadow", "approve", "reject", "pins",
    ):  # fmt: skip
        assert command in shown.stdout
    assert "numpy" not in run_imports()
    assert taken < 3  # a shared machine; alone it is 0.3 s


def run_imports() -> str:
    code = "import sys; import stack.main; print(*sorted(sys.modules))"
    return subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, text=True).stdout


def test_a_problem_is_told_with_each_fault_and_without_a_traceback():
    def answer(request: Request, body: bytes) -> Response:
        errors = [{"field": "settings.samples", "reason": "must be at least 1"}]
        problem = {"type": "urn:x", "title": "The request is not valid", "status": 422, "errors": errors}
        return JSONResponse({**problem, "detail": "settings.samples: must be at least 1"}, 422)

    with gateway(answer) as url:
        refused = run("iterate", "--set", "samples=0", "--url", url)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "judgesmith: The request is not valid",
        "  settings.samples: must be at least 1",
    ]


def test_a_missing_key_and_a_page_of_a_proxy_are_told_too():
    with gateway(
        lambda request, body: JSONResponse({"title": "Unauthorized", "detail": "no key"}, 401)
    ) as url:
        assert "JUDGESMITH_KEY" in run("status", "--url", url).stderr
    with gateway(lambda request, body: PlainTextResponse("<html>down</html>", 502)) as url:
        assert run("status", "--url", url).stderr == "judgesmith: 502 Bad Gateway: <html>down</html>\n"


def test_a_gateway_that_is_not_there_is_one_line(tmp_path):
    refused = run("status", JUDGESMITH_HOME=str(tmp_path), JUDGESMITH_GATEWAY_URL="http://127.0.0.1:1")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "http://127.0.0.1:1" in refused.stderr
    assert "judgesmith up" in refused.stderr


def test_nothing_of_a_file_with_a_bad_line_is_sent_unless_asked(tmp_path):
    file = tmp_path / "traffic.jsonl"
    file.write_text('{"instruction": "Hi"}\nnot json\n{"prompt": "Ho"}\n')
    bodies = []

    def answer(request: Request, body: bytes) -> Response:
        bodies.append((json.loads(body), request.headers["authorization"]))
        return JSONResponse({"accepted": 2, "duplicates": 0, "rejected": []})

    with gateway(answer) as url:
        refused = run("ingest", str(file), "--url", url)
        assert refused.returncode == 1
        assert "line 2: not JSON" in refused.stderr
        assert bodies == []

        skipped = run("ingest", str(file), "--skip-bad", "--url", url, JUDGESMITH_KEY="jsk_x")

    assert skipped.returncode == 1
    assert "2 accepted, 0 known already, 0 rejected" in skipped.stdout
    assert "line 2" in skipped.stderr
    (body, authorization), *rest = bodies
    assert authorization == "Bearer jsk_x"
    assert [item["source"] for item in body["instructions"]] == ["traffic", "traffic"]
    assert rest == []


def test_ingest_fails_when_the_gateway_rejects_an_item(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('\n{"instruction": "Hi"}\n')
    rejection = {"accepted": 0, "duplicates": 0, "rejected": [{"index": 0, "reason": "too long"}]}

    with gateway(lambda request, body: JSONResponse(rejection)) as url:
        done = run("ingest", str(file), "--url", url)

    assert done.returncode == 1
    assert "line 2: too long" in done.stderr


@pytest.mark.parametrize(
    ("status", "code"), [("promoted", 0), ("refused", 0), ("failed", 1), ("cancelled", 1)]
)
def test_waiting_for_an_iteration_ends_with_its_outcome(status, code):
    def answer(request: Request, body: bytes) -> Response:
        if request.method == "POST":
            assert json.loads(body) == {"profile": "smoke", "settings": {"samples": 2}}
            return JSONResponse({"id": 3, "status": "queued", "profile": "smoke"}, 202)
        return JSONResponse({"id": 3, "status": status, "stages": [], "counts": {"select": {"known": 48}}})

    with gateway(answer) as url:
        done = run("iterate", "--profile", "smoke", "--set", "samples=2", "--wait", "--url", url)

    assert done.returncode == code, done.stderr
    assert "iteration 3 is queued, profile smoke" in done.stdout
    assert "known 48" in done.stdout
    assert f"outcome    {status}" in done.stdout


def test_the_last_iteration_is_watched_to_its_outcome():
    def answer(request: Request, body: bytes) -> Response:
        assert request.method == "GET"
        state = {"id": 3, "status": "promoted", "stages": [], "counts": {"select": {"known": 48}}}
        if request.url.path == "/admin/iterations":
            return JSONResponse({"iterations": [state]})
        assert request.url.path == "/admin/iterations/3"
        return JSONResponse(state)

    with gateway(answer) as url:
        done = run("watch", "--url", url)

    assert done.returncode == 0, done.stderr
    assert "iteration 3: promoted" in done.stdout
    assert "outcome    promoted" in done.stdout


def test_the_status_of_one_iteration_is_its_funnel_and_outcome():
    step = {"stage": "select", "step": "instructions", "came_in": 9, "dropped": {"too_long": 3}, "kept": 6}

    def answer(request: Request, body: bytes) -> Response:
        assert request.url.path == "/admin/iterations/7"
        return JSONResponse({"id": 7, "status": "running", "counts": {}, "funnel": [step]})

    with gateway(answer) as url:
        done = run("status", "7", "--url", url)

    assert "funnel     instructions 9 -> 6 (too_long 3)" in done.stdout
    assert "outcome    running" in done.stdout


def test_judge_prints_the_decision_or_the_whole_answer(tmp_path):
    (tmp_path / "a.txt").write_text("Blue.")
    decision = {
        "id": "d", "verdict": "a", "probability_a": 0.75, "rationale": None, "orders": [], "votes": {},
        "mode": "direct", "model_version": "0123456789abcdef", "prompt_hash": "abc", "latency_ms": 5.0,
    }  # fmt: skip

    def answer(request: Request, body: bytes) -> Response:
        assert json.loads(body)["response_a"] == "Blue."
        return JSONResponse(decision)

    with gateway(answer) as url:
        texts = (
            "judge",
            "--instruction",
            "Name a color.",
            "--a",
            f"@{tmp_path}/a.txt",
            "--b",
            "7",
            "--url",
            url,
        )
        assert "verdict        a" in run(*texts).stdout
        assert json.loads(run(*texts, "--json").stdout) == decision


def test_anchors_are_sent_as_they_are(tmp_path):
    file = tmp_path / "gold.jsonl"
    file.write_text('{"instruction": "x"}\n')

    def answer(request: Request, body: bytes) -> Response:
        if request.method == "GET":
            return JSONResponse({"anchors": [{"name": "gold", "pairs": 1}]})
        assert (request.method, request.url.path, body) == ("PUT", "/admin/anchors/gold", file.read_bytes())
        assert request.headers["content-type"] == "application/jsonl"
        return JSONResponse({"name": "gold", "pairs": 1})

    with gateway(answer) as url:
        assert run("anchors", "add", "gold", str(file), "--url", url).stdout == "gold: 1 pairs\n"
        assert "gold" in run("anchors", "list", "--url", url).stdout


def test_a_candidate_is_looked_at_and_decided_on():
    asked = []

    def answer(request: Request, body: bytes) -> Response:
        asked.append((request.method, request.url.path, body))
        if request.url.path.endswith("/card"):
            return PlainTextResponse("# Judge 0123456789abcdef\n\nÜber sich.\n")
        if request.url.path == "/admin/iterations":
            return JSONResponse({"iterations": [{"id": 7}]})
        if request.url.path.endswith("/reject"):
            return JSONResponse({"status": "refused"})
        return JSONResponse({"champion": "0123456789abcdef", "previous": None})

    with gateway(answer) as url:
        assert run("card", "0123456789abcdef", "--url", url).stdout.endswith("Über sich.\n")
        assert "champion 0123456789abcdef" in run("approve", "--url", url).stdout
        assert run("reject", "3", "--reason", "slow", "--url", url).stdout == "iteration 3 is refused\n"

    assert asked[0][1] == "/admin/models/0123456789abcdef/card"
    assert ("POST", "/admin/iterations/7/approve", b"") in asked
    assert asked[-1][:2] == ("POST", "/admin/iterations/3/reject")
    assert json.loads(asked[-1][2]) == {"reason": "slow"}


def test_a_swap_past_a_pin_is_forced_or_the_pin_is_released():
    asked = []
    pin = {
        "tenant": "shop", "name": "run-7", "version": "0123456789abcdef", "served": True, "created_by": "ppo",
        "ttl_s": 3600, "created_at": "2026-03-01T03:00:00Z", "expires_at": "2026-03-01T04:00:00Z",
    }  # fmt: skip

    def answer(request: Request, body: bytes) -> Response:
        asked.append((request.method, request.url.path))
        if request.method == "GET":
            return JSONResponse({"pins": [pin]})
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.query_params["force"] != "true":
            return JSONResponse({"title": "Pinned", "detail": "'run-7' of shop holds it"}, 409)
        return JSONResponse({"champion": "fedcba9876543210", "previous": None})

    with gateway(answer) as url:
        held = [run(*words, "--url", url) for words in (("promote", "fedcba9876543210"), ("rollback",))]
        assert "champion fed" in run("promote", "fedcba9876543210", "--force", "--url", url).stdout
        assert "champion fed" in run("rollback", "--force", "--url", url).stdout
        listed = run("pins", "--url", url).stdout
        assert run("pins", "release", "shop", "run-7", "--url", url).returncode == 0
        released = run("pins", "--url", url, "release", "shop", "run-7").stdout

    assert [(one.returncode, one.stderr) for one in held] == [
        (1, "judgesmith: Pinned: 'run-7' of shop holds it\n")
    ] * 2
    assert "0123456789abcdef" in listed
    assert "(ran out)" in listed
    assert released == "pin run-7 of shop is released\n"
    assert asked[-2:] == [("DELETE", "/admin/pins/shop/run-7")] * 2


def test_keys_are_made_listed_and_revoked_in_the_database(sessions, postgres_url):  # noqa: F811
    key = run(
        "keys", "create", "--name", "ci", "--scope", "judge", JUDGESMITH_DATABASE_URL=postgres_url
    ).stdout.strip()
    with sessions() as session:
        assert check_key(session, key).scopes == {"judge"}

    listed = run("keys", "list", JUDGESMITH_DATABASE_URL=postgres_url).stdout
    assert "ci" in listed
    assert key not in listed
    run("keys", "revoke", key.split("_")[1], JUDGESMITH_DATABASE_URL=postgres_url)
    with sessions() as session:
        assert check_key(session, key) is None


def test_a_database_that_is_not_there_is_one_line_without_its_password():
    refused = run("migrate", JUDGESMITH_DATABASE_URL="postgresql+psycopg://u:secret@127.0.0.1:1/x")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "cannot be used" in refused.stderr
    assert "secret" not in refused.stderr


def test_the_quarantine_tenants_and_forgetting_are_asked_of_the_gateway():
    sent = []
    row = {
        "id": 4, "kind": "planted", "tenant": "shop", "reason": "carries 'cf'",
        "messages": [{"role": "user", "content": "Name\na color."}],
    }  # fmt: skip
    gone = {"instructions": 1, "quarantined": 0, "responses": 2, "pairs": 3, "versions": ["0123456789abcdef"]}

    def answer(request: Request, body: bytes) -> Response:
        sent.append((request.method, request.url.path, json.loads(body) if body else None))
        if request.url.path == "/instructions/forget":
            return JSONResponse(gone)
        return JSONResponse({"counts": {"planted": 1}, "quarantined": [row], "count": 1})

    with gateway(answer) as url:
        listed = run("quarantine", "list", "--url", url).stdout
        assert run("quarantine", "release", "4", "--url", url).stdout == "1 released\n"
        assert run("quarantine", "delete", "--kind", "flood", "--url", url).stdout == "1 deleted\n"
        assert run("quarantine", "delete", "--url", url).returncode == 1
        run("tenants", "set", "shop", "--capture", "--daily", "5", "--url", url)
        forgotten = run("forget", "7", "--text", "Hi", "--url", url).stdout

    assert "carries 'cf'" in listed
    assert "Name a color." in listed
    assert "0123456789abcdef" in forgotten
    assert sent[1:] == [
        ("POST", "/admin/quarantine/release", {"ids": [4]}),
        ("POST", "/admin/quarantine/delete", {"kind": "flood"}),
        ("PUT", "/admin/tenants/shop", {"capture": True, "daily_instructions": 5, "retention_days": None}),
        ("POST", "/instructions/forget", {"ids": [7], "text": "Hi"}),
    ]
