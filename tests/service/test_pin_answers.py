"""What a pinned run has asked for is answered once, and found again."""

import asyncio

import httpx
import pytest
from sqlalchemy import select, update

from judge.store.tables import DecisionRow, RewardAnswerRow
from service.main import create_app
from tests.service.conftest import wait_until_ready
from tests.service.pinned_runs import LONG_AGO, RUN, ask, item, promote, until
from tests.serving import serve


def recorded(world):
    with world.sessions() as session:
        return list(session.scalars(select(DecisionRow).where(DecisionRow.kind == "reward")))


def test_an_idempotency_key_is_answered_once_however_often_it_is_sent(world):
    headers = RUN | {"Idempotency-Key": "step-1"}
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    world.script.delay_s = 0.5
    asked = world.script.requests

    async def burst():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            body = {"items": [item(1)]}
            return await asyncio.gather(
                *(client.post("/reward", json=body, headers=headers) for _ in range(30))
            )

    answers = asyncio.run(burst())
    later = ask(world, 1, headers=headers)
    changed = ask(world, 2, headers=headers)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in [*answers, later]}) == 1
    assert world.script.requests == asked + 1
    assert later.headers["idempotency-replayed"] == "true"
    assert (changed.status_code, changed.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert len(recorded(world)) == 1


def test_a_name_that_is_pinned_again_is_never_given_the_former_versions_rewards(world):
    """The run is over, the service is taught, the next run has the same name and asks the same."""
    headers = RUN | {"Idempotency-Key": "step-1"}
    first, second, _ = world.versions
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    before = ask(world, 1, headers=headers)
    world.http.delete("/reward/pins/run-7").raise_for_status()
    promote(world, second).raise_for_status()
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()

    after = ask(world, 1, headers=headers)
    again = ask(world, 1, headers=headers)
    by_name = ask(world, 1, headers={"Idempotency-Key": "step-1", "Judgesmith-Version": second})

    assert [one.json()["model_version"] for one in (before, after)] == [first, second]
    assert after.json()["rewards"] == ask(world, 1, headers={}).json()["rewards"] != before.json()["rewards"]
    assert "idempotency-replayed" not in after.headers
    assert again.text == by_name.text == after.text


def test_a_killed_trainer_finds_what_it_had_asked_for(world):
    """It was killed while the service worked; restarted, it says the same key."""
    world.script.delay_s = 0.5
    headers = {"Idempotency-Key": "step-3"}
    with pytest.raises(httpx.ReadTimeout):
        ask(world, 3, headers=headers, timeout=0.2)
    until(lambda: recorded(world))
    world.script.delay_s = 0.0
    asked = world.script.requests

    again = ask(world, 3, headers=headers)

    assert again.headers["idempotency-replayed"] == "true"
    assert world.script.requests == asked
    assert len(recorded(world)) == 1


def test_a_gateway_that_is_started_again_knows_the_pins_and_the_answers(world):
    world.http.post("/reward/pins", json={"name": "run-7"}).raise_for_status()
    headers = RUN | {"Idempotency-Key": "step-4"}
    before = ask(world, 4, headers=headers)

    with serve(create_app(world.settings)) as url:
        http = httpx.Client(base_url=url, timeout=60)
        wait_until_ready(http)
        replayed = http.post("/reward", json={"items": [item(4)]}, headers=headers)
        fresh = http.post("/reward", json={"items": [item(4)]}, headers=RUN)

    assert replayed.text == before.text
    assert fresh.json()["rewards"] == before.json()["rewards"]
    assert fresh.json()["model_version"] == world.versions[0]


def test_old_answers_are_deleted(world):
    from judge.batches import replays

    for number in (5, 6):
        ask(world, number, headers={"Idempotency-Key": f"step-{number}"})
    with world.sessions.begin() as session:
        session.execute(
            update(RewardAnswerRow).where(RewardAnswerRow.key == "step-5").values(created_at=LONG_AGO)
        )

    with world.sessions.begin() as session:
        gone = replays.purge(session)

    assert gone == 1
    with world.sessions() as session:
        assert list(session.scalars(select(RewardAnswerRow.key))) == ["step-6"]
