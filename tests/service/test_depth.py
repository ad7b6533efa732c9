"""Cascade, adaptive votes, guidance, cache, streams: what a request may ask for beside a verdict."""

import asyncio

import httpx
import pytest
from sqlalchemy import func, select

from judge.store.tables import DecisionRow
from tests.scripted_vllm import prefers
from tests.service.test_judging import PAIR

RHYME = {"name": "Rhyme", "description": "Lines rhyme.", "weight": 2}


def pairwise(world, **fields):
    answer = world.http.post("/judge/pairwise", json=PAIR | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_uncalibrated_version_decides_directly(world):
    world.script.margin = lambda prompt, weights: 0.1

    answer = pairwise(world)

    assert (answer["mode"], answer["path"]) == ("cascade", "direct")
    assert answer["usage"]["completion_tokens"] == 2


def test_the_cascade_reasons_only_where_it_is_not_sure(world):
    world.script.margin = prefers("Blue")
    world.script.text = lambda prompt: (
        "On topic.\n\nVerdict: [[A]]" if _first(prompt, "Blue") else "No. [[B]]"
    )

    sure = pairwise(world, threshold=0.7)
    unsure = pairwise(world, threshold=0.99)

    assert sure["path"] == "direct"
    assert (unsure["path"], unsure["verdict"]) == ("reasoning", "a")
    assert unsure["votes"] == {"a": 4, "b": 0, "tie": 0, "invalid": 0}  # unanimous: stops after two pairs
    assert unsure["direct_probability_a"] == pytest.approx(sure["probability_a"])
    assert unsure["usage"]["completion_tokens"] > sure["usage"]["completion_tokens"]


def test_votes_without_a_majority_leave_the_direct_verdict_and_are_told(world):
    world.script.margin = prefers("Blue")
    world.script.text = lambda prompt: "The first. [[A]]"

    answer = pairwise(world, threshold=0.99, votes=3)

    assert (answer["path"], answer["verdict"]) == ("reasoning", "a")
    assert answer["votes"]["a"] == answer["votes"]["b"] == 3
    assert answer["direct_probability_a"] == answer["probability_a"]
    assert "no majority of votes" in answer["reason"]
    assert answer["rationale"] == "The first. [[A]]"


def test_confident_votes_stop_early_and_fixed_ones_do_not(world):
    world.script.text = lambda prompt: "It is. [[A]]" if _first(prompt, "Blue") else "It is. [[B]]"

    fixed = pairwise(world, mode="reasoning", votes=8)
    confident = pairwise(world, mode="reasoning", votes=8, stopping="confident")

    assert fixed["votes"]["a"] == 16
    assert confident["votes"]["a"] == 4
    assert fixed["verdict"] == confident["verdict"] == "a"


def test_a_response_that_says_nothing_loses_without_a_judge(world):
    answer = pairwise(world, response_b="Thought process:")
    both = pairwise(world, response_a=":", response_b="...")

    assert (answer["verdict"], answer["path"]) == ("a", "check")
    assert "holds no answer" in answer["reason"]
    assert both["verdict"] == "tie"
    assert world.script.requests == 0


@pytest.mark.parametrize(
    ("fields", "words", "source"),
    [
        ({"rubric": "Only rhyme counts."}, ["Only rhyme counts.", "these criteria only"], "custom"),
        ({"rubric": [RHYME]}, ["- Rhyme: Lines rhyme."], "custom"),
        ({"preset": "code-review"}, ["these criteria only"], "preset:code-review"),
        ({"scenario": "writing_email"}, ["these criteria only"], "scenario:writing_email"),
        ({"reference": "Red."}, ["[Reference answer]\nRed."], None),
        ({"language": "ru"}, ["Какой из двух ответов полезнее"], None),
    ],
)  # fmt: skip
def test_guidance_reaches_the_prompt_and_is_named(world, fields, words, source):
    prompts = []
    world.script.margin = lambda prompt, weights: prompts.append(prompt) or 1.0

    answer = pairwise(world, **fields)
    plain = pairwise(world)

    assert all(word in prompts[0] for word in words)
    assert answer["rubric"] == source
    assert answer["prompt_hash"] != plain["prompt_hash"]


def test_language_and_scenario_are_detected_on_request(world):
    prompts = []
    world.script.margin = lambda prompt, weights: prompts.append(prompt) or 1.0
    fields = {
        "instruction": "Write a Python function that returns the prime numbers below n.",
        "response_a": "def primes(n): ...",
        "response_b": "No.",
    }

    answer = pairwise(world, **fields, language="auto", scenario="auto")

    chinese = pairwise(world, instruction="请说出一种颜色。", language="auto")

    assert (answer["language"], answer["rubric"]) == ("en", "scenario:code_generation")
    assert "these criteria only" in prompts[0]
    assert chinese["language"] == "zh"
    assert "两个回答中" in prompts[-1]


def test_a_text_that_does_not_fit_loses_its_middle_and_the_answer_says_so(world):
    assert pairwise(world, response_b="long " * 9000)["truncated"]
    assert not pairwise(world)["truncated"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scenario": "writing_emial"}, "scenario"),
        ({"preset": "code"}, "preset"),
        ({"scenario": "default", "preset": "code-review"}, "body"),
        ({"rubric": []}, "rubric"),
        ({"stream": True}, "body"),
        ({"votes": 33}, "votes"),
        ({"threshold": 0.4}, "threshold"),
        ({"language": "xx"}, "language"),
    ],
)
def test_guidance_that_makes_no_sense_is_refused_by_name(world, fields, field):
    answer = world.http.post("/judge/pairwise", json=PAIR | fields)

    assert answer.status_code == 422
    assert all(fault["field"].startswith(field) for fault in answer.json()["errors"])


def test_a_rating_by_criteria_is_their_weighted_mean(world):
    good = {"name": "Color", "description": "It names a color.", "weight": 3}
    bad = {"name": "Rhyme", "description": "It rhymes.", "weight": 1}
    world.script.margin = lambda prompt, weights: 9.0 if "It names a color." in prompt else -9.0
    body = {"instruction": "Name a color.", "response": "Blue.", "rubric": [good, bad], "per_criterion": True}

    answer = world.http.post("/judge/single", json=body | {"scale": {"low": 0, "high": 4}}).json()

    assert [item["name"] for item in answer["criteria"]] == ["Color", "Rhyme"]
    assert answer["criteria"][0]["rating"] == pytest.approx(4, abs=0.01)
    assert answer["rating"] == pytest.approx(3, abs=0.01)


def test_a_critique_is_rated_on_the_scale_that_was_asked_for(world):
    world.script.text = lambda prompt: "Rather good.\n\nRating: [[8]]"
    body = {"instruction": "Name a color.", "response": "Blue.", "mode": "reasoning"}

    fine = world.http.post("/judge/single", json=body).json()
    off = world.http.post("/judge/single", json=body | {"scale": {"low": 1, "high": 5}}).json()

    assert fine["rating"] == 8
    assert (off["rating"], off["outcome"]) == (None, "invalid")
    assert "outside 1 to 5" in off["reason"]
    assert (fine["path"], off["path"]) == ("reasoning", "reasoning")


def test_a_rating_can_be_expected_from_the_probabilities_of_the_scales_points(world):
    world.script.scale = lambda prompt, points: [-0.1 if point == 7 else -20.0 for point in points]
    body = {"instruction": "Name a color.", "response": "Blue."}

    yes = world.http.post("/judge/single", json=body).json()
    scale = world.http.post("/judge/single", json=body | {"rating_from": "scale"}).json()
    again = world.http.post("/judge/single", json=body | {"rating_from": "scale"}).json()

    assert scale["rating"] == pytest.approx(7, abs=0.01)
    assert (scale["mode"], scale["path"], scale["outcome"]) == ("direct", "direct", "rated")
    assert scale["prompt_hash"] != yes["prompt_hash"]
    assert (scale["cached"], again["cached"], again["rating"]) == (False, True, scale["rating"])


@pytest.mark.parametrize("fields", [{}, {"mode": "reasoning"}, {"rating_from": "scale"}])
def test_a_response_that_says_nothing_has_the_lowest_rating_without_a_judge(world, fields):
    body = {"instruction": "Name a color.", "response": "Thought process:", "scale": {"low": 2, "high": 6}}

    answer = world.http.post("/judge/single", json=body | {"suggestions": True} | fields).json()

    assert (answer["rating"], answer["outcome"], answer["path"]) == (2, "rated", "check")
    assert answer["reason"] == "the response holds no answer"
    assert world.script.requests == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"stream": True, "mode": "reasoning", "votes": 2},
        {"stream": True, "mode": "reasoning", "per_criterion": True, "preset": "code-review"},
        {"rating_from": "scale", "mode": "reasoning"},
        {"rating_from": "critique"},
    ],
)
def test_what_does_not_fit_together_is_refused(world, fields):
    body = {"instruction": "Name a color.", "response": "Blue."}

    assert world.http.post("/judge/single", json=body | fields).status_code == 422


def test_improvements_are_named_on_request(world):
    world.script.text = lambda prompt: "- Say which blue.\n- Give an example.\n\n- Be brief.\n- Too many."
    body = {"instruction": "Name a color.", "response": "Blue.", "suggestions": True}

    answer = world.http.post("/judge/single", json=body).json()

    assert answer["suggestions"] == ["Say which blue.", "Give an example.", "Be brief."]


def test_an_equal_judgment_is_answered_from_the_cache(world):
    first = pairwise(world)
    asked = world.script.requests
    second = pairwise(world)
    fresh = pairwise(world, cache=False)
    other = pairwise(world, response_b="Eight.")

    assert (first["cached"], second["cached"], fresh["cached"], other["cached"]) == (
        False,
        True,
        False,
        False,
    )
    assert second["probability_a"] == first["probability_a"]
    assert second["usage"]["prompt_tokens"] == 0
    assert world.script.requests == asked + 4
    assert 'judgesmith_cache_total{outcome="hit"} 1.0' in world.http.get("/metrics").text


def test_the_cache_knows_the_version(world):
    before = pairwise(world)
    world.http.post(f"/admin/models/{world.versions[1]}/promote").raise_for_status()

    after = pairwise(world)

    assert not after["cached"]
    assert after["model_version"] != before["model_version"]


def test_no_tenant_is_answered_from_anothers_cache(make_world):
    world = make_world(auth="keys")
    keys = [_key(world, tenant) for tenant in ("one", "two")]
    answers = []
    for key in (*keys, keys[0]):
        headers = {"Authorization": f"Bearer {key}"}
        answers.append(world.http.post("/judge/pairwise", json=PAIR, headers=headers).json())

    assert [answer["cached"] for answer in answers] == [False, False, True]
    assert len(world.script.salts) == 2


def test_equal_requests_in_flight_are_one_computation(world):
    world.script.delay_s = 0.2

    async def at_once():
        async with httpx.AsyncClient(base_url=world.url, timeout=30) as client:
            return await asyncio.gather(*(client.post("/judge/pairwise", json=PAIR) for _ in range(8)))

    answers = [answer.json() for answer in asyncio.run(at_once())]

    assert world.script.requests == 2
    assert sum(answer["cached"] for answer in answers) == 7
    assert len({answer["id"] for answer in answers}) == 8
    with world.sessions() as session:
        assert session.scalar(select(func.count()).select_from(DecisionRow)) == 8


def test_a_judgment_without_a_verdict_counts_as_a_retry(world):
    world.script.text = lambda prompt: "I like the first one."

    answer = pairwise(world, mode="reasoning")

    assert answer["usage"]["retries"] == 2
    assert "judgesmith_retries_total 2.0" in world.http.get("/metrics").text


def _first(prompt, word):
    return word in prompt.split("[Response A]")[1].split("[Response B]")[0]


def _key(world, tenant):
    from judge.store.keys import create_key

    with world.sessions.begin() as session:
        return create_key(session, tenant, ["judge"], tenant, "test")


@pytest.mark.parametrize("path", ["/judge/pairwise", "/judge/single"])
def test_a_rationale_is_as_long_as_was_asked_for(world, path):
    world.script.text = lambda prompt: "word " * 2000
    texts = PAIR if path.endswith("pairwise") else {"instruction": "Name a color.", "response": "Blue."}

    def written(**fields):
        answer = world.http.post(path, json=texts | {"mode": "reasoning", "cache": False} | fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["usage"]["completion_tokens"]

    judgments = 2 if path.endswith("pairwise") else 1
    assert judgments * 32 < written(rationale_tokens=32) < judgments * 60
    assert judgments * 512 < written() < judgments * 540
    assert world.http.post(path, json=texts | {"rationale_tokens": 3}).status_code == 422
