"""`/admin/evaluations`: asking for one, watching it, and the report."""

import json

import pytest
from rq import Queue
from sqlalchemy import update

from judge.comparison import Instruction
from judge.evaluation.benchmarks.items import Item, Judged, to_lines
from judge.evaluation.lease import Lease, claim_due
from judge.store import queue
from judge.store.tables import AuditEntry, BenchmarkRunRow
from service.routes import evaluations as evaluations_route

ITEMS = [Item(f"i{n}", "s", Instruction.of(f"Question {n} <script>"), ("good", "bad"), "a") for n in range(6)]
QUERY = {"version": "champion", "benchmark": "pairs", "name": "mine"}


def post(world, body=None, **query):
    lines = to_lines(ITEMS) if body is None else body
    return world.http.post("/admin/evaluations", params={**QUERY, **query}, content=lines)


def answer_all(world, number, right):
    """What a worker would write."""
    lease = Lease.take(world.sessions, number)
    judged = []
    for ordinal, item in enumerate(ITEMS):
        verdict = "a" if ordinal < right else "b"
        judged.append((ordinal, Judged(item.id, (verdict, verdict), verdict, 0.7 if verdict == "a" else 0.4)))
    lease.write(judged)
    lease.complete({"items": len(ITEMS)})


def test_an_evaluation_is_stored_and_asked_for(world):
    answer = post(world, mode="reasoning", votes=3, seed=5)

    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["version"], body["total"], body["done"]) == (
        "queued",
        world.versions[0],
        6,
        0,
    )
    assert (body["settings"]["mode"], body["settings"]["votes"], body["settings"]["seed"]) == (
        "reasoning",
        3,
        5,
    )
    with queue.connect(world.settings.redis_url) as redis:
        (job,) = Queue(queue.STAGES, connection=redis, serializer="json").jobs
    assert (job.func_name, job.args) == (queue.RUN_EVALUATION, [body["id"]])
    assert world.http.get(f"/admin/evaluations/{body['id']}").json() == body
    assert world.http.get("/admin/evaluations").json() == {"evaluations": [body]}
    with world.sessions() as session:
        assert session.query(AuditEntry).filter_by(act="start evaluation").count() == 1


def test_the_same_evaluation_is_not_made_twice(world):
    first, again, other = post(world).json(), post(world, concurrency=2).json(), post(world, seed=1).json()

    assert again["id"] == first["id"] != other["id"]
    assert first["set_digest"] == other["set_digest"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"id": "x"}\n', "line 1: subset"),
        (to_lines(ITEMS) + b"{\n", "line 7"),
        (to_lines([ITEMS[0], ITEMS[0]]), "line 2: id"),
        (b"\n", "body"),
        (b"\xff", "body"),
        (json.dumps({**ITEMS[0].to_json(), "responses": ["a"]}).encode(), "line 1: responses"),
        (json.dumps({**ITEMS[0].to_json(), "label": "c"}).encode(), "line 1: label"),
        (json.dumps({**ITEMS[0].to_json(), "responses": ["a\x00", "b"]}).encode(), "line 1: responses.0"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_stored(world, body, field):
    answer = post(world, body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field
    assert world.http.get("/admin/evaluations").json() == {"evaluations": []}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"version": "0" * 16}, 404), ({"version": "../../etc"}, 404), ({"version": "previous"}, 404),
        ({"benchmark": "nothing"}, 422), ({"mode": "cascade"}, 422), ({"name": "../x"}, 422),
        ({"seed": -1}, 422), ({"votes": 10**6}, 422), ({"color": "red"}, 422),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(world, query, status):
    assert post(world, **query).status_code == status


@pytest.mark.parametrize(
    "benchmark", ["mt-bench", "rewardbench", "rewardbench2", "autoj-selection", "systems"]
)
def test_items_of_another_benchmark_are_refused_before_anything_is_judged(world, benchmark):
    answer = post(world, benchmark=benchmark)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "items"
    assert benchmark in answer.text


def test_an_evaluation_is_cancelled_once(world):
    number = post(world).json()["id"]

    assert world.http.post(f"/admin/evaluations/{number}/cancel").json()["status"] == "cancelled"
    assert world.http.post(f"/admin/evaluations/{number}/cancel").status_code == 409
    assert world.http.post("/admin/evaluations/99/cancel").status_code == 404
    assert post(world).json()["status"] == "queued"


def test_the_report_puts_versions_side_by_side(world):
    numbers = [post(world, version=version).json()["id"] for version in world.versions[:2]]
    path = "/admin/evaluations/report"
    assert world.http.get(path).status_code == 422
    assert "is queued" in world.http.get(path, params={"id": numbers}).text
    for number, right in zip(numbers, (2, 5), strict=True):
        answer_all(world, number, right)

    found = world.http.get(path, params={"form": "json"}).json()
    turned = world.http.get(path, params={"form": "json", "id": numbers[::-1]}).json()
    page = world.http.get(path)

    (one,) = found["sets"]
    assert [run["version"] for run in one["runs"]] == world.versions[:2]
    assert one["versus"][0]["gain"]["value"] == 0.5
    assert turned["sets"][0]["versus"][0]["gain"]["value"] == -0.5
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "Question 3 &lt;script&gt;" in page.text
    assert world.http.get(path, params={"form": "json"}).json() == found
    assert (
        "| mine | direct | 6 | right in both orders |" in world.http.get(path, params={"form": "table"}).text
    )
    assert world.http.get(path, params={"id": 99}).status_code == 404


def test_without_ids_the_newest_are_reported_oldest_first(world, monkeypatch):
    monkeypatch.setattr(evaluations_route, "_MOST_REPORTED", 2)
    numbers = [post(world, name=f"set {n}", seed=n).json()["id"] for n in range(3)]
    for number in numbers:
        answer_all(world, number, 3)

    found = world.http.get("/admin/evaluations/report", params={"form": "json"}).json()

    assert [one["seed"] for one in found["sets"]] == [1, 2]
    too_many = [("id", number) for number in range(51)]
    assert world.http.get("/admin/evaluations/report", params=too_many).status_code == 422


def test_runs_of_one_version_with_other_seeds_or_longer_rationales_are_told_apart(world):
    asked = ({}, {"seed": 4}, {"rationale_tokens": 2048})
    for query in asked:
        answer_all(world, post(world, mode="reasoning", **query).json()["id"], 3)

    found = world.http.get("/admin/evaluations/report", params={"form": "json"}).json()

    assert [(one["mode"], one["seed"]) for one in found["sets"]] == [
        ("reasoning, 512 tokens, seed 0", 0),
        ("reasoning, 512 tokens, seed 4", 4),
        ("reasoning, 2048 tokens, seed 0", 0),
    ]


def test_the_queue_may_be_down(world, monkeypatch):
    from redis.exceptions import ConnectionError

    def down(*_):
        raise ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "enqueue_evaluation", down)
        assert post(world).status_code == 202
    with world.sessions.begin() as session:
        session.execute(update(BenchmarkRunRow).values(enqueued_at=None))
        assert claim_due(session) == [1]


def test_the_benchmarks_are_listed(world):
    found = world.http.get("/admin/evaluations/benchmarks").json()["benchmarks"]

    assert {"name": "rewardbench", "title": "RewardBench", "hub": "allenai/reward-bench"} in found
