"""How well scenarios are predicted, on labeled instructions.

    python benchmarks/scenarios.py FILE.jsonl [--save FOLDER]

Each line has `messages` and `scenario`; lines without a scenario are skipped. A quarter of each scenario's
lines is held out, always the same ones. `--save` keeps the classifier that was fitted on the others and on
Judgesmith's own examples.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from judge.comparison import Instruction
from judge.scenarios import ScenarioClassifier, builtin, examples

HELD_OUT = 0.25
DRAWS = 1000
SEED = 0
Rows = list[tuple[str, str]]


def main() -> None:
    """Split, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    train, held_out = split(read(arguments.file))
    print(f"train {len(train)}, held out {len(held_out)}, labels {len({label for _, label in train})}\n")
    print("| classifier | accuracy | macro-F1 |\n|---|---|---|")
    for name, classifier in classifiers(train):
        print(f"| {name} | {scores(classifier, held_out)} |", flush=True)
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


def scores(classifier: ScenarioClassifier, rows: Rows) -> str:
    """Accuracy and macro-F1 over the labels of the rows, in percent, each with a 95% bootstrap interval."""
    names = sorted({label for _, label in rows})
    number = {name: index for index, name in enumerate(names)}
    truth = np.array([number[label] for _, label in rows])
    found = classifier.predict_all([text for text, _ in rows])
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
