"""The first lesson against a gateway that answers as the real one does."""

import io
import json
import re
from dataclasses import replace

import httpx
import pytest
from rich.console import Console

from judge.errors import BackendError
from judge.teaching.effort import Pace
from stack.processes.lesson import Lesson
from stack.terminal.gateway import Gateway
from stack.terminal.narrator import Narrator


@pytest.fixture
def examples(tmp_path):
    file = tmp_path / "instructions.jsonl"
    file.write_text('{"instruction": "Hi"}\n{"instruction": "Ho"}\n')
    return file


def answers(request: httpx.Request) -> httpx.Response:
    match request.method, request.url.path:
        case "POST", "/instructions":
            count = len(json.loads(request.content)["instructions"])
            return httpx.Response(200, json={"accepted": count, "duplicates": 0, "rejected": []})
        case "POST", "/judge/pairwise":
            return httpx.Response(200, json={"verdict": "b", "probability_a": 0.4, "model_version": "seed"})
        case "POST", "/admin/iterations":
            assert json.loads(request.content) == {"profile": "small"}
            return httpx.Response(202, json={"id": 1, "status": "queued"})
        case "GET", "/admin/iterations/1":
            return httpx.Response(200, json={"id": 1, "status": "refused", "stages": [], "counts": {}})
    raise AssertionError(request.url)


def quick(instructions) -> Pace:
    assert [one.text for one in instructions] == ["Hi", "Ho"]
    return Pace(read=1000.0, written=200.0, trained=200.0, loading_s=30.0)


def taught(handler, examples, pace=quick) -> tuple[str, list[bool]]:
    out, finished = io.StringIO(), []
    gateway = Gateway("http://gateway", transport=httpx.MockTransport(handler))
    narrator = Narrator(Console(file=out, width=120))
    lesson = Lesson(gateway, narrator, examples, "small", pace, lambda: finished.append(True))
    lesson.start()
    lesson.join(10)
    return out.getvalue(), finished


def test_it_brings_the_examples_in_iterates_and_shows_what_changed(examples):
    told, finished = taught(answers, examples)

    assert "2 instructions brought in" in told
    assert "outcome    refused" in told
    assert "before   verdict b, P(A) 0.400, model seed" in told
    assert "after    verdict b" in told
    assert finished == [True]


def test_it_says_beforehand_how_long_it_takes_or_why_that_is_not_known(examples):
    def slow(instructions) -> Pace:
        fast = quick(instructions)
        return replace(fast, read=fast.read / 10, written=fast.written / 10, trained=fast.trained / 10)

    def broken(instructions) -> Pace:
        raise BackendError("it is away")

    def minutes(pace) -> int:
        told, _ = taught(answers, examples, pace)
        return int(re.search(r"about (\d+) minutes", told)[1])

    assert 7 * minutes(quick) < minutes(slow) < 10 * minutes(quick)
    told, finished = taught(answers, examples, broken)
    assert "cannot be told: it is away" in told
    assert "outcome    refused" in told
    assert finished == [True]


def test_without_the_examples_it_says_so(tmp_path):
    told, finished = taught(answers, tmp_path / "absent.jsonl")

    assert "absent.jsonl is not there" in told
    assert finished == [True]


def test_a_gateway_that_fails_ends_it_with_a_line(examples):
    told, finished = taught(lambda request: httpx.Response(503, json={"title": "Too busy"}), examples)

    assert "the first lesson ended early: Too busy" in told
    assert finished == [True]
