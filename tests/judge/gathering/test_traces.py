"""Traces: requests and spans as their tools write them, and what is said of those that cannot be read."""

import json

import pytest

from judge.gathering.traces import parse, split

HI = [{"role": "user", "content": "Hi"}]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name a color."},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "Another."},
]
PARTS = [{"role": turn["role"], "parts": [{"type": "text", "content": turn["content"]}]} for turn in TURNS]
TOOLS = [
    {"role": "user", "content": "Weather in Paris?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "weather"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "rainy"},
]


def otlp(attributes, **span):
    pairs = [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]
    spans = [{"traceId": "1", "spanId": "2", "name": "chat m", "attributes": pairs, **span}]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}


def event(name, **attributes):
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    return {"name": name, "timeUnixNano": "1", "attributes": pairs}


def log(name, body):
    values = [{"key": key, "value": {"stringValue": value}} for key, value in body.items()]
    record = {"eventName": name, "traceId": "1", "spanId": "2"}
    return record | {"attributes": [], "body": {"kvlistValue": {"values": values}}}


READ = {
    "chat": ({"model": "m", "messages": TURNS, "temperature": 0}, TURNS),
    "logged": ({"request": {"model": "m", "messages": TURNS}, "response": {"choices": []}}, TURNS),
    "logged as text": ({"request": json.dumps({"model": "m", "messages": TURNS}), "status": 200}, TURNS),
    "batch": ({"custom_id": "1", "url": "/v1/chat/completions", "body": {"messages": TURNS}}, TURNS),
    "with its answer": ({"model": "m", "messages": [*HI, {"role": "assistant", "content": "Hello"}]}, HI),
    "developer": (
        {"model": "m", "messages": [{"role": "developer", "content": "Be brief."}, *HI]},
        [{"role": "system", "content": "Be brief."}, *HI],
    ),
    "parts": (
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        HI,
    ),
    "tools": ({"model": "m", "messages": TOOLS}, TOOLS[:1]),
    "responses": ({"model": "m", "input": "Hi", "instructions": "Be brief."}, [TURNS[0], *HI]),
    "responses with items": (
        {
            "model": "m",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call", "name": "f", "arguments": "{}"},
            ],
        },
        HI,
    ),
    "completion": ({"model": "m", "prompt": "Hi"}, HI),
    "span": (
        otlp({
            "gen_ai.input.messages": json.dumps(PARTS[1:]),
            "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]',
        }),
        TURNS,
    ),
    "span, numbered": (
        otlp({f"gen_ai.prompt.{i}.{k}": turn[k] for i, turn in enumerate(TURNS) for k in turn}),
        TURNS,
    ),
    "span of OpenInference": (
        otlp({
            f"llm.input_messages.{i}.message.{k}": turn[k] for i, turn in enumerate(TURNS) for k in turn
        }),
        TURNS,
    ),
    "span with events": (
        otlp({}, events=[event(f"gen_ai.{turn['role']}.message", content=turn["content"]) for turn in TURNS]),
        TURNS,
    ),
    "span with one event": (
        otlp({}, events=[event("gen_ai.content.prompt", **{"gen_ai.prompt": json.dumps(TURNS)})]),
        TURNS,
    ),
    "span with a details event": (
        otlp({}, events=[
            event("gen_ai.client.inference.operation.details", **{"gen_ai.input.messages": json.dumps(PARTS)})
        ]),
        TURNS,
    ),
    "exported span": ({"name": "chat", "context": {}, "attributes": {"gen_ai.input.messages": PARTS}}, TURNS),
    "log records": (
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [
            log(f"gen_ai.{turn['role']}.message", {"content": turn["content"]}) for turn in TURNS
        ]}]}]},
        TURNS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_record_becomes_its_conversation_up_to_the_last_user_turn(name):
    row, turns = READ[name]

    parsed = parse([json.dumps(row)])

    assert parsed.faults == ()
    assert [one.instruction.to_json() for one in parsed.found] == [turns]


IMAGE = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
UNREAD = [
    ("{", "line 2"),
    ("[1]", "line 2: line"),
    ('{"model": "m", "messages": "Hi"}', "line 2: messages"),
    ('{"model": "m", "messages": ["Hi"]}', "line 2: messages.0"),
    ('{"request": "{"}', "line 2: request"),
    ('{"request": {"messages": [{"role": "user", "content": 5}]}}', "line 2: request.messages.0.content"),
    (json.dumps({"model": "m", "messages": [{"role": "user", "content": IMAGE}]}),
     "line 2: messages.0.content.1"),
    (json.dumps(otlp({"gen_ai.input.messages": "["})),
     "line 2: resourceSpans.0.scopeSpans.0.spans.0.gen_ai.input.messages"),
    ('{"resourceSpans": 5}', "line 2: resourceSpans"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "place"), UNREAD)
def test_what_cannot_be_read_is_named_by_line_and_field(line, place):
    parsed = parse(["", line, '{"prompt": "Hi"}'])

    assert [bad.place for bad in parsed.faults] == [place]
    assert len(parsed.found) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"model": "text-embedding-3", "input": ["Hi"]},
        {"model": "m", "messages": [{"role": "system", "content": "Be brief."}]},
        otlp({"http.method": "GET"}),
    ],
)
def test_what_asks_no_question_is_skipped(row):
    parsed = parse([json.dumps(row)])

    assert (parsed.found, parsed.faults, parsed.skipped) == ((), (), 1)


def test_a_document_of_many_lines_is_one_record_and_a_list_is_many():
    spans = otlp({"gen_ai.input.messages": json.dumps(PARTS)})

    assert len(parse(split(json.dumps(spans, indent=1))).found) == 1
    assert len(parse(split(json.dumps([spans, {"prompt": "Hi"}], indent=1))).found) == 2
    assert split('{"prompt": "Hi"}\n\n{"prompt": "Ho"}') == ['{"prompt": "Hi"}', "", '{"prompt": "Ho"}']
