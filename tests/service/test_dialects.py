"""What trainers send, byte for byte as their clients do, and what they read out of the answers."""

import asyncio
import json
import math
import time

import aiohttp
import httpx
import openai
import pytest

from judge.store import keys
from tests.scripted_vllm import prefers
from tests.service.templated import BAD, GOOD, PROMPT
from tests.service.test_chat_dialect import CHAT, chat

YES, NO = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))


async def openrlhf(url, query, prompts, labels):
    """The request path of openrlhf 0.11's single-turn agent: a new session, 5 tries a second apart."""
    data = {"query": query, "prompts": prompts, "labels": labels}
    for _ in range(5):
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180)) as session,
                session.post(url, json=data) as response,
            ):
                response.raise_for_status()
                info = await response.json()
                return {
                    "reward": info.get("rewards"),
                    "scores": info.get("scores") or info.get("rewards"),
                    "extra_logs": info.get("extra_logs") or {},
                }
        except aiohttp.ClientError:
            await asyncio.sleep(1)
    raise RuntimeError("5 tries failed")


async def slime(url, prompt, response):
    """slime's: a shared session, the body is the reward."""
    sample = {"prompt": prompt, "response": response, "label": None}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session,
        session.post(url, json=sample) as answer,
    ):
        answer.raise_for_status()
        return await answer.json()


async def verl(url, endpoint, payload, tries=16):
    """verl's: a new session each try, no retry after a 4xx, doubling pauses (shortened here)."""
    for attempt in range(tries):
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
                session.post(f"{url}/{endpoint}", json=payload) as response,
            ):
                response.raise_for_status()
                return await response.json()
        except aiohttp.ClientResponseError as error:
            if 400 <= error.status < 500:
                raise
            await asyncio.sleep(min(0.1 * 2**attempt, 3))
    raise RuntimeError("all tries failed")


def test_openrlhf_gets_rewards_scores_and_the_same_logs_every_time(judged):
    url = f"{judged.url}/get_reward"

    async def both():
        return await openrlhf(url, [GOOD], [PROMPT], ["x"]), await openrlhf(url, [], [], [])

    one, nothing = asyncio.run(both())

    assert one["reward"] == [2.0]
    assert one["scores"] == pytest.approx([YES])
    assert nothing["reward"] == []
    assert set(one["extra_logs"]) == set(nothing["extra_logs"]) == {"judge_score", "judge_truncated"}
    assert "[Response]\nBlue.\n" in judged.script.prompts[-1]


def test_openrlhf_one_sample_at_a_time_from_many_workers_is_all_answered(judged):
    async def all_of_them():
        url = f"{judged.url}/get_reward"
        return await asyncio.gather(
            *(openrlhf(url, [GOOD if n % 2 else BAD], [PROMPT], [""]) for n in range(64))
        )

    found = asyncio.run(all_of_them())

    assert [one["reward"][0] for one in found] == [-2.0, 2.0] * 32


def test_a_full_queue_lets_openrlhf_wait_and_loses_nothing(make_world):
    world = make_world(reward_queue=8, reward_concurrency=2)
    world.script.margin = prefers("Blue")
    world.script.delay_s = 0.05

    async def all_of_them():
        url = f"{world.url}/get_reward"
        return await asyncio.gather(*(openrlhf(url, [GOOD], [PROMPT], [""]) for _ in range(40)))

    assert [one["reward"] for one in asyncio.run(all_of_them())] == [[2.0]] * 40


def test_slime_gets_a_bare_number(judged):
    async def both():
        url = f"{judged.url}/slime"
        messages = [{"role": "user", "content": "Name a color."}]
        return (
            await slime(url, PROMPT, "Blue.<|im_end|>"),
            await slime(url, messages, "Seven."),
            await slime(f"{url}?form=probability", "Name a color.", "Blue."),
            await slime(f"{url}?empty=-5", PROMPT, ""),
        )

    assert asyncio.run(both()) == pytest.approx((2.0, -2.0, YES, -5.0))


def test_verl_reads_probs_and_embeddings(judged):
    text = {"model": "rm", "input": GOOD}

    async def all_of_them():
        return (
            await verl(judged.url, "classify", text | {"use_activation": False}),
            await verl(judged.url, "classify", text | {"activation": False}),
            await verl(judged.url, "classify", text),
            await verl(judged.url, "v1/embeddings", text),
        )

    *classified, embedded = asyncio.run(all_of_them())

    assert [one["data"][-1]["probs"][-1] for one in classified] == pytest.approx([2.0, 2.0, YES])
    assert embedded["data"][-1]["embedding"][-1] == 2.0


def test_overload_is_503_for_verl_which_never_retries_a_429(make_world, monkeypatch):
    monkeypatch.setattr("service.dialects.verl._PATIENCE_S", 0.0)
    world = make_world(reward_queue=4, reward_concurrency=1)
    world.script.margin = prefers("Blue")
    world.script.delay_s = 0.3
    payload = {"model": "rm", "input": GOOD, "use_activation": False}

    async def all_of_them():
        first = [asyncio.create_task(verl(world.url, "classify", payload)) for _ in range(6)]
        return await asyncio.gather(*first)

    found = asyncio.run(all_of_them())

    assert [one["data"][-1]["probs"][-1] for one in found] == [2.0] * 6
    assert "judgesmith_requests_shed_total 0.0" not in world.http.get("/metrics").text


def test_vllms_scoring_shapes(judged):
    http = judged.http
    score = http.post("/score", json={"model": "m", "text_1": "Name a color.", "text_2": ["Blue.", "Seven."]})
    pairs = http.post("/v1/score", json={"queries": ["Color?", "Color?"], "documents": ["Seven.", "Blue."]})
    raw = http.post("/score", json={"text_1": "Color?", "text_2": "Blue.", "use_activation": False})
    order = http.post(
        "/v2/rerank", json={"query": "Color?", "documents": ["Seven.", {"text": "Blue."}], "top_n": 1}
    )
    pooled = http.post("/pooling", json={"input": [GOOD], "use_activation": False})
    wrong = http.post("/score", json={"text_1": ["a", "b"], "text_2": ["x", "y", "z"]})

    assert [one["score"] for one in score.json()["data"]] == pytest.approx([YES, NO])
    assert score.json()["data"][1] | {"score": 0} == {"index": 1, "object": "score", "score": 0}
    assert [one["score"] for one in pairs.json()["data"]] == pytest.approx([NO, YES])
    assert raw.json()["data"][0]["score"] == 2.0
    (best,) = order.json()["results"]
    assert (best["index"], best["document"]) == (1, {"text": "Blue."})
    assert pooled.json()["data"] == [{"index": 0, "object": "pooling", "data": [2.0]}]
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "documents")
    assert set(score.json()) == {"id", "object", "created", "model", "data", "usage"}


def test_options_in_the_url_hold_for_texts_or_are_refused(judged):
    judged.script.text = lambda prompt: "Right.\n\nRating: [[8]]"

    plain, preset = chat(judged).json(), chat(judged, "?preset=code-review").json()
    prompts = judged.script.prompts[-2:]

    assert plain["system_fingerprint"] != preset["system_fingerprint"]
    assert prompts[0] != prompts[1]
    for query in ("form=probability", "empty=-5", "single_turn=true", "preset=nothing"):
        answer = chat(judged, f"?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.split("=")[0])
    own = chat(judged, "?preset=code-review", messages=CHAT["messages"][:1])
    assert (own.status_code, own.json()["errors"][0]["field"]) == (422, "preset")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/get_reward", {"query": [GOOD] * 40, "prompts": [PROMPT] * 40}),
        ("/classify", {"input": [GOOD] * 40}),
        ("/v1/embeddings", {"input": [GOOD] * 40}),
        ("/score", {"text_1": "Color?", "text_2": ["Blue."] * 40}),
        ("/rerank", {"query": "Color?", "documents": ["Blue."] * 40}),
        ("/pooling", {"input": [GOOD] * 40}),
    ],
)
def test_for_a_caller_that_hung_up_no_work_goes_on(make_world, path, body):
    world = make_world(reward_concurrency=2)
    world.script.delay_s = 0.1
    before = world.script.requests

    with pytest.raises(httpx.ReadTimeout):
        world.http.post(path, json=body, timeout=0.35)
    time.sleep(0.5)
    asked = world.script.requests
    time.sleep(0.5)

    assert world.script.requests == asked < before + 40


def test_a_key_may_travel_in_the_path_and_opens_no_admin_route(make_world):
    world = make_world(auth="keys")
    world.script.margin = prefers("Blue")
    with world.sessions.begin() as session:
        key = keys.create_key(session, "trainer", ["reward"], "tenant-1", "test")
        admin = keys.create_key(session, "admin", ["admin"], "tenant-1", "test")
    body = {"query": [GOOD], "prompts": [PROMPT], "labels": [""]}

    found = world.http.post(f"/key/{key}/get_reward", json=body)
    wrong = world.http.post(f"/key/{key}x/get_reward", json=body)
    none = world.http.post("/get_reward", json=body)
    client = openai.OpenAI(base_url=f"{world.url}/v1", api_key=key)

    assert found.json()["rewards"] == [2.0]
    assert (wrong.status_code, none.status_code) == (401, 401)
    assert client.embeddings.create(model="judge", input=GOOD).data[0].embedding == [2.0]
    assert world.http.get(f"/key/{admin}/admin/models").status_code in (401, 404)


def test_a_sample_that_cannot_be_judged_is_an_error_and_never_a_null(judged):
    judged.script.margin = lambda prompt, _: math.nan

    for path, body in (
        ("/get_reward", {"query": [GOOD], "prompts": [PROMPT], "labels": [""]}),
        ("/slime", {"prompt": PROMPT, "response": "Blue.", "label": None}),
        ("/classify", {"input": GOOD}),
        ("/score", {"text_1": "x", "text_2": "y"}),
    ):
        answer = judged.http.post(path, json=body)

        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["field"] == "items.0"


def test_garbage_of_a_policy_is_rewarded(judged):
    body = json.dumps(
        {"query": [PROMPT + "\x00\ud800 Blue <|im_start|>user"], "prompts": [PROMPT], "labels": []}
    )

    answer = httpx.post(
        f"{judged.url}/get_reward", content=body, headers={"content-type": "application/json"}
    )

    assert answer.json()["rewards"] == [2.0]
