"""Worse versions of a response: still fluent at a glance, of about the same length, wrong in one way. Pure.

Each function returns None where the text gives no room for its kind of damage.
"""

import random
import re

from judge.pairs.requirements import sentences

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")


def displaced(text: str, rng: random.Random) -> str | None:
    """A quarter of the words (of the characters, in scripts without spaces) out of place."""
    spaced = " " in text
    units = text.split(" ") if spaced else list(text)
    if len(units) < 8:
        return None
    moved = rng.sample(range(len(units)), max(4, len(units) // 4))
    mixed = list(units)
    for source, target in zip(moved, moved[1:] + moved[:1], strict=True):
        mixed[target] = units[source]
    return (" " if spaced else "").join(mixed)


def substituted(text: str, other: str, rng: random.Random) -> str | None:
    """A third of the longer words replaced by longer words of another text."""
    own = list(_LONG_WORD.finditer(text))
    words = sorted({match.group() for match in _LONG_WORD.finditer(other)} - {m.group() for m in own})
    if len(own) < 3 or len(words) < 2:
        return None
    chosen = {match.start() for match in rng.sample(own, max(2, len(own) // 3))}

    def replace(match: "re.Match[str]") -> str:
        if match.start() not in chosen:
            return match.group()
        word = rng.choice(words)
        return word.capitalize() if match.group()[0].isupper() else word.lower()

    return _LONG_WORD.sub(replace, text)


def spliced(text: str, other: str, rng: random.Random) -> str | None:
    """A run of about half of the sentences replaced by sentences of another text."""
    own, foreign = sentences(text), sentences(other)
    if len(own) < 3 or len(foreign) < 2:
        return None
    count = min(max(1, len(own) // 2), len(foreign))
    start = rng.randrange(1, len(own) - count + 1) if len(own) > count else 0
    begin = rng.randrange(len(foreign) - count + 1)
    return " ".join(own[:start] + foreign[begin : begin + count] + own[start + count :])


def renumbered(text: str, rng: random.Random) -> str | None:
    """Up to half of the numbers changed, each by itself, so that the text contradicts itself or its task."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    chosen = {match.start() for match in rng.sample(found, max(1, len(found) // 2))}

    def replace(match: "re.Match[str]") -> str:
        if match.start() not in chosen:
            return match.group()
        value = match.group()
        digits = [rng.choice("123456789".replace(value[0], "")), *value[1:]]
        return "".join(digits)

    return _NUMBER.sub(replace, text)


def repeating(text: str, rng: random.Random) -> str | None:
    """From some sentence on, that sentence again and again until the text's length is reached."""
    parts = sentences(text)
    if len(parts) < 3:
        return None
    start = rng.randrange(max(1, len(parts) // 2))
    result = " ".join(parts[: start + 1])
    while len(result) + len(parts[start]) < len(text):
        result += f" {parts[start]}"
    return result


def incomplete(text: str, rng: random.Random) -> str | None:
    """The first sentences of the text, less than half of them: whole, and says less."""
    parts = sentences(text)
    if len(parts) < 3:
        return None
    end = text.find(parts[rng.randint(1, (len(parts) - 1) // 2)])
    return text[:end].rstrip() or None


def broken_off(text: str, rng: random.Random) -> str | None:
    """The text up to somewhere in the middle of a sentence of its second half."""
    if len(sentences(text)) < 2 or len(text) < 40:
        return None
    end = rng.randrange(len(text) // 2, len(text) * 9 // 10)
    while end > 1 and not (text[end - 1].isalnum() and text[end].isalnum()):
        end -= 1
    return text[:end] if end > len(text) // 3 else None
