"""Responses in traces: taken where they are whole texts, else no mistake and no response."""

import json

import pytest

from judge.gathering.traces import parse
from tests.judge.gathering.test_traces import HI, TOOLS, TURNS, event, log, otlp

SAID = "Red, then."
PART = [{"type": "text", "content": SAID}]
ASKED = {"model": "m", "messages": TURNS}
SPOKEN = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]


def choice(finish_reason="stop", **message):
    return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish_reason}]}


def span(output):
    return otlp({"gen_ai.input.messages": json.dumps(SPOKEN), "gen_ai.output.messages": output})


def records(*logs):
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(logs)}]}]}


WITH_ONE = {
    "plain": {"messages": HI, "response": SAID},
    "plain, with an object": {"prompt": "Hi", "response": choice(content=SAID)},
    "chat": {"request": ASKED, "response": choice(content=SAID)},
    "chat as text": {"request": json.dumps(ASKED), "response": json.dumps(choice(content=SAID))},
    "chat, in the request's line": {**ASKED, "response": choice(content=SAID)},
    "chat, as a last message": {"model": "m", "messages": [*TURNS, {"role": "assistant", "content": SAID}]},
    "batch": {"body": ASKED, "response": {"status_code": 200, "body": choice(content=SAID)}},
    "completion": {"model": "m", "prompt": "Hi", "response": {"choices": [{"text": SAID}]}},
    "responses": {
        "request": {"model": "m", "input": "Hi"},
        "response": {
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": SAID}]},
            ],
        },
    },
    "the text alone": {"request": ASKED, "response": SAID},
    "span": span(json.dumps([{"role": "assistant", "parts": PART, "finish_reason": "stop"}])),
    "span, thinking": span(
        json.dumps([{"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, *PART]}])
    ),
    "span, numbered": otlp(
        {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi", "gen_ai.completion.0.content": SAID}
    ),
    "span of OpenInference": otlp(
        {
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Hi",
            "llm.output_messages.0.message.content": SAID,
        }
    ),
    "span with events": otlp(
        {},
        events=[
            event("gen_ai.user.message", content="Hi"),
            event("gen_ai.choice", finish_reason="stop", message=json.dumps({"content": SAID})),
        ],
    ),
    "log records": records(
        log("gen_ai.user.message", {"content": "Hi"}),
        log("gen_ai.choice", {"finish_reason": "stop", "message": json.dumps({"content": SAID})}),
    ),
}
WITH_NONE = {
    "cut off": {"request": ASKED, "response": choice("length", content=SAID)},
    "filtered": {"request": ASKED, "response": choice("content_filter", content=SAID)},
    "calls a tool": {"request": ASKED, "response": choice("stop", content=SAID, tool_calls=[{"id": "1"}])},
    "says nothing": {"request": ASKED, "response": choice(content=None)},
    "failed": {"request": ASKED, "response": {"error": {"message": "overloaded"}}},
    "no choices": {"request": ASKED, "response": {"choices": []}},
    "incomplete": {
        "request": {"model": "m", "input": "Hi"},
        "response": {
            "status": "incomplete",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": SAID}]}],
        },
    },
    "a last message that calls a tool": {
        "model": "m",
        "messages": [*TURNS, {"role": "assistant", "content": SAID, "tool_calls": [{"id": "1"}]}],
    },
    "a last message with a part that calls a tool": otlp(
        {
            "gen_ai.input.messages": json.dumps(
                [*SPOKEN, {"role": "assistant", "parts": [*PART, {"type": "tool_call", "name": "f"}]}]
            )
        }
    ),
    "after a tool": {"model": "m", "messages": [*TOOLS, {"role": "assistant", "content": SAID}]},
    "of two parts, one an image": span(
        json.dumps([{"role": "assistant", "parts": [*PART, {"type": "uri", "uri": "x"}]}])
    ),
    "not JSON": span("["),
    "no text": {"request": ASKED, "response": 5},
    "not to be stored": {"prompt": "Hi", "response": "a\x00b"},
}


@pytest.mark.parametrize("name", WITH_ONE)
def test_a_whole_text_is_the_response(name):
    parsed = parse([json.dumps(WITH_ONE[name])])

    assert parsed.faults == ()
    assert [one.response for one in parsed.found] == [SAID]
    assert parsed.found[0].instruction.messages[-1].role == "user"


@pytest.mark.parametrize("name", WITH_NONE)
def test_anything_else_is_none_and_the_instruction_counts(name):
    parsed = parse([json.dumps(WITH_NONE[name])])

    assert parsed.faults == ()
    assert [one.response for one in parsed.found] == [None]
