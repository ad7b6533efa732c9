"""`benchmarks/evaluation.py`: two versions over every set, from one command that may be stopped."""

import json
import sys

import pytest
from tokenizers import Tokenizer

from benchmarks import evaluation
from judge.versions.version import VersionStore
from tests.scripted_vllm import Script, ScriptedVLLM, hashed_margin
from tests.tiny_model import make_tiny_model


@pytest.fixture
def place(tmp_path):
    """A home with two versions, a folder with two sets, and an engine that serves nobody."""
    store = VersionStore(tmp_path / "models")
    versions = [store.add(make_tiny_model(tmp_path / f"d{n}", n), origin=f"version {n}").id for n in (0, 1)]
    for name, label in (("one", "a"), ("two", "tie")):
        rows = [
            {
                "id": f"{name}{n}",
                "instruction": f"Q{n}",
                "response_a": f"{n}",
                "response_b": "x",
                "label": "a",
            }
            for n in range(9)
        ]
        rows[0]["label"] = label
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"pairs_{name}.jsonl").write_text(text)
    folder = store.path(versions[0])
    script = Script(Tokenizer.from_file(str(folder / "tokenizer.json")), folder, margin=hashed_margin)
    with ScriptedVLLM(script).serve() as server:
        yield tmp_path, versions, server


def run(place, monkeypatch, *more):
    folder, versions, server = place
    arguments = [str(folder), "--home", str(folder), "--versions", *versions, "--engine", server.url]
    out = ["--out", str(folder / "report.html"), "--tokens", "64"]
    monkeypatch.setattr(sys, "argv", ["evaluation.py", *arguments, *out, *more])
    evaluation.main()
    return json.loads((folder / "report.json").read_text())


def test_one_command_makes_the_table_and_again_asks_nothing(place, monkeypatch, capsys):
    folder, versions, server = place

    first = run(place, monkeypatch)

    asked = server.script.requests
    printed = capsys.readouterr().out
    assert [(found["name"], found["mode"]) for found in first["sets"]] == [
        ("pairs_one", "direct"), ("pairs_two", "direct"),
        ("pairs_one", "reasoning, 64 tokens"), ("pairs_two", "reasoning, 64 tokens"),
    ]  # fmt: skip
    assert "| pairs_two | reasoning, 64 tokens | 9 |" in printed
    assert [run["origin"] for run in first["sets"][0]["runs"]] == ["version 0", "version 1"]
    # Judged by weights of their own: both orders of 2 sets of 9 pairs, in 2 modes, by 2 versions.
    assert server.script.reloads == versions
    assert asked == 2 * 2 * 9 * 2 * 2
    again = run(place, monkeypatch)
    assert server.script.requests == asked
    assert again["digest"] == first["digest"]
    answers = folder / "report.answers.jsonl"
    answers.write_text("\n".join(answers.read_text().splitlines()[:-1]) + '\n{"key": "cut off')
    assert run(place, monkeypatch)["digest"] == first["digest"]
    assert server.script.requests == asked + 2
    # What was written behind the torn line is not lost with it.
    assert run(place, monkeypatch)["digest"] == first["digest"]
    assert server.script.requests == asked + 2


def test_a_limit_draws_from_what_is_known_already(place, monkeypatch):
    _, _, server = place
    run(place, monkeypatch, "--modes", "direct")
    asked = server.script.requests

    few = run(place, monkeypatch, "--modes", "direct", "--limit", "4")

    assert [found["items"] for found in few["sets"]] == [4, 4]
    assert server.script.requests == asked


def test_an_item_that_was_changed_under_its_id_is_asked_about_anew(place, monkeypatch):
    folder, _, server = place
    run(place, monkeypatch, "--modes", "direct")
    asked, file = server.script.requests, folder / "pairs_one.jsonl"

    file.write_text(file.read_text().replace('"instruction": "Q3"', '"instruction": "Another one."'))
    run(place, monkeypatch, "--modes", "direct")

    # Both orders of one pair, by two versions.
    assert server.script.requests == asked + 4
