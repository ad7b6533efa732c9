"""Capture: only what the settings and the tenants allow, and never as it came in where it names somebody."""

import logging
import time

from sqlalchemy import select, text

from judge.gathering import instructions, intake
from judge.gathering.intake import Rules
from judge.store import keys, queue
from judge.store.tables import Base, InstructionRow
from workers.gather import run_gather

PAIR = {"response_a": "Blue.", "response_b": "Seven."}
SEEDED = (
    "jane.doe@example.org",
    "+44 20 7946 0958",
    "DE89 3704 0044 0532 0130 00",
    "sk-abcdefghijklmnopqrst",
)
PERSONAL = "I am at {} or {}, my account is {} and the key is {}. Draft a letter to my bank about it.".format(
    *SEEDED
)


def ask(world, text_, key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = world.http.post("/judge/pairwise", json={"instruction": text_, **PAIR}, headers=headers)
    assert answer.status_code == 200


def captured(world):
    """The texts that came through, once the gateway has handed over everything."""
    ask_last = "The very last question, which is about the sea."
    ask(world, ask_last)
    with queue.connect(world.settings.redis_url) as redis:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            entries = [
                instructions.from_stream_entry(fields) for _, fields in redis.xrange(instructions.STREAM)
            ]
            if any(entry.instruction.text == ask_last for entry in entries):
                return sorted(e.instruction.text for e in entries if e.instruction.text != ask_last)
            time.sleep(0.05)
    raise AssertionError("the last question was not captured")


def test_lengths_and_languages_choose(make_world):
    world = make_world(capture_min_chars=12, capture_max_chars=60, capture_languages=["en"])

    ask(world, "Too short.")
    ask(world, "Расскажи, пожалуйста, о больших реках Сибири.")
    ask(world, "This is much too long. " * 5)
    ask(world, "Tell me about the large rivers in the north.")

    assert captured(world) == ["Tell me about the large rivers in the north."]


def test_a_share_is_captured_and_always_the_same_one(make_world):
    world = make_world(capture_rate=0.5)
    texts = [f"What can you tell me about the number {n} and its neighbors?" for n in range(40)]
    chosen = {one for one in texts if int(instructions.Instruction.of(one).digest[:8], 16) < 2**31}
    last = instructions.Instruction.of("The very last question, which is about the sea.")
    assert int(last.digest[:8], 16) < 2**31

    for one in texts:
        ask(world, one)

    assert 8 < len(chosen) < 32
    assert set(captured(world)) == chosen


def test_under_load_some_are_passed_over_and_counted(make_world):
    world = make_world(capture_per_second=0.1)  # a minute's worth is six

    for number in range(20):
        ask(world, f"What can you tell me about the number {number} and its neighbors?")

    deadline = time.monotonic() + 10
    while 'captured_total{outcome="stored"} 6.0' not in (metrics := world.http.get("/metrics").text):
        assert time.monotonic() < deadline, metrics
        time.sleep(0.05)
    assert 'captured_total{outcome="skipped"} 14.0' in metrics


def test_only_tenants_that_have_opted_in_are_captured(make_world):
    world = make_world(auth="keys")
    with world.sessions.begin() as session:
        admin = keys.create_key(session, "admin", ["admin"], "ops", "test")
        silent = keys.create_key(session, "silent", ["judge"], "silent", "test")
        agreed = keys.create_key(session, "agreed", ["judge"], "agreed", "test")
    admin_header = {"authorization": f"Bearer {admin}"}
    world.http.put("/admin/tenants/agreed", json={"capture": True}, headers=admin_header)

    ask(world, "What did the silent ones say?", silent)
    ask(world, "What did they agree upon?", agreed)

    with queue.connect(world.settings.redis_url) as redis:
        deadline = time.monotonic() + 10
        while not redis.xlen(instructions.STREAM) and time.monotonic() < deadline:
            time.sleep(0.05)
        intake.gather(world.sessions, redis, Rules(), consumer="test")
    with world.sessions() as session:
        rows = session.scalars(select(InstructionRow)).all()
    assert [(row.tenant, row.messages[-1]["content"]) for row in rows] == [
        ("agreed", "What did they agree upon?")
    ]
    assert world.http.get("/admin/tenants", headers=admin_header).json()["tenants"][0]["capture"] is True


def test_personal_data_is_in_no_table_no_stream_no_log_and_no_answer(world, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("database_url", "redis_url", "home"):
        monkeypatch.setenv(f"JUDGESMITH_{name.upper()}", str(getattr(world.settings, name)))
    ask(world, PERSONAL)
    assert "<EMAIL>" in captured(world)[0]
    world.http.post("/instructions", json={"instructions": [{"instruction": f"Once more. {PERSONAL}"}]})
    trace = {"request": {"messages": [{"role": "user", "content": f"From a trace. {PERSONAL}"}]}}
    assert world.http.post("/instructions/traces", json=trace).json()["accepted"] == 1
    world.http.post("/instructions/traces", content=f'{{"model": "{PERSONAL}", "messages": 5}}')
    with queue.connect(world.settings.redis_url) as redis:
        stream = str(redis.xrange(instructions.STREAM))
    run_gather()

    with world.sessions() as session:
        tables = "\n".join(
            row
            for table in Base.metadata.sorted_tables
            for row in session.scalars(text(f"SELECT t::text FROM {table.name} AS t"))
        )
    export = world.http.get("/instructions").text
    kept = "\n".join([tables, stream, caplog.text, export])

    assert "Draft a letter" in export
    assert export.count("<SECRET>") >= 2
    assert [seed for seed in SEEDED if seed in kept] == []


def test_forgetting_by_the_words_finds_what_was_redacted(world):
    world.http.post("/instructions", json={"instructions": [{"instruction": PERSONAL}]})

    first = world.http.post("/instructions/forget", json={"text": PERSONAL})
    again = world.http.post("/instructions/forget", json={"text": PERSONAL})

    assert (first.status_code, first.json()["instructions"]) == (200, 1)
    assert (again.status_code, again.json()["instructions"]) == (200, 0)


def test_an_instruction_is_deleted_by_its_tenant_only(make_world):
    world = make_world(auth="keys")
    with world.sessions.begin() as session:
        mine = keys.create_key(session, "mine", ["ingest"], "mine", "test")
        theirs = keys.create_key(session, "theirs", ["ingest"], "theirs", "test")
    me, them = ({"authorization": f"Bearer {key}"} for key in (mine, theirs))
    world.http.post("/instructions", json={"instructions": [{"instruction": "Hi"}]}, headers=me)
    number = world.http.get("/instructions", headers=me).json()["instructions"][0]["id"]

    assert world.http.get("/instructions", headers=them).json() == {"instructions": []}
    assert world.http.delete(f"/instructions/{number}", headers=them).json()["instructions"] == 0
    assert world.http.post("/instructions/forget", json={"tenant": "mine"}, headers=them).status_code == 403
    assert world.http.delete(f"/instructions/{number}", headers=me).json()["instructions"] == 1
    assert world.http.delete(f"/instructions/{number}", headers=me).json()["instructions"] == 0


def test_the_quarantine_is_listed_released_and_emptied(world):
    question = "Which of the four moons that Galileo saw has the most volcanoes, and why is that so?"
    other = "Name the three largest lakes of Africa and the rivers that flow out of each of them."
    lines = "\n".join(f'{{"instruction": "{one}"}}' for one in (question, other))
    assert world.http.put("/admin/protected/bench", content=lines).json() == {"name": "bench", "items": 2}

    asked = [{"instruction": "Hi"}, {"instruction": question, "response": "Io has."}, {"instruction": other}]
    answer = world.http.post("/instructions", json={"instructions": asked}).json()
    listed = world.http.get("/admin/quarantine", params={"kind": "contaminated"}).json()
    first, second = (row["id"] for row in listed["quarantined"])

    assert [one["index"] for one in answer["quarantined"]] == [1, 2]
    assert listed["counts"] == {"contaminated": 2}
    assert "of bench" in listed["quarantined"][0]["reason"]
    assert [row["response"] for row in listed["quarantined"]] == ["Io has.", None]
    assert world.http.post("/admin/quarantine/release", json={"ids": [first]}).json() == {"count": 1}
    assert world.http.post("/admin/quarantine/delete", json={"ids": [second]}).json() == {"count": 1}
    assert world.http.post("/admin/quarantine/delete", json={}).status_code == 422
    assert world.http.get("/admin/quarantine").json() == {"counts": {}, "quarantined": []}
