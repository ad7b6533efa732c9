"""`judgesmith batch`: sending a file, watching it, and getting its results."""

import json
from collections.abc import Callable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from stack.commands.batch import follow, line
from stack.terminal.gateway import Gateway
from tests.stack.test_main import gateway, run


def state(status: str, completed: int = 0, failed: int = 0, **more: object) -> dict[str, object]:
    counts = {"total": 40, "completed": completed, "failed": failed}
    return {"id": "batch_1", "status": status, "request_counts": counts, "eta_s": None} | more


STATES = [
    state("validating"),
    state("in_progress", 1, eta_s=78.0),
    state("in_progress", 2, eta_s=76.0),
    state("in_progress", 12, 1, eta_s=125.0),
    state("completed", 39, 1),
]
RESULTS = '{"custom_id": "a"}\n{"custom_id": "b"}\n'


def scripted(seen: list[tuple[str, bytes]], states: list[dict[str, object]]) -> Callable[..., Response]:
    left = list(states)

    def answer(request: Request, body: bytes) -> Response:
        seen.append((f"{request.method} {request.url.path}?{request.url.query}".rstrip("?"), body))
        if request.url.path.endswith("/results"):
            return PlainTextResponse(RESULTS)
        return JSONResponse(left.pop(0) if len(left) > 1 else left[0])

    return answer


def test_a_file_is_sent_watched_and_answered(tmp_path):
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text(json.dumps({"custom_id": "ä"}) + "\n")
    seen: list[tuple[str, bytes]] = []

    with gateway(scripted(seen, [STATES[0], STATES[3], state("completed", 40)])) as url:
        done = run("batch", "submit", str(file), "--out", str(out), "--url", url)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "batch_1: 40 lines",
        "batch_1 validating: 0 of 40",
        "batch_1 in_progress: 13 of 40, 1 failed, 2:05 left",
        "batch_1 completed: 40 of 40",
        f"results: {out}",
    ]
    assert out.read_text() == RESULTS
    assert [asked for asked, _ in seen] == [
        "POST /judge/batches",
        "GET /judge/batches/batch_1",
        "GET /judge/batches/batch_1",
        "GET /judge/batches/batch_1/results",
    ]
    assert seen[0][1] == file.read_bytes()


def test_failed_lines_are_an_exit_code_and_the_results_are_there_all_the_same(tmp_path):
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("{}\n")

    with gateway(scripted([], [STATES[-1]])) as url:
        done = run("batch", "submit", str(file), "--wait", "--out", str(out), "--url", url)

    assert done.returncode == 1
    assert out.read_text() == RESULTS


def test_status_results_and_cancel_ask_for_one_batch():
    seen: list[tuple[str, bytes]] = []

    with gateway(scripted(seen, [STATES[3]])) as url:
        shown = run("batch", "status", "batch_1", "--url", url)
        errors = run("batch", "results", "batch_1", "--errors", "--url", url)
        cancelled = run("batch", "cancel", "a/b", "--url", url)

    assert shown.stdout == cancelled.stdout == "batch_1 in_progress: 13 of 40, 1 failed, 2:05 left\n"
    assert errors.stdout == RESULTS
    assert [asked for asked, _ in seen] == [
        "GET /judge/batches/batch_1",
        "GET /judge/batches/batch_1/results?only=errors",
        "POST /judge/batches/a/b/cancel",
    ]


def test_faults_of_a_file_are_told_line_by_line_and_a_missing_batch_leaves_no_file(tmp_path):
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("{}\n")
    faults = [{"field": "line 1: custom_id", "reason": "Field required"}]
    title = {"title": "The request is not valid", "detail": "…", "errors": faults}

    with gateway(lambda request, body: JSONResponse(title, 422)) as url:
        refused = run("batch", "submit", str(file), "--url", url)
        missing = run("batch", "results", "batch_1", "--out", str(out), "--url", url)

    assert refused.stderr.splitlines()[1:] == ["  line 1: custom_id: Field required"]
    assert missing.returncode == 1
    assert list(tmp_path.iterdir()) == [file]


def test_in_a_log_each_tenth_is_one_line_and_an_absent_gateway_is_waited_for(capsys):
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 2:
            raise httpx.ConnectError("restarting")
        if len(asked) == 3:
            return httpx.Response(503, json={"title": "Not available"})
        return httpx.Response(200, json=STATES[min(len(asked), len(STATES) - 1)])

    client = Gateway("http://gateway", transport=httpx.MockTransport(handle))

    assert follow(client, STATES[0], every_s=0) == STATES[-1]
    assert capsys.readouterr().out.splitlines() == [line(STATES[n]) for n in (0, 1, 4)]


@pytest.mark.parametrize(("status", "code"), [("cancelled", 1), ("expired", 1), ("completed", 0)])
def test_a_batch_cut_short_is_an_exit_code(tmp_path, status, code):
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")

    with gateway(scripted([], [state(status, 3)])) as url:
        assert run("batch", "submit", str(file), "--wait", "--url", url).returncode == code
