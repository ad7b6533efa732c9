"""`/admin/iterations`: started once, watched, cancelled; and never lost with the queue."""

import json
import os
import struct
import time

import pytest
from rq import Queue

from judge.store import queue
from judge.store.tables import DropRow, InstructionRow
from judge.teaching import iterations


def test_an_iteration_is_committed_and_queued(world):
    answer = world.http.post("/admin/iterations", json={"profile": "smoke", "settings": {"seed": 5}})

    assert answer.status_code == 202
    body = answer.json()
    assert (body["id"], body["status"], body["stage"]) == (1, "queued", "select")
    assert (body["judged_by"], body["seed_version"]) == (world.versions[0], world.versions[0])
    with queue.connect(world.settings.redis_url) as redis:
        (job,) = Queue(queue.STAGES, connection=redis, serializer="json").jobs
        assert (job.func_name, job.args) == (queue.RUN_STAGE, [1, "select"])
    with world.sessions() as session:
        assert iterations.get(session, 1).settings["seed"] == 5


def test_one_at_a_time(world):
    world.http.post("/admin/iterations", json={"profile": "smoke"})

    answer = world.http.post("/admin/iterations", json={"profile": "smoke"})

    assert answer.status_code == 409
    assert "already running" in answer.json()["detail"]


def test_without_the_queue_it_still_begins(make_world):
    world = make_world(redis_url="redis://127.0.0.1:1/0")

    answer = world.http.post("/admin/iterations", json={"profile": "smoke"})

    assert answer.status_code == 202
    with world.sessions.begin() as session:
        assert iterations.claim_due(session) == [(1, "select")]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"samples": 0}, "settings.samples"),
        ({"sampels": 3}, "settings.sampels"),
        ({"mix": {"neighbor": -1}}, "settings.mix.neighbor"),
        ({"promote": "always"}, "settings.promote"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_begins(world, settings, field):
    answer = world.http.post("/admin/iterations", json={"profile": "smoke", "settings": settings})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert world.http.get("/admin/iterations").json() == {"iterations": []}


def test_it_can_be_watched_and_cancelled(world):
    world.http.post("/admin/iterations", json={"profile": "smoke"})

    cancelled = world.http.post("/admin/iterations/1/cancel")

    assert cancelled.json()["status"] == "cancelling"
    shown = world.http.get("/admin/iterations/1").json()
    assert [stage["name"] for stage in shown["stages"]] == ["select"]
    assert world.http.get("/admin/iterations", params={"limit": 1}).json()["iterations"][0]["id"] == 1


def test_what_does_not_exist_is_not_found(world):
    assert world.http.get("/admin/iterations/7").status_code == 404
    assert world.http.post("/admin/iterations/7/cancel").status_code == 404
    assert world.http.get("/admin/iterations/seven").status_code == 422


def test_judging_goes_on_without_the_queue(make_world):
    world = make_world(redis_url="redis://127.0.0.1:1/0")
    pair = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}

    assert world.http.post("/judge/pairwise", json=pair).status_code == 200
    # What is captured is written after the answer.
    deadline = time.monotonic() + 20
    while 'captured_total{outcome="lost"} 1.0' not in world.http.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert world.http.post(f"/admin/models/{world.versions[1]}/promote").status_code == 200


def test_several_in_a_row_are_a_campaign_that_is_cancelled_as_one(world):
    begun = world.http.post("/admin/iterations", json={"profile": "smoke", "times": 3}).json()

    assert begun["campaign"] == {"id": 1, "status": "running", "times": 3, "ordinal": 1, "reason": None}
    assert world.http.post("/admin/iterations", json={"profile": "smoke", "times": 2}).status_code == 409
    cancelled = world.http.post("/admin/iterations/1/cancel").json()
    assert (cancelled["status"], cancelled["campaign"]["status"]) == ("cancelling", "cancelled")
    assert world.http.post("/admin/iterations", json={"times": 0}).status_code == 422


def test_the_funnel_says_how_many_were_dropped_and_the_list_which(world):
    world.http.post("/admin/iterations", json={"profile": "smoke"})
    steps = [
        {"step": "instructions", "came_in": 9, "dropped": {"too_long": 3}, "kept": 6},
        {"step": "responses", "came_in": 6, "dropped": {"refusal": 1}, "kept": 5},
    ]
    with world.sessions.begin() as session:
        session.add_all(
            InstructionRow(id=number, digest=str(number), messages=[], source="test", tenant="local")
            for number in range(1, 5)
        )
        session.flush()
        iterations.get(session, 1).counts = {
            "pair": {"responses": 5, "funnel": steps[1:]},
            "select": {"known": 9, "funnel": steps[:1]},
        }
        session.add_all(
            DropRow(iteration_id=1, step=step, instruction_id=number, reason=reason)
            for number, step, reason in [
                (1, "instructions", "too_long"),
                (2, "instructions", "too_long"),
                (3, "instructions", "too_long"),
                (4, "responses", "refusal"),
            ]
        )

    shown = world.http.get("/admin/iterations/1").json()
    first = world.http.get("/admin/iterations/1/drops", params={"limit": 2}).json()
    rest = world.http.get("/admin/iterations/1/drops", params={"after": first["next"]}).json()
    refused = world.http.get("/admin/iterations/1/drops", params={"reason": "refusal"}).json()

    assert shown["funnel"] == [{"stage": "select", **steps[0]}, {"stage": "pair", **steps[1]}]
    assert [drop["instruction_id"] for drop in first["drops"] + rest["drops"]] == [1, 2, 3, 4]
    assert rest["next"] is None
    assert refused["drops"] == [{"instruction_id": 4, "step": "responses", "reason": "refusal"}]
    assert world.http.get("/admin/iterations/9/drops").status_code == 404


def test_settings_that_do_not_fit_the_context_are_refused_with_what_to_change(world):
    answer = world.http.post(
        "/admin/iterations", json={"profile": "paper", "settings": {"reasoning_tokens": 4096}}
    )
    scheduled = world.http.put(
        "/admin/schedule", json={"every": 5, "profile": "paper", "settings": {"reasoning_tokens": 4096}}
    )

    for refused in (answer, scheduled):
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["field"] == "settings.reasoning_tokens"
        assert "JUDGESMITH_MAX_MODEL_LEN" in error["reason"]
    assert world.http.post("/admin/iterations", json={"profile": "paper"}).status_code == 202


def grow(folder, parameters):
    """Make a version's weights say that they are so many: a header, and a file of holes."""
    path = folder / "model.safetensors"
    path.chmod(0o644)
    tensor = {"dtype": "BF16", "shape": [parameters // 1000, 1000], "data_offsets": [0, 2 * parameters]}
    header = json.dumps({"model.weight": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + 2 * parameters)


@pytest.mark.parametrize(("parameters", "profile"), [(7_241_000_000, "paper"), (3_000_000_000, "full")])
def test_the_profile_is_chosen_by_the_size_of_the_seed_model_unless_it_is_named(world, parameters, profile):
    grow(world.store.path(world.versions[0]), parameters)

    scheduled = world.http.put("/admin/schedule", json={"every": 5}).json()
    named = world.http.put("/admin/schedule", json={"every": 5, "profile": "small"}).json()
    begun = world.http.post("/admin/iterations", json={}).json()

    assert (scheduled["profile"], named["profile"], begun["profile"]) == (profile, "small", profile)
