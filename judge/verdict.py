"""Reading a verdict or a rating out of a judge's completion. Pure; sees only what the judge wrote.

The judge is asked to end with `Verdict: [[A]]` or `Rating: [[7]]`. A completion that names two
different verdicts, none, or a rating outside the scale is `invalid` with a reason, never a guess
(Self-Taught Evaluators count a sample with both labels as invalid too).
"""

import re
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["a", "b", "tie", "invalid"]

# What may follow the final bracket: the end of the sentence or of markdown emphasis, nothing else.
_AFTER = re.compile(r"[\s.*_`\"')]*\Z")
_BRACKETED = re.compile(r"\[\[\s*([^\[\]\n]{1,12}?)\s*\]\]")
_VERDICTS: dict[str, Verdict] = {"A": "a", "B": "b", "C": "tie", "TIE": "tie"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A verdict relative to the order shown (`a` is the response shown first), and why it is invalid."""

    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rated:
    """A rating on the 1 to 10 scale, or None and why."""

    rating: int | None
    reason: str | None = None


def parse_verdict(completion: str, *, allow_tie: bool = True) -> Parsed:
    """Read the verdict that ends a completion."""
    found = list(_BRACKETED.finditer(completion))
    verdicts = [_VERDICTS.get(match[1].upper()) for match in found]
    if not found:
        return Parsed("invalid", "no verdict")
    if None in verdicts:
        return Parsed("invalid", f"unknown verdict [[{found[verdicts.index(None)][1]}]]")
    if len(set(verdicts)) > 1:
        return Parsed("invalid", "more than one verdict")
    if not _AFTER.match(completion, found[-1].end()):
        return Parsed("invalid", "text after the verdict")
    verdict = verdicts[-1]
    assert verdict is not None
    if verdict == "tie" and not allow_tie:
        return Parsed("invalid", "a tie was not allowed")
    return Parsed(verdict)


def parse_rating(completion: str, *, low: int = 1, high: int = 10) -> Rated:
    """Read the rating that ends a completion; whole numbers from `low` to `high`."""
    found = list(_BRACKETED.finditer(completion))
    if not found:
        return Rated(None, "no rating")
    if len({match[1] for match in found}) > 1:
        return Rated(None, "more than one rating")
    if not _AFTER.match(completion, found[-1].end()):
        return Rated(None, "text after the rating")
    text = found[-1][1]
    if not re.fullmatch(r"\d{1,3}", text, re.ASCII):
        return Rated(None, f"not a whole number: [[{text}]]")
    rating = int(text)
    if not low <= rating <= high:
        return Rated(None, f"{rating} is outside {low} to {high}")
    return Rated(rating)
