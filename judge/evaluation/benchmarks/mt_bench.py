"""Agreement with people on MT-Bench (Zheng et al. 2023), in the form of its released human judgments.

Rows: `question_id`, `model_a`, `model_b`, `winner`, `judge`, `conversation_a`, `conversation_b`, `turn`. The
votes of all experts about two models' answers are one item, whose label is the vote of most. The judge
compares in both orders, and where the orders disagree its vote is a tie. Agreement is over pairs of votes:
the judge's with each person's, and each person's with each other person's; with ties, and without the pairs
in which one vote is a tie.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

from judge.comparison import Instruction, Message
from judge.errors import InvalidInput
from judge.evaluation.benchmarks.arithmetic import Credit, Mean
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item

FILES = ("**/human*", "*.jsonl", "*.json")
TURNS = (1, 2)
Vote = Literal["a", "b", "tie"]
_SWAPPED: dict[Vote, Vote] = {"a": "b", "b": "a", "tie": "tie"}


def read(rows: Sequence[Row]) -> list[Item]:
    """One item for each question, pair of models and turn; the votes of the authors are left out."""
    items: dict[str, Item] = {}
    for item in each([row for row in rows if row.name("judge", "").startswith("expert")], _item):
        known = items.setdefault(item.id, item)
        if known is not item:
            known.facts["votes"].extend(item.facts["votes"])
    return [replace(item, label=_majority(item.facts["votes"])) for item in items.values()]


def _majority(votes: Sequence[Vote]) -> Vote:
    """The side with more than half of the votes; a tie where there is none."""
    return next((side for side in _SWAPPED if votes.count(side) * 2 > len(votes)), "tie")


def _item(row: Row) -> Item:
    models = [row.text("model_a"), row.text("model_b")]
    vote: Vote = row.one_of(
        "winner", {"model_a": "a", "model_b": "b", "tie": "tie", "tie (inconsistent)": "tie"}
    )
    turn = row.one_of("turn", {1: 1, 2: 2})
    talks = [_talk(row, field, turn) for field in ("conversation_a", "conversation_b")]
    if models[0] > models[1]:
        models, talks, vote = models[::-1], talks[::-1], _SWAPPED[vote]
    name = f"{row.name('question_id', row.place)}-{models[0]}-{models[1]}-turn{turn}"
    asked = tuple(Message("user", text) for text in talks[0][0])
    return Item(
        id=name,
        subset=f"turn {turn}",
        instruction=Instruction(asked),
        responses=(_shown(talks[0][1]), _shown(talks[1][1])),
        facts={"turn": turn, "models": models, "votes": [vote]},
    )


def _talk(row: Row, field: str, turn: int) -> tuple[list[str], list[str]]:
    """The questions and the answers up to a turn."""
    messages: Any = row.values.get(field)
    if not isinstance(messages, list) or len(messages) < 2 * turn:
        raise row.wrong(field, f"must be a list of at least {2 * turn} messages")
    if not all(isinstance(one, dict) and isinstance(one.get("content"), str) for one in messages):
        raise row.wrong(field, "must be a list of messages with role and content")
    texts = [str(message["content"]) for message in messages]
    asked, answered = texts[: 2 * turn : 2], texts[1 : 2 * turn : 2]
    try:
        Instruction.from_json([{"role": "user", "content": text} for text in asked])
    except InvalidInput as error:
        raise row.wrong(field, error.faults[0].reason) from error
    return asked, answered


def _shown(answers: Sequence[str]) -> str:
    """The answers of one model to all questions so far; each says to which."""
    if len(answers) == 1:
        return answers[0]
    return "\n\n".join(f"(Answer to question {number})\n{text}" for number, text in enumerate(answers, 1))


def score(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """Agreement of judge and people by turn with and without ties; the same among people; win rates."""
    found: dict[str, Mean] = {}
    for turn in TURNS:
        own = [one for one in answered if one.item.facts["turn"] == turn]
        for ties in (True, False):
            how = f"turn {turn}, {'with' if ties else 'without'} ties"
            found[f"judge and people, {how}"] = Mean(list(_with_people(own, ties)))
            found[f"people among themselves, {how}"] = Mean(list(_among_people(own, ties)))
    found = {name: mean for name, mean in found.items() if mean.credits}
    return found | _win_rates(answered)


def _with_people(answered: Sequence[Answered], ties: bool) -> Iterator[Credit]:
    for one in answered:
        mine = one.agreed
        for vote in one.item.facts["votes"]:
            if ties or "tie" not in (mine, vote):
                yield Credit(one.item.cluster, "agreement", float(mine == vote))


def _among_people(answered: Sequence[Answered], ties: bool) -> Iterator[Credit]:
    for one in answered:
        for vote, other in combinations(one.item.facts["votes"], 2):
            if ties or "tie" not in (vote, other):
                yield Credit(one.item.cluster, "agreement", float(vote == other))


def _win_rates(answered: Sequence[Answered]) -> dict[str, Mean]:
    """Each model's adjusted win rate by the judge: wins and half of the ties."""
    credits: dict[str, list[Credit]] = {}
    for one in answered:
        share = {"a": 1.0, "b": 0.0, "tie": 0.5}[one.agreed]
        for model, value in zip(one.item.facts["models"], (share, 1 - share), strict=True):
            credits.setdefault(model, []).append(Credit(one.item.cluster, "wins", value))
    return {f"win rate of {model}": Mean(credits[model]) for model in sorted(credits)}
