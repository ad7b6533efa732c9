"""Promotion and rollback: nothing is dropped, nothing is mixed, nothing bad serves."""

import asyncio
import os
import shutil

import httpx
import pytest
from sqlalchemy import select

from judge.store.tables import Alias, AuditEntry, DecisionRow
from judge.versions.pointer import read_pointer
from tests.service.conftest import wait_until_ready

# Not from the cache: what is asked here is who answers.
PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "cache": False}


def champion(world):
    with world.sessions() as session:
        return read_pointer(session).champion


def test_promote_and_roll_back(world):
    first, second, _ = world.versions

    promoted = world.http.post(f"/admin/models/{second}/promote")
    served = world.http.post("/judge/pairwise", json=PAIR).json()["model_version"]
    back = world.http.post("/admin/models/rollback")

    assert promoted.json() == {"champion": second, "previous": first}
    assert served == second
    assert back.json() == {"champion": first, "previous": second}
    assert world.http.post("/judge/pairwise", json=PAIR).json()["model_version"] == first


def test_every_version_has_a_card(world):
    shown = world.http.get(f"/admin/models/{world.versions[1]}/card")

    assert shown.headers["content-type"].startswith("text/markdown")
    assert shown.text.startswith(f"# Judge {world.versions[1]}\n")
    assert "Origin: test 1." in shown.text
    assert world.http.get("/admin/models/0000000000000000/card").status_code == 404


def test_every_change_of_the_champion_is_in_the_audit(world):
    world.http.post(f"/admin/models/{world.versions[1]}/promote")

    with world.sessions() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        fence = session.get(Alias, "champion").fence

    assert (entry.act, entry.actor) == ("promote", "local")
    assert entry.details == {"from": world.versions[0], "to": world.versions[1], "fence": fence}


def test_64_at_once_during_promotions_none_fails_and_none_is_mixed(world):
    """Every decision comes from one version: its probability is that version's own, in both orders."""
    world.script.delay_s = 0.005
    world.script.reload_s = 0.1
    expected = {}
    for version in world.versions[:2]:
        if champion(world) != version:
            world.http.post(f"/admin/models/{version}/promote").raise_for_status()
        expected[version] = world.http.post("/judge/pairwise", json=PAIR).json()["probability_a"]
    assert len(set(expected.values())) == 2
    target = 1 - world.versions.index(champion(world))

    async def load():
        over = asyncio.Event()
        answers = []

        async def caller():
            # A client each, as 64 users have: httpx's pool may close a connection it has just given away.
            async with httpx.AsyncClient(base_url=world.url, timeout=60, verify=False) as client:
                while not over.is_set():
                    answers.append(await client.post("/judge/pairwise", json=PAIR))

        callers = [asyncio.create_task(caller()) for _ in range(64)]
        await asyncio.sleep(0.3)
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            for step in range(4):
                version = world.versions[(target + step) % 2]
                (await client.post(f"/admin/models/{version}/promote")).raise_for_status()
                await asyncio.sleep(0.2)
        over.set()
        await asyncio.gather(*callers)
        return answers

    answers = asyncio.run(load())

    assert {answer.status_code for answer in answers} == {200}
    assert len(answers) > 200
    seen = {}
    for answer in (answer.json() for answer in answers):
        seen.setdefault(answer["model_version"], set()).add(answer["probability_a"])
    assert seen == {version: {value} for version, value in expected.items()}


def test_a_failed_load_changes_nothing(world):
    first, second, _ = world.versions
    world.script.broken_folders.add(second)

    answer = world.http.post(f"/admin/models/{second}/promote")

    assert answer.status_code == 502
    assert answer.json()["type"].endswith("swap-failed")
    assert champion(world) == first
    assert world.http.post("/judge/pairwise", json=PAIR).json()["model_version"] == first
    assert world.script.reloads[-2:] == [second, first]


def test_weights_that_fail_the_probe_never_answer(world):
    first, second, third = world.versions
    honest = world.script.margin
    world.script.margin = lambda prompt, weights: 99.0 if weights.name == second else honest(prompt, weights)

    answer = world.http.post(f"/admin/models/{second}/promote")

    assert answer.status_code == 502
    assert "these are not its weights" in answer.json()["detail"]
    assert world.http.post("/judge/pairwise", json=PAIR).json()["model_version"] == first
    assert world.http.post(f"/admin/models/{third}/promote").status_code == 200


@pytest.mark.parametrize("damage", ["truncate", "remove", "extra"])
def test_a_damaged_version_is_refused_before_the_backend_hears_of_it(world, damage):
    folder = world.store.path(world.versions[1])
    weights = folder / "model.safetensors"
    if damage == "truncate":
        weights.chmod(0o644)
        os.truncate(weights, 1000)
    elif damage == "remove":
        weights.unlink()
    else:
        shutil.copy(folder / "config.json", folder / "more.json")

    answer = world.http.post(f"/admin/models/{world.versions[1]}/promote")

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("bad-model")
    assert world.script.reloads == []
    assert champion(world) == world.versions[0]


def test_promoting_what_serves_or_does_not_exist_says_so(world):
    assert world.http.post(f"/admin/models/{world.versions[0]}/promote").status_code == 409
    assert world.http.post("/admin/models/0123456789abcdef/promote").status_code == 404
    assert world.http.post("/admin/models/..%2f..%2fetc/promote").status_code == 404
    assert world.http.post("/admin/models/rollback").status_code == 409


def test_two_promotions_at_once_do_not_cross(world):
    world.script.reload_s = 0.2

    async def both():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            jobs = [client.post(f"/admin/models/{version}/promote") for version in world.versions[1:]]
            return await asyncio.gather(*jobs)

    codes = sorted(answer.status_code for answer in asyncio.run(both()))

    assert codes == [200, 409]
    assert world.script.label == champion(world)


def test_a_backend_that_came_back_with_other_weights_is_put_right(world):
    world.script.label = "default"
    world.script.weights = world.store.path(world.versions[2])

    answer = world.http.post("/judge/pairwise", json=PAIR)

    assert answer.status_code == 200
    assert answer.json()["model_version"] == world.versions[0]
    assert world.script.weights.name == world.versions[0]


def test_a_second_gateway_follows_the_first(world, make_world_again):
    other = make_world_again(world)
    world.http.post(f"/admin/models/{world.versions[1]}/promote").raise_for_status()

    answer = other.post("/judge/pairwise", json=PAIR).json()

    assert answer["model_version"] == world.versions[1]


@pytest.fixture
def make_world_again():
    """A function that starts another gateway of the same world."""
    from service.main import create_app
    from tests.serving import serve

    blocks = []

    def make(world):
        block = serve(create_app(world.settings))
        blocks.append(block)
        http = httpx.Client(base_url=block.__enter__(), timeout=60)
        wait_until_ready(http)
        return http

    yield make
    for block in blocks:
        block.__exit__(None, None, None)


def test_recorded_versions_are_the_answered_ones(world):
    answers = [world.http.post("/judge/pairwise", json=PAIR).json()]
    world.http.post(f"/admin/models/{world.versions[1]}/promote")
    answers.append(world.http.post("/judge/pairwise", json=PAIR).json())

    with world.sessions() as session:
        rows = {row.id: row.model_version for row in session.scalars(select(DecisionRow))}

    assert rows == {answer["id"]: answer["model_version"] for answer in answers}
