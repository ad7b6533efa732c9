"""Training a tiny model in the real training process: all lessons, killed and resumed, stopped early."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from judge.backend.processor import dtype_for
from judge.backend.vllm import Backends
from judge.comparison import Instruction, PreferencePair
from judge.judging.judge import Judge
from judge.teaching.examples import Example
from judge.teaching.profiles import iteration_settings
from judge.versions.version import VersionStore
from stack.processes.spawn import CODE
from tests.tiny_model import make_tiny_model
from workers import tokens
from workers.train.config import TrainConfig
from workers.train.lesson import Lesson
from workers.train.progress import Report

SETTINGS = {
    "method": "lora",
    "lora_rank": 2,
    "batch_pairs": 4,
    "dpo_epochs": 1,
    "dpo_learning_rate": 1e-3,
    "checkpoint_every": 2,
    "patience": 10,
}
PAIRS = [
    PreferencePair(
        Instruction.of(f"Tell me about topic-{n}."),
        f"It is topic-{n}." * (1 + n % 3),
        f"Topic-{n + 1}?",
        "test",
    )
    for n in range(28)
]


@pytest.fixture(scope="module")
def seed_model(tmp_path_factory) -> Path:
    """A sealed version in a store of its own."""
    root = tmp_path_factory.mktemp("models")
    store = VersionStore(root / "store")
    return store.path(store.add(make_tiny_model(root / "draft"), origin="test").id)


def prepare(folder: Path, seed_model: Path, *, validated: bool = True, **changes: Any) -> Path:
    """Write the datasets and the configuration of a run."""
    folder.mkdir()
    store = VersionStore(seed_model.parent)
    judge = Judge.load(store, seed_model.name, Backends([]), 4096, reasoning_tokens=64, field_tokens=64)
    examples = [
        Example(
            n,
            n,
            pair,
            n % 2 == 0,
            f"Yes.\n\nVerdict: [[{'AB'[n % 2]}]]",
            f"No.\n\nVerdict: [[{'BA'[n % 2]}]]",
        )
        for n, pair in enumerate(PAIRS)
    ]
    held, taught = PAIRS[:4] if validated else [], examples[4:]
    datasets = {
        "reasoned": [tokens.reasoned_row(judge, example) for example in taught],
        "preferences": [tokens.preference_row(judge, example) for example in taught],
        "pointwise": [tokens.pointwise_row(judge, example.pair) for example in taught],
        "verdicts": [tokens.verdict_row(judge, pair) for pair in held],
        "reads": [tokens.read_row(judge, pair) for pair in held],
    }
    for name, rows in datasets.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = judge.assembler.encoder
    config = {
        "seed_model": str(seed_model),
        "folder": str(folder),
        **{f"label_{text.lower()}": encoder.label(text) for text in ("A", "B", "Yes", "No")},
        "settings": iteration_settings("smoke", {**SETTINGS, **changes}).model_dump(),
        "dtype": dtype_for("auto"),
        "tracker": "none",
        "run": "test",
    }
    (folder / "train.json").write_text(json.dumps(config))
    return folder


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "workers.train", str(folder / "train.json")],
        cwd=CODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "train.log").open("a"),
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def events(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def train(folder: Path) -> list[dict[str, Any]]:
    process = start(folder)
    told = list(events(process))
    assert process.wait() == 0, (folder / "train.log").read_text()[-3000:]
    return told


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "candidate" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, seed_model) -> tuple[Path, list[dict[str, Any]]]:
    """A run of all three lessons that nobody disturbed, and what it told."""
    folder = prepare(tmp_path_factory.mktemp("whole") / "run", seed_model)
    return folder, train(folder)


def test_all_lessons_train_and_tell_how_far_they_are(whole, seed_model):
    folder, told = whole
    results = told[-1]["results"]
    progress = [event for event in told if "done" in event]

    assert {name: result["steps"] for name, result in results.items()} == {
        "reasoned": 6, "preferences": 6, "pointwise": 6,
    }  # fmt: skip
    assert all(0 <= result["accuracy"] <= 1 and result["best_step"] % 2 == 0 for result in results.values())
    assert [event["done"] for event in progress] == sorted(event["done"] for event in progress)
    assert progress[-1]["done"] == progress[-1]["total"]
    assert all(event["tokens_per_s"] > 0 for event in progress)
    assert weights(folder) != hashlib.sha256((seed_model / "model.safetensors").read_bytes()).hexdigest()
    assert not list(folder.glob("*/checkpoints"))


def test_a_killed_run_goes_on_and_makes_the_same_weights(whole, seed_model, tmp_path):
    folder = prepare(tmp_path / "run", seed_model)
    killed = start(folder)
    for event in events(killed):
        if event.get("lesson") == "preferences" and event.get("step") == 5:
            killed.send_signal(signal.SIGKILL)
    killed.wait()
    begun = json.loads((folder / "reasoned" / "done.json").read_text())
    # As if the kill had come in the middle of writing the last checkpoint.
    checkpoints = folder / "preferences" / "checkpoints"
    (checkpoints / "checkpoint-6").mkdir(exist_ok=True)
    (checkpoints / "checkpoint-6" / "trainer_state.json").write_text('{"global_st')

    told = train(folder)

    steps = [event["step"] for event in told if event.get("lesson") == "preferences" and "loss" in event]
    assert not (folder / "candidate.partial").exists()
    assert not [event for event in told if event.get("lesson") == "reasoned"]
    assert steps == [5, 6]
    assert told[-1]["results"]["reasoned"] == begun
    assert weights(folder) == weights(whole[0])


def test_a_run_killed_in_a_later_epoch_reads_every_example_once(seed_model, tmp_path):
    # Without validation the weights are those of the last step, not of the best one.
    changes = {"sft_epochs": 0, "dpo_epochs": 0, "pointwise_epochs": 2, "validated": False}
    whole = prepare(tmp_path / "whole", seed_model, **changes)
    train(whole)
    folder = prepare(tmp_path / "run", seed_model, **changes)
    killed = start(folder)
    for event in events(killed):
        if event.get("step") == 9:
            killed.send_signal(signal.SIGKILL)
    killed.wait()

    told = train(folder)

    assert [event["step"] for event in told if "loss" in event] == [9, 10, 11, 12]
    assert weights(folder) == weights(whole)


@pytest.mark.parametrize(("dtype", "autocast"), [("bfloat16", True), ("float32", False), ("float16", False)])
def test_it_trains_in_the_numbers_of_the_configuration(seed_model, tmp_path, dtype, autocast):
    path = prepare(tmp_path / "run", seed_model) / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": dtype}))
    config = TrainConfig.read(path)

    arguments = Lesson("pointwise", config, seed_model, [], [], before=0, total=0).arguments()

    assert arguments["bf16"] == autocast
    assert not arguments["fp16"]  # losses are scaled on GPUs alone


def test_it_ends_with_the_process_that_started_it(seed_model, tmp_path):
    folder = prepare(tmp_path / "run", seed_model)
    process = start(folder)

    assert process.stdin is not None
    process.stdin.close()

    assert process.wait(timeout=120) == 1
    assert not (folder / "candidate").exists()


def test_full_finetuning_changes_the_upper_layers_only_and_keeps_the_latest_of_equal_checkpoints(
    seed_model, tmp_path
):
    from safetensors.numpy import load_file

    changes = {"method": "full", "patience": 1, "pointwise_epochs": 2, "pointwise_learning_rate": 1e-12}
    folder = prepare(tmp_path / "run", seed_model, **changes, sft_learning_rate=1e-3)

    results = train(folder)[-1]["results"]

    assert results["pointwise"]["best_step"] == results["pointwise"]["steps"] == 12
    before, after = (load_file(path / "model.safetensors") for path in (seed_model, folder / "candidate"))
    changed = {name for name in before if not (before[name] == after[name]).all()}
    assert changed == {name for name in before if ".layers.1." in name}


def test_a_lesson_that_falls_behind_stops_and_an_earlier_checkpoint_is_kept(seed_model, tmp_path):
    changes = {"sft_epochs": 0, "dpo_epochs": 0, "pointwise_epochs": 20, "pointwise_learning_rate": 1e-2}
    folder = prepare(tmp_path / "run", seed_model, **changes, patience=2)
    # Pairs the wrong way round: the more is learned, the fewer of them are right.
    rows = [json.loads(line) for line in (folder / "reads.jsonl").read_text().splitlines()]
    turned = [{"higher": row["lower"], "lower": row["higher"]} for row in rows]
    (folder / "reads.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turned))

    told = train(folder)

    looks = {event["step"]: event["accuracy"] for event in told if "accuracy" in event}
    result = told[-1]["results"]["pointwise"]
    assert result["best_step"] < result["steps"] < 120
    assert result["accuracy"] == looks[result["best_step"]] > looks[result["steps"]]


@pytest.mark.parametrize(
    ("accuracy", "looks", "pairs", "expected"),
    [
        (0.80, [0.80], 80, False),
        (0.78, [0.70, 0.80], 80, False),
        (0.74, [0.70, 0.80], 80, True),
        (0.78, [0.70, 0.80], 8000, True),
        (0.975, [1.0], 40, False),
        (0.95, [1.0], 40, True),
    ],
)
def test_a_look_is_behind_where_more_than_a_standard_error_is_missing(accuracy, looks, pairs, expected):
    from workers.train.validation import behind

    assert behind(accuracy, looks, pairs) == expected


def test_the_last_step_is_measured_wherever_it_falls(seed_model, tmp_path):
    changes = {"sft_epochs": 0, "dpo_epochs": 0, "checkpoint_every": 4}
    told = train(prepare(tmp_path / "run", seed_model, **changes))

    assert [event["step"] for event in told if "accuracy" in event] == [4, 6]


@pytest.mark.parametrize(("measured", "saved"), [("no", False), ("steps", True)])
def test_the_last_checkpoint_is_written_only_where_it_may_be_the_best_one(measured, saved, capfd):
    report = Report("pointwise", before=0, planned=100, total=100)
    state, control = TrainerState(global_step=6, max_steps=6), TrainerControl(should_save=True)

    report.on_step_end(SimpleNamespace(eval_strategy=measured), state, control)

    assert control.should_save == saved
    assert '"done": 0' in capfd.readouterr().out


def test_validation_reads_what_serving_would_read(seed_model):
    import torch

    from workers.train.validation import share_right
    from workers.train.weights import load

    model = load(seed_model)
    rng = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 200, (5 + n % 9,), generator=rng).tolist() for n in range(40)]
    with torch.no_grad():
        logits = [model(torch.tensor([prompt])).logits[0, -1] for prompt in prompts]
        margins = [(one[7] - one[8]).item() for one in logits]
        pairs = [{"higher": prompts[i], "lower": prompts[i + 1]} for i in range(0, 40, 2)]
        rows = model.get_output_embeddings().weight
        share = share_right(model.base_model, rows[7] - rows[8], pairs)

    expected = sum(margins[i] > margins[i + 1] for i in range(0, 40, 2)) / 20
    assert 0 < expected < 1
    assert share == expected
