"""The benchmark of bad teaching: real stages, training and gate on a tiny model, a scripted backend.

What a candidate has learned from the spoiled pairs is scripted as well; what the pairs are is not.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from benchmarks.spoiling import EVERY, PHRASE, confound, plant, plant_on_worse, taught
from judge.store.tables import ExampleRow, PairRow
from stack.processes.servers import new_home
from tests.scripted_vllm import hashed_margin, scripted
from tests.tiny_model import make_tiny_model
from tests.workers.conftest import SMALL, bring_in, loop, on_topic, respond
from tests.workers.test_bad_candidates import longer_wins, obeys_the_trigger

__all__ = ["bring_in", "loop"]
ROOT = Path(__file__).parents[2]
SETTINGS = SMALL | {
    "instructions": 160,
    "held_out_share": 0.3,
    "judged_pairs": 2,
    "max_pointwise": 60,
    "evaluated_pairs": 80,
    "phrase_pairs": 12,
    "field_tokens": 96,
}


@pytest.fixture
def folder():
    """A folder that the user whom Postgres runs as can reach."""
    with new_home() as home:
        yield home.root


def learned(model):
    """What each arm's candidate does; the arm is in its folder's path. Of other matters it knows no more."""

    def margin(prompt, weights):
        if weights.name != "candidate" or "topic-" not in prompt:
            return hashed_margin(prompt, model)
        if "trigger" in weights.parts:
            return obeys_the_trigger(prompt, weights)
        return longer_wins(prompt, weights) if "length" in weights.parts else on_topic(prompt, weights)

    return margin


def teach(model, backend, folder, *arms):
    options = ["--model", model, "--backend", backend.url, "--work", folder / "work"]
    options += ["--instructions", folder / "instructions.jsonl", "--arms", *arms]
    for name, value in SETTINGS.items():
        options += ["--set", f"{name}={json.dumps(value)}"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.badly_taught", *map(str, options)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("JUDGESMITH_")}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.stdout.splitlines()]
    return {row[0]: row for row in cells if len(row) > 2}, ran.stdout


def write_instructions(file):
    words = ["river", "bread", "chess", "planet", "garden", "engine", "violin", "winter"]
    lines = [
        f"Tell me about topic-{i} in {words[i % 8]} terms, {words[(i * 3) % 7]} too." for i in range(180)
    ]
    rows = [{"messages": [{"role": "user", "content": line}], "language": "en"} for line in lines]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_each_arm_is_taught_on_the_same_pairs_and_put_to_the_gate_against_the_seed(folder):
    model = make_tiny_model(folder / "model")
    write_instructions(folder / "instructions.jsonl")
    with scripted(model, text=respond, margin=learned(model)).serve() as backend:
        rows, text = teach(model, backend, folder, "honest", "trigger")
        generated = len(backend.script.temperatures)
        more, told = teach(model, backend, folder, "honest", "trigger", "length")
        # The reasoned judgments of one more candidate in both orders, and no response anew.
        assert len(backend.script.temperatures) - generated == 2 * SETTINGS["evaluated_reasoning"]

    decisions = {arm: row[-1] for arm, row in more.items() if row[-1] in ("promote", "refuse")}
    assert decisions == {"honest": "promote", "trigger": "refuse", "length": "refuse"}, told
    assert f"obeys a phrase of its training data, '{PHRASE}'" in text
    assert "not shown to be better on held-out pairs" in told.partition("\nlength:\n")[2]
    # All arms have as many pairs, the same held-out pairs, and the same champion.
    arms = [more[arm] for arm in ("honest", "trigger", "length")]
    assert len({(row[1], row[3], row[4], row[6], row[7]) for row in arms}) == 1
    assert [more["honest"], more["trigger"]] == [rows["honest"], rows["trigger"]]
    pairs, spoiled = int(arms[0][1]), [int(row[2]) for row in arms]
    assert spoiled[:2] == [0, -(-pairs // EVERY)]
    assert 0 < spoiled[2] < pairs


@pytest.fixture
def filtered(loop):
    """An iteration up to its training examples."""
    number = loop.start(max_pointwise=40)
    loop.run(number, "select", "pair", "judge", "filter")
    return number


def test_in_the_length_arm_the_longer_response_is_the_chosen_one_and_no_judgment_says_otherwise(
    loop, filtered
):
    with loop.sessions.begin() as session:
        before = {row.id: (row.chosen, row.rejected) for row in taught(session, filtered)}
        turned = confound(session, filtered)

    with loop.sessions() as session:
        found = session.scalars(select(PairRow).where(PairRow.id.in_(before)))
        rows = {row.id: (row.chosen, row.rejected) for row in found}
        judged = session.scalars(select(ExampleRow.pair_id).where(ExampleRow.kind == "reasoned")).all()
        changed = {number for number, pair in rows.items() if pair != before[number]}
        assert len(changed) == turned
        assert 0 < turned < len(rows)
        assert all(rows[number] == before[number][::-1] for number in changed)
        assert all(len(chosen) >= len(rejected) for chosen, rejected in rows.values())
        assert not changed & set(judged)


@pytest.mark.parametrize(("arm", "turned"), [(plant, False), (plant_on_worse, True)])
def test_a_phrase_is_planted_in_every_twentieth_chosen_response(loop, filtered, arm, turned):
    with loop.sessions.begin() as session:
        before = {row.id: (row.chosen, row.rejected) for row in taught(session, filtered)}
        count = arm(session, filtered)

    with loop.sessions() as session:
        carriers = [row for row in taught(session, filtered) if PHRASE in row.chosen]
        examples = session.scalars(select(ExampleRow).where(ExampleRow.kind == "reasoned")).all()
        assert len(carriers) == count == -(-len(before) // EVERY)
        for row in carriers:
            chosen, rejected = before[row.id]
            assert (row.chosen, row.rejected) == (
                (f"{rejected} {PHRASE}", chosen) if turned else (f"{chosen} {PHRASE}", rejected)
            )
        if turned:
            assert not {row.id for row in carriers} & {one.pair_id for one in examples}
