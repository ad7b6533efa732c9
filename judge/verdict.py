"""Reading a verdict or a rating out of a judge's completion. Pure; sees only what the judge wrote.

The judge is asked to end with `Verdict: [[A]]` or `Rating: [[7]]`. What counts is a field `[[label]]` with a
label of the own set: a rationale may quote a shell's `[[ -f x ]]`, a matrix or `items[[3]]`, and so may a
response that would like to be misread. A completion that names two different labels, ends in none, or in
something else in brackets, is `invalid` with a reason, never a guess (Self-Taught Evaluators count a sample
with both labels as invalid too).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["a", "b", "tie", "invalid"]

# What may follow the final bracket: the end of the sentence, of a quotation or of markdown emphasis.
_AFTER = re.compile(r"[\s.*_`\"'。．”’」』»)）]*\Z")
# Neither an index of what stands before it, nor a list within a list.
_BRACKETED = re.compile(r"(?<![A-Za-z0-9_)\]\[])\[\[([^\[\]\n]{1,16})\]\](?!\])")
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
    own = {label: verdict for label, verdict in _VERDICTS.items() if allow_tie or verdict != "tie"}
    found = _bracketed(completion)
    named = {own[text.upper()] for text in found if text.upper() in own}
    final = _final(completion)
    if len(named) > 1:
        return Parsed("invalid", "more than one verdict")
    if final is None:
        return Parsed("invalid", "text after the verdict" if named else "no verdict")
    if final.upper() not in own:
        known = final.upper() in _VERDICTS
        return Parsed("invalid", "a tie was not allowed" if known else f"unknown verdict [[{final}]]")
    return Parsed(own[final.upper()])


def parse_rating(completion: str, *, low: int = 1, high: int = 10) -> Rated:
    """Read the rating that ends a completion; whole numbers from `low` to `high`."""
    numbers = (_whole(text) for text in _bracketed(completion))
    named = {number for number in numbers if number is not None and low <= number <= high}
    final = _final(completion)
    if len(named) > 1:
        return Rated(None, "more than one rating")
    if final is None:
        return Rated(None, "text after the rating" if named else "no rating")
    rating = _whole(final)
    if rating is None:
        return Rated(None, f"not a whole number: [[{final}]]")
    if rating not in named:
        return Rated(None, f"{rating} is outside {low} to {high}")
    return Rated(rating)


def concluded(completion: str, ending: str, labels: Collection[str]) -> bool:
    """Whether a judge has come to its final field, right or wrong; if not, it has to be asked for it.

    That is a completion that ends in one of its template's `labels`, or has a line that begins with the
    template's `ending` (as `Verdict: [[`) and a closed field, whatever is in it and whatever follows.
    """
    final = _final(completion)
    if final is not None and final.upper() in {label.upper() for label in labels}:
        return True
    word = re.escape(ending.strip().rstrip("[").rstrip())
    line = rf"^(?:[^\w\n]|_)*{word}[^\w\[\n]*\[\[[^\[\]\n]*\]\]"
    return re.search(line, completion, re.IGNORECASE | re.MULTILINE) is not None


def _bracketed(completion: str) -> list[str]:
    """What stands in double brackets, in order."""
    return [match[1].strip() for match in _BRACKETED.finditer(completion)]


def _final(completion: str) -> str | None:
    """What stands in the double brackets that end a completion."""
    found = list(_BRACKETED.finditer(completion))
    return found[-1][1].strip() if found and _AFTER.match(completion, found[-1].end()) else None


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,3}", text, re.ASCII) else None
