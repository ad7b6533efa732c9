"""The plain schema of labeled pairs, which fits any preference set.

Rows: `instruction` or `messages`, `response_a`, `response_b`, `label` (a, b or tie); `id` and `subset` if
there are any. The score is how often both orders gave the label.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from judge.comparison import Instruction
from judge.errors import InvalidInput
from judge.evaluation.benchmarks.arithmetic import Credit, Mean, grouped
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item


def read(rows: Sequence[Row]) -> list[Item]:
    """One item a row; a row without `id` is named by its place."""
    return each(rows, _item)


def score(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """The share right in both orders, over all and in each subset."""
    credits = [Credit(a.item.cluster, a.item.subset, float(a.right)) for a in answered if a.item.label]
    subsets = grouped(credits)
    return {"right in both orders": Mean(credits)} | (subsets if len(subsets) > 1 else {})


def _item(row: Row) -> Item:
    return Item(
        id=row.name("id", row.place),
        subset=row.name("subset", PurePosixPath(row.file).stem),
        instruction=instruction(row),
        responses=(row.response("response_a"), row.response("response_b")),
        label=row.one_of("label", {"a": "a", "b": "b", "tie": "tie"}),
    )


def instruction(row: Row) -> Instruction:
    """`messages` if there are any, else the text `instruction`."""
    messages = row.values.get("messages")
    if not isinstance(messages, list):
        return Instruction.of(row.text("instruction"))
    try:
        return Instruction.from_json(messages)
    except InvalidInput as error:
        raise row.wrong(error.faults[0].field, error.faults[0].reason) from error
