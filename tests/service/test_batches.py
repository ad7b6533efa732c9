"""`/judge/batches`: each line gets one result, in the file's order, whatever happens to the gateways."""

import asyncio
import io
import json
import time
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, select, update

from judge import batches, keys
from judge.batch_lines import Line, Result
from judge.batches import Lease, Submission
from judge.errors import Fault, Fenced, InvalidInput
from judge.keys import Principal
from judge.tables import BatchLineRow, BatchRow, DecisionRow
from service.batch_input import MAX_LINES, read_lines
from service.batches import KINDS, Turn
from service.main import create_app
from tests.service.conftest import wait_until_ready
from tests.serving import serve

PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
ONE = {"instruction": "Name a color.", "response": "Blue."}
MANY = {"instruction": "Name a color.", "responses": ["Blue.", "Seven.", "Red."]}
JSON = {"content-type": "application/json"}
JSONL = {"content-type": "application/jsonl"}


def line(custom_id, body=PAIR, url="/judge/pairwise", **more):
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body} | more


def many(count, **options):
    """Lines that are each judged anew."""
    return [line(f"line-{number}", PAIR | {"cache": False} | options) for number in range(count)]


def text(lines):
    return "".join(json.dumps(item) + "\n" for item in lines)


def submit(http, lines, **headers):
    answer = http.post("/judge/batches", content=text(lines), headers=JSONL | headers)
    assert answer.is_success, answer.text
    return answer.json()


def status(http, batch):
    return http.get(f"/judge/batches/{batch}").json()


def results(http, batch, **query):
    answer = http.get(f"/judge/batches/{batch}/results", params=query)
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(item) for item in answer.text.splitlines()]


def wait_for(http, batch, condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = status(http, batch)
        if condition(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def wait_until_over(http, batch):
    return wait_for(http, batch, lambda state: state["status"] in ("completed", "cancelled", "expired"))


def some_done(state):
    return state["request_counts"]["completed"] > 0


def names(found):
    return [item["custom_id"] for item in found]


def stored(world, kind=BatchLineRow):
    with world.sessions() as session:
        return session.scalar(select(func.count()).select_from(kind))


@contextmanager
def gateway(world):
    """Another gateway of the same world."""
    with serve(create_app(world.settings)) as url, httpx.Client(base_url=url, timeout=60) as http:
        wait_until_ready(http)
        yield http


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
        assert item["response"] == {"status_code": asked.status_code, "body": asked.json()}


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


def test_a_cancelled_batch_keeps_what_is_done_and_names_the_rest(world):
    world.script.delay_s = 0.15
    made = submit(world.http, many(200))
    wait_for(world.http, made["id"], some_done)

    asked = world.http.post(f"/judge/batches/{made['id']}/cancel").json()
    over = wait_until_over(world.http, made["id"])
    found = results(world.http, made["id"])
    done = [item for item in found if item["error"] is None]

    assert asked["status"] == "cancelling"
    assert over["status"] == "cancelled"
    assert over["cancelling_at"] <= over["cancelled_at"]
    assert names(found) == names(many(200))
    assert 0 < len(done) == over["request_counts"]["completed"] < 200
    assert {item["error"]["code"] for item in found if item["error"]} == {"batch_cancelled"}
    requests = world.script.requests
    time.sleep(0.3)
    assert world.script.requests == requests
    assert world.http.post(f"/judge/batches/{made['id']}/cancel").json()["status"] == "cancelled"


def test_a_batch_expires_after_a_day_whoever_holds_it(world):
    world.script.delay_s = 0.15
    made = submit(world.http, many(400))
    wait_for(world.http, made["id"], some_done)
    with world.sessions.begin() as session:
        session.execute(update(BatchRow).values(expires_at=func.now()))

    over = wait_until_over(world.http, made["id"])

    assert made["expires_at"] - made["created_at"] == 24 * 3600
    assert world.http.post(f"/judge/batches/{made['id']}/cancel").status_code == 409
    assert over["status"] == "expired"
    assert results(world.http, made["id"])[-1]["error"]["code"] == "batch_expired"


def test_a_stopped_gateway_gives_its_batches_back_and_another_finishes_them(world):
    """Eight batches: as many as two gateways work on at a time."""
    world.script.delay_s = 1.0
    with gateway(world) as other:
        made = [submit(other, many(12))["id"] for _ in range(8)]
        wait_for(other, made[-1], lambda _: all(row.lease_holder for row in rows_of(world)))
        holders = {row.lease_holder for row in rows_of(world)}
        wait_for(other, made[0], some_done)
    world.script.delay_s = 0.0

    over = [wait_until_over(world.http, batch) for batch in made]

    assert len(holders) == 2
    assert [state["request_counts"] for state in over] == [{"total": 12, "completed": 12, "failed": 0}] * 8
    assert {row.epoch for row in rows_of(world)} == {1, 2}
    for batch in made:
        assert names(results(world.http, batch)) == names(many(12))
    assert stored(world, DecisionRow) >= stored(world) == 96


def rows_of(world):
    with world.sessions() as session:
        return list(session.scalars(select(BatchRow)))


def test_when_a_lease_runs_out_another_gateway_goes_on_and_the_old_one_writes_nothing(world):
    """The first holder does what a killed gateway does: nothing more."""
    dead = held(world.sessions, many(3))
    assert dead.write([Result(1, 200, '{"by": "the first"}')])
    time.sleep(0.7)
    assert world.script.requests == 0

    with world.sessions.begin() as session:
        session.get_one(BatchRow, dead.batch).lease_until = func.now()
    over = wait_until_over(world.http, dead.batch)
    first, second, third = (item["response"]["body"] for item in results(world.http, dead.batch))

    assert over["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert second == {"by": "the first"}
    assert first["verdict"] == third["verdict"]
    assert stored(world, DecisionRow) == 2
    with pytest.raises(Fenced):
        dead.write([Result(0, 200, '{"by": "the first"}')])
    with pytest.raises(Fenced):
        dead.release()


def test_a_write_of_an_old_epoch_is_refused_while_the_new_one_works(sessions):
    old = held(sessions, many(2))
    new = taken_over(sessions, old)

    with pytest.raises(Fenced):
        old.write([Result(0, 200, '{"by": "old"}')])
    assert new.write([Result(0, 200, '{"by": "new"}')])


async def test_a_batch_whose_turn_is_over_finishes_what_it_has_begun(sessions):
    lease = held(sessions, many(40))
    begun, done = [], []

    async def judge(item, caller):
        begun.append(item.ordinal)
        await asyncio.sleep(0.02)
        done.append(item.ordinal)
        return Result(item.ordinal, 200, "{}")

    more = await Turn(lease, judge, ahead=4).run(stopped=lambda: False, over=lambda: len(begun) >= 10)

    assert more
    assert 10 <= len(begun) < 40
    with sessions() as session:
        assert session.get_one(BatchRow, lease.batch).completed == len(done) == len(begun)


def test_the_next_batch_is_that_of_a_tenant_without_one_then_the_one_left_alone_longest(sessions):
    with sessions.begin() as session:
        made = {
            name: batches.submit(session, Submission(name[0], "test", name, {}), [Line(0, "x", "y", "{}")])[
                0
            ].id
            for name in ("a1", "a2", "b1", "a3")
        }

    taken = [Lease.take(sessions, "test") for _ in range(4)]
    assert [lease.batch for lease in taken[:2]] == [made["a1"], made["b1"]]
    assert Lease.take(sessions, "test") is None

    for lease in (taken[3], taken[0]):
        lease.release()
    assert Lease.take(sessions, "test").batch == taken[3].batch


def test_a_result_is_written_once_and_counted_once(sessions):
    lease = held(sessions, many(2))

    assert lease.write([Result(0, 200, '{"n": 1}')])
    assert lease.write([Result(0, 422, '{"n": 2}')])

    with sessions() as session:
        row, line_row = (
            session.get_one(BatchRow, lease.batch),
            session.get_one(BatchLineRow, (lease.batch, 0)),
        )
    assert (row.completed, row.failed) == (1, 0)
    assert (line_row.status_code, line_row.answer, line_row.body) == (200, {"n": 1}, None)


def held(sessions, items):
    """A batch in the hands of the test: it is submitted and taken before a gateway can see it."""
    lines = [
        Line(n, item["custom_id"], item["url"], json.dumps(item["body"])) for n, item in enumerate(items)
    ]
    with sessions.begin() as session:
        row, _ = batches.submit(session, Submission("local", "test", "digest", {}), lines)
        row.status, row.epoch, row.lease_until = "in_progress", 1, func.now() + timedelta(seconds=60)
    return Lease(sessions, row.id, 1, Principal("test", "local", frozenset({"judge"})))


def taken_over(sessions, lease):
    with sessions.begin() as session:
        session.get_one(BatchRow, lease.batch).lease_until = func.now()
    new = Lease.take(sessions, "new")
    assert (new.batch, new.epoch) == (lease.batch, lease.epoch + 1)
    return new


def test_an_overloaded_gateway_or_a_dead_backend_is_waited_for(make_world):
    world = make_world(max_concurrent_decisions=2)
    world.script.dead = True
    made = submit(world.http, many(20))
    time.sleep(0.6)
    waiting = status(world.http, made["id"])
    world.script.dead = False

    over = wait_until_over(world.http, made["id"])

    assert waiting["request_counts"] == {"total": 20, "completed": 0, "failed": 0}
    assert over["request_counts"] == {"total": 20, "completed": 20, "failed": 0}


def test_live_requests_and_short_batches_do_not_wait_for_a_long_batch(make_world):
    world = make_world(batch_concurrency=8, max_concurrent_decisions=12)
    world.script.delay_s = 0.1
    long = submit(world.http, many(400))
    wait_for(world.http, long["id"], some_done)
    short = submit(world.http, many(4))

    codes = [world.http.post("/judge/pairwise", json=PAIR).status_code for _ in range(5)]
    wait_until_over(world.http, short["id"])

    assert codes == [200] * 5
    assert status(world.http, long["id"])["status"] == "in_progress"
    world.http.post(f"/judge/batches/{long['id']}/cancel")


def test_a_swap_in_the_middle_mixes_and_loses_nothing(world):
    world.script.delay_s = 0.1
    world.script.reload_s = 0.1
    first, second, _ = world.versions
    expected = {first: world.http.post("/judge/pairwise", json=PAIR).json()["probability_a"]}
    made = submit(world.http, many(400))
    wait_for(world.http, made["id"], some_done)

    world.http.post(f"/admin/models/{second}/promote").raise_for_status()
    world.script.delay_s = 0.0
    expected[second] = world.http.post("/judge/pairwise", json=PAIR).json()["probability_a"]
    over = wait_until_over(world.http, made["id"])
    bodies = [item["response"]["body"] for item in results(world.http, made["id"])]

    assert over["request_counts"] == {"total": 400, "completed": 400, "failed": 0}
    assert {body["model_version"] for body in bodies} == {first, second}
    assert {(body["model_version"], body["probability_a"]) for body in bodies} == set(expected.items())


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

    gone = batches.purge(world.sessions, 30)

    assert gone == 1
    assert world.http.get(f"/judge/batches/{old['id']}").status_code == 404
    assert status(world.http, new["id"])["status"] == "completed"
    assert status(world.http, waiting["id"])["status"] in ("validating", "in_progress", "completed")
