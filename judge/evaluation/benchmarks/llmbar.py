"""LLMBar (Zeng et al. 2024): which output follows the instruction? In the folders of its release.

Rows: `input`, `output_1`, `output_2`, `label` (1 or 2); the folder names the subset, as in
`Adversarial/Neighbor/dataset.json`. Accuracy is the mean over both orders; a verdict that could not be had
counts one half.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from judge.comparison import Instruction, Side
from judge.evaluation.benchmarks.arithmetic import Credit, Mean, grouped, mean_of_groups
from judge.evaluation.benchmarks.files import Row, each
from judge.evaluation.benchmarks.items import Answered, Item, credit

FILES = ("**/dataset.json", "*.jsonl")
ADVERSARIAL = ("Neighbor", "GPTInst", "GPTOut", "Manual")


def read(rows: Sequence[Row]) -> list[Item]:
    """One item a row."""
    return each(rows, _item)


def _item(row: Row) -> Item:
    sides: dict[int, Side] = {1: "a", 2: "b"}
    path = PurePosixPath(row.file)
    return Item(
        id=row.place,
        subset=row.name("subset", path.parent.name or path.stem),
        instruction=Instruction.of(row.text("input")),
        responses=(row.response("output_1"), row.response("output_2")),
        label=row.one_of("label", sides),
    )


def score(answered: Sequence[Answered], seed: int) -> dict[str, Mean]:
    """Mean accuracy over the subsets, over the adversarial ones, of each; agreement of the orders."""
    accuracy, agreement = [], []
    for one in answered:
        assert one.item.label in ("a", "b")
        first, last = one.orders
        right = (credit(first, one.item.label) + credit(last, one.item.label)) / 2
        accuracy.append(Credit(one.item.cluster, one.item.subset, right))
        agreement.append(Credit(one.item.cluster, one.item.subset, float(first == last != "invalid")))
    adversarial = [one for one in accuracy if one.group in ADVERSARIAL]
    return {
        "accuracy": mean_of_groups(accuracy),
        **({"accuracy, adversarial": mean_of_groups(adversarial)} if adversarial else {}),
        "agreement of the orders": mean_of_groups(agreement),
        **grouped(accuracy),
    }
