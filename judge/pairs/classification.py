"""What kind of instruction it is: a category, a complexity, the length that an answer should have. Pure.

The classes are those of Self-Taught Evaluators (arXiv 2408.02666).
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Category = Literal[
    "coding",
    "mathematical reasoning",
    "asking for advice",
    "brainstorming",
    "classification",
    "closed QA",
    "creative writing",
    "extraction",
    "inhabiting a persona",
    "open QA",
    "rewriting",
    "summarization",
    "knowledge and reasoning",
    "humanity, history or social studies",
    "other",
]
Length = Literal["a phrase", "a sentence", "a paragraph", "several paragraphs", "pages"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
LENGTHS: tuple[Length, ...] = get_args(Length)
EASIEST, HARDEST = 1, 10
PATTERN = rf"({'|'.join(CATEGORIES)}), complexity (10|[1-9]), answer of ({'|'.join(LENGTHS)})"
_LINE = re.compile(PATTERN)
_RANGE = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class Classification:
    """What a model said about an instruction; `complexity` from 1 to 10."""

    category: str
    complexity: int
    length: str


def parse(line: str) -> Classification | None:
    """Read a line of the form `PATTERN`; None where it has another, as from a backend that enforces none."""
    match = _LINE.fullmatch(line.strip())
    return Classification(match[1], int(match[2]), match[3]) if match else None


def complexity_range(text: str) -> range:
    """`7-10` or `5` as whole numbers.

    Raises:
        ValueError: it is none from 1 to 10.
    """
    match = _RANGE.fullmatch(text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not EASIEST <= low <= high <= HARDEST:
        raise ValueError(f"{text!r} is no range from {EASIEST} to {HARDEST}, such as 7-10")
    return range(low, high + 1)
