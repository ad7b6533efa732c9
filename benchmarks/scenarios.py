"""How well scenarios are predicted, on labeled instructions.

    python -m benchmarks.scenarios FILE.jsonl [--save FOLDER] [--model FOLDER]

Each line has `messages` and `scenario`; lines without a scenario are skipped. A quarter of each scenario's
lines is held out, always the same ones. `--save` keeps the classifier that was fitted on the others and on
Judgesmith's own examples. `--model` also asks a judge model itself, by the probabilities of letters that
stand for the groups and for each group's scenarios, on the first held-out lines.
"""

import argparse
import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryDirectory

import numpy as np
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score

from judge.backend.engine import Engine, free_port
from judge.backend.vllm import VLLM
from judge.comparison import Instruction
from judge.prompts.assembler import Assembler, load_encoder
from judge.prompts.rubrics import Scenario, scenarios
from judge.prompts.scenarios import Array, ScenarioClassifier, builtin, examples, shorten

HELD_OUT = 0.25
DRAWS = 1000
SEED = 0
ASKED = 80
Rows = list[tuple[str, str]]
Predict = Callable[[Sequence[str]], list[tuple[str, float]]]


def main() -> None:
    """Split, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a model to start in vLLM and ask")
    arguments = parser.parse_args()
    train, held_out = split(read(arguments.file))
    print(f"train {len(train)}, held out {len(held_out)}, labels {len({label for _, label in train})}\n")
    print("| classifier | accuracy | macro-F1 |\n|---|---|---|")
    for name, classifier in classifiers(train):
        print(f"| {name} | {scores(classifier.predict_all, held_out)} |", flush=True)
    if arguments.model:
        some = random.Random(SEED).sample(held_out, min(len(held_out), ASKED))
        print(f"| the same on {len(some)} held-out lines | {scores(classifier.predict_all, some)} |")
        print(f"| the judge model's letters on these | {scores(asked(arguments.model), some)} |", flush=True)
    print("| Auto-J's finetuned 13B model, on its own held-out part | 72.6 | 74.1 |")
    if arguments.save:
        classifier.save(arguments.save)  # the last one


def read(file: Path) -> Rows:
    """(last user turn, scenario) of each labeled line."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        (Instruction.from_json(line["messages"]).text, line["scenario"])
        for line in lines
        if line.get("scenario")
    ]


def split(rows: Rows) -> tuple[Rows, Rows]:
    """(train, held out), with the same share of each scenario."""
    groups: dict[str, Rows] = defaultdict(list)
    for row in rows:
        groups[row[1]].append(row)
    train, held_out = [], []
    rng = random.Random(SEED)
    for label in sorted(groups):
        rng.shuffle(groups[label])
        count = round(len(groups[label]) * HELD_OUT)
        held_out += groups[label][:count]
        train += groups[label][count:]
    return train, held_out


def classifiers(train: Rows) -> Iterator[tuple[str, ScenarioClassifier]]:
    """What is compared, one at a time."""
    texts, labels = [text for text, _ in train], [label for _, label in train]
    own_texts, own_labels = examples()
    yield "built in (fitted on nothing of the file)", builtin()
    yield "fitted on the train part", ScenarioClassifier.fit(texts, labels)
    both = ScenarioClassifier.fit([*texts, *own_texts], [*labels, *own_labels])
    yield "fitted on the train part and the built-in examples", both


def asked(model: Path) -> Predict:
    """A prediction by a judge model: P(group) times P(scenario | group), each read as a letter."""

    def predict(texts: Sequence[str]) -> list[tuple[str, float]]:
        with TemporaryDirectory() as logs:
            engine = Engine.start(model, Path(logs) / "vllm.log", port=free_port(), max_model_len=4096)
            try:
                for _ in engine.wait_ready():
                    pass
                return asyncio.run(letters(VLLM(engine.url), Assembler(load_encoder(model), 4096), texts))
            finally:
                engine.stop()

    return predict


async def letters(server: VLLM, assembler: Assembler, texts: Sequence[str]) -> list[tuple[str, float]]:
    """The likeliest scenario of each text and its probability."""
    groups: dict[str, list[Scenario]] = defaultdict(list)
    for entry in scenarios().values():
        groups[entry.group or entry.name].append(entry)
    limit = asyncio.Semaphore(32)

    async def read(text: str, options: Sequence[str]) -> Array:
        kinds = list(zip(ascii_uppercase[: len(options)], options, strict=True))
        listed = "\n".join(f"{letter}. {option}" for letter, option in kinds)
        prompt = (
            f"Kinds of requests:\n{listed}\n\nRequest:\n{shorten(text)}\n\n"
            "Answer with the letter of its kind."
        )
        labels = [assembler.encoder.label(letter) for letter, _ in kinds]
        async with limit:
            found = await server.read_labels(assembler.chat(Instruction.of(prompt)), labels)
        shares: Array = softmax(np.array(found.read.logprobs))
        return shares

    async def one(text: str) -> tuple[str, float]:
        names = list(groups)
        shares = await asyncio.gather(
            read(text, names), *(read(text, [e.description for e in groups[name]]) for name in names)
        )
        found = {
            entry.name: float(share * within[place])
            for share, name, within in zip(shares[0], names, shares[1:], strict=True)
            for place, entry in enumerate(groups[name])
        }
        best = max(found, key=lambda name: found[name])
        return best, found[best]

    try:
        return list(await asyncio.gather(*(one(text) for text in texts)))
    finally:
        await server.aclose()


def scores(predict: Predict, rows: Rows) -> str:
    """Accuracy and macro-F1 over the labels of the rows, in percent, each with a 95% bootstrap interval."""
    names = sorted({label for _, label in rows})
    number = {name: index for index, name in enumerate(names)}
    truth = np.array([number[label] for _, label in rows])
    found = predict([text for text, _ in rows])
    predicted = np.array([number.get(label, -1) for label, _ in found])
    rng = np.random.default_rng(SEED)
    draws = [np.arange(len(rows)), *(rng.integers(len(rows), size=len(rows)) for _ in range(DRAWS))]
    accuracy = [accuracy_score(truth[draw], predicted[draw]) for draw in draws]
    # Over the labels that occur in a draw: rare ones may be missing there.
    macro = [
        f1_score(truth[d], predicted[d], labels=np.unique(truth[d]), average="macro", zero_division=0)
        for d in draws
    ]
    return f"{interval(accuracy)} | {interval(macro)}"


def interval(values: list[float]) -> str:
    """`52.1 [47.9, 56.0]`, of the value itself and its draws."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{100 * values[0]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
