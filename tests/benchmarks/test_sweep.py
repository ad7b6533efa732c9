"""The sweep without its trainings: what the seed writes and reads, and what runs were trained on."""

import argparse
import json
import sys

import pytest

from benchmarks import sweep, sweep_tables
from benchmarks.sweep_pool import answer, answered, drawn, read, split
from benchmarks.sweep_runs import DEFAULTS, RUNS
from benchmarks.sweep_strategies import judged, label_lessons, right, written_lessons
from judge.backend.vllm import VLLM
from judge.comparison import Comparison, Instruction, PreferencePair
from judge.evaluation.anchors import LabeledPair
from tests.scripted_vllm import scripted
from tests.tiny_model import make_tiny_model
from tests.workers.conftest import WORDS
from workers.tokens import pointwise_row

INSTRUCTIONS = 60


def short(prompt):
    """A response on topic that fits into the length limit."""
    topic = prompt.rsplit("topic-", 1)[1].split()[0]
    return f"A topic-{topic} is {WORDS[int(topic) % len(WORDS)]}." + " Yes." * (int(topic) % 4)


@pytest.fixture
def options(tmp_path):
    """A seed model, instructions, labeled pairs, and an empty work folder."""
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    rows = [
        {"messages": [{"role": "user", "content": f"What is topic-{n} good for?"}], "language": "en"}
        for n in range(INSTRUCTIONS)
    ]
    rows.append(rows[0] | {"in_dev_pairs": True})
    pairs = [
        {"id": f"p{n}", "instruction": f"Q{n}", "response_a": "yes" * n, "response_b": "no", "label": "b"}
        for n in range(1, 6)
    ]
    for name, lines in (("instructions_x", rows), ("pairs_y", pairs)):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return argparse.Namespace(
        model=make_tiny_model(tmp_path / "model"),
        data=data,
        work=work,
        runs=[],
        instructions=INSTRUCTIONS,
        limit=4,
        sets=None,
        measure=[],
    )


async def test_the_seed_answers_each_instruction_once_and_is_measured_on_every_set(options):
    with scripted(options.model, text=short).serve() as server:
        await sweep.sweep(options, server.url)
        asked = server.script.requests
        await sweep.sweep(options, server.url)
        assert server.script.requests == asked

    (row,) = read(options.work / "results.jsonl")
    written = [(one["index"], one["kind"]) for one in read(options.work / "responses.jsonl")]
    assert {index for index, kind in written if kind == "response"} == set(range(INSTRUCTIONS))
    assert len(set(written)) == len(written)
    assert len(row["outcomes"]["y"]) == 4
    assert len(row["outcomes"]["held-out neighbor"]) == 4


async def test_runs_on_logged_responses_learn_from_the_earlier_turns_of_conversations(options):
    def said(number):
        return f"A {WORDS[number]} thing{', as all know to be true' * (number % 2)}."

    conversations = [
        Instruction.from_json(
            [
                {"role": "user", "content": f"What is topic-{n} ?"},
                {"role": "assistant", "content": said(n)},
                {"role": "user", "content": f"And in winter, topic-{n} ?"},
            ]
        )
        for n in range(10)
    ]
    with scripted(options.model, text=short).serve() as server:
        backend = VLLM(server.url)
        await backend.label_weights("seed")
        judge = sweep.seed_judge(options.model, None, backend)
        await answer(options.work, conversations, judge, {"logged"})
        await backend.aclose()

    plain = sweep.training_pool(options, "base", conversations)
    pairs = sweep.training_pairs(
        DEFAULTS | RUNS["logged"], sweep.training_pool(options, "logged", conversations)
    )
    assert {item.instruction for item in plain} == {conversations[n] for n in range(10) if n % 5}
    assert pairs
    for pair in pairs:
        (asked,) = pair.instruction.messages
        number = int(asked.content.split("topic-")[1].split()[0])
        assert number % 5
        assert (pair.strategy, pair.chosen) == ("logged", said(number))
        assert pair.rejected.startswith(f"A topic-{number} is")


async def test_describing_names_the_strategies_of_what_a_run_was_trained_on(options, monkeypatch, capsys):
    with scripted(options.model, text=short).serve() as server:
        await sweep.sweep(options, server.url)
    settings = DEFAULTS | RUNS["demands"]
    training, _ = split(answered(options.work, drawn(options.data, INSTRUCTIONS)))
    pairs, _ = sweep.apart(settings, training)
    judge = sweep.seed_judge(options.model, settings["field_tokens"])
    rows = [pointwise_row(judge, pair) for pair in pairs]
    (options.work / "demands").mkdir()
    foreign = {"chosen_ids": [1, 2], "rejected_ids": [3]}
    text = "".join(json.dumps(row) + "\n" for row in [*rows, foreign])
    (options.work / "demands" / "pointwise.jsonl").write_text(text)
    capsys.readouterr()

    folders = ["--model", str(options.model), "--data", str(options.data), "--work", str(options.work)]
    more = ["--instructions", str(INSTRUCTIONS), "--describe"]
    monkeypatch.setattr(sys, "argv", ["sweep", *folders, *more])
    sweep.main()

    printed = capsys.readouterr().out
    tokens = sum(len(ids) for row in rows for ids in row.values()) + 3
    assert f"demands: {len(pairs) + 1} pairs, {tokens} tokens" in printed
    for strategy in ("requirement", "neighbor"):
        own = [pair for pair in pairs if pair.strategy == strategy]
        longer = sum(len(pair.chosen) > len(pair.rejected) for pair in own)
        assert f"| {strategy} | {len(own)} | {longer} | {longer / len(own):.3f} |" in printed
    assert "| not known | 1 |" in printed
    assert f"| response | {INSTRUCTIONS} | {INSTRUCTIONS} |" in printed


def test_the_pools_flaws_are_counted_by_kind():
    flaws = [("response", None), ("response", "empty"), ("hotter", None), ("response", None)]

    table = sweep_tables.pool([{"kind": kind, "flaw": flaw} for kind, flaw in flaws])

    assert table.splitlines()[2:] == ["| hotter | 1 | 1 | 0 |", "| response | 3 | 2 | 1 |"]


def test_pairs_of_equal_length_have_no_longer_response():
    rows = [{"chosen_ids": [n], "rejected_ids": [0]} for n in range(3)]
    texts = [("long one", "short"), ("same", "same"), ("s", "longer")]
    pairs = {
        sweep_tables.key(row): PreferencePair(Instruction.of("Q"), chosen, rejected, "neighbor")
        for row, (chosen, rejected) in zip(rows, texts, strict=True)
    }

    assert "| neighbor | 3 | 1 | 0.333 |" in sweep_tables.lessons("run", rows, pairs)


PAIRS = [
    PreferencePair(Instruction.of(f"Q{n}"), "good" * (n % 2 + 1), "bad" * 2, "neighbor") for n in range(12)
]


def test_a_label_lesson_shows_each_pair_in_both_orders(options):
    judge = sweep.seed_judge(options.model, 96)

    rows = label_lessons(judge, PAIRS[:1])["reasoned"]

    a, b = (judge.assembler.encoder.label(label) for label in "AB")
    assert [row["input_ids"][-1] for row in rows] == [a, b]
    assert all(sum(row["completion_mask"]) == row["completion_mask"][-1] == 1 for row in rows)
    assert rows[0]["input_ids"][:-1] != rows[1]["input_ids"][:-1]


async def test_written_lessons_are_right_judgments_of_either_place_alike(options):
    with scripted(options.model, text=lambda prompt: "It is on topic.\n\nVerdict: [[A]]").serve() as server:
        backend = VLLM(server.url, timeout_s=60)
        await backend.label_weights("seed")
        judge = sweep.seed_judge(options.model, 96, backend)
        judgments = await judged(options.work, judge, PAIRS, 3)
        asked = server.script.requests
        assert await judged(options.work, judge, PAIRS, 2) == [one for one in judgments if one["sample"] < 2]
        assert server.script.requests == asked
        await backend.aclose()

    # Who always says A is right where the chosen one comes first, and there is nothing to put beside that.
    assert [one["right"] for one in judgments] == [one["chosen_first"] for one in judgments]
    assert written_lessons(judge, PAIRS, judgments)["reasoned"] == []
    either = [one | {"right": True} for one in judgments]
    assert len(written_lessons(judge, PAIRS, either)["reasoned"]) == 2 * len(PAIRS)


@pytest.mark.parametrize("strategy", ["pairwise", "reasoning"])
async def test_a_strategy_with_orders_has_to_be_right_in_both(options, strategy):
    pair = LabeledPair("1", Comparison(Instruction.of("Q"), "a very good answer", "no"), "a")
    with scripted(options.model, margin=lambda prompt, weights: 1.0).serve() as server:
        backend = VLLM(server.url, timeout_s=60)
        await backend.label_weights("seed")
        judge = sweep.seed_judge(options.model, 96, backend)

        def good(prompt):
            return prompt.find("very good") < prompt.find("no\n")

        assert not await right(judge, strategy, pair)
        server.script.margin = lambda prompt, weights: 1.0 if good(prompt) else -1.0
        server.script.text = lambda prompt: f"So it is.\n\nVerdict: [[{'A' if good(prompt) else 'B'}]]"
        assert await right(judge, strategy, pair)
        await backend.aclose()


def test_yields_count_the_prompts_with_a_right_sample():
    rights = {
        (0, True): [0, 1, 1, 1],
        (0, False): [0, 0, 0, 0],
        (1, True): [1, 1, 1, 1],
        (1, False): [0, 0, 0, 1],
    }
    rows = [
        {"pair": pair, "chosen_first": first, "sample": sample, "right": bool(value)}
        for (pair, first), values in rights.items()
        for sample, value in enumerate(values)
    ]

    table = sweep_tables.yields(rows).splitlines()

    assert "| 1 | one | 1 of 4 | 1 | 0 |" in table
    assert "| 2 | one | 2 of 4 | 2 | 0 |" in table
    assert "| 4 | one | 3 of 4 | 2 | 1 |" in table
    assert "| 4 | 50% | 2 of 4 | 2 | 0 |" in table
