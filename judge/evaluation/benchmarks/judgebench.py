"""JudgeBench (Tan et al. 2024): pairs of which one answer is right and one is wrong.

Rows: `pair_id`, `source`, `question`, `response_A`, `response_B`, `label` (`A>B` or `B>A`). Both orders are
judged; a pair is right if they speak for the label on balance: both do, or one does and the other is a tie or
no verdict.
"""

from collections.abc import Sequence

from judge.comparison import Instruction, Side
from judge.evaluation.benchmarks.arithmetic import Credit, Mean, grouped
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item, credit

FILES = ("**/*judgebench*", "**/gpt*", "**/claude*", "*.jsonl")
_CATEGORIES = {"mmlu-pro": "knowledge", "livebench-reasoning": "reasoning", "livebench-math": "math"}


def read(rows: Sequence[Row]) -> list[Item]:
    """One item a row."""
    return each(rows, _item)


def _item(row: Row) -> Item:
    sides: dict[str, Side] = {"A>B": "a", "B>A": "b"}
    return Item(
        id=row.name("pair_id", row.place),
        subset=category(row.text("source")),
        instruction=Instruction.of(row.text("question")),
        responses=(row.response("response_A"), row.response("response_B")),
        label=row.one_of("label", sides),
    )


def category(source: str) -> str:
    """Which of the four categories a source belongs to."""
    return next((name for start, name in _CATEGORIES.items() if source.startswith(start)), "coding")


def score(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """Accuracy overall and in each category."""
    credits = [Credit(one.item.cluster, one.item.subset, float(right(one))) for one in answered]
    return {"accuracy": Mean(credits), **grouped(sorted(credits, key=lambda one: one.group))}


def right(answered: Answered) -> bool:
    """Whether the two orders speak for the label on balance."""
    assert answered.item.label in ("a", "b")
    return sum(credit(verdict, answered.item.label) for verdict in answered.orders) > 1
