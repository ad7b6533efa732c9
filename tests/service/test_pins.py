"""Pins: a run keeps its version through promotions, restarts and kills, or is told that it cannot."""

import threading
import time
from contextlib import ExitStack

import pytest
from sqlalchemy import select, update

from judge.store import keys
from judge.store.tables import AuditEntry, PinRow
from tests.scripted_vllm import Script, ScriptedVLLM
from tests.service.pinned_runs import LONG_AGO, RUN, ask, promote, until
from tests.service.test_pin_answers import recorded


@pytest.fixture
def engine(make_world, tmp_path):
    """A world with an engine for pinned versions."""
    with ExitStack() as stack:
        made = []

        def make():
            script = Script(None, tmp_path)
            made.append(stack.enter_context(ScriptedVLLM(script).serve()))
            world = make_world(pinned_urls=[made[0].url])
            script.tokenizer, script.weights = world.script.tokenizer, world.script.weights
            script.label = "default"
            return world, script

        yield make


def test_a_pin_holds_the_champion_and_its_name_is_enough_to_find_it_again(world):
    first = world.http.post("/reward/pins", json={"name": "run-7"})
    again = world.http.post("/reward/pins", json={"name": "run-7"})
    other = world.http.post("/reward/pins", json={"name": "run-7", "version": world.versions[1]})
    absent = world.http.post("/reward/pins", json={"name": "run-8", "version": world.versions[1]})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["version"] == again.json()["version"] == world.versions[0]
    assert first.json()["served"] is True
    assert (other.status_code, absent.status_code) == (409, 409)
    assert world.versions[0] in absent.json()["detail"]
    assert ask(world).json()["model_version"] == world.versions[0]
    assert ask(world, headers={"Judgesmith-Pin": "unknown"}).status_code == 404


def test_without_an_engine_of_its_own_a_pin_holds_swaps_off_until_it_is_released(world):
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7"})

    held = promote(world, second)
    reward = ask(world).json()
    listed = world.http.get("/admin/pins").json()
    world.http.delete("/reward/pins/run-7").raise_for_status()
    free = promote(world, second)

    assert (held.status_code, held.json()["type"]) == (409, "urn:judgesmith:problem:version-pinned")
    assert "'run-7'" in held.json()["detail"]
    assert world.script.reloads == [second]
    assert reward["model_version"] == first
    assert [(pin["name"], pin["tenant"]) for pin in listed["pins"]] == [("run-7", "local")]
    assert free.json()["champion"] == second
    with world.sessions() as session:
        acts = list(session.scalars(select(AuditEntry.act)))
    assert acts[-3:] == ["pin", "release pin", "promote"]


def test_an_admin_may_insist_and_the_run_is_told_which_version_serves(world):
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7"})

    forced = promote(world, second, params={"force": True})
    refused = ask(world)
    unpinned = ask(world, headers={})
    back = world.http.post("/admin/models/rollback")

    assert forced.json()["champion"] == second
    assert (refused.status_code, refused.json()["type"]) == (
        409,
        "urn:judgesmith:problem:version-not-served",
    )
    assert f"{first} is not in service; {second} is" in refused.json()["detail"]
    assert unpinned.json()["model_version"] == second
    assert back.json()["champion"] == first
    assert ask(world).json()["model_version"] == first


def test_a_pin_that_ran_out_holds_nothing_and_goes_on_only_with_the_same_version(world):
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7", "ttl_s": 10})
    world.http.post("/reward/pins", json={"name": "run-8", "ttl_s": 10})
    lapse(world)

    revived = ask(world)
    lapse(world)
    moved = promote(world, second)
    gone = ask(world, headers={"Judgesmith-Pin": "run-8"})

    assert revived.json()["model_version"] == first
    assert moved.status_code == 200
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:judgesmith:problem:pin-lapsed")
    assert second in gone.json()["detail"]


def lapse(world):
    with world.sessions.begin() as session:
        session.execute(update(PinRow).values(expires_at=LONG_AGO))


def test_use_renews_a_pin(world):
    made = world.http.post("/reward/pins", json={"name": "run-7", "ttl_s": 10}).json()

    time.sleep(0.05)
    ask(world)

    assert world.http.get("/reward/pins/run-7").json()["expires_at"] > made["expires_at"]


def test_pins_are_the_tenants_own(make_world):
    world = make_world(auth="keys")
    with world.sessions.begin() as session:
        one, two = (
            {"authorization": f"Bearer {keys.create_key(session, name, ['reward'], name, 'test')}"}
            for name in ("one", "two")
        )
    world.http.post("/reward/pins", json={"name": "run-7"}, headers=one).raise_for_status()

    assert world.http.get("/reward/pins/run-7", headers=two).status_code == 404
    assert ask(world, headers=RUN | two).status_code == 404
    assert world.http.delete("/reward/pins/run-7", headers=two).status_code == 404
    assert world.http.get("/admin/pins", headers=one).status_code == 403
    assert ask(world, headers=RUN | one).status_code == 200


def test_with_an_engine_of_its_own_a_pinned_version_outlives_promotions(engine):
    world, script = engine()
    first, second, third = world.versions
    expected = ask(world, headers={}).json()["rewards"]
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    until(lambda: script.label == first)

    promote(world, second).raise_for_status()
    after_one = ask(world).json()
    promote(world, third).raise_for_status()
    after_two = ask(world).json()
    free = ask(world, headers={}).json()

    assert [one["model_version"] for one in (after_one, after_two, free)] == [first, first, third]
    assert after_one["rewards"] == after_two["rewards"] == expected
    assert free["rewards"] != expected


def test_a_run_that_was_pinned_a_moment_before_a_swap_is_answered_by_the_engine(engine, monkeypatch):
    world, script = engine()
    first, second, _ = world.versions
    # The engine serves it already, so the swap may go on before the gateway has looked.
    script.label, script.weights = first, world.store.path(first)
    monkeypatch.setattr("service.serving.pinned._POLL_S", 3600)
    time.sleep(1.5)
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    promote(world, second).raise_for_status()

    answer = ask(world)

    assert (answer.status_code, answer.json().get("model_version")) == (200, first)


def test_a_pinned_engine_that_came_back_empty_is_loaded_again_before_it_answers(engine):
    world, script = engine()
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    until(lambda: script.label == first)
    promote(world, second).raise_for_status()

    script.label, script.weights = "default", world.store.path(world.versions[2])
    answer = ask(world)

    assert answer.json()["model_version"] == first
    assert script.weights.name == first


def test_a_run_through_promotions_gets_every_reward_once_and_from_one_version(engine):
    """A trainer asks step after step while the service is swapped under it."""
    world, script = engine()
    world.script.delay_s = script.delay_s = 0.005
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    until(lambda: script.label == world.versions[0])
    found, over = {}, threading.Event()

    def train():
        number = 0
        while not over.is_set():
            found[number] = ask(world, number, headers=RUN | {"Idempotency-Key": f"step-{number}"})
            number += 1

    trainer = threading.Thread(target=train)
    trainer.start()
    for version in (world.versions[1], world.versions[2], world.versions[1]):
        time.sleep(0.3)
        promote(world, version).raise_for_status()
    time.sleep(0.3)
    over.set()
    trainer.join()

    assert len(found) > 10
    assert {answer.status_code for answer in found.values()} == {200}
    assert {answer.json()["model_version"] for answer in found.values()} == {world.versions[0]}
    assert len(recorded(world)) == len(found)


def test_judgments_and_texts_come_under_a_pin_too(engine):
    world, script = engine()
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    until(lambda: script.label == first)
    promote(world, second).raise_for_status()
    pair = {"instruction": "Say 1.", "response_a": "It is 1.", "response_b": "It is 2."}
    ranked = {"instruction": "Say 1.", "responses": ["It is 1.", "It is 2."]}
    single = {"instruction": "Say 1.", "response": "It is 1."}
    chat = {"messages": [{"role": "user", "content": "Say 1."}]}

    for path, body in (("pairwise", pair), ("rank", ranked), ("single", single)):
        pinned = world.http.post(f"/judge/{path}", json=body | {"pin": "run-7"})
        free = world.http.post(f"/judge/{path}", json=body)

        assert [one.json()["model_version"] for one in (pinned, free)] == [first, second], path
    for options in ({"params": {"pin": "run-7"}}, {"headers": RUN}):
        assert world.http.post("/v1/chat/completions", json=chat, **options).json()["model"] == first
    assert world.http.post("/v1/chat/completions", json=chat).json()["model"] == second
    unknown = world.http.post("/v1/chat/completions", json=chat, params={"pin": "nobody"})
    assert (unknown.status_code, "'nobody' does not exist" in unknown.json()["detail"]) == (404, True)
    named = world.http.post("/v1/chat/completions", json=chat | {"model": second}, headers=RUN)
    assert named.status_code == 409
