"""`POST /reward`: what is answered, what each form means, what is refused, what is recorded."""

import asyncio
import json
import math

import httpx
import pytest
from sqlalchemy import select

from judge.store.tables import DecisionRow, ModelVersion
from tests.service.test_judging import prefers
from tests.tiny_model import make_tiny_model
from tests.versions import probe_of

GOOD = {"instruction": "Name a color.", "response": "Blue."}
BAD = {"instruction": "Name a color.", "response": "Seven."}


def ask(world, *items, **fields):
    answer = world.http.post("/reward", json={"items": list(items), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbers(answer):
    return [one["reward"] for one in answer["rewards"]]


def rows(world):
    with world.sessions() as session:
        return list(session.scalars(select(DecisionRow)))


def test_rewards_come_in_the_order_of_the_items_from_one_named_version(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD, BAD, GOOD)

    assert numbers(answer) == [2.0, -2.0, 2.0]
    assert {one["outcome"] for one in answer["rewards"]} == {"rewarded"}
    assert answer["model_version"] == world.versions[0]
    assert len(answer["prompt_hash"]) == 12
    assert answer["usage"]["completion_tokens"] == 3


def test_a_probability_is_that_of_yes(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD, BAD, form="probability")

    assert numbers(answer) == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    assert [one["share"] for one in answer["rewards"]] == numbers(answer)


def test_a_rating_is_the_mean_of_the_points_under_their_probabilities(world):
    world.script.scale = lambda prompt, points: [0.0 if point == 4 else -50.0 for point in points]

    answer = ask(world, GOOD, form="rating")
    wider = ask(world, GOOD, form="rating", scale={"low": 0, "high": 9})

    assert numbers(answer) == pytest.approx([4.0])
    assert answer["rewards"][0]["share"] == pytest.approx(0.75)
    assert numbers(wider) == pytest.approx([4.0])
    assert "from 1 (useless) to 5" in world.script.prompts[0]


def test_an_even_rating_is_the_middle_of_the_scale(world):
    world.script.scale = lambda prompt, points: [-1.0] * len(points)

    assert numbers(ask(world, GOOD, form="rating")) == pytest.approx([3.0])


def test_against_a_rival_it_is_how_much_better_the_response_is(world):
    world.script.margin = prefers("Blue")

    answer = ask(world, GOOD | {"rival": "Seven."}, BAD | {"rival": "Blue."}, against="reference")
    even = ask(world, GOOD | {"rival": "Also Blue."}, against="reference", form="probability")

    assert numbers(answer) == [3.0, -3.0]
    assert numbers(even) == [0.5]


def test_against_the_group_it_is_the_distance_to_the_others_mean(world):
    margins = {"one": 3.0, "two": 1.0, "three": -1.0}
    world.script.margin = lambda prompt, _: next(
        value for word, value in margins.items() if word in prompt.split("[Response]")[1]
    )
    items = [{"instruction": "Count.", "response": f"{word} it is"} for word in margins]

    answer = ask(world, *items, against="group")

    assert numbers(answer) == pytest.approx([3.0, -0.0, -3.0])


def test_groups_are_kept_apart_and_a_group_of_one_has_no_reward(world):
    world.script.margin = prefers("Blue")
    items = [GOOD | {"group": "g1"}, BAD | {"group": "g1"}, GOOD | {"group": "g2"}]

    answer = ask(world, *items, against="group")

    assert numbers(answer) == [4.0, -4.0, None]
    assert answer["rewards"][2]["outcome"] == "invalid"
    assert "no other response" in answer["rewards"][2]["reason"]


def test_by_criterion_the_reward_is_the_weighted_mean(world):
    world.script.margin = lambda prompt, _: 2.0 if "Rhyme" in prompt else -1.0
    rubric = [
        {"name": "Rhyme", "description": "Lines rhyme.", "weight": 2},
        {"name": "Length", "description": "Short."},
    ]

    answer = ask(world, GOOD, rubric=rubric, per_criterion=True)

    (one,) = answer["rewards"]
    assert one["reward"] == pytest.approx(1.0)
    assert [(part["name"], part["reward"]) for part in one["criteria"]] == [("Rhyme", 2.0), ("Length", -1.0)]
    assert answer["rubric"] == "custom"


def test_by_criterion_against_the_group_all_numbers_are_against_it(world):
    world.script.margin = lambda prompt, _: (2.0 if "Rhyme" in prompt else -1.0) + ("Blue" in prompt)
    rubric = [
        {"name": "Rhyme", "description": "Lines rhyme.", "weight": 2},
        {"name": "Length", "description": "…"},
    ]

    answer = ask(world, GOOD, BAD, rubric=rubric, per_criterion=True, against="group")

    assert [[part["reward"] for part in one["criteria"]] for one in answer["rewards"]] == [[1, 1], [-1, -1]]
    assert numbers(answer) == pytest.approx([1.0, -1.0])


def test_a_calibrated_reward_is_divided_by_the_versions_temperature(world, tmp_path):
    calibration = {"pointwise": {"temperature": 2.5, "tie_band": 0.0, "pairs": 60}}
    draft = make_tiny_model(tmp_path / "calibrated", 7)
    manifest = world.store.add(draft, origin="calibrated", probe=probe_of(draft), calibration=calibration)
    with world.sessions.begin() as session:
        session.add(ModelVersion(id=manifest.id, origin="calibrated", manifest=manifest.model_dump()))
    world.http.post(f"/admin/models/{manifest.id}/promote").raise_for_status()
    world.script.margin = prefers("Blue")

    odds = ask(world, GOOD, BAD, calibrated=True)
    shares = ask(world, GOOD, calibrated=True, form="probability")

    assert odds["model_version"] == manifest.id
    assert numbers(odds) == pytest.approx([2 / 2.5, -2 / 2.5])
    assert numbers(shares) == pytest.approx([1 / (1 + math.exp(-2 / 2.5))])
    assert numbers(ask(world, GOOD)) == [2.0]


def test_thousands_of_long_items_come_in_one_call(make_world):
    """More than any other route takes."""
    world = make_world(max_body_bytes=200_000, max_reward_bytes=4_000_000)
    world.script.margin = prefers("Blue")
    long = "Blue. " * 100
    chat = {"messages": [{"role": "user", "content": long * 500}]}

    answer = ask(world, *({"instruction": "Name a color.", "response": long} for _ in range(500)))
    scored = world.http.post("/score", json={"text_1": "Color?", "text_2": [long] * 500})
    too_much = world.http.post("/reward", json={"items": [GOOD | {"response": long * 8000}]})

    assert numbers(answer) == [2.0] * 500
    assert len(scored.json()["data"]) == 500
    assert too_much.status_code == 413
    assert world.http.post("/v1/chat/completions", json=chat).status_code == 413


def test_a_reference_is_shown_to_the_judge(world):
    ask(world, GOOD | {"reference": "Green is one."})

    assert "[Reference answer]\nGreen is one." in world.script.prompts[-1]


def test_calibrated_rewards_need_a_calibrated_version(world):
    answer = world.http.post("/reward", json={"items": [GOOD], "calibrated": True})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "calibrated"
    assert rows(world) == []


def test_a_response_that_holds_no_answer_is_worst_without_asking_the_judge(world):
    asked = world.script.requests
    items = [{"instruction": "Name a color.", "response": text} for text in ("", "  \n", "...", "Solution:")]

    forms = [ask(world, *items, form=form) for form in ("log_odds", "probability", "rating")]
    own = ask(world, *items, empty=-3.5)

    assert [numbers(answer) for answer in forms] == [[-10.0] * 4, [0.0] * 4, [1.0] * 4]
    assert {one["outcome"] for answer in forms for one in answer["rewards"]} == {"empty"}
    assert numbers(own) == [-3.5] * 4
    assert world.script.requests == asked


def test_what_a_policy_may_write_is_rewarded_nevertheless(world):
    body = json.dumps({"items": [{"instruction": "Say.", "response": "a\x00b \ud800 c"}]})

    answer = world.http.post("/reward", content=body, headers={"content-type": "application/json"})

    assert answer.json()["rewards"][0]["outcome"] == "rewarded"


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
    from tests.service.test_auth import make_key

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
