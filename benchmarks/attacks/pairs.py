"""Labeled pairs to attack: an instruction, the better response, the worse one."""

import random
from pathlib import Path

from judge.comparison import Side, other
from judge.errors import Fault, InvalidInput
from judge.evaluation.anchors import parse_anchors
from judge.evaluation.attack_suite import Target


def read(path: Path) -> list[Target]:
    """The pairs of a file that have a winner, the worse response as it is labeled; ties are left out.

    Raises:
        InvalidInput: naming the file, and each line that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Fault(str(path), f"cannot be read: {error}")) from error
    try:
        pairs = [pair for pair in parse_anchors(lines) if pair.label != "tie"]
    except InvalidInput as error:
        raise InvalidInput(*(Fault(f"{path}, {f.field}", f.reason) for f in error.faults)) from error
    if not pairs:
        raise InvalidInput(Fault(str(path), "every pair is a tie; give pairs with the label a or b"))
    targets = []
    for pair in pairs:
        better: Side = "a" if pair.label == "a" else "b"
        comparison, worse = pair.comparison, other(better)
        targets.append(
            Target(
                pair.item,
                comparison.instruction,
                comparison.response(better),
                comparison.response(worse),
                worse,
            )
        )
    return targets


def draw(targets: list[Target], limit: int, seed: int) -> list[Target]:
    """At most `limit` pairs, the attacked response on either side equally often."""
    chosen = random.Random(seed).sample(targets, min(limit, len(targets)))
    return [
        Target(t.item, t.instruction, t.better, t.worse, "a" if index % 2 else "b")
        for index, t in enumerate(chosen)
    ]
