"""Readers take files in the form of their release, and say which line is wrong."""

import json
from pathlib import Path

import pytest

from judge.errors import InvalidInput
from judge.evaluation.benchmarks.catalog import load_items
from judge.evaluation.benchmarks.items import from_lines, to_lines

DEV = Path(__file__).parents[5] / "shared" / "data" / "dev"


def write(path: Path, rows, *, as_list=False) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows) if as_list else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return str(path)


def turns(*texts):
    roles = ["user", "assistant"] * 2
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def faults(name, source):
    with pytest.raises(InvalidInput) as caught:
        load_items(name, source)
    return [(fault.field, fault.reason) for fault in caught.value.faults]


def test_pairs_of_one_turn_and_of_several(tmp_path):
    messages = [*turns("Hi", "Hello"), {"role": "user", "content": "Name a metal."}]
    source = write(
        tmp_path / "mine.jsonl",
        [
            {"id": "x", "instruction": "Name a color.", "response_a": "Blue", "response_b": "", "label": "a"},
            {
                "messages": messages,
                "response_a": "Wood",
                "response_b": "Iron",
                "label": "b",
                "subset": "turns",
            },
        ],
    )

    one, two = load_items("pairs", source)

    assert (one.id, one.subset, one.label, one.responses) == ("x", "mine", "a", ("Blue", ""))
    assert (two.id, two.subset, two.instruction.text) == ("mine.jsonl line 2", "turns", "Name a metal.")


def test_every_bad_line_is_named_with_its_field(tmp_path):
    good = {"instruction": "i", "response_a": "1", "response_b": "2", "label": "tie"}
    source = write(
        tmp_path / "bad.jsonl",
        [good, {**good, "label": "A"}, {**good, "response_b": 7}, {**good, "instruction": " "}],
    )

    found = faults("pairs", source)

    assert [field for field, _ in found] == [
        "bad.jsonl line 2: label", "bad.jsonl line 3: response_b", "bad.jsonl line 4: instruction",
    ]  # fmt: skip
    (tmp_path / "torn.jsonl").write_text('{"instruction": "i"\n')
    assert faults("pairs", str(tmp_path / "torn.jsonl"))[0][0] == "torn.jsonl line 1"
    assert "neither a file" in faults("pairs", str(tmp_path / "nowhere"))[0][1]
    assert "must be one of pairs" in faults("none", source)[0][1]


def test_rewardbench_is_read_from_parquet_and_only_its_filtered_split(tmp_path):
    import pyarrow
    import pyarrow.parquet

    row = {"prompt": "p", "chosen": "good", "rejected": "bad", "subset": "hep-go", "id": 3}
    for split in ("filtered", "raw"):
        rows = [{**row, "id": row["id"] + n} for n in range(2)]
        (tmp_path / "data").mkdir(exist_ok=True)
        path = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    items = load_items("rewardbench", str(tmp_path))

    assert [item.id for item in items] == ["hep-go-3", "hep-go-4"]
    assert items[0].responses == ("good", "bad")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    assert faults("rewardbench", str(tmp_path / "broken.parquet"))[0][0] == "broken.parquet"


def test_rewardbench_of_an_unknown_subset_is_refused(tmp_path):
    source = write(
        tmp_path / "x.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b", "subset": "hep-cobol"}]
    )

    assert faults("rewardbench", source)[0][0] == "x.jsonl line 1: subset"


def test_rewardbench_2_knows_how_many_responses_are_right(tmp_path):
    source = write(
        tmp_path / "test-0.jsonl",
        [
            {"id": "7", "prompt": "p", "chosen": ["r"], "rejected": ["x", "y", "z"], "subset": "Math"},
            {"id": "tied:3", "prompt": "q", "chosen": ["r", "s"], "rejected": ["x"], "subset": "Ties"},
        ],
    )

    one, two = load_items("rewardbench2", source)

    assert (one.task, one.responses, one.facts["correct"]) == ("rate", ("r", "x", "y", "z"), 1)
    assert (two.facts["correct"], two.facts["id"]) == (2, "tied:3")
    bad = write(
        tmp_path / "b.jsonl",
        [{"id": "3", "prompt": "q", "chosen": ["r"], "rejected": ["x"], "subset": "Ties"}],
    )
    assert faults("rewardbench2", bad)[0][0] == "b.jsonl line 1: id"


def vote(a, b, winner, judge, turn=1):
    return {
        "question_id": 81, "model_a": a, "model_b": b, "winner": winner, "judge": judge, "turn": turn,
        "conversation_a": turns("q1", f"{a} 1", "q2", f"{a} 2"),
        "conversation_b": turns("q1", f"{b} 1", "q2", f"{b} 2"),
    }  # fmt: skip


def test_mt_bench_gathers_the_votes_of_experts_whichever_model_came_first(tmp_path):
    rows = [
        vote("alpha", "beta", "model_a", "expert_1"),
        vote("beta", "alpha", "model_a", "expert_2"),
        vote("alpha", "beta", "tie", "expert_3"),
        vote("alpha", "beta", "model_b", "author_1"),
        vote("alpha", "beta", "model_b", "expert_1", turn=2),
    ]

    first, second = load_items("mt-bench", write(tmp_path / "human.jsonl", rows))

    assert first.facts == {"turn": 1, "models": ["alpha", "beta"], "votes": ["a", "b", "tie"]}
    assert (first.label, second.label) == ("tie", "b")
    assert (first.instruction.text, first.responses) == ("q1", ("alpha 1", "beta 1"))
    assert second.instruction.text == "q2"
    assert [message.content for message in second.instruction.messages] == ["q1", "q2"]
    assert "beta 1" in second.responses[1]
    assert "beta 2" in second.responses[1]
    bad = write(
        tmp_path / "bad.jsonl", [{**vote("a", "b", "model_a", "expert_1"), "conversation_a": turns("q1")}]
    )
    assert faults("mt-bench", bad)[0][0] == "bad.jsonl line 1: conversation_a"


def test_the_three_sets_of_auto_j(tmp_path):
    pairs = {"scenario": "planning", "label": 2, "prompt": "p", "response 1": "one", "response 2": "two"}
    write(tmp_path / "testdata_pairwise.jsonl", [pairs])
    critiques = {
        "scenario": "planning",
        "prompt": "p",
        "response": "r",
        "critiques": {"mine": "good", "its": "bad"},
    }
    write(tmp_path / "testdata_critique.jsonl", [critiques])
    write(tmp_path / "reference_critique.jsonl", [{"output": "the reference"}])
    outputs = {"outputs": ["x", "y"], "logprobs": [-1.0, -2.0], "scores": {"gold": [3.0, 4.0]}}
    write(
        tmp_path / "testdata_selection.jsonl",
        [{"scenario": "planning", "prompt": "p", "outputs": {"m": outputs}}],
    )

    (pair,) = load_items("autoj-pairs", str(tmp_path))
    mine, its = load_items("autoj-critiques", str(tmp_path))
    (selection,) = load_items("autoj-selection", str(tmp_path))

    assert (pair.label, pair.responses, pair.subset) == ("tie", ("one", "two"), "planning")
    assert (mine.responses, mine.facts["critic"]) == (("good", "the reference"), "mine")
    assert (its.responses[0], its.label) == ("bad", None)
    assert (selection.responses, selection.task) == (("x", "y"), "rate")
    assert selection.facts == {"logprobs": [-1.0, -2.0], "scores": {"gold": [3.0, 4.0]}}
    short = {**outputs, "logprobs": [-1.0]}
    bad = write(
        tmp_path / "bad" / "selection.jsonl", [{"scenario": "s", "prompt": "p", "outputs": {"m": short}}]
    )
    assert faults("autoj-selection", bad)[0][0] == "selection.jsonl line 1: outputs.m: logprobs"


def test_llmbar_takes_its_subsets_from_its_folders(tmp_path):
    row = {"input": "i", "output_1": "one", "output_2": "two", "label": 2}
    write(tmp_path / "Natural" / "dataset.json", [row], as_list=True)
    write(tmp_path / "Adversarial" / "GPTOut" / "dataset.json", [row, row], as_list=True)
    write(tmp_path / "Natural" / "evaluators" / "result.json", [{"not": "an item"}], as_list=True)

    items = load_items("llmbar", str(tmp_path))

    assert sorted((item.subset, item.label) for item in items) == [
        ("GPTOut", "b"),
        ("GPTOut", "b"),
        ("Natural", "b"),
    ]
    write(tmp_path / "Natural" / "dataset.json", [row, {**row, "label": 3}], as_list=True)
    assert faults("llmbar", str(tmp_path))[0][0] == "Natural/dataset.json item 2: label"


def test_judgebench_sorts_its_sources_into_categories(tmp_path):
    sources = ["mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench"]
    rows = [
        {"pair_id": s, "source": s, "question": "q", "response_A": "a", "response_B": "b", "label": "B>A"}
        for s in sources
    ]

    items = load_items("judgebench", write(tmp_path / "gpt.jsonl", rows))

    assert [item.subset for item in items] == ["knowledge", "reasoning", "math", "coding"]
    assert {item.label for item in items} == {"b"}


def test_rm_bench_has_three_styles_of_each(tmp_path):
    row = {"id": 1, "prompt": "p", "chosen": ["a", "b", "c"], "rejected": ["x", "y", "z"], "domain": "chat"}
    source = write(tmp_path / "total_dataset.json", [row], as_list=True)

    (item,) = load_items("rm-bench", source)

    assert (item.responses, item.subset, item.task) == (("a", "b", "c", "x", "y", "z"), "chat", "rate")
    bad = write(tmp_path / "bad.json", [{**row, "rejected": ["x", "y"]}], as_list=True)
    assert faults("rm-bench", bad)[0][0] == "bad.json item 1: rejected"


def test_systems_are_read_in_rows_of_responses_or_of_one_output(tmp_path):
    together = write(
        tmp_path / "a.jsonl",
        [
            {"instruction": "i", "responses": {"one": "1", "two": "2"}},
            {"system": "one", "score": 3.5},
            {"system": "two", "score": 1},
        ],
    )
    apart = write(
        tmp_path / "b.json",
        [
            {"instruction": "i", "output": text, "generator": name}
            for name, text in (("two", "2"), ("one", "1"))
        ],
        as_list=True,
    )

    (one,), (two,) = load_items("systems", together), load_items("systems", apart)

    assert one.responses == two.responses == ("1", "2")
    assert one.facts == {"systems": ["one", "two"], "reference": {"one": 3.5, "two": 1.0}}
    assert two.facts["reference"] == {}


def test_without_data_only_benchmarks_of_the_hub_can_be_had():
    assert "give its file or folder" in faults("llmbar", None)[0][1]


@pytest.mark.skipif(not DEV.exists(), reason="the development data is not here")
@pytest.mark.parametrize("name", sorted(path.stem for path in DEV.glob("pairs_*.jsonl")))
def test_real_pairs_are_read_and_survive_the_way_to_the_gateway(name):
    path = DEV / f"{name}.jsonl"

    items = load_items("pairs", str(path))

    assert len(items) == sum(1 for line in path.read_text("utf-8").split("\n") if line.strip())
    assert from_lines(to_lines(items).decode().split("\n")) == items


def test_lines_from_outside_are_checked():
    with pytest.raises(InvalidInput) as caught:
        from_lines(
            [
                '{"id": "x", "subset": "s", "instruction": "text", "responses": ["a", "b"]}',
                "[1]",
                "{",
                '{"q": 1}',
            ]
        )
    assert [fault.field for fault in caught.value.faults] == [
        "line 1: instruction", "line 2: item", "line 3", "line 4: q",
    ]  # fmt: skip
