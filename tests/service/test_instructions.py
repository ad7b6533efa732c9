"""`/instructions` and capture: each instruction is stored once, and bad input not at all."""

import json
import time

import pytest
from sqlalchemy import select

from judge.gathering import instructions, intake
from judge.gathering.intake import Rules
from judge.store import queue
from judge.store.tables import InstructionRow

JSONL = {"content-type": "application/jsonl"}


def texts(world):
    with world.sessions() as session:
        return [row.messages[-1]["content"] for row in session.scalars(select(InstructionRow))]


def body(*contents):
    return {"instructions": [{"instruction": content} for content in contents]}


def test_new_ones_are_accepted_and_known_ones_counted(world):
    first = world.http.post("/instructions", json=body("One", "Two", "two "))
    second = world.http.post("/instructions", json=body("Two", "Three"))

    nothing = {"near_duplicates": 0, "quarantined": [], "rejected": []}
    assert first.json() == {"accepted": 2, "duplicates": 1, **nothing}
    assert second.json() == {"accepted": 1, "duplicates": 1, **nothing}
    assert sorted(texts(world)) == ["One", "Three", "Two"]


def test_a_logged_response_is_kept_with_its_instruction_and_redacted_alike(world):
    said = "Write to ada@example.org, she knows."
    item = {"instruction": "Whom do I ask?", "response": said}

    world.http.post("/instructions", json={"instructions": [item, {"instruction": "And then?"}]})
    trace = {"request": {"messages": [{"role": "user", "content": "Who else?"}]}, "response": said}
    world.http.post("/instructions/traces", content=json.dumps(trace))

    stored = world.http.get("/instructions").json()["instructions"]
    assert [(one["messages"][0]["content"], one["response"]) for one in stored] == [
        ("Whom do I ask?", "Write to <EMAIL>, she knows."),
        ("And then?", None),
        ("Who else?", "Write to <EMAIL>, she knows."),
    ]


def test_a_response_without_measure_is_left_out_and_its_instruction_stored(world):
    item = {"instruction": "Say it at length.", "response": "so " * 40_000}

    answer = world.http.post("/instructions", json={"instructions": [item]})

    assert answer.json()["accepted"] == 1
    (stored,) = world.http.get("/instructions").json()["instructions"]
    assert stored["response"] is None


def test_jsonl_is_taken_too(world):
    lines = "\n".join(json.dumps({"messages": [{"role": "user", "content": c}]}) for c in ("One", "Two"))

    answer = world.http.post("/instructions", content=lines + "\n\n", headers=JSONL)

    assert answer.json()["accepted"] == 2


def test_a_bad_line_is_named_and_nothing_of_the_body_is_stored(world):
    lines = '{"instruction": "One"}\n{"instruction": \n{"instruction": ""}\n'

    answer = world.http.post("/instructions", content=lines, headers=JSONL)

    assert answer.status_code == 422
    fields = [error["field"] for error in answer.json()["errors"]]
    assert fields == ["line 2", "line 3: instruction"]
    assert texts(world) == []


def test_a_bad_item_is_named_and_nothing_of_the_body_is_stored(world):
    answer = world.http.post("/instructions", json=body("One", "  "))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "instructions.1.instruction"
    assert texts(world) == []


def test_one_that_is_far_too_long_is_rejected_by_its_index(world):
    answer = world.http.post("/instructions", json=body("One", "x" * 100_001)).json()

    assert answer["accepted"] == 1
    assert answer["rejected"] == [{"index": 1, "reason": "longer than 100000 characters"}]


PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}


def test_live_instructions_are_captured_and_gathered_once(world):
    for _ in range(3):
        world.http.post("/judge/pairwise", json=PAIR)
    world.http.post("/judge/single", json={"instruction": "Name a river.", "response": "Nile."})

    with queue.connect(world.settings.redis_url) as redis:
        assert wait_for(lambda: redis.xlen(instructions.STREAM) == 4)
        first = intake.gather(world.sessions, redis, Rules(), consumer="one")
        again = intake.gather(world.sessions, redis, Rules(), consumer="one")

        assert (first["new"], first["duplicates"]) == (2, 2)
        assert not again
        assert redis.xlen(instructions.STREAM) == 0
    assert sorted(texts(world)) == ["Name a color.", "Name a river."]


def test_a_gatherer_killed_before_it_acknowledged_loses_and_doubles_nothing(world):
    world.http.post("/judge/pairwise", json=PAIR)

    with queue.connect(world.settings.redis_url) as redis:
        assert wait_for(lambda: redis.xlen(instructions.STREAM) == 1)
        redis.xgroup_create(instructions.STREAM, "gather", id="0")
        # The first consumer takes the entry, stores it and dies; the entry becomes another's by age.
        taken = redis.xreadgroup("gather", "dead", {instructions.STREAM: ">"})
        entry_id, fields = taken[0][1][0]
        with world.sessions.begin() as session:
            instructions.store(session, [instructions.from_stream_entry(fields)])
        redis.xclaim(instructions.STREAM, "gather", "dead", 0, [entry_id], idle=120_000)

        counts = intake.gather(world.sessions, redis, Rules(), consumer="next")
        assert (counts["new"], counts["duplicates"]) == (0, 1)
    assert texts(world) == ["Name a color."]


def test_capture_can_be_off(make_world):
    world = make_world(capture=False)
    world.http.post("/judge/pairwise", json=PAIR)

    with queue.connect(world.settings.redis_url) as redis:
        assert redis.xlen(instructions.STREAM) == 0


@pytest.mark.parametrize("name", ["../up", "UPPER", "-x", "a" * 70])
def test_an_anchor_set_has_a_plain_name(world, name):
    assert world.http.put(f"/admin/anchors/{name}", content="{}").status_code in (404, 422)


def test_anchor_sets_are_replaced_as_a_whole(world):
    line = {"instruction": "x", "response_a": "a", "response_b": "b", "label": "a"}
    two = "\n".join(json.dumps(line | {"instruction": text}) for text in ("x", "y"))

    assert world.http.put("/admin/anchors/people", content=two).json() == {"name": "people", "pairs": 2}
    assert world.http.put("/admin/anchors/people", content=json.dumps(line)).json()["pairs"] == 1
    bad = world.http.put("/admin/anchors/people", content=json.dumps(line | {"label": "c"}))

    assert bad.status_code == 422
    assert bad.json()["errors"] == [{"field": "line 1: label", "reason": "must be a, b or tie"}]
    assert world.http.get("/admin/anchors").json() == {"anchors": [{"name": "people", "pairs": 1}]}


BAD_PAIRS = [
    ({"response_a": "a\x00"}, "line 1: response_a", "NUL"),
    ({"response_b": "a\ud800"}, "line 1: response_b", "surrogate"),
    ({"instruction": 7}, "line 1: instruction", "non-empty string"),
    ({"messages": ["x"]}, "line 1: messages.0", "object"),
    ({"id": "\x00"}, "line 1: id", "NUL"),
]


@pytest.mark.parametrize(("change", "field", "hint"), BAD_PAIRS)
def test_a_pair_that_cannot_be_kept_is_named(world, change, field, hint):
    line = {"instruction": "x", "response_a": "a", "response_b": "b", "label": "a"}

    bad = world.http.put("/admin/anchors/people", content=json.dumps(line | change))

    assert bad.status_code == 422
    assert bad.json()["errors"][0]["field"] == field
    assert hint in bad.json()["errors"][0]["reason"]


def test_only_line_feeds_separate_pairs(world):
    line = {"instruction": "x", "response_a": "a\u2028b", "response_b": "c\x85d", "label": "a"}

    stored = world.http.put("/admin/anchors/people", content=json.dumps(line, ensure_ascii=False))

    assert stored.json() == {"name": "people", "pairs": 1}


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
