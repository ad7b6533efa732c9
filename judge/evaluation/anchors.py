"""Anchor sets: labeled pairs that measure a judge and are never trained on."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from judge.comparison import Comparison, Instruction, flaw
from judge.errors import Fault, InvalidInput
from judge.store.tables import AnchorRow

Label = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class LabeledPair:
    """A comparison and the side that people (or a checker) found better."""

    item: str
    comparison: Comparison
    label: Label


def parse_anchors(lines: Iterable[str]) -> list[LabeledPair]:
    """Read JSONL: `{"instruction" | "messages", "response_a", "response_b", "label", "id"?}` a line.

    Raises:
        InvalidInput: naming every line that cannot be read; nothing is returned then.
    """
    pairs, faults = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            pairs.append(_parse(line))
        except InvalidInput as error:
            faults += [Fault(f"line {number}: {fault.field}", fault.reason) for fault in error.faults]
        except (ValueError, RecursionError) as error:
            faults.append(Fault(f"line {number}", f"not JSON: {error}"))
    if not pairs and not faults:
        raise InvalidInput(Fault("body", "no pairs; expected one JSON object a line"))
    if faults:
        raise InvalidInput(*faults[:50])
    return pairs


def _parse(line: str) -> LabeledPair:
    row = json.loads(line)
    comparison = read_comparison(row)
    if row.get("label") not in ("a", "b", "tie"):
        raise InvalidInput(Fault("label", "must be a, b or tie"))
    item = str(row.get("id") or content_digest(comparison)[:16])
    return LabeledPair(_text({"id": item}, "id"), comparison, row["label"])


def read_comparison(row: Any) -> Comparison:
    """The comparison in `{"instruction" | "messages", "response_a", "response_b"}`.

    Raises:
        InvalidInput: naming the field that is missing or wrong.
    """
    if not isinstance(row, dict):
        raise InvalidInput(Fault("body", "must be a JSON object"))
    if isinstance(row.get("messages"), list):
        instruction = Instruction.from_json(row["messages"])
    elif row.get("instruction") is not None:
        instruction = Instruction.of(_text(row, "instruction"))
    else:
        raise InvalidInput(Fault("instruction", "give `instruction` (text) or `messages` (a list)"))
    return Comparison(instruction, _text(row, "response_a"), _text(row, "response_b"))


def content_digest(comparison: Comparison) -> str:
    """SHA-256 of a pair's texts."""
    content = [comparison.instruction.digest, comparison.response_a, comparison.response_b]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _text(row: dict[str, Any], field: str) -> str:
    if reason := flaw(row.get(field)):
        raise InvalidInput(Fault(field, reason))
    return str(row[field])


def replace_anchors(session: Session, anchor_set: str, pairs: Sequence[LabeledPair]) -> None:
    """Store a set in place of the one of that name."""
    session.execute(delete(AnchorRow).where(AnchorRow.anchor_set == anchor_set))
    unique = {pair.item: pair for pair in pairs}
    session.add_all(
        AnchorRow(
            anchor_set=anchor_set,
            item=pair.item,
            instruction_digest=pair.comparison.instruction.digest,
            messages=pair.comparison.instruction.to_json(),
            response_a=pair.comparison.response_a,
            response_b=pair.comparison.response_b,
            label=pair.label,
        )
        for pair in unique.values()
    )


def load_anchors(session: Session) -> dict[str, list[LabeledPair]]:
    """Every anchor set, its pairs in a stable order."""
    sets: dict[str, list[LabeledPair]] = {}
    for row in session.scalars(select(AnchorRow).order_by(AnchorRow.anchor_set, AnchorRow.item)):
        comparison = Comparison(Instruction.from_json(row.messages), row.response_a, row.response_b)
        sets.setdefault(row.anchor_set, []).append(
            LabeledPair(row.item, comparison, row.label)  # type: ignore[arg-type]
        )
    return sets
