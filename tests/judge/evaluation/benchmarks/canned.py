"""Judges whose answers are written down."""

from judge.comparison import Instruction
from judge.evaluation.benchmarks.items import Answered, Item, Judged


def compared(number: int, verdicts, *, label="a", subset="s", cluster=None, responses=("yes", "no"), **facts):
    """An item with the verdicts of a judge with A and with B shown first."""
    text = f"Instruction {number if cluster is None else cluster}"
    item = Item(f"{subset}-{number}", subset, Instruction.of(text), responses, label, "compare", facts)
    return Answered(item, Judged(item.id, verdicts, verdicts[0] if verdicts else "invalid"))


def rated(number: int, ratings, *, subset="s", responses=None, **facts):
    """An item with the ratings of a judge."""
    texts = responses or tuple(f"response {index}" for index in range(len(ratings)))
    item = Item(
        f"{subset}-{number}", subset, Instruction.of(f"Instruction {number}"), texts, None, "rate", facts
    )
    return Answered(item, Judged(item.id, scores=tuple(ratings)))


def values(means) -> dict[str, float]:
    """The values of named means, rounded."""
    return {name: round(mean.value, 6) for name, mean in means.items()}
