"""Requirements that a program can check and meet: an added demand, and a version of a text that fulfils it.

They make preference pairs in which both responses are on topic and only one does what was asked. Pure.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*")
_WORD = re.compile(r"\w+")
_COMMAS = str.maketrans("", "", ",，、")


@dataclass(frozen=True, slots=True)
class Requirement:
    """`meet` makes a version of a text that fulfils the demand, `spoil` one that does not; `met` checks."""

    demands: tuple[str, ...]
    meet: Callable[[str], str]
    met: Callable[[str], bool]
    spoil: Callable[[str], str] = lambda text: text

    def demand(self, rng: random.Random) -> str:
        """One of the wordings."""
        return rng.choice(self.demands)


def sentences(text: str) -> list[str]:
    """The sentences of a text, in several scripts."""
    return [part.strip() for part in _SENTENCE_END.split(text.strip()) if part.strip()]


def about(text: str, rng: random.Random) -> list[Requirement]:
    """Requirements that depend on the text: a word that it has, its length. Empty for very short texts."""
    words = _WORD.findall(text)
    long_words = sorted({word for word in words if len(word) > 5 and word.isalpha()})
    found = []
    if long_words:
        word = rng.choice(long_words)
        found += [_without_word(word), _with_word(word)]
    if len(words) >= 20:
        found += [_at_most(max(8, len(words) // 3)), _at_least(len(words) * 2 // 3)]
    return found


def _without_word(word: str) -> Requirement:
    pattern = re.compile(rf"\s?\b{re.escape(word)}\b", re.IGNORECASE)
    return Requirement(
        (f'Do not use the word "{word}".', f"Avoid the word {word} in your answer."),
        lambda text: pattern.sub("", text),
        lambda text: not pattern.search(text),
    )


def _with_word(word: str) -> Requirement:
    pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    return Requirement(
        (f'Use the word "{word}" in your answer.', f"The answer has to contain the word {word}."),
        lambda text: text,
        lambda text: bool(pattern.search(text)),
        lambda text: re.sub(rf"\s?\b{re.escape(word)}\b", "", text, flags=re.IGNORECASE),
    )


def _at_most(limit: int) -> Requirement:
    return Requirement(
        (f"Use at most {limit} words.", f"Keep the answer to {limit} words or fewer."),
        lambda text: _until(text, limit),
        lambda text: len(_WORD.findall(text)) <= limit,
    )


def _at_least(limit: int) -> Requirement:
    return Requirement(
        (f"Write at least {limit} words.", f"The answer should be no shorter than {limit} words."),
        lambda text: text,
        lambda text: len(_WORD.findall(text)) >= limit,
        lambda text: sentences(text)[0],
    )


def _until(text: str, limit: int) -> str:
    """Whole sentences within the limit, or the first one cut to it."""
    kept: list[str] = []
    for part in sentences(text):
        if len(_WORD.findall(" ".join([*kept, part]))) > limit:
            break
        kept.append(part)
    return " ".join(kept) or " ".join(text.split()[:limit])


def _lines(mark: Callable[[int], str]) -> Callable[[str], str]:
    return lambda text: "\n".join(f"{mark(n)}{part}" for n, part in enumerate(sentences(text), 1))


def _every_line(pattern: str, at_least: int = 1) -> Callable[[str], bool]:
    begins = re.compile(pattern)

    def met(text: str) -> bool:
        lines = [line for line in text.splitlines() if line.strip()]
        return len(lines) >= at_least and all(begins.match(line) for line in lines)

    return met


def _halves(text: str) -> tuple[str, str]:
    parts = sentences(text)
    middle = max(1, len(parts) // 2)
    return " ".join(parts[:middle]), " ".join(parts[middle:])


def _title(text: str) -> str:
    return " ".join(_WORD.findall(text)[:4]).title()


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _begins(phrase: str) -> Requirement:
    return Requirement(
        (f'Begin with the words "{phrase}".', f"Your first words must be: {phrase}"),
        lambda text: f"{phrase} {text.lstrip()}",
        lambda text: text.startswith(phrase),
    )


def _ends(phrase: str) -> Requirement:
    return Requirement(
        (f'End with the words "{phrase}".', f"The last words of the answer must be: {phrase}"),
        lambda text: f"{text.rstrip()} {phrase}",
        lambda text: text.rstrip().endswith(phrase),
    )


def _first(count: int, demands: tuple[str, ...]) -> Requirement:
    return Requirement(
        demands,
        lambda text: " ".join(sentences(text)[:count]),
        lambda text: len(sentences(text)) == count,
    )


def _around(before: str, after: str, *demands: str) -> Requirement:
    return Requirement(
        demands,
        lambda text: f"{before}{text.strip()}{after}",
        lambda text: text.strip().startswith(before) and text.strip().endswith(after),
    )


GENERAL: Sequence[Requirement] = (
    Requirement(
        ("Write the whole answer in capital letters.", "Answer in upper case only."), str.upper, str.isupper
    ),
    Requirement(
        ("Do not use capital letters.", "Write everything in lower case."), str.lower, str.islower
    ),
    Requirement(
        ("Do not use any commas.", "Write without commas."),
        lambda text: text.translate(_COMMAS),
        lambda text: text == text.translate(_COMMAS),
    ),
    Requirement(
        ("Answer with a list of bullet points only.", "Give each sentence a bullet point (-) of its own."),
        _lines(lambda n: "- "),
        _every_line(r"- ", 2),
    ),
    Requirement(
        ("Write a numbered list.", "Number the points of your answer: 1., 2., and so on."),
        _lines(lambda n: f"{n}. "),
        _every_line(r"\d+\. ", 2),
    ),
    Requirement(
        ("Put every sentence on a line of its own.", "Start a new line after each sentence."),
        _lines(lambda n: ""),
        lambda text: text.count("\n") >= 1 and text.count("\n") + 1 >= len(sentences(text)),
    ),
    _first(1, ("Answer in a single sentence.", "Use one sentence only.")),
    _first(2, ("Answer in exactly two sentences.", "Use two sentences, no more and no fewer.")),
    _begins("Here is my answer:"),
    _begins("In short,"),
    _ends("That is all."),
    _ends("I hope this helps."),
    _around('"', '"', "Put the whole answer in double quotation marks.", "Wrap the answer in quotes."),
    _around("```\n", "\n```", "Put the whole answer into a code block.", "Format it as a code block."),
    _around("(", ")", "Put the whole answer in round brackets.", "Wrap the answer in parentheses."),
    Requirement(
        ("Answer with a JSON object that has the one key answer.", "Give the answer as JSON."),
        lambda text: json.dumps({"answer": text}, ensure_ascii=False),
        _is_json,
    ),
    Requirement(
        ("Start with a title line that is marked with #.", "Give the answer a heading (a line after #)."),
        lambda text: f"# {_title(text)}\n\n{text}",
        lambda text: text.startswith("# "),
    ),
    Requirement(
        ("Print the first words in bold (double asterisks).", "Use **bold** for a part of the answer."),
        lambda text: re.sub(r"^(\S+(?:\s\S+)?)", r"**\1**", text.lstrip(), count=1),
        lambda text: bool(re.search(r"\*\*[^*]+\*\*", text)),
    ),
    Requirement(
        ("Divide the answer into Part 1 and Part 2, and name them.", "Use two parts, Part 1 and Part 2."),
        lambda text: "Part 1\n{}\n\nPart 2\n{}".format(*_halves(text)),
        lambda text: "Part 1" in text and "Part 2" in text,
    ),
    Requirement(
        ("Write two paragraphs with a line of three stars between them.", "Separate two paragraphs by ***."),
        lambda text: "{}\n***\n{}".format(*_halves(text)),
        lambda text: "\n***\n" in text,
    ),
    Requirement(
        ("Add a postscript that starts with P.S.", "Close with a P.S."),
        lambda text: f"{text.rstrip()}\n\nP.S. {sentences(text)[0]}",
        lambda text: "P.S." in text,
    ),
    Requirement(
        ("Do not use any digits.", "Write without numerals."),
        lambda text: re.sub(r"\s?\d+(?:[.,]\d+)*", "", text),
        lambda text: not re.search(r"\d", text),
    ),
)  # fmt: skip
