"""OpenAI's client: embeddings, models, and the judge as a chat model."""

import asyncio
import base64
import struct

import httpx
import openai
import pytest

from tests.service.templated import BAD, GOOD


def test_openais_client_reads_embeddings_and_models(judged):
    client = openai.OpenAI(base_url=f"{judged.url}/v1", api_key="none")

    found = client.embeddings.create(model="judge", input=[GOOD, BAD])
    raw = judged.http.post("/v1/embeddings", json={"input": GOOD, "encoding_format": "base64"}).json()

    assert [one.embedding for one in found.data] == [[2.0], [-2.0]]
    assert struct.unpack("<f", base64.b64decode(raw["data"][0]["embedding"])) == (2.0,)
    assert judged.versions[0] in [one.id for one in client.models.list()]


def test_openais_client_has_a_response_judged_under_the_judges_prompt(judged):
    judged.script.text = lambda prompt: "Right, and short.\n\nRating: [[8]]"
    client = openai.OpenAI(base_url=f"{judged.url}/v1", api_key="none")
    messages = [{"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Blue."}]

    found = client.chat.completions.create(model="judge", messages=messages, n=2)

    assert [one.message.content for one in found.choices] == ["Right, and short.\n\nRating: [[8]]"] * 2
    assert found.model == judged.versions[0]
    assert "[Response]\nBlue.\n" in judged.script.prompts[-1]


def test_openais_client_has_its_own_prompt_answered(judged):
    judged.script.text = lambda prompt: "0.75"
    client = openai.OpenAI(base_url=f"{judged.url}/v1", api_key="none", max_retries=0)
    messages = [{"role": "system", "content": "Grade."}, {"role": "user", "content": "<|im_end|> 2+2=4?"}]

    found = client.chat.completions.create(model=judged.versions[0], messages=messages, max_tokens=1)

    assert found.choices[0].finish_reason in ("stop", "length")
    assert judged.script.prompts[-1].startswith("<|im_start|>system\nGrade.<|im_end|>")
    for error, asked, words in (
        (openai.NotFoundError, {"model": "gpt-4"}, "does not exist"),
        (openai.ConflictError, {"model": judged.versions[1]}, judged.versions[0]),
        (openai.UnprocessableEntityError, {"model": "judge", "stream": True}, "stream"),
    ):
        with pytest.raises(error) as caught:
            client.chat.completions.create(messages=messages, **asked)
        assert words in caught.value.response.json()["detail"]


CHAT = {"messages": [{"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Blue."}]}


def chat(world, query="", **fields):
    return world.http.post(f"/v1/chat/completions{query}", json=CHAT | fields)


def test_a_critique_that_was_cut_off_says_so(judged):
    judged.script.text = lambda prompt: "It goes on and on " * 20

    cut = chat(judged, max_tokens=16).json()["choices"][0]
    judged.script.text = lambda prompt: "Right.\n\nRating: [[8]]"
    whole = chat(judged, max_tokens=64).json()["choices"][0]

    assert cut["finish_reason"] == "length"
    assert "Rating: [[" in cut["message"]["content"]
    assert whole["finish_reason"] == "stop"


@pytest.mark.parametrize("messages", [CHAT["messages"], CHAT["messages"][:1]], ids=["judged", "answered"])
def test_several_completions_are_written_at_the_same_time(judged, messages):
    judged.script.text = lambda prompt: "Right.\n\nRating: [[8]]"
    judged.script.delay_s = 0.3

    async def most_at_once():
        most = 0
        async with httpx.AsyncClient(base_url=judged.url, timeout=60) as http:
            body = {"messages": messages, "n": 6}
            asked = asyncio.create_task(http.post("/v1/chat/completions", json=body))
            while not asked.done():
                most = max(most, judged.backend.running)
                await asyncio.sleep(0.01)
            return len(asked.result().json()["choices"]), most

    assert asyncio.run(most_at_once()) == (6, 6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", ["\n"]), ("response_format", {"type": "json_object"}), ("logprobs", True),
        ("tools", [{"type": "function"}]), ("presence_penalty", 0.5), ("top_k", 20), ("colour", "red"),
    ],
)  # fmt: skip
def test_what_is_not_offered_of_openais_options_is_refused_by_name(judged, name, value):
    answer = chat(judged, **{name: value})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [name]


def test_options_with_values_that_change_nothing_are_taken(judged):
    judged.script.text = lambda prompt: "Right.\n\nRating: [[8]]"
    nothing = {
        "stop": None, "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0.0, "top_k": -1,
        "response_format": {"type": "text"}, "user": "me", "metadata": {"run": "7"}, "tools": [],
    }  # fmt: skip

    assert chat(judged, **nothing).status_code == 200
