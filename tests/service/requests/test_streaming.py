"""Server-sent events: a rationale or critique as it is written, what becomes void, and the answer."""

import json

import pytest

from judge.store.tables import DecisionRow
from tests.service.test_judging import PAIR

ONE = {"instruction": "Name a color.", "response": "Blue."}
BLUE = "Blue is a color.\n\nVerdict: [[A]]"
RATED = "Short but right.\n\nRating: [[8]]"


def is_first(prompt, word):
    return word in prompt.split("[Response A]")[1].split("[Response B]")[0]


def told(world, path="/judge/pairwise", **fields):
    """The events of a stream, by name and data."""
    texts = PAIR if path.endswith("pairwise") else ONE
    body = texts | {"mode": "reasoning", "stream": True} | fields
    with world.http.stream("POST", path, json=body) as response:
        text = "".join(response.iter_text())
    assert response.headers["content-type"].startswith("text/event-stream"), text
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def joined(events):
    return "".join(data["text"] for name, data in events if name == "rationale")


@pytest.fixture
def blue_world(world):
    world.script.text = lambda prompt: (
        RATED if "[Response A]" not in prompt else BLUE if is_first(prompt, "Blue") else "No. [[B]]"
    )
    return world


def test_a_rationale_is_streamed_and_ends_in_the_decision(blue_world):
    *pieces, (name, decision) = told(blue_world)

    assert name == "decision"
    assert {name for name, _ in pieces} == {"rationale"}
    assert len(pieces) > 2
    assert joined(pieces) == BLUE == decision["rationale"]
    assert decision["verdict"] == "a"
    with blue_world.sessions() as session:
        assert session.get(DecisionRow, decision["id"]) is not None


def test_a_critique_is_streamed_and_ends_in_the_rating(blue_world):
    *pieces, (name, answer) = told(blue_world, "/judge/single")

    assert name == "decision"
    assert {name for name, _ in pieces} == {"rationale"}
    assert len(pieces) > 2
    assert joined(pieces) == RATED == answer["critique"]
    assert (answer["rating"], answer["outcome"]) == (8, "rated")
    with blue_world.sessions() as session:
        assert session.get(DecisionRow, answer["id"]).rating == 8


@pytest.mark.parametrize("path", ["/judge/pairwise", "/judge/single"])
def test_the_final_field_that_had_to_be_asked_for_is_streamed_too(world, path):
    world.script.text = lambda prompt: "I like it."

    *pieces, (_, answer) = told(world, path)

    assert joined(pieces) == answer["rationale" if path.endswith("pairwise") else "critique"]
    assert joined(pieces).endswith("]]")


def test_a_stream_that_fails_ends_in_a_problem(world):
    world.script.dead = True

    events = told(world)

    assert events[-1][0] == "error"
    assert events[-1][1]["status"] == 503


@pytest.mark.parametrize(
    ("path", "fields", "verdict"),
    [
        ("/judge/pairwise", {"response_b": "Thought process:"}, "a"),
        ("/judge/pairwise", {"response_a": ":", "response_b": "..."}, "tie"),
        ("/judge/single", {"response": ":"}, None),
    ],
)
def test_a_response_that_says_nothing_is_checked_in_a_stream_as_anywhere(blue_world, path, fields, verdict):
    events = told(blue_world, path, **fields)

    assert [name for name, _ in events] == ["decision"]
    assert events[0][1]["path"] == "check"
    assert events[0][1].get("verdict") == verdict
    assert blue_world.script.requests == 0


@pytest.mark.parametrize("fault", ["cuts", "aborts"])
@pytest.mark.parametrize("path", ["/judge/pairwise", "/judge/single"])
def test_what_was_sent_before_the_backend_was_lost_is_void_and_said_so(blue_world, fault, path):
    setattr(blue_world.script, fault, 1)
    blue_world.script.word_s = 0.02  # so that the first words have come when the connection goes

    *pieces, (name, answer) = told(blue_world, path)

    assert name == "decision"
    names = [name for name, _ in pieces]
    assert names.count("restart") == 1
    begun = names.index("restart")
    assert 0 < begun <= 2
    assert joined(pieces[begun:]) == answer["rationale" if path.endswith("pairwise") else "critique"]
    assert answer["usage"]["retries"] == 1


def test_what_was_sent_before_the_model_was_changed_is_void_and_said_so(blue_world):
    script, champion, asked = blue_world.script, blue_world.versions[0], []

    def text(prompt):
        # The vote that is streamed comes from other weights at first.
        asked.append(is_first(prompt, "Blue"))
        script.label = "another" if asked.count(True) == 1 and asked[-1] else champion
        return BLUE if asked[-1] else "No. [[B]]"

    script.text = text

    *pieces, (name, decision) = told(blue_world)

    names = [name for name, _ in pieces]
    assert (name, decision["verdict"], decision["model_version"]) == ("decision", "a", champion)
    assert names.count("restart") == 1
    begun = names.index("restart")
    assert joined(pieces[:begun]) == joined(pieces[begun:]) == BLUE


def test_a_vote_of_a_decision_that_is_begun_again_tells_nothing_more(blue_world):
    """The other order's vote finds the change, while this one's is still being written."""
    script, champion, asked = blue_world.script, blue_world.versions[0], []
    script.word_s = 0.1

    def text(prompt):
        asked.append(is_first(prompt, "Blue"))
        script.label = "another" if asked.count(False) == 1 and not asked[-1] else champion
        return BLUE if asked[-1] else "No. [[B]]"

    script.text = text

    *pieces, (_, decision) = told(blue_world)

    names = [name for name, _ in pieces]
    last = len(names) - names[::-1].index("restart") if "restart" in names else 0
    assert decision["verdict"] == "a"
    assert asked.count(True) == 2
    assert joined(pieces[last:]) == BLUE
