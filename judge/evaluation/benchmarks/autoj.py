"""The three tests of Auto-J (Li et al. 2023): pairs (Eval-P), critiques (Eval-C), the best of N (Eval-R).

Eval-P rows: `scenario`, `label` (0, 1, or 2 for a tie), `prompt`, `response 1`, `response 2`. A pair counts
where both orders give the label. Eval-C rows: `scenario`, `prompt`, `response`, `critiques` by critic; with a
`reference` critique in the row, or from `reference_*.jsonl` beside it, line by line. Eval-R rows: `scenario`,
`prompt`, `outputs` by model, each with `outputs`, `logprobs` and `scores` by rater.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any, Literal

from judge.comparison import Instruction
from judge.evaluation.benchmarks.arithmetic import Credit, Mean
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item, shown
from judge.prompts.rubrics import scenarios

PAIRS, CRITIQUES, SELECTION = ("**/*pairwise*",), ("**/*critique*",), ("**/*selection*",)
SIZES = (8, 16, 32)
# Scenarios that `judge.prompts.rubrics` does not have or groups otherwise: one of the right group in place
# of each.
_OUR_NAMES = {
    "post_summarization": "text_summarization",
    "others": "information_extraction",
    "counterfactual": "creative_writing",
}
_TASK = "Write a critique of this response.\n\nRequest:\n{request}\n\nResponse:\n{response}"
_LABELS: dict[Any, Literal["a", "b", "tie"]] = {0: "a", 1: "b", 2: "tie"}


def read_pairs(rows: Sequence[Row]) -> list[Item]:
    """Eval-P: one item a row."""
    return each(rows, _pair)


def _pair(row: Row) -> Item:
    return Item(
        id=row.place,
        subset=row.text("scenario"),
        instruction=Instruction.of(row.text("prompt")),
        responses=(row.response("response 1"), row.response("response 2")),
        label=row.one_of("label", _LABELS),
    )


def score_pairs(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """Agreement (both orders give the label) and consistency (both say the same), overall and by group."""
    agreement, consistency = [], []
    for one in answered:
        first, last = one.orders
        group = _group(one.item.subset)
        agreement.append(Credit(one.item.cluster, group, float(one.right)))
        consistency.append(Credit(one.item.cluster, group, float(first == last != "invalid")))
    return {
        "agreement": Mean(agreement),
        "consistency": Mean(consistency),
        **_by_group("agreement", agreement),
        **_by_group("consistency", consistency),
    }


def _group(scenario: str) -> str:
    known, scenario = scenarios(), _OUR_NAMES.get(scenario, scenario)
    return (known[scenario].group if scenario in known else None) or "other scenarios"


def _by_group(name: str, credits: Sequence[Credit]) -> dict[str, Mean]:
    groups = sorted({one.group for one in credits})
    return {f"{name}: {group}": Mean([one for one in credits if one.group == group]) for group in groups}


def read_critiques(rows: Sequence[Row]) -> list[Item]:
    """Eval-C: each critic's critique (A) against the reference one (B); which is better has no label."""
    asked = [row for row in rows if not _is_reference(row)]
    references = [row for row in rows if _is_reference(row)]
    pairs = zip_longest(asked, references[: len(asked)])
    return [item for items in each(pairs, lambda pair: list(_critiques(*pair))) for item in items]


def _is_reference(row: Row) -> bool:
    return PurePosixPath(row.file).name.startswith("reference")


def _critiques(row: Row, reference: Row | None) -> Iterator[Item]:
    critiques = row.values.get("critiques")
    if not isinstance(critiques, dict) or not critiques:
        raise row.wrong("critiques", "must be an object with one critique a critic")
    against = row.text("reference") if reference is None else reference.text("output")
    asked = _TASK.format(request=row.text("prompt"), response=row.text("response"))
    own = Row(f"{row.place}: critiques", row.file, critiques)
    for critic in critiques:
        yield Item(
            id=f"{row.place} {critic}",
            subset=row.text("scenario"),
            instruction=Instruction.of(asked),
            responses=(own.text(critic), against),
            facts={"critic": critic},
        )


def score_critiques(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """Wins, ties, losses of each critic against the reference, in the one order that the seed places."""
    found: dict[str, Mean] = {}
    for critic in sorted({one.item.facts["critic"] for one in answered}):
        own = [one for one in answered if one.item.facts["critic"] == critic]
        for outcome, verdict in (("wins", "a"), ("ties", "tie"), ("losses", "b"), ("invalid", "invalid")):
            credits = [Credit(one.item.cluster, outcome, float(shown(one, seed) == verdict)) for one in own]
            found[f"{critic} {outcome}"] = Mean(credits)
    return found


def read_selection(rows: Sequence[Row]) -> list[Item]:
    """Eval-R: one item for each prompt and model that answered it many times."""
    return [item for items in each(rows, lambda row: list(_selections(row))) for item in items]


def _selections(row: Row) -> Iterator[Item]:
    by_model = row.values.get("outputs")
    if not isinstance(by_model, dict) or not by_model:
        raise row.wrong("outputs", "must be an object with the responses of each model")
    for model, given in by_model.items():
        inner = Row(f"{row.place}: outputs.{model}", row.file, given if isinstance(given, dict) else {})
        responses = inner.texts("outputs", least=2)
        scores, logprobs = given.get("scores") or {}, given.get("logprobs") or [0.0] * len(responses)
        lists = {"logprobs": logprobs, **{f"scores.{name}": own for name, own in scores.items()}}
        for name, values in lists.items():
            if not isinstance(values, list) or len(values) != len(responses):
                raise inner.wrong(name, f"must be a list of {len(responses)} numbers, like the responses")
        yield Item(
            id=f"{row.place} {model}",
            subset=model,
            instruction=Instruction.of(row.text("prompt")),
            responses=responses,
            task="rate",
            facts={"logprobs": logprobs, "scores": scores},
        )


def score_selection(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """The mean score, by each rater in the file, of what the judge selects among the first N responses.

    Beside it what a random choice and the best one would have had.
    """
    names = sorted({name for one in answered for name in one.item.facts["scores"]})
    found: dict[str, Mean] = {}
    for rater in names:
        rated = [one for one in answered if rater in one.item.facts["scores"]]
        for size in SIZES:
            enough = [one for one in rated if len(one.item.responses) >= size]
            for how, pick in (("selected", _selected), ("at random", _at_random), ("best", _best)):
                credits = [
                    Credit(one.item.cluster, how, pick(one, one.item.facts["scores"][rater][:size], size))
                    for one in enough
                ]
                if credits:
                    found[f"score by {rater}, {how} of {size}"] = Mean(credits)
    return found


def selected(answered: Answered, size: int) -> int | None:
    """The response with the highest rating of the first `size`; of equal ones the more probable."""
    logprobs: Sequence[float] = answered.item.facts["logprobs"]
    rated = [
        (value, logprobs[index], -index)
        for index, value in enumerate(answered.judged.scores[:size])
        if value is not None
    ]
    return -max(rated)[2] if rated else None


def _selected(answered: Answered, scores: Sequence[float], size: int) -> float:
    chosen = selected(answered, size)
    return scores[chosen] if chosen is not None else _at_random(answered, scores, size)


def _at_random(answered: Answered, scores: Sequence[float], size: int) -> float:
    return sum(scores) / len(scores)


def _best(answered: Answered, scores: Sequence[float], size: int) -> float:
    return max(scores)
