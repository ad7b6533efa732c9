"""`judgesmith evaluate`: files in, a table and a report out."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from judge.evaluation.benchmarks.items import Answered, Judged, from_lines
from judge.evaluation.report import Run, build, page, table
from stack.commands.evaluate import line, set_name
from tests.stack.test_main import gateway, run

ROWS = [
    {"id": f"p{n}", "instruction": f"Question {n}", "response_a": "good", "response_b": "bad", "label": "a"}
    for n in range(4)
]


class Served:
    """A gateway that evaluates at once."""

    def __init__(self, status: str = "done") -> None:
        self.status = status
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.runs: list[Run] = []

    def __call__(self, request: Request, body: bytes) -> Response:
        query, path = request.query_params, request.url.path
        self.asked.append((f"{request.method} {path}", dict(query)))
        if request.method == "POST":
            items = from_lines(body.decode().split("\n"))
            answers = [Answered(item, Judged(item.id, ("a", "a"), "a", 0.6)) for item in items]
            name = query["name"]
            self.runs.append(
                Run(query["version"], "seed", query["benchmark"], name, "direct", name, 0, lambda: answers)
            )
            return JSONResponse(self.state(len(self.runs), "queued"), 202)
        if path.endswith("/report"):
            found = build([self.runs[int(number) - 1] for number in query.getlist("id")])
            form = {"html": page, "json": json.dumps, "table": table}[query["form"]]
            return PlainTextResponse(form(found))
        return JSONResponse(self.state(int(path.rsplit("/", 1)[1]), self.status))

    def state(self, number: int, status: str) -> dict[str, object]:
        one = self.runs[number - 1]
        done = 4 if status == "done" else 0
        return {
            "id": number, "status": status, "version": one.version, "name": one.name, "done": done,
            "total": 4, "eta_s": None, "note": None, "error": "out of memory" if status == "failed" else None,
        }  # fmt: skip


def write(path, rows=ROWS):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_versions_are_evaluated_on_every_set_and_reported(tmp_path):
    served = Served()
    files = [write(tmp_path / f"{name}.jsonl") for name in ("one", "two")]
    out = tmp_path / "report.html"

    with gateway(served) as url:
        done = run(
            "evaluate", "--benchmark", "pairs", "--version", "v1", "--version", "v2", "--data", files[0],
            "--data", files[1], "--seed", "3", "--rationale-tokens", "2048", "--report", str(out),
            "--url", url,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    started = [query for asked, query in served.asked if asked == "POST /admin/evaluations"]
    assert [(query["name"], query["version"], query["seed"]) for query in started] == [
        ("one", "v1", "3"), ("one", "v2", "3"), ("two", "v1", "3"), ("two", "v2", "3"),
    ]  # fmt: skip
    assert {query["rationale_tokens"] for query in started} == {"2048"}
    assert "evaluation 4 done: v2 on two" in done.stdout
    assert "| one | direct | 4 | right in both orders | 1.000 [1.000, 1.000] |" in done.stdout
    assert out.read_text().startswith("<!doctype html>")
    assert [found["name"] for found in json.loads(out.with_suffix(".json").read_text())["sets"]] == [
        "one",
        "two",
    ]


def test_a_bad_line_is_told_before_anything_is_sent(tmp_path):
    served = Served()
    file = write(tmp_path / "bad.jsonl", [ROWS[0], {**ROWS[1], "label": "?"}])

    with gateway(served) as url:
        refused = run("evaluate", "--benchmark", "pairs", "--data", file, "--url", url)

    assert refused.returncode == 1
    assert "bad.jsonl line 2: label: must be one of 'a', 'b', 'tie'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert served.asked == []


def test_what_failed_is_told_and_ends_with_an_error(tmp_path):
    with gateway(Served("failed")) as url:
        done = run("evaluate", "--benchmark", "pairs", "--data", write(tmp_path / "x.jsonl"), "--url", url)

    assert done.returncode == 1
    assert "evaluation 1 failed: champi on x, out of memory" in done.stdout


def test_without_waiting_it_only_begins(tmp_path):
    served = Served()

    with gateway(served) as url:
        done = run(
            "evaluate",
            "--benchmark",
            "pairs",
            "--data",
            write(tmp_path / "x.jsonl"),
            "--no-wait",
            "--url",
            url,
        )

    assert done.returncode == 0, done.stderr
    assert [asked for asked, _ in served.asked] == ["POST /admin/evaluations"]


def test_sets_are_called_by_the_last_part_of_their_path():
    assert set_name("/data/pairs_autoj.jsonl") == "pairs_autoj"
    assert set_name("allenai/reward-bench-2") == "reward-bench-2"
    assert set_name("données v1.2") == "donn-es v1.2"
    assert set_name("._") == "set"


def test_a_line_shows_progress_in_steps_of_ten():
    state = {
        "id": 3, "status": "running", "version": "37055a89510ca919", "name": "mine", "done": 47, "total": 100,
        "error": None,
    }  # fmt: skip

    assert line(state) == "evaluation 3 running: 37055a on mine, 40 %"
