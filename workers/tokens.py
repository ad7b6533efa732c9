"""An iteration's training examples as token ids, a JSONL file for each lesson and for validation.

The prompts come from the assembler that serves, so what is trained is what is served, token for token.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from judge.comparison import PreferencePair, Side
from judge.errors import Conflict
from judge.judging.judge import Judge
from judge.prompts.templates import pairwise_reasoning, pointwise
from judge.teaching.examples import Example, load_examples
from judge.teaching.planning import judge_of
from workers.stage import Stage

MINIMUM_PAIRS = 8
LESSONS = ("reasoned", "preferences", "pointwise")
Row = dict[str, list[int]]


def write_datasets(stage: Stage) -> tuple[str, dict[str, int]]:
    """Write the files.

    Returns the start of the SHA-256 of them all, and the number of rows of each lesson.

    Raises:
        Conflict: too few pairs were left to train on.
    """
    judge = judge_of(stage.store, stage.seed_version, stage.process.max_model_len, stage.settings)
    with stage.lease.transaction() as session:
        examples = load_examples(session, stage.iteration, stage.settings)
    if len(examples.pointwise) < MINIMUM_PAIRS:
        raise Conflict(
            f"{len(examples.pointwise)} training pairs were left, at least {MINIMUM_PAIRS} are needed"
        )
    datasets = {
        "reasoned": [reasoned_row(judge, example) for example in examples.reasoned],
        "preferences": [preference_row(judge, example) for example in examples.preferences],
        "pointwise": [pointwise_row(judge, example.pair) for example in examples.pointwise],
        "verdicts": [verdict_row(judge, example.pair) for example in examples.validation],
        "reads": [read_row(judge, example.pair) for example in examples.validation],
    }
    digest = hashlib.sha256()
    for name, rows in datasets.items():
        digest.update(_write(stage.folder / f"{name}.jsonl", rows))
    sizes = {name: len(datasets[name]) for name in LESSONS}
    return digest.hexdigest()[:16], {**sizes, "validation": len(examples.validation)}


def reasoned_row(judge: Judge, example: Example) -> Row:
    """A right judgment: the served prompt, then in the mask the judge's text and the end of turn."""
    prompt, completion = _prompt(judge, example), _completion(judge, example.judgment)
    return {
        "input_ids": prompt + completion,
        "completion_mask": [0] * len(prompt) + [1] * len(completion),
    }


def preference_row(judge: Judge, example: Example) -> Row:
    """A right and a wrong judgment after the served prompt, each with the end of turn."""
    return {
        "prompt_ids": _prompt(judge, example),
        "chosen_ids": _completion(judge, example.judgment),
        "rejected_ids": _completion(judge, example.wrong),
    }


def pointwise_row(judge: Judge, pair: PreferencePair) -> Row:
    """The two prompts whose label log-odds the loss compares; both end where the label would follow."""
    ids = {}
    for name, response in (("chosen_ids", pair.chosen), ("rejected_ids", pair.rejected)):
        ids[name] = judge.response_prompt(pointwise(), pair.instruction, response, 1).token_ids
    return ids


def verdict_row(judge: Judge, pair: PreferencePair) -> Row:
    """For validation: the chosen response shown first and last, where the verdict would follow.

    The log-odds of A have to be higher where the chosen one is first.
    """
    ending = judge.assembler.encoder.trusted(pairwise_reasoning().ending)
    orders: tuple[tuple[str, Side], ...] = (("higher", "a"), ("lower", "b"))
    return {name: _shown(judge, pair, first) + ending for name, first in orders}


def read_row(judge: Judge, pair: PreferencePair) -> Row:
    """For validation: the pointwise prompts, of which the chosen response's has to read higher."""
    ids = pointwise_row(judge, pair)
    return {"higher": ids["chosen_ids"], "lower": ids["rejected_ids"]}


def _prompt(judge: Judge, example: Example) -> list[int]:
    return _shown(judge, example.pair, example.first)


def _shown(judge: Judge, pair: PreferencePair, first: Side) -> list[int]:
    prompt = judge.comparison_prompt(pairwise_reasoning(), pair.comparison("a"), first, judge.reserve())
    return prompt.token_ids


def _completion(judge: Judge, judgment: str) -> list[int]:
    encoder = judge.assembler.encoder
    return encoder.untrusted(judgment) + encoder.end_of_turn()


def _write(path: Path, rows: Iterable[Row]) -> bytes:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(data)
    return data
