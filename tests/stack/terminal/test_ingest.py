"""Reading a file of instructions, and sending it in parts."""

import json

import httpx
import pytest

from judge.errors import Fault
from stack.terminal import ingest
from stack.terminal.gateway import Gateway


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"instruction": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"prompt": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"messages": [{"role": "user", "content": "Hi"}]}, [{"role": "user", "content": "Hi"}]),
        (
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        ),
    ],
)
def test_every_shape_of_line_becomes_messages(row, messages):
    lines, faults, _ = ingest.parse([json.dumps(row)], "file")

    assert faults == []
    assert [line.item for line in lines] == [{"messages": messages, "source": "file"}]


def test_source_and_language_are_kept_and_other_fields_left_out():
    row = {"instruction": "Hi", "source": "shop", "language": "en", "id": 7}

    lines, *_ = ingest.parse([json.dumps(row)], "file")

    assert lines[0].item == {
        "messages": [{"role": "user", "content": "Hi"}],
        "source": "shop",
        "language": "en",
    }


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 3"),
        ("[1]", "line 3: line"),
        ("{}", "line 3: messages"),
        ('{"instruction": "  "}', "line 3: instruction"),
        ('{"instruction": 5}', "line 3: instruction"),
        ('{"messages": []}', "line 3: messages"),
        ('{"messages": ["Hi"]}', "line 3: messages.0"),
        ('{"messages": [{"role": "user", "content": ""}]}', "line 3: messages.0.content"),
        ('{"messages": [{"role": "assistant", "content": "Hi"}]}', "line 3: messages"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_the_good_ones_are_kept(line, fault):
    lines, faults, _ = ingest.parse(['{"instruction": "Hi"}', "", line, '{"prompt": "Ho"}'], "file")

    assert [found.field for found in faults] == [fault]
    assert [line.number for line in lines] == [1, 4]


def gateway(answers: list[dict[str, object]], bodies: list[list[object]]) -> Gateway:
    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content)["instructions"])
        return httpx.Response(200, json=answers[len(bodies) - 1])

    return Gateway("http://gateway", transport=httpx.MockTransport(handle))


def test_a_long_file_goes_in_parts_and_rejections_name_its_lines():
    text = [json.dumps({"instruction": f"Question {number}"}) for number in range(1200)]
    text.insert(0, "")
    lines, *_ = ingest.parse(text, "file")
    bodies: list[list[object]] = []
    answers = [
        {"accepted": 498, "duplicates": 2, "rejected": []},
        {"accepted": 499, "duplicates": 0, "rejected": [{"index": 1, "reason": "too long"}]},
        {"accepted": 200, "duplicates": 0, "rejected": []},
    ]
    sent: list[int] = []

    done = ingest.send(gateway(answers, bodies), lines, sent.append)

    assert [len(body) for body in bodies] == sent == [500, 500, 200]
    assert (done.accepted, done.duplicates) == (1197, 2)
    assert done.rejected == (Fault("line 503", "too long"),)


def test_parts_stay_below_the_limit_on_a_body():
    lines, *_ = ingest.parse([json.dumps({"instruction": "x" * 1_000_000})] * 10, "file")
    bodies: list[list[object]] = []
    answer = {"accepted": 0, "duplicates": 0, "rejected": []}

    ingest.send(gateway([answer] * 10, bodies), lines, lambda count: None)

    assert [len(body) for body in bodies] == [4, 4, 2]
