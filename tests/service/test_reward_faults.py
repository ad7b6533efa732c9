"""What of a call for rewards cannot be judged, is refused, or is counted."""

import asyncio
import math

import httpx
import pytest

from tests.scripted_vllm import prefers
from tests.service.reward_calls import BAD, GOOD, ask, numbers, rows


def test_an_item_that_cannot_be_judged_leaves_the_others_alone(world):
    world.script.refused = "Seven."
    long = {"instruction": "Go on.", "response": "long " * 9000}

    answer = ask(world, GOOD, BAD, long, GOOD, long_texts="refuse")

    assert [one["outcome"] for one in answer["rewards"]] == ["rewarded", "invalid", "invalid", "rewarded"]
    assert numbers(answer)[1:3] == [None, None]
    assert "not like this" in answer["rewards"][1]["reason"]
    assert "shorten this text" in answer["rewards"][2]["reason"]


def test_values_that_are_not_finite_are_never_a_number(world):
    world.script.margin = lambda prompt, _: math.nan if "Seven" in prompt else 1.0

    answer = world.http.post("/reward", json={"items": [GOOD, BAD]})

    assert numbers(answer.json()) == [1.0, None]
    assert "not finite" in answer.json()["rewards"][1]["reason"]
    assert "NaN" not in answer.text
    assert "Infinity" not in answer.text


def test_a_backend_that_is_away_is_503_and_not_a_reward(world):
    world.script.dead = True

    answer = world.http.post("/reward", json={"items": [GOOD]})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert rows(world) == []


REFUSED = [
    ({"items": []}, "items"),
    ({"items": [{"instruction": "x"}]}, "items.0.response"),
    ({"items": [{"response": "x"}]}, "items.0"),
    ({"items": [GOOD], "form": "grade"}, "form"),
    ({"items": [GOOD], "form": "rating", "against": "group"}, "body"),
    ({"items": [GOOD], "against": "reference"}, "body"),
    ({"items": [GOOD | {"rival": "Red."}]}, "body"),
    ({"items": [GOOD, GOOD | {"reference": "Red."}]}, "body"),
    ({"items": [GOOD], "per_criterion": True}, "body"),
    ({"items": [GOOD], "pin": "../x"}, "pin"),
]


def test_a_malformed_request_is_answered_with_the_field(world):
    for body, field in REFUSED:
        answer = world.http.post("/reward", json=body)

        assert answer.status_code == 422, body
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == field
    assert rows(world) == []


def test_a_call_is_recorded_once_with_the_sums_of_its_rewards(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD, BAD, {"instruction": "x", "response": ""})

    (row,) = rows(world)
    assert (row.id, row.kind, row.strategy, row.verdict) == (answer["id"], "reward", "log_odds", "rewarded")
    assert (row.votes["n"], row.votes["empty"]) == (2, 1)


def test_a_version_can_be_insisted_on_in_the_body_or_a_header(world):
    served, other = world.versions[:2]

    assert ask(world, GOOD, version=served)["model_version"] == served
    for refused in (
        world.http.post("/reward", json={"items": [GOOD], "version": other}),
        world.http.post("/reward", json={"items": [GOOD]}, headers={"Judgesmith-Version": other}),
    ):
        assert refused.status_code == 409
        assert f"{served} is" in refused.json()["detail"]


def test_thousands_in_one_call_are_all_rewarded(world):
    items = [{"instruction": f"Say {n}.", "response": f"It is {n}."} for n in range(1500)]

    answer = ask(world, *items)

    assert len({round(reward, 6) for reward in numbers(answer)}) > 100
    assert answer["usage"]["completion_tokens"] == 1500


def test_one_by_one_and_together_give_the_same_rewards(world):
    items = [{"instruction": f"Say {n}.", "response": f"It is {n}."} for n in range(64)]

    async def apart():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            answers = await asyncio.gather(*(client.post("/reward", json={"items": [one]}) for one in items))
        return [answer.json()["rewards"][0]["reward"] for answer in answers]

    assert asyncio.run(apart()) == numbers(ask(world, *items))


def test_a_caller_that_hangs_up_is_worked_for_no_longer(world):
    world.script.delay_s = 0.05
    items = [{"instruction": f"Say {n}.", "response": f"It is {n}."} for n in range(2000)]

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{world.url}/reward", json={"items": items}, timeout=0.7)
    asyncio.run(asyncio.sleep(0.5))
    begun = world.script.requests
    asyncio.run(asyncio.sleep(0.5))

    assert world.script.requests == begun < 2000


def test_too_much_of_one_tenant_is_429_and_others_are_still_served(make_world):
    from tests.service.door.test_auth import make_key

    world = make_world(auth="keys", reward_queue=100, reward_concurrency=4)
    world.script.delay_s = 0.1
    key = make_key(world, "reward")
    with world.sessions.begin() as session:
        from judge.store import keys

        other = keys.create_key(session, "other", ["reward"], "tenant-2", "test")
    many = {"items": [GOOD | {"response": f"Blue {n}."} for n in range(45)]}

    async def both():
        async with httpx.AsyncClient(base_url=world.url, timeout=60) as client:
            headers = {"authorization": f"Bearer {key}"}
            first = asyncio.create_task(client.post("/reward", json=many, headers=headers))
            await asyncio.sleep(0.3)
            second = await client.post("/reward", json=many, headers=headers)
            third = await client.post(
                "/reward", json={"items": [GOOD]}, headers={"authorization": f"Bearer {other}"}
            )
            done = first.done()
            return (await first).status_code, second, third.status_code, done

    first, second, third, first_was_done = asyncio.run(both())

    assert (first, second.status_code, third) == (200, 429, 200)
    assert int(second.headers["retry-after"]) >= 1
    assert not first_was_done
    assert second.json()["type"].endswith("over-share")


def test_metrics_count_rewards_by_version(world):
    world.script.margin = prefers("Blue")

    ask(world, GOOD, BAD, {"instruction": "x", "response": ""})

    text = world.http.get("/metrics").text
    version = world.versions[0]
    assert f'judgesmith_rewards_total{{outcome="rewarded",version="{version}"}} 2.0' in text
    assert f'judgesmith_rewards_total{{outcome="empty",version="{version}"}} 1.0' in text
    assert f'judgesmith_reward_share_count{{version="{version}"}} 2.0' in text


def test_health_tells_what_the_rewards_go_with(world):
    world.script.margin = lambda prompt, _: 9.0 if len(prompt.split("[Response]")[1]) > 150 else -9.0
    long = [{"instruction": "x", "response": f"{n} " + "word " * 30} for n in range(60)]
    short = [{"instruction": "x", "response": f"{n} word"} for n in range(60)]
    ask(world, *long)
    ask(world, *short)

    (report,) = world.http.get("/admin/rewards/health").json()["versions"]

    assert (report["version"], report["form"], report["rewards"]) == (world.versions[0], "log_odds", 120)
    assert (report["saturated_low"], report["saturated_high"]) == (0.5, 0.5)
    assert report["length_correlation"][1] > 0.9
    assert sum(one["count"] for one in report["histogram"]) == 120
    assert any("longer responses" in warning for warning in report["warnings"])
    assert world.http.get("/admin/rewards/health", params={"version": "other"}).json()["versions"] == []
