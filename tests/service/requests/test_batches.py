"""`/judge/batches`: each line gets one result, in the file's order, whatever happens to the gateways."""

import asyncio
import io
import json
import math
import time
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, select, update

from judge.batches import ledger
from judge.errors import Fault, InvalidInput
from judge.judging.scoring import NOT_FINITE
from judge.store import keys
from judge.store.tables import BatchLineRow, BatchRow, DecisionRow
from service.requests.batch_files import MAX_LINES, read_lines
from service.requests.batches import KINDS
from tests.service.batch_calls import (
    JSON,
    JSONL,
    MANY,
    ONE,
    PAIR,
    line,
    many,
    names,
    results,
    some_done,
    status,
    stored,
    submit,
    text,
    wait_for,
    wait_until_over,
)


def test_every_line_is_answered_as_by_its_route_in_the_order_of_the_file(world):
    world.script.delay_s = 0.01
    lines = [
        line(f"line-{number}", ONE, "/judge/single") if number % 2 else line(f"line-{number}")
        for number in range(39)
    ] + [line("rank", MANY, "/judge/rank")]

    made = submit(world.http, lines)
    over = wait_until_over(world.http, made["id"])
    found = results(world.http, made["id"])

    assert (made["object"], made["status"]) == ("batch", "validating")
    assert made["request_counts"] == {"total": 40, "completed": 0, "failed": 0}
    assert over["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
    assert over["created_at"] <= over["in_progress_at"] <= over["completed_at"]
    assert names(found) == names(lines)
    asked = world.http.post("/judge/pairwise", json=PAIR).json()
    same = found[0]["response"]["body"]
    assert set(same) == set(asked)
    assert {key: same[key] for key in ("verdict", "probability_a", "model_version", "orders")} == {
        key: asked[key] for key in ("verdict", "probability_a", "model_version", "orders")
    }
    assert found[1]["response"]["body"]["rating"] is not None
    assert found[-1]["response"]["body"]["best"] in (0, 1, 2)
    assert {item["response"]["status_code"] for item in found} == {200}
    assert {item["error"] for item in found} == {None}
    assert len({item["id"] for item in found}) == 40
    assert all(item["id"].startswith("batch_req_") for item in found)
    with world.sessions() as session:
        assert all(session.get(DecisionRow, item["response"]["request_id"]) for item in found)
    # As of a synchronous request, the texts are not kept.
    with world.sessions() as session:
        assert set(session.scalars(select(BatchLineRow.body))) == {None}


def test_results_can_be_read_while_there_is_more_to_come(world):
    world.script.delay_s = 0.15
    made = submit(world.http, many(200))

    running = wait_for(world.http, made["id"], some_done)
    found = results(world.http, made["id"])
    world.script.delay_s = 0.0

    assert running["status"] == "in_progress"
    assert running["eta_s"] > 0
    assert 0 < len(found) < 200
    assert names(found) == sorted(names(found), key=lambda name: int(name.removeprefix("line-")))
    wait_until_over(world.http, made["id"])
    assert names(results(world.http, made["id"])) == names(many(200))


def test_a_verdict_that_could_not_be_had_is_a_result_and_no_defect(world):
    world.script.margin = lambda prompt, weights: math.nan
    lines = [line("pair"), line("one", ONE, "/judge/single"), line("rank", MANY, "/judge/rank")]

    over = wait_until_over(world.http, submit(world.http, lines)["id"])
    bodies = [item["response"]["body"] for item in results(world.http, over["id"])]

    assert over["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert (bodies[0]["verdict"], bodies[1]["outcome"], bodies[2]["best"]) == ("invalid", "invalid", None)
    reasons = {bodies[0]["reason"], bodies[1]["reason"], bodies[2]["ranking"][0]["reason"]}
    assert reasons == {NOT_FINITE}


def test_a_batch_has_the_time_that_it_asks_for(make_world):
    world = make_world(batch_hours=36)

    def sent(**query):
        return world.http.post("/judge/batches", params=query, content=text(many(1)), headers=JSONL)

    usual, longer = sent().json(), sent(completion_window="200h").json()

    assert usual["completion_window"] == "36h"
    assert usual["expires_at"] - usual["created_at"] == 36 * 3600
    assert longer["completion_window"] == "200h"
    assert longer["expires_at"] - longer["created_at"] == 200 * 3600
    assert status(world.http, longer["id"])["completion_window"] == "200h"
    for wrong in ("0h", "24", "721h", "1d", "-3h", "99999h"):
        refused = sent(completion_window=wrong)
        assert refused.status_code == 422, wrong
        assert refused.json()["errors"][0]["field"] == "completion_window"


BAD_BODIES = {
    "blank": PAIR | {"response_b": " "},
    "misspelt": PAIR | {"vots": 3},
    "text": "not an object",
    "half a surrogate pair": PAIR | {"response_a": "\ud83d"},
    "NUL": PAIR | {"response_a": "a\x00b"},
    "unknown version": PAIR | {"version": "0123456789abcdef"},
    "not served": PAIR | {"version": "previous"},
}


def test_a_bad_body_is_answered_as_by_its_route_and_is_an_error_of_its_line_only(world):
    world.http.post(f"/admin/models/{world.versions[1]}/promote").raise_for_status()
    bad = [line(name, body) for name, body in BAD_BODIES.items()]
    made = submit(world.http, [line("first"), *bad, line("last")])

    over = wait_until_over(world.http, made["id"])
    found = results(world.http, made["id"])
    errors = results(world.http, made["id"], only="errors")

    assert over["status"] == "completed"
    assert over["request_counts"] == {"total": len(bad) + 2, "completed": 2, "failed": len(bad)}
    assert names(found) == ["first", *BAD_BODIES, "last"]
    assert errors == found[1:-1]
    for item, body in zip(errors, BAD_BODIES.values(), strict=True):
        asked = world.http.post("/judge/pairwise", content=json.dumps(body), headers=JSON)
        assert item["response"] == {
            "status_code": asked.status_code,
            "request_id": item["id"],
            "body": asked.json(),
        }


BAD_FILES = {
    "not json": ('{"custom_id": ', ["line 2"]),
    "an array": ("[1]", ["line 2"]),
    "NaN": ('{"custom_id": "x", "method": "POST", "url": "/judge/single", "body": NaN}', ["line 2"]),
    "too large a number": ('{"custom_id": "x", "body": 1e999}', ["line 2"]),
    "deep": ("[" * 50_000, ["line 2"]),
    "no id": (json.dumps({"method": "POST", "url": "/judge/pairwise", "body": PAIR}), ["line 2: custom_id"]),
    "empty id": (json.dumps(line(" ")), ["line 2: custom_id"]),
    "nul id": (json.dumps(line("a\x00")), ["line 2: custom_id"]),
    "number as id": (json.dumps(line(7)), ["line 2: custom_id"]),
    "same id": (json.dumps(line("good")), ["line 2: custom_id"]),
    "other url": (json.dumps(line("x", url="/admin/models")), ["line 2: url"]),
    "batch in batch": (json.dumps(line("x", url="/judge/batches")), ["line 2: url"]),
    "other method": (json.dumps(line("x", method="GET")), ["line 2: method"]),
    "no body": (json.dumps({"custom_id": "x", "method": "POST", "url": "/judge/single"}), ["line 2: body"]),
    "more fields": (json.dumps(line("x", priority=1)), ["line 2: priority"]),
    "several": (
        "{}\n\nnope",
        ["line 2: custom_id", "line 2: method", "line 2: url", "line 2: body", "line 4"],
    ),
}


def test_a_file_with_a_fault_is_refused_with_its_lines_and_stores_nothing(world):
    for name, (faulty, fields) in BAD_FILES.items():
        content = text([line("good")]) + faulty + "\n" + text([line("another")])

        answer = world.http.post("/judge/batches", content=content, headers=JSONL)

        assert answer.status_code == 422, name
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == fields, name
    empty = world.http.post("/judge/batches", content="\n\n", headers=JSONL).json()
    assert empty["errors"] == [{"field": "body", "reason": "has no lines"}]
    first_20 = world.http.post("/judge/batches", content="nope\n" * 100, headers=JSONL).json()["errors"]
    assert [error["field"] for error in first_20] == [f"line {number}" for number in range(1, 21)]
    assert stored(world) == stored(world, BatchRow) == 0


def short_lines(count):
    return "".join(
        f'{{"custom_id": "{n}", "method": "POST", "url": "/judge/single", "body": 0}}\n' for n in range(count)
    )


def test_50000_lines_are_taken(world):
    made = world.http.post("/judge/batches", content=short_lines(MAX_LINES), headers=JSONL).json()

    assert made["request_counts"]["total"] == stored(world) == MAX_LINES
    assert world.http.post(f"/judge/batches/{made['id']}/cancel").status_code == 200


def test_one_line_more_is_not():
    file = io.BytesIO(short_lines(MAX_LINES + 1).encode())

    with pytest.raises(InvalidInput) as refused:
        list(read_lines(file, KINDS, 1000))

    assert refused.value.faults == (Fault("line 50001", "a batch may have 50000 lines"),)


def test_a_file_may_be_larger_than_other_bodies_a_line_not(make_world):
    world = make_world(max_body_bytes=2000, max_batch_bytes=10_000)

    assert submit(world.http, many(30))["request_counts"]["total"] == 30
    long_line = world.http.post("/judge/batches", content=text([line("x" * 3000), line("y")]), headers=JSONL)
    assert long_line.json()["errors"] == [{"field": "line 1", "reason": "is longer than 2000 bytes"}]
    declared = world.http.post("/judge/batches", content=text(many(100)), headers=JSONL)
    streamed = world.http.post(
        "/judge/batches", content=(text([item]).encode() for item in many(100)), headers=JSONL
    )
    assert (declared.status_code, streamed.status_code) == (413, 413)
    assert "10000" in declared.json()["detail"]
    assert stored(world, BatchRow) == 1


def test_a_batch_belongs_to_its_tenant(make_world):
    world = make_world(auth="keys")
    with world.sessions.begin() as session:
        mine, theirs = (
            {"authorization": f"Bearer {keys.create_key(session, name, ['judge'], name, 'test')}"}
            for name in ("mine", "theirs")
        )
    made = submit(world.http, many(2), **mine)
    path = f"/judge/batches/{made['id']}"
    asked = [
        ("GET", path), ("GET", f"{path}/results"), ("POST", f"{path}/cancel"),
        ("GET", f"/judge/batches?after={made['id']}"), ("GET", "/judge/batches/batch_0"),
    ]  # fmt: skip

    assert [world.http.request(*one, headers=theirs).status_code for one in asked] == [404] * 5
    assert world.http.get("/judge/batches", headers=theirs).json()["data"] == []
    assert names_of(world.http.get("/judge/batches", headers=mine)) == [made["id"]]
    assert submit(world.http, many(3), **theirs, **{"idempotency-key": "k"})["id"]
    assert submit(world.http, many(2), **mine, **{"idempotency-key": "k"})["id"]
    deadline = time.monotonic() + 10
    while world.http.get(path, headers=mine).json()["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with world.sessions() as session:
        assert set(session.scalars(select(DecisionRow.tenant))) <= {"mine", "theirs"}


def names_of(answer):
    return [item["id"] for item in answer.json()["data"]]


def test_batches_are_listed_newest_first_and_metadata_comes_back(world):
    made = [submit(world.http, many(1))["id"] for _ in range(3)]

    first = world.http.get("/judge/batches", params={"limit": 2})
    rest = world.http.get("/judge/batches", params={"limit": 2, "after": first.json()["last_id"]})

    assert names_of(first) + names_of(rest) == made[::-1]
    assert (first.json()["has_more"], rest.json()["has_more"]) == (True, False)
    assert world.http.get("/judge/batches", params={"limit": 0}).status_code == 422

    def post(metadata):
        return world.http.post("/judge/batches", params={"metadata": metadata}, content=text(many(1)))

    assert post('{"run": "7"}').json()["metadata"] == {"run": "7"}
    assert post('{"run": 7}').json()["errors"][0]["field"] == "metadata.run"
    assert post("run=7").status_code == 422


def test_an_idempotency_key_makes_one_batch_of_many_attempts(world):
    key = {"idempotency-key": "monday"}

    async def at_once():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            jobs = [
                client.post("/judge/batches", content=text(many(5)), headers=JSONL | key) for _ in range(20)
            ]
            return await asyncio.gather(*jobs)

    answers = asyncio.run(at_once())
    other = world.http.post("/judge/batches", content=text(many(6)), headers=JSONL | key)
    without = submit(world.http, many(5))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (other.status_code, other.json()["type"]) == (422, "urn:judgesmith:problem:invalid-input")
    assert without["id"] != answers[0].json()["id"]
    assert stored(world, BatchRow) == 2


def test_a_line_that_the_backend_refuses_fails_and_the_others_go_on(world):
    world.script.refused = "quokka"
    lines = [
        line("good"),
        line("refused", PAIR | {"instruction": "Describe a quokka."}),
        line("last", ONE, "/judge/single"),
    ]

    over = wait_until_over(world.http, submit(world.http, lines)["id"])
    good, refused, last = results(world.http, over["id"])
    metrics = world.http.get("/metrics").text

    assert over["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert (refused["response"]["status_code"], good["response"]["status_code"]) == (502, 200)
    assert refused["response"]["body"]["type"] == "urn:judgesmith:problem:backend-refused"
    assert last["response"]["status_code"] == 200
    assert 'judgesmith_batch_lines_total{outcome="failed"} 1.0' in metrics
    assert 'judgesmith_batch_lines_total{outcome="answered"} 2.0' in metrics


def test_batches_are_deleted_some_days_after_their_end(world):
    old, new = (wait_until_over(world.http, submit(world.http, many(2))["id"]) for _ in range(2))
    waiting = submit(world.http, many(200))
    with world.sessions.begin() as session:
        for batch in (old, waiting):
            session.execute(
                update(BatchRow)
                .where(BatchRow.id == batch["id"])
                .values(created_at=func.now() - timedelta(days=40))
            )
        session.execute(
            update(BatchRow)
            .where(BatchRow.id == old["id"])
            .values(finished_at=func.now() - timedelta(days=31))
        )

    gone = ledger.purge(world.sessions, 30)

    assert gone == 1
    assert world.http.get(f"/judge/batches/{old['id']}").status_code == 404
    assert status(world.http, new["id"])["status"] == "completed"
    assert status(world.http, waiting["id"])["status"] in ("validating", "in_progress", "completed")
